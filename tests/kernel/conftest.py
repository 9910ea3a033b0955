"""The fixtures of the guest; on any other machine nothing of this folder is collected."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.kernel.host import host
from tests.kernel.lab import Lab

if not os.environ.get("SMS_BRIDGE_LAB"):
    collect_ignore_glob = ["test_*.py"]

_observed: dict[str, list[float]] = {}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.kernel)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What was measured on the way. The guest's processor is emulated, some ten times slower than a real one."""
    if _observed:
        terminalreporter.section("observed, in seconds: least, median, most")
    for name, values in _observed.items():
        spread = f"{min(values):6.2f} {statistics.median(values):6.2f} {max(values):6.2f}"
        terminalreporter.line(f"{name:<64} {spread}  of {len(values)}")


@pytest.fixture
def observe() -> Callable[[str, float], None]:
    """Keep a figure for the end of the run."""
    return lambda name, seconds: _observed.setdefault(name, []).append(seconds)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Callable[..., Lab]]:
    """`lab("ec25", "sara")` is a lab with these sticks, none of them plugged in."""
    with ExitStack() as ending:
        yield lambda *sticks, **options: ending.enter_context(Lab(tmp_path / "phones", host(), sticks, **options))
