"""Domain G6: the broker is away for a day, the SIMs were full when it began, and no modem says that something came.

300 messages come and orders fall due meanwhile. All is drained to the disk, and published once and in order afterwards.
tests/system/test_broker_faults.py has the shorter absences, with the broker killed.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.scenes import ANNA, hush, order, wait_drained
from tests.support.stack import Emulation, running, wait_until

DAY = 86_400
EACH = 150  # messages for each of two modems


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_day_without_a_broker_with_sims_that_were_full(tmp_path: Path) -> None:
    offset = tmp_path / "offset"
    offset.write_text("0")
    waits = {"clock": {"file": str(offset)}, "inbound": {"sweep_interval": 0.3}}
    with running(tmp_path, modems=2, waits=waits) as stack:
        hush(stack)
        later = (datetime.now(UTC) + timedelta(hours=12)).isoformat()
        for number in range(5):
            order(stack, f"by night {number}", send_at=later)
            stack.observer.wait_state(f"by night {number}", "scheduled")
        stack.bridge.stop()
        stack.broker.stop()
        old = _fill(stack.emulation)
        stack.bridge.start()
        wait_drained(stack)  # the storage that was full at the start
        for number in range(EACH):
            for modem in range(2):
                stack.emulation.do("deliver", modem=modem, **{"from": ANNA, "text": f"in {modem}.{number}"})
            if number == EACH // 2:
                offset.write_text(str(DAY))
        wait_drained(stack, 60)
        wait_until(lambda: len(stack.emulation.ledger("submit")) == 5, 20, "what fell due was sent")
        stack.broker.start()
        stack.observer.wait_subscribed()
        wait_until(lambda: len(stack.observer.of("in")) >= 2 * EACH + len(old), 30, "all are published")
        for number in range(5):
            stack.observer.wait_state(f"by night {number}", "sent")
        came = [payload["text"] for payload in stack.observer.of("in")]
        assert max(Counter(came).values()) == 1
        assert set(old) <= set(came)
        for modem in range(2):
            mine = [text for text in came if text.startswith(f"in {modem}.")]
            assert mine == [f"in {modem}.{number}" for number in range(EACH)]
        assert max(Counter(line["text"] for line in stack.emulation.ledger("submit")).values()) == 1


def _fill(emulation: Emulation) -> list[str]:
    """Both SIMs are full, and no modem says a word of what comes; the texts that lie there."""
    before = len(emulation.ledger("deliver"))
    for modem in range(2):
        emulation.do("fault", modem=modem, name="no_urc", count=10 * EACH)
        emulation.do("fault", modem=modem, name="storage_full", text=f"old of {modem}")
    return [line["text"] for line in emulation.ledger("deliver")[before:]]
