"""Domain G14: 300 messages wait for their reports under 256 references, and the reports come shuffled, from a national
number, twice, first "still trying" and then for good, on the wrong SIM. Each finds its message, or none.

One rule at a time is tests/unit/test_core_reports.py, the report before its +CMGS too.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from tests.support.scenes import report_for
from tests.support.stack import running, wait_until

ORDERS = 300
DELIVERED, TRYING, EXPIRED = 0x00, 0x30, 0x46


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_three_hundred_pending_each_gets_its_own_report(tmp_path: Path) -> None:
    dice = random.Random(14)
    with running(tmp_path, modems=2) as stack:
        stack.emulation.do("outside", modem=0, number="*", status=None)
        for number in range(ORDERS):
            to = f"+3630{1_000_000 + number * 7919}"
            stack.observer.publish("out", {"id": f"r{number}", "to": to, "text": f"r{number}", "modem": "modem0"})
        stack.observer.wait_state(f"r{ORDERS - 1}", "sent", deadline=60)
        lines = {line["text"]: line for line in stack.emulation.ledger("submit")}
        assert len({line["mr"] for line in lines.values()}) < ORDERS, "the references have wrapped"
        fates = {id: DELIVERED if number % 3 else EXPIRED for number, id in enumerate(lines)}
        first, wrong = "r7", "r8"
        for id in dice.sample(list(lines), ORDERS):
            if id != wrong:
                _report(stack, lines[id], fates[id], dice)
        # Not this SIM's: whatever reference and number say, it is none of its messages.
        stack.emulation.do("deliver_pdu", modem=1, pdu=report_for(lines[wrong]))
        _report(stack, lines[first], EXPIRED, dice)  # a final state never goes back

        def last() -> dict[str, str]:
            return {status["id"]: status["state"] for status in stack.observer.of("status")}

        wanted = {id: "delivered" if fate == DELIVERED else "failed" for id, fate in fates.items()}
        wanted[wrong] = "sent"
        wait_until(lambda: last() == wanted, 30, "each has its own fate", every=0.2)
        stack.emulation.do("wait_idle", quiet=0.3)
        assert last() == wanted
        assert stack.observer.states(first) == ["queued", "sending", "sent", "delivered"]


def _report(stack: Any, line: dict[str, Any], fate: int, dice: random.Random) -> None:
    """As networks do: perhaps a temporary one before, perhaps the number as it is dialled at home, perhaps twice."""
    home = line["to"].replace("+36", "06") if dice.random() < 0.5 else None
    if dice.random() < 0.3:
        stack.emulation.do("deliver_pdu", modem=0, pdu=report_for(line, TRYING, home))
    for _ in range(dice.choice((1, 1, 1, 2))):
        stack.emulation.do("deliver_pdu", modem=0, pdu=report_for(line, fate, home))
