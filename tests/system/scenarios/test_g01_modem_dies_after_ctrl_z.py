"""Domain G1: the modem dies after Ctrl-Z, before +CMGS. It may have left: `unknown`, once, nowhere else."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import pytest

from tests.support.oracle import tagged
from tests.support.scenes import SILENT, details, hush, order, report_for, submitted
from tests.support.stack import running


@pytest.mark.slow
def test_ten_minutes_and_a_restart_later_it_is_still_one(tmp_path: Path) -> None:
    offset = tmp_path / "offset"
    offset.write_text("0")
    with running(tmp_path, modems=2, waits={"clock": {"file": str(offset)}}) as stack:
        hush(stack)
        for index in range(2):
            stack.emulation.do("fault", modem=index, name="die_after_ctrl_z")
        order(stack, "died")
        died = int(stack.observer.wait_state("died", "unknown")["modem"].removeprefix("modem"))
        stack.emulation.do("clear", modem=1 - died)
        order(stack, "by the other")  # it was there all the time, and is not made use of
        assert stack.observer.wait_state("by the other", "sent")["modem"] == f"modem{1 - died}"
        stack.emulation.do("plug", modem=died)
        stack.bridge.stop()
        offset.write_text("600")
        since = len(stack.observer.seen)
        stack.bridge.start()
        stack.wait_ready(since=since)
        order(stack, "ten minutes later")
        stack.observer.wait_state("ten minutes later", "sent")
        assert details(stack, "died")["state"] == "unknown"
        [line] = submitted(stack, "died")
        stack.emulation.do("deliver_pdu", modem=died, pdu=report_for(line))
        stack.observer.wait_state("died", "delivered")
        assert list(dict.fromkeys(stack.observer.states("died"))) == ["queued", "sending", "unknown", "delivered"]
        assert len(submitted(stack, "died")) == 1


def test_dead_in_the_middle_of_a_long_message_each_part_leaves_once(tmp_path: Path) -> None:
    with running(tmp_path, modems=2, latency="0.2") as stack:
        hush(stack)
        stack.observer.publish("out", {"id": "long", "to": SILENT, "text": tagged("long", 4)})
        time.sleep(0.3)  # within the second part
        mine = int(stack.observer.wait_state("long", "sending")["modem"].removeprefix("modem"))
        stack.emulation.do("fault", modem=mine, name="die_after_ctrl_z")
        since = len(stack.observer.seen)
        stack.observer.wait_for(f"modem/modem{mine}", lambda p: p["state"] == "offline", since=since)
        stack.emulation.do("plug", modem=mine)
        status = stack.observer.wait_state("long", "unknown", deadline=40)
        assert status["parts"] == 4
        lines = stack.emulation.ledger("submit")
        assert Counter(line["concat"]["seq"] for line in lines) == {1: 1, 2: 1, 3: 1, 4: 1}
        assert {line["modem"] for line in lines} == {mine}, "the rest goes by the SIM that had begun (domain B7)"
