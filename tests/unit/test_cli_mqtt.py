"""`send` and `listen` against a real mosquitto; the far end answers as the contract says a bridge does."""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from tests.support.stack import Broker, wait_until

NUMBER = "+36301234567"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    started = Broker(tmp_path / "broker").start()
    yield started
    started.stop()


@pytest.fixture
def config(tmp_path: Path, broker: Broker) -> Path:
    file = tmp_path / "sms-bridge.yaml"
    file.write_text(f"mqtt: {{host: 127.0.0.1, port: {broker.port}}}\n")
    return file


class FarEnd:
    """Answers each order on `sms/out` with the given states, for each recipient in `to`."""

    def __init__(self, port: int, *states: str, error: dict[str, Any] | None = None, to: tuple[str, ...] = ()) -> None:
        self.orders: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._states, self._error, self._to = states, error, to
        self._ready = threading.Event()
        self.client = paho.Client(CallbackAPIVersion.VERSION2)
        self.client.on_message = self._answer
        self.client.on_subscribe = lambda *_: self._ready.set()
        self.client.connect("127.0.0.1", port)
        self.client.subscribe("sms/out", qos=1)
        self.client.loop_start()

    def __enter__(self) -> FarEnd:
        assert self._ready.wait(20)
        self.client.publish("sms/bridge/state", '{"state":"online"}', qos=1, retain=True).wait_for_publish(20)
        return self

    def __exit__(self, *_: object) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def _answer(self, client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        order = json.loads(message.payload)
        self.orders.put(order)
        # Somebody else's status and broken ones: none of them may confuse the command.
        client.publish("sms/status", json.dumps({"id": "other", "to": NUMBER, "state": "failed"}), qos=1)
        client.publish("sms/status", b"\xff", qos=1)
        for state in self._states:
            for to in self._to or (order["to"],):
                status = {"event_type": state, "id": order["id"], "to": to, "state": state, "modem": "stick-1"}
                status["error"] = self._error if state == self._states[-1] else None
                client.publish("sms/status", json.dumps(status), qos=1)


def call(*args: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sms_bridge", *args]
    return subprocess.run(command, capture_output=True, text=True, input=stdin, timeout=50, check=False)


def test_a_delivered_message(broker: Broker, config: Path) -> None:
    with FarEnd(broker.port, "queued", "sending", "sent", "delivered") as far:
        done = call("send", NUMBER, "árvíz 👍", "--config", str(config), "--modem", "stick-1")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == f"{NUMBER} delivered by stick-1\n"
        order = far.orders.get(timeout=10)
        assert (order["to"], order["text"], order["modem"]) == (NUMBER, "árvíz 👍", "stick-1")
        done = call("send", NUMBER, "-", "--json", "--config", str(config), stdin="two\nlines\n")
        assert json.loads(done.stdout)["state"] == "delivered"
        assert far.orders.get(timeout=10)["text"] == "two\nlines"
        done = call("health", "--config", str(config))
        assert (done.returncode, done.stdout) == (0, "online\n")


@pytest.mark.parametrize("state", ["failed", "rejected", "expired", "unknown"])
def test_what_did_not_arrive_is_exit_1_and_a_sentence(broker: Broker, config: Path, state: str) -> None:
    error = {"code": "cms_38", "text": "network out of order", "retryable": False}
    with FarEnd(broker.port, "queued", state, error=error):
        done = call("send", NUMBER, "x", "--config", str(config))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"sms-bridge: {NUMBER} {state} by stick-1: network out of order (cms_38)\n"


def test_not_waiting_ends_when_the_bridge_has_it(broker: Broker, config: Path) -> None:
    with FarEnd(broker.port, "queued"):
        done = call("send", NUMBER, "x", "--no-wait", "--config", str(config))
    assert (done.returncode, done.stdout) == (0, f"{NUMBER} queued by stick-1\n")


def test_one_of_a_group_failed(broker: Broker, config: Path) -> None:
    with FarEnd(broker.port, "queued", "delivered", to=(NUMBER, "+36209876543")):
        done = call("send", "#family", "x", "--json", "--config", str(config))
    assert done.returncode == 0
    assert {json.loads(line)["to"] for line in done.stdout.splitlines()} == {NUMBER, "+36209876543"}


def test_without_a_bridge_nothing_is_published(broker: Broker, config: Path) -> None:
    with FarEnd(broker.port) as far:
        far.client.publish("sms/bridge/state", '{"state":"offline"}', qos=1, retain=True).wait_for_publish(20)
        done = call("send", NUMBER, "x", "--config", str(config))
        assert done.returncode == 1
        assert "no bridge is online" in done.stderr
        assert call("health", "--config", str(config)).returncode == 1
        assert far.orders.empty()


def test_a_time_out_is_a_failure(broker: Broker, config: Path) -> None:
    with FarEnd(broker.port, "queued"):
        done = call("send", NUMBER, "x", "--timeout", "0.5", "--config", str(config))
    assert done.returncode == 1
    assert "queued" in done.stderr


def test_no_broker_is_a_sentence(broker: Broker, config: Path) -> None:
    broker.stop()
    for args in (("send", NUMBER, "x"), ("listen",)):
        done = call(*args, "--config", str(config))
        assert done.returncode == 1
        assert f"no broker answers at 127.0.0.1:{broker.port} (Connection refused)" in done.stderr
        assert "Traceback" not in done.stderr


def test_what_is_no_broker_is_a_sentence(tmp_path: Path, config: Path) -> None:
    bad = tmp_path / "tls.yaml"
    bad.write_text(config.read_text().replace("}", ", tls: {insecure: true}}"))
    done = call("listen", "--config", str(bad))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


@pytest.fixture
def listening(config: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    running: list[subprocess.Popen[str]] = []

    def start(*args: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-u", "-m", "sms_bridge", "listen", "--config", str(config), *args]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        running.append(process)
        assert process.stderr is not None
        assert "listening on sms/in" in process.stderr.readline()
        return process

    yield start
    for process in running:
        process.kill()
        process.wait(20)
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def publish(port: int, payload: dict[str, Any]) -> None:
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", port)
    client.loop_start()
    client.publish("sms/in", json.dumps(payload), qos=1).wait_for_publish(20)
    client.disconnect()
    client.loop_stop()


def test_listening_prints_and_ends_quietly(broker: Broker, listening: Callable[..., subprocess.Popen[str]]) -> None:
    words, lines = listening(), listening("--json")
    message = {"from": NUMBER, "text": "hello 👍", "modem": "stick-1", "received_at": "2026-11-22T18:00:04+00:00"}
    publish(broker.port, message)
    assert words.stdout is not None
    assert lines.stdout is not None
    assert words.stdout.readline().endswith(f"{NUMBER} → stick-1: hello 👍\n")
    assert json.loads(lines.stdout.readline()) == message
    words.send_signal(signal.SIGINT)
    assert words.wait(20) == 130
    assert words.stderr is not None
    assert words.stderr.read().strip() == ""


def test_listening_survives_the_broker(broker: Broker, listening: Callable[..., subprocess.Popen[str]]) -> None:
    process = listening()
    assert process.stderr is not None
    assert process.stdout is not None
    broker.stop()
    assert "the broker is away" in process.stderr.readline()
    broker.start()
    assert "listening again" in process.stderr.readline()
    wait_until(lambda: process.poll() is None, 1, "still there")
    publish(broker.port, {"from": NUMBER, "text": "back"})
    assert process.stdout.readline().endswith("back\n")
