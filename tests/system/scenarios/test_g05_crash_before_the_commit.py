"""Domain G5: the bridge dies, or the disk refuses, between an order's arrival and its commit.

tests/system/test_mqtt_kill.py kills it there; here the whole bridge has a full disk: no PUBACK, nothing lost, nothing
sent unrecorded, and it goes on by itself when there is room.
"""

from __future__ import annotations

import resource
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.support.scenes import ANNA, hush, order, wait_drained
from tests.support.stack import running, wait_until


@pytest.mark.slow
def test_a_full_disk_takes_nothing_and_loses_nothing(tmp_path: Path) -> None:
    with running(tmp_path, modems=2) as stack:
        hush(stack)
        before = [f"before {number}" for number in range(3)]
        for name in before:
            order(stack, name)
            stack.observer.wait_state(name, "sent")
        unlimited = resource.prlimit(stack.bridge.pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
        during = [f"during {number}" for number in range(20)]
        for name in during:
            order(stack, name)
        for number in range(5):
            stack.emulation.do("deliver", modem=0, **{"from": ANNA, "text": f"in {number}"})
        time.sleep(2.5)
        assert Counter(line["text"] for line in stack.emulation.ledger("submit")) == Counter(before)
        assert not [p for p in stack.observer.of("status") if p["id"] in during]
        assert not stack.observer.of("in")
        assert len(stack.emulation.do("inbox", modem=0)["messages"]) == 5, "nothing is deleted that is not stored"
        resource.prlimit(stack.bridge.pid, resource.RLIMIT_FSIZE, unlimited)
        for name in during:
            stack.observer.wait_state(name, "sent", deadline=60)
        assert Counter(line["text"] for line in stack.emulation.ledger("submit")) == Counter(before + during)
        wait_until(lambda: len(stack.observer.of("in")) == 5, 60, "the messages have come")
        wait_drained(stack, 60)
        assert Counter(p["text"] for p in stack.observer.of("in")) == Counter(f"in {n}" for n in range(5))
