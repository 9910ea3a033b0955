"""kill -9 of the whole bridge at random points while orders run and messages come: domain G2.

`KILL_POINTS=200` (`make test-kill`) is the long form. A point may lie anywhere from the start of the process, when it
settles what the one before had left, to the middle of the load.
"""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest

from tests.support.oracle import LedgerReader, Oracle, Verdict, tagged
from tests.support.stack import Stack, running, wait_until

POINTS = int(os.environ.get("KILL_POINTS", "8"))
ORDERS = 50  # for each point
MESSAGES = 5
LONGEST = 2.2  # seconds from a start to the kill; the start itself takes about one
SEED = int(os.environ.get("SEED", "20261122"))
SILENT = "+36309990000"  # no status report resolves what is unknown
DRAIN = 60 + POINTS * 5  # seconds


@pytest.mark.slow
@pytest.mark.timeout(DRAIN + 60 + POINTS * 5)
def test_killed_at_random_points_while_orders_run_and_messages_come(tmp_path: Path) -> None:
    dice = random.Random(SEED)
    with running(tmp_path, modems=2, latency="0-0.05") as stack:
        oracle = Oracle()
        stack.observer.listeners.append(oracle.hear)
        stack.emulation.do("outside", number=SILENT, status=None)
        for point in range(POINTS):
            _load(stack, oracle, dice, point)
            time.sleep(dice.uniform(0, LONGEST))
            stack.restart_bridge(signal.SIGKILL)
        began = time.monotonic()
        wait_until(lambda: not oracle.waiting(), DRAIN, "all have come to an end", every=0.5)
        drained = time.monotonic() - began
        wait_until(lambda: not _stored(stack), 20, "the SIMs are empty")
        stack.bridge.stop()
        found = oracle.judge(LedgerReader(stack.emulation.directory), stack.bridge.data / "journal.db")
        print(_table(found, drained))
        assert found.faults() == {}
        # What may have been sent and was not confirmed stands as unknown: at most one a modem and kill.
        assert found.states["unknown"] <= 2 * POINTS
        assert not found.states.keys() - {"delivered", "sent", "unknown"}


def _load(stack: Stack, oracle: Oracle, dice: random.Random, point: int) -> None:
    for number in range(ORDERS):
        id = f"k{point}x{number}"
        parts = 3 if number % 12 == 7 else 1
        oracle.ordered(id, parts)
        to = f"+3630{dice.randrange(1000):07}" if number % 3 else SILENT  # now and then the same one again
        order = {"id": id, "to": to, "text": tagged(id, parts), "priority": dice.choice((0, 0, 0, 5))}
        stack.observer.publish("out", order)
    for number in range(MESSAGES):
        tag = f"m{point}x{number}"
        oracle.delivered(tag, text := tagged(tag, 3 if number == 0 else 1, "ucs2"))
        stack.emulation.do("deliver", modem=number % 2, **{"from": f"+3620{point:07}", "text": text})


def _stored(stack: Stack) -> int:
    return sum(len(stack.emulation.do("inbox", modem=index)["messages"]) for index in range(2))


def _table(found: Verdict, drained: float) -> str:
    orders = ", ".join(f"{count} {state}" for state, count in sorted(found.states.items()))
    return (
        f"\n{POINTS} kills, seed {SEED}: {orders} ({found.unknown_in_ledger} of the unknown are in the ledger), "
        f"lost {len(found.lost)}, doubled {len(found.doubled)}, went back {len(found.went_back)}; "
        f"{found.inbound} messages in, lost {len(found.inbound_lost)}, doubled {len(found.inbound_doubled)}; "
        f"drained in {drained:.0f} s after the last kill"
    )
