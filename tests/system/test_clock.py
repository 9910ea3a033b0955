"""A computer that starts in 1970 and learns the time from the network, minutes later (domain A11)."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.mqttlab import Peer
from tests.support.oracle import LedgerReader, Oracle, tagged
from tests.support.stack import running, wait_until

ANNA = "+36301234567"


def test_the_time_is_learnt_while_orders_wait(tmp_path: Path) -> None:
    offset = tmp_path / "offset"
    offset.write_text(f"{86_400 - time.time()}")
    with running(tmp_path, latency="1.5", waits={"clock": {"file": str(offset)}}) as stack:
        observer = stack.observer
        health = observer.wait_for("bridge/health", lambda p: p["warnings"]).payload
        assert health["status"] == "warn"
        assert "1970-01-02" in health["warnings"][0]
        observer.publish("out", {"id": "ahead", "to": ANNA, "text": "ahead"})
        status = observer.wait_state("ahead", "sending")
        assert status["ts"].startswith("1970-01-02")
        sender = Peer(stack.broker.port, "nothing")
        sender.publish("sms/out", {"id": "expires", "to": ANNA, "text": "expires"}, MessageExpiryInterval=60)
        sender.stop()
        observer.wait_state("expires", "queued")
        offset.write_text("0")
        event = observer.wait_for("bridge/event", lambda p: p["event_type"] == "clock_changed").payload
        assert event["before"].startswith("1970-01-02")
        assert abs(event["seconds"] + 86_400 - time.time()) < 60
        status = observer.wait_state("expires", "sent")
        assert abs((datetime.now(UTC) - datetime.fromisoformat(status["ts"])).total_seconds()) < 30
        health = observer.wait_for("bridge/health", lambda p: not p["warnings"]).payload
        assert health["status"] == "pass"
        assert 0 <= health["process"]["uptime_sec"] < 60
        info = observer.wait_for("bridge/info", lambda p: not p["started_at"].startswith("1970")).payload
        assert abs((datetime.now(UTC) - datetime.fromisoformat(info["started_at"])).total_seconds()) < 60


@pytest.mark.slow
def test_a_day_forth_and_two_days_back_lose_double_and_expire_nothing(tmp_path: Path) -> None:
    offset = tmp_path / "offset"
    offset.write_text("0")
    waits = {"clock": {"file": str(offset)}, "sending": {"retry_delay": 1.0}}
    with running(tmp_path, modems=2, latency="0.05", waits=waits) as stack:
        oracle = Oracle()
        stack.observer.listeners.append(oracle.hear)
        sender = Peer(stack.broker.port, "nothing")
        for number, jump in enumerate((0, 86_400, -86_400, 0)):
            since = len(stack.observer.seen)
            offset.write_text(str(jump))
            for n in range(15):
                oracle.ordered(id := f"c{number}x{n}", 2 if n == 3 else 1)
                order = {"id": id, "to": f"+3630{n:07}", "text": tagged(id, oracle.orders[id])}
                sender.publish("sms/out", order, MessageExpiryInterval=60)
                oracle.delivered(tag := f"i{number}x{n}", text := tagged(tag, oracle.orders[id]))
                stack.emulation.do("deliver", modem=n % 2, **{"from": ANNA, "text": text})
            # One is refused for now, and waits for its second try over the jump.
            stack.emulation.do("fault", modem=number % 2, name="cms_error", code=198)
            if jump or number:
                stack.observer.wait_for("bridge/event", lambda p: p["event_type"] == "clock_changed", since=since)
        sender.stop()
        wait_until(lambda: not oracle.waiting(), 30, "all have come to an end")
        wait_until(lambda: all(oracle.state(id) == "delivered" for id in oracle.orders), 20, "all are reported")
        jumps = [p["seconds"] for p in stack.observer.of("bridge/event") if p["event_type"] == "clock_changed"]
        assert [round(seconds / 3600) for seconds in jumps] == [24, -48, 24]
        stack.bridge.stop()
        found = oracle.judge(LedgerReader(stack.emulation.directory), stack.bridge.data / "journal.db")
        assert found.faults() == {}
        assert found.states.keys() == {"delivered"}
