"""Domain G4: an order that is repeated, delivered again, marked DUP, retained: one submission.

One life of one bridge is in test_faults.py, test_end_to_end.py and test_mqtt_intake.py; here it is repeated over the
ends of broker and bridge, and by a raw client that says DUP.
"""

from __future__ import annotations

import json
import signal
import socket
import struct
from pathlib import Path

from tests.support.scenes import hush, order, submitted
from tests.support.stack import running


def test_one_order_over_the_ends_of_broker_and_bridge(tmp_path: Path) -> None:
    with running(tmp_path, modems=2) as stack:
        hush(stack)
        order(stack, "again")
        stack.observer.wait_state("again", "sent")
        for _ in range(2):
            order(stack, "again")
        since = len(stack.observer.seen)
        stack.bridge.stop(signal.SIGKILL)
        order(stack, "again")  # waits in the session
        stack.broker.stop()
        stack.broker.start()
        stack.observer.wait_subscribed()
        stack.bridge.start()
        stack.wait_ready(since=since)
        stack.observer.publish("out", {"id": "again", "to": "+36309990000", "text": "again"}, retain=True)
        order(stack, "again", text="something else")
        for code in ("retained", "conflict"):
            stack.observer.wait_for("status", lambda p, c=code: p["error"] and p["error"]["code"] == c)  # type: ignore[misc]
        _publish_dup(stack.broker.port, {"id": "dup", "to": "+36309990000", "text": "dup"})
        stack.observer.wait_state("dup", "sent")
        order(stack, "last")
        stack.observer.wait_state("last", "sent")
        assert len(submitted(stack, "again")) == 1
        assert len(submitted(stack, "dup")) == 1
        assert not submitted(stack, "something else")
        states = [state for state in stack.observer.states("again") if state != "rejected"]
        assert list(dict.fromkeys(states)) == ["queued", "sending", "sent"]


def _publish_dup(port: int, order: dict[str, str]) -> None:
    """The same packet three times with its DUP flag set, as a client does whose PUBACKs are lost."""
    body = json.dumps(order).encode()
    topic = b"sms/out"
    packet = struct.pack("!H", len(topic)) + topic + struct.pack("!H", 7) + body
    publish = bytes((0x3A, len(packet))) + packet
    name = b"raw-client"
    head = b"\x00\x04MQTT\x04\x02\x00\x3c" + struct.pack("!H", len(name)) + name
    with socket.create_connection(("127.0.0.1", port), 5) as link:
        link.sendall(bytes((0x10, len(head))) + head)
        assert link.recv(4)[3] == 0
        for _ in range(3):
            link.sendall(publish)
            assert link.recv(4) == b"\x40\x02\x00\x07"
        link.sendall(b"\xe0\x00")
