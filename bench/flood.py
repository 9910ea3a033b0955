"""Publishes N orders on `sms/out` as fast as the broker takes them: `python -m bench.flood PORT N`."""

from __future__ import annotations

import socket
import sys
import threading
from typing import Any

import paho.mqtt.client as paho


def main() -> None:
    port, total = int(sys.argv[1]), int(sys.argv[2])
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="flood")
    done = threading.Event()
    acknowledged = 0

    def count(*_: Any) -> None:
        nonlocal acknowledged
        acknowledged += 1
        if acknowledged == total:
            done.set()

    client.on_publish = count
    client.on_socket_open = lambda _c, _d, sock: sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client.max_inflight_messages_set(200)
    client.max_queued_messages_set(0)
    client.connect("127.0.0.1", port)
    client.loop_start()
    for number in range(total):
        payload = f'{{"id":"f{number}","to":"+36301234567","text":"Front door open, camera {number}"}}'
        client.publish("sms/out", payload, qos=1)
    done.wait(120)
    client.disconnect()
    client.loop_stop()


if __name__ == "__main__":
    main()
