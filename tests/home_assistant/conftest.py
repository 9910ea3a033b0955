"""Collected by `make test-ha` alone, which fetches Home Assistant first."""

from __future__ import annotations

import os

import pytest

pytest.register_assert_rewrite("tests.home_assistant.core")

if not os.environ.get("HA_VENV"):
    collect_ignore_glob = ["test_*.py"]
