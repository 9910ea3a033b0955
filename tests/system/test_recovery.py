"""A SIM's PIN over many lives of the bridge, and what a person may have done to a modem over MQTT."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest

from tests.support.stack import Bridge, Emulation, Stack, free_port, running, wait_until

WRONG, RIGHT = "4711", "8350"
STARTS = 20


def locked_config(file: Path, port: str) -> Path:
    """No broker is there: a PIN must be as safe without one."""
    mqtt = f"mqtt: {{host: 127.0.0.1, port: {free_port()}}}\n"
    file.write_text(f'{mqtt}modems: [{{name: stick, port: {port}, pin: "{WRONG}"}}]\n', encoding="utf-8")
    return file


@pytest.mark.slow
def test_a_wrong_pin_is_written_once_in_twenty_lives_of_the_bridge(tmp_path: Path) -> None:
    emulation = Emulation(tmp_path / "phones", 1, personalities=["ec25"])
    emulation.directory.mkdir()
    emulation.start()
    bridge: Bridge | None = None
    try:
        emulation.do("fault", modem=0, name="pin_required", pin=RIGHT)
        config = locked_config(tmp_path / "config.yaml", emulation.port(0))
        bridge = Bridge(config, tmp_path / "data")
        for life in range(STARTS):
            before = bridge.log.stat().st_size if bridge.log is not None and bridge.log.exists() else 0
            bridge.start()
            log = bridge.log
            assert log is not None
            if life == 0:  # the worst moment: the SIM has it, and nobody has heard its answer
                wait_until(lambda: emulation.do("stats", modem=0)["pins"], 20, "the PIN was written", every=0.001)
            else:
                wait_until(lambda: b"blocked" in log.read_bytes()[before:], 20, "it is decided", every=0.01)  # noqa: B023
            bridge.stop(signal.SIGTERM if life == STARTS - 1 else signal.SIGKILL)
            assert emulation.do("stats", modem=0)["pins"] == 1, f"in life {life + 1}"
        said = log.read_text(encoding="utf-8")
        assert said.count("the PIN was tried before") >= STARTS - 2
        assert WRONG not in said
        for file in (tmp_path / "data").rglob("*"):
            assert not file.is_file() or WRONG.encode() not in file.read_bytes(), file
        config.write_text(config.read_text(encoding="utf-8").replace(WRONG, RIGHT), encoding="utf-8")
        before = log.stat().st_size
        bridge.start()
        wait_until(lambda: b"-> ready" in log.read_bytes()[before:], 20, "the right one is tried", every=0.01)
        assert emulation.do("stats", modem=0)["pins"] == 2
    finally:
        if bridge is not None:
            bridge.stop()
        emulation.stop()


class Plug:
    """A smart plug that feeds the emulated modem."""

    def __init__(self, stack: Stack) -> None:
        self.orders: list[tuple[str, bool, int]] = []
        self._emulation = stack.emulation
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="plug")
        self._client.on_message = self._obey
        self._client.connect("127.0.0.1", stack.broker.port)
        subscribed: list[Any] = []
        self._client.on_subscribe = lambda *_: subscribed.append(True)
        self._client.subscribe("zigbee2mqtt/plug-1/set", qos=1)
        self._client.loop_start()
        wait_until(lambda: subscribed, 10, "the plug listens")

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
        del self._client

    def _obey(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        self.orders.append((message.payload.decode(), message.retain, message.qos))
        self._emulation.do("unplug" if b"OFF" in message.payload else "plug", modem=0)


SWITCH = """topic: zigbee2mqtt/plug-1/set, off: '{"state":"OFF"}', on: '{"state":"ON"}', off_time: 1s"""
EXTRA = f"recovery: {{power_switch: {{{SWITCH}}}}}\n"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("recovery"), extra=EXTRA, personalities=["ec25"]) as it:
        yield it


def test_a_person_has_a_step_done_and_hears_what_was(stack: Stack) -> None:
    since = len(stack.observer.seen)
    answer = stack.observer.request("modem/reset", modem="modem0", step="cfun")
    assert answer["data"] == {
        "step": "cfun",
        "result": "done",
        "sentence": "it was told to restart (AT+CFUN=1,1)",
    }
    event = stack.observer.wait_for("bridge/event", lambda p: p.get("step") == "cfun", since=since).payload
    assert (event["event_type"], event["modem"], event["result"]) == ("recovery", "modem0", "done")
    assert [one["step"] for one in event["tried"]] == ["cfun"]
    trying = stack.observer.wait_for("modem/modem0", lambda p: p["state"] == "recovering", since=since)
    stack.wait_ready(since=stack.observer.seen.index(trying))
    for step, said in (
        ("kick", "there is no step 'kick' (there are: resync, reopen, cfun, usb_reset, authorize, power, auto)"),
        ("usb_reset", "usb_reset: its port is not a USB port that is known"),
    ):
        answer = stack.observer.request("modem/reset", modem="modem0", step=step)
        assert (answer["status"], answer["error"]) == ("error", said)


def test_a_smart_plug_takes_the_power_and_gives_it_back(stack: Stack) -> None:
    plug = Plug(stack)
    try:
        since = len(stack.observer.seen)
        answer = stack.observer.request("modem/reset", modem="modem0", step="power")
        assert (answer["data"]["step"], answer["data"]["result"]) == ("power_switch", "done")
        assert plug.orders == [('{"state":"OFF"}', False, 1), ('{"state":"ON"}', False, 1)]
        trying = stack.observer.wait_for("modem/modem0", lambda p: p["state"] == "recovering", since=since)
        stack.wait_ready(since=stack.observer.seen.index(trying))
        assert not (stack.bridge.data / "switched-off").exists()
        answer = stack.observer.request("modem/reset", modem="modem0", step="power")
        assert "its power was switched a minute ago" in answer["error"]
        stack.observer.wait_for("modem/modem0", lambda p: p["state"] == "ready", since=since)
    finally:
        plug.close()


def test_a_bridge_that_is_killed_while_the_power_is_off_has_it_on_again(tmp_path: Path) -> None:
    with running(tmp_path, extra=EXTRA.replace("1s", "60s"), personalities=["ec25"]) as stack:
        plug = Plug(stack)
        try:
            stack.observer.publish("bridge/request/modem/reset", {"modem": "modem0", "step": "power"})
            wait_until(lambda: plug.orders, 20, "it is switched off")
            since = len(stack.observer.seen)
            stack.restart_bridge(signal.SIGKILL)
            wait_until(lambda: len(plug.orders) > 1, 20, "it is switched on")
            assert [order[0] for order in plug.orders] == ['{"state":"OFF"}', '{"state":"ON"}']
            stack.wait_ready(since=since)
        finally:
            plug.close()


def test_a_person_gives_the_pin(stack: Stack) -> None:
    secret = "47110815"
    since = len(stack.observer.seen)
    stack.emulation.do("fault", modem=0, name="pin_required", pin=RIGHT)
    stack.emulation.do("reboot", modem=0)
    blocked = stack.observer.wait_for("modem/modem0", lambda p: p["state"] == "blocked", since=since).payload
    assert "none is configured" in blocked["health_reason"]
    assert blocked["sim"] == {"state": "pin", "pin_attempts_left": 3}
    answer = stack.observer.request("sim/unlock", modem="modem0", pin=secret)
    assert "the SIM did not accept the PIN; 2 attempts left" in answer["error"]
    answer = stack.observer.request("sim/unlock", modem="modem0", pin=RIGHT)
    assert answer["data"] == {"sim": "ready", "pin_attempts_left": 3, "puk_attempts_left": 10}
    stack.wait_ready(since=since)
    answer = stack.observer.request("sim/unlock", modem="modem0", pin=RIGHT)
    assert answer["error"] == "the SIM asks for nothing: it is ready"
    told = [item for item in stack.observer.seen if not item.topic.startswith("sms/bridge/request/")]
    assert secret not in str(told)
    assert stack.bridge.log is not None
    assert secret not in stack.bridge.log.read_text(encoding="utf-8")
    for file in stack.bridge.data.rglob("*"):
        assert not file.is_file() or secret.encode() not in file.read_bytes(), file


def test_a_modem_that_leaves_with_the_bridge_is_recorded(stack: Stack) -> None:
    since = len(stack.observer.seen)
    stack.bridge.stop(signal.SIGTERM)
    time.sleep(0.1)
    left = stack.observer.wait_for("bridge/event", lambda p: p["event_type"] == "modem_left", since=since).payload
    assert left["reason"] == "stopped"
