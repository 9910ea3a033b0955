"""The fixtures of the guest; on any other machine nothing of this folder is collected."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.kernel.host import host
from tests.kernel.lab import Lab

if not os.environ.get("SMS_BRIDGE_LAB"):
    collect_ignore_glob = ["test_*.py"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.kernel)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Callable[..., Lab]]:
    """`lab("ec25", "sara")` is a lab with these sticks, none of them plugged in."""
    with ExitStack() as ending:
        yield lambda *sticks, **options: ending.enter_context(Lab(tmp_path / "phones", host(), sticks, **options))
