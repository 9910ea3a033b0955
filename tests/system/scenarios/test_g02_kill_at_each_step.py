"""Domain G2: kill -9 at each step of a send. tests/system/test_kill.py does it at random; here each commit is met.

The bridge dies in the very moment before, or after, its N-th commit since the order was given: 1 accepts it, 2 begins
its first part, 3 knows that one sent and begins the second, 4 knows all.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.oracle import LedgerReader, Oracle, tagged
from tests.support.scenes import SILENT, hush
from tests.support.stack import Stack, running, wait_until

POINTS = [(commit, when) for commit in (1, 2, 3, 4) for when in ("before", "after")]


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_killed_around_each_commit_of_a_send(tmp_path: Path) -> None:
    arm = tmp_path / "arm"
    with running(tmp_path, waits={"die": {"file": str(arm)}}) as stack:
        hush(stack)
        oracle = Oracle()
        stack.observer.listeners.append(oracle.hear)
        for commit, when in POINTS:
            id = f"k{commit}{when}"
            arm.write_text(json.dumps({"commit": commit, "when": when}))
            oracle.ordered(id, 2)
            stack.observer.publish("out", {"id": id, "to": SILENT, "text": tagged(id, 2)})
            _dies(stack)
            arm.unlink()
            stack.bridge.start()
            wait_until(lambda: not oracle.waiting(), 20, "the order has ended")
        stack.bridge.stop()
        ledger = LedgerReader(stack.emulation.directory)
        found = oracle.judge(ledger, stack.bridge.data / "journal.db")
        assert found.faults() == {}
        last = {id: oracle.state(id) for id in oracle.orders}
        # What began before it was known to have begun, or was known to have ended, is in no doubt.
        certain = {"k1before", "k1after", "k2before", "k4after"}
        assert {id for id, state in last.items() if state == "sent"} == certain
        assert {id for id, state in last.items() if state == "unknown"} == last.keys() - certain


def _dies(stack: Stack) -> None:
    assert stack.bridge.process is not None
    assert stack.bridge.process.wait(20) == -9
    stack.bridge.process = None
