"""A computer that starts in 1970 and learns the time from the network, minutes later (domain A11)."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

from tests.support.mqttlab import Peer
from tests.support.stack import running

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
