"""Domain G12: definite failures move to another modem, ambiguous ones do not, half the pool dies and comes back.

Which cause means what is tests/system/test_faults.py, one by one. Between routes: tests/unit/test_core_plan.py.
`PROOF_LONG=1` forces 1000 failures.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from tests.support.oracle import LedgerReader, Oracle, tagged
from tests.support.scenes import hush
from tests.support.stack import Stack, running, wait_until

FAILURES = 1000 if os.environ.get("PROOF_LONG") else 60
DEFINITE = ((38, "after"), (8, "after"), (331, "before"), (314, "before"), (21, "after"))
AMBIGUOUS = (500, 332, 127)
RETRY = "sending: {retry_delay: 1s}\n"


def give(stack: Stack, oracle: Oracle, name: str, count: int) -> list[str]:
    """Orders to somebody new each: nobody's conversation binds them to a SIM."""
    ids = [f"{name}x{number}" for number in range(count)]
    for id in ids:
        oracle.ordered(id)
        to = f"+3630{2_000_000 + len(oracle.orders)}"
        stack.emulation.do("outside", number=to, status=None)
        stack.observer.publish("out", {"id": id, "to": to, "text": tagged(id)})
    return ids


@pytest.mark.slow
@pytest.mark.timeout(60 + FAILURES)
def test_forced_failures_double_nothing(tmp_path: Path) -> None:
    with running(tmp_path, modems=2, latency="0.02", extra=RETRY) as stack:
        oracle = Oracle()
        stack.observer.listeners.append(oracle.hear)
        for modem in range(2):
            stack.emulation.do("fault", modem=modem, name="cms_error", code=198, count=FAILURES // 2)
        give(stack, oracle, "f", FAILURES)
        wait_until(lambda: not oracle.waiting(), 30 + FAILURES, "all are sent", every=0.2)
        lines = stack.emulation.ledger("submit")
        refused = Counter(line["modem"] for line in lines if not line["accepted"])
        print(f"{sum(refused.values())} forced failures, {len(lines) - sum(refused.values())} accepted")
        assert sum(refused.values()) == FAILURES
        _judge(stack, oracle, {"sent", "failed"})  # those that met five of them, and nobody has


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_half_the_pool_dies_and_comes_back(tmp_path: Path) -> None:
    with running(tmp_path, modems=4, latency="0.05", extra=RETRY) as stack:
        oracle = Oracle()
        stack.observer.listeners.append(oracle.hear)
        hush(stack)
        give(stack, oracle, "before", 20)
        stack.emulation.do("unplug", modem=0, on="cmgs")  # not yet handed over
        stack.emulation.do("fault", modem=1, name="registration", stat=3)
        for code, stage in DEFINITE:
            stack.emulation.do("fault", modem=2, name="cms_error", code=code, stage=stage)
        for code in AMBIGUOUS:
            stack.emulation.do("fault", modem=3, name="cms_error", code=code, accepted=True)
        give(stack, oracle, "during", 60)
        wait_until(lambda: not oracle.waiting(), 60, "all have ended", every=0.1)
        assert _sent_by(stack, "during") <= {1, 2, 3}, "one is gone"
        since = len(stack.observer.seen)
        for modem in range(4):
            stack.emulation.do("clear", modem=modem)
            stack.emulation.do("plug", modem=modem)
        for modem in (0, 1):
            stack.observer.wait_for(f"modem/modem{modem}", lambda p: p["state"] == "ready", 40, since)
        give(stack, oracle, "after", 40)
        wait_until(lambda: not oracle.waiting(), 60, "all have ended", every=0.1)
        assert {0, 1} <= _sent_by(stack, "after"), "who is back works"
        _judge(stack, oracle, {"sent", "unknown"}, unknown=len(AMBIGUOUS))


def _sent_by(stack: Stack, name: str) -> set[int]:
    lines = stack.emulation.ledger("submit")
    return {line["modem"] for line in lines if line["accepted"] and f"#{name}x" in line["text"]}


def _judge(stack: Stack, oracle: Oracle, states: set[str], unknown: int = 0) -> None:
    stack.bridge.stop()
    found = oracle.judge(LedgerReader(stack.emulation.directory), stack.bridge.data / "journal.db")
    assert found.faults() == {}
    assert found.states.keys() <= states
    assert found.states["unknown"] == found.unknown_in_ledger == unknown
