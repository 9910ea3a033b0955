"""What the unit tests share beyond tests/conftest.py."""

from __future__ import annotations

import pytest

from sms_bridge.store import writer


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is lazy is committed at once."""
    monkeypatch.setattr(writer, "LAZY_AFTER", 0.01)
    monkeypatch.setattr(writer, "LAZY_BEFORE", 0.0)
