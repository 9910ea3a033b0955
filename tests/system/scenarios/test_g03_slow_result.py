"""Domain G3: the result comes after 135 s, and URCs meanwhile. One submission, `sent`, nothing written in between.

The dialogue itself is shown in virtual time by tests/exchange/test_channel_send.py. `PROOF_LONG=1` waits the 135 s.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.scenes import ANNA, hush, order, submitted
from tests.support.stack import running

LATE = 135.0 if os.environ.get("PROOF_LONG") else 3.0


@pytest.mark.timeout(60 + LATE)
def test_a_slow_result_is_waited_for_while_the_modem_talks(tmp_path: Path) -> None:
    with running(tmp_path) as stack:  # with the deadline that everybody has
        hush(stack)
        stack.emulation.do("fault", modem=0, name="late_result", delay=LATE)
        order(stack, "slow")
        stack.observer.wait_state("slow", "sending")
        before = stack.emulation.do("stats", modem=0)
        for number in range(5):
            stack.emulation.do("deliver", modem=0, **{"from": ANNA, "text": f"meanwhile {number}"})
        stack.emulation.do("call", modem=0, **{"from": ANNA, "rings": 2, "interval": 0.5})
        status = stack.observer.wait_state("slow", "sent", "unknown", deadline=LATE + 20)
        after = stack.emulation.do("stats", modem=0)
        assert status["state"] == "sent"
        assert stack.observer.states("slow") == ["queued", "sending", "sent"]
        assert after["bytes_while_busy"] == before["bytes_while_busy"] == 0
        assert len(submitted(stack, "slow")) == 1
        for number in range(5):
            stack.observer.wait_for("in", lambda p, n=number: p["text"] == f"meanwhile {n}")  # type: ignore[misc]
        stack.observer.wait_for("modem/modem0/call", lambda p: p["number"] == ANNA)
