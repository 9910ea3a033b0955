"""Domain G9: octet by octet, notices in between, NULs, the echo on again: the whole bridge on a noisy terminal server.

Notices between every pair of octets of prompt and result are tests/exchange/test_channel_send.py; that parsing does not
depend on how a stream is cut is tests/unit/test_at_framing.py.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.support.noise import NoisyLine
from tests.support.oracle import tagged
from tests.support.scenes import ANNA, hush, order, wait_drained
from tests.support.stack import Stack, running, write_config

ORDERS = 20


@pytest.mark.slow
def test_orders_and_messages_over_a_noisy_line(tmp_path: Path) -> None:
    with running(tmp_path, ready=False) as stack:
        stack.bridge.stop()
        line = NoisyLine(stack.emulation.port(0), seed=9)
        try:
            write_config(stack.bridge.config, mqtt_port=stack.broker.port, ports=[line.url])
            stack.bridge.start()
            stack.wait_ready(since=len(stack.observer.seen))
            _work(stack)
            assert line.noises > 50
        finally:
            stack.bridge.stop()
            line.stop()


def _work(stack: Stack) -> None:
    hush(stack)
    names = [f"order {number}" for number in range(ORDERS)]
    for number, name in enumerate(names):
        if number % 5 == 2:
            stack.emulation.do("fault", modem=0, name="echo_on")
        stack.emulation.do("fault", modem=0, name="urc_in_middle", urc='+CMTI: "SM",1' if number % 2 else "RING")
        order(stack, name)
        stack.emulation.do("deliver", modem=0, **{"from": ANNA, "text": f"in {number}"})
    stack.emulation.do("deliver", modem=0, **{"from": ANNA, "text": tagged("long", 3)})
    for name in names:
        stack.observer.wait_state(name, "sent", "unknown", "failed", deadline=30)
    assert {name: stack.observer.states(name)[-1] for name in names} == dict.fromkeys(names, "sent")
    wait_drained(stack)
    stack.observer.wait_for("in", lambda p: p["text"] == tagged("long", 3))
    assert Counter(line["text"] for line in stack.emulation.ledger("submit")) == Counter(names)
    came = Counter(payload["text"] for payload in stack.observer.of("in"))
    assert all(came[f"in {number}"] == 1 for number in range(ORDERS))
