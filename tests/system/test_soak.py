"""The short form of `make soak`: fifteen seconds in which a fault comes each half second."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak.__main__ import table
from tests.soak.soak import Plan, soak


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_fifteen_seconds_of_everything_at_once(tmp_path: Path) -> None:
    report = soak(Plan(tmp_path, 15.0, 0.5, kill_every=6.0, rate=6.0, latency="0-0.1", drain=90.0))
    print(table(report))
    assert report.failures() == {}
    assert len(report.faults) > 8, "many things went wrong"
    assert report.verdict.states["delivered"] > 20, "and yet"
