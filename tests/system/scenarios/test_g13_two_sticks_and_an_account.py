"""Domain G12 and G13 together: a hundred alarms while both sticks are pulled, with an SMPP account behind them.

What can go wrong with the account itself is tests/system/test_smpp.py and tests/system/test_smpp_route.py.
"""

from __future__ import annotations

import signal
from collections import Counter
from pathlib import Path

import pytest

from tests.support.scenes import hush
from tests.support.smsc_process import SmscProcess, account
from tests.support.stack import Stack, running, wait_until

ALARMS = 100
ROUTING = "routing: {settle: 0, back_after: 0}\n"
OVER = ("sent", "delivered", "unknown", "failed", "expired")


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("killed", [False, True], ids=["pulled", "pulled and killed"])
def test_a_hundred_alarms_arrive_once_each(tmp_path: Path, killed: bool) -> None:
    with SmscProcess(tmp_path / "smsc") as smsc:
        extra = account(smsc.port) + ROUTING
        with running(tmp_path, modems=2, latency="0.05", extra=extra) as stack:
            hush(stack)
            ids = [f"alarm {number}" for number in range(ALARMS)]
            for number, id in enumerate(ids):
                stack.observer.publish("out", {"id": id, "to": f"+3630{number:07}", "text": id})
            wait_until(lambda: len(stack.emulation.ledger("submit")) > 20, 20, "the sticks are at work")
            for modem in range(2):
                stack.emulation.do("unplug", modem=modem, on="now" if modem else "cmgs")
            if killed:
                wait_until(lambda: len(smsc.texts()) > 10, 20, "the account is at work")
                stack.restart_bridge(signal.SIGKILL)
            for id in ids:
                stack.observer.wait_state(id, *OVER, deadline=60)
            _judge(stack, smsc, ids)


def _judge(stack: Stack, smsc: SmscProcess, ids: list[str]) -> None:
    by_modem = Counter(line["text"] for line in stack.emulation.ledger("submit") if line["accepted"])
    by_account = Counter(smsc.texts())
    both = by_modem + by_account
    assert by_modem
    assert by_account
    assert max(both.values()) == 1, "one of them left twice"
    state = {id: stack.observer.states(id)[-1] for id in ids}
    assert set(state.values()) <= {"sent", "delivered", "unknown"}
    assert not [id for id in ids if state[id] != "unknown" and not both[id]], "called sent, and nobody has it"
    # In doubt is what the pulled stick had in hand, and what the account had when the bridge was killed.
    doubtful = [id for id in ids if state[id] == "unknown"]
    assert len(doubtful) <= 2 + 2 * 10
    for status in stack.observer.of("status"):
        assert status["state"] != "unknown" or status["error"]["text"], "every status is explained"
