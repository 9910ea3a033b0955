"""What a person sees in Home Assistant: devices that come by themselves, messages both ways, a modem that is pulled."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from tests.home_assistant.core import HomeAssistant, home_assistant, until
from tests.support.plug_stack import PlugStack, plugging
from tests.support.stack import Emulation

ANNA, BELA = "+36301234567", "+36209876543"
PEOPLE = f"contacts:\n  anna: '{ANNA}'\n  bela: '{BELA}'\ngroups:\n  family: [anna, bela]\n"
VIRTUAL = "usb: {discover: false}\nvirtual_modems: {count: 2, latency: 0}\n" + PEOPLE
PLUGS = "virtual_modems: {count: 0}\n" + PEOPLE
RECEIVED = "event.sms_bridge_message_received"

# The one of docs/home-assistant.md, but for the temperature.
ANSWER = """\
automation:
  - alias: Answer
    triggers:
      - trigger: state
        entity_id: event.sms_bridge_message_received
        not_from: unavailable
    conditions:
      - "{{ trigger.to_state.attributes.contact == 'anna' }}"
      - "{{ (trigger.to_state.attributes.text or '') | lower | trim == 'temp' }}"
    actions:
      - action: notify.send_message
        target:
          entity_id: notify.sms_bridge_anna
        data:
          message: "It is {{ 20 + 1.5 }} °C"
    mode: queued
"""


def sent(emulation: Emulation, number: str) -> list[str]:
    """Texts that the network has taken for this number."""
    return [line["text"] for line in emulation.ledger("submit") if line["accepted"] and line["to"] == number]


def test_a_new_user_without_a_modem_sees_two_and_builds_an_answer(tmp_path: Path) -> None:
    with (
        plugging(tmp_path, config=VIRTUAL, start=False) as stack,
        home_assistant(tmp_path / "ha", stack.broker.port, ANSWER) as house,
    ):
        stack.bridge.start()
        wanted = [
            "binary_sensor.sms_bridge_connection",
            *(f"binary_sensor.modem_virtual_{n}_connected" for n in (1, 2)),
        ]
        until(lambda: [house.state(one) for one in wanted] == ["on"] * 3, f"{wanted} are on")
        took = time.monotonic() - stack.bridge.started_at
        online = stack.observer.wait_for("bridge/state", lambda p: p["state"] == "online").at - stack.bridge.started_at
        print(
            f"\nHome Assistant {house.version()}: from the bridge's first start to its entities {took:.2f} s,", end=" "
        )
        print(f"of which until it is at the broker {online:.2f} s")
        until(lambda: "unavailable" not in house.ours().values(), "all are available")
        for entity, state in house.ours().items():
            print(f"  {entity:<60} {state[:50]}")
        bridge = house.template("{{ device_id('event.sms_bridge_message_received') }}")
        assert house.device("binary_sensor.modem_virtual_1_connected", "via_device_id") == bridge

        phones = Emulation(tmp_path / "data" / "virtual", 2)
        before = house.state(RECEIVED)
        phones.do("deliver", modem=0, **{"from": ANNA, "text": "Temp "})
        until(lambda: house.state(RECEIVED) != before, "the event has fired")
        seen = house.entity(RECEIVED)
        assert seen is not None
        about = seen["attributes"]
        assert (about["event_type"], about["text"], about["contact"]) == ("received", "Temp ", "anna")
        assert (about["from"], about["modem"]) == (ANNA, "virtual-1")
        until(lambda: sent(phones, ANNA) == ["It is 21.5 °C"], f"an answer: {phones.ledger('submit')}")
        house.wait_state("sensor.sms_bridge_last_message_received", "Temp")
        phones.do("deliver", modem=1, **{"from": BELA, "text": "temp"})
        long = "árvíztűrő " * 40
        phones.do("deliver", modem=1, **{"from": BELA, "text": long})
        until(lambda: last_text(house) == long, "the long one")
        last = house.entity("sensor.sms_bridge_last_message_received")
        assert last is not None
        assert (len(last["state"]), last["attributes"]["text"]) == (250, long)
        assert sent(phones, ANNA) == ["It is 21.5 °C"]


def last_text(house: HomeAssistant) -> Any:
    last = house.entity("sensor.sms_bridge_last_message_received")
    return None if last is None else last["attributes"].get("text")


def test_a_notification_is_an_sms_also_while_the_bridge_is_away(tmp_path: Path) -> None:
    with (
        plugging(tmp_path, config=VIRTUAL, start=False) as stack,
        home_assistant(tmp_path / "ha", stack.broker.port) as house,
    ):
        stack.bridge.start()
        phones = Emulation(tmp_path / "data" / "virtual", 2)
        house.wait_state("binary_sensor.sms_bridge_connection", "on")  # it listens to all of ours
        text = 'Water in the "cellar"!\n{{ 1 + 1 }} \\ 👍'
        house.call("notify.send_message", "notify.sms_bridge_family", message=text)
        until(lambda: (sent(phones, ANNA), sent(phones, BELA)) == ([text], [text]), "both have it")
        until(lambda: status(house) in ("sent", "delivered"), "the status is told")

        house.call("switch.turn_on", "switch.sms_bridge_pause_sending")
        paused = house.wait_state("switch.sms_bridge_pause_sending", "on")
        assert "Home Assistant" in paused["attributes"]["reason"]
        house.call("notify.send_message", "notify.sms_bridge_anna", message="while it is paused")
        house.wait_state("sensor.sms_bridge_queue", "1")
        house.call("switch.turn_off", "switch.sms_bridge_pause_sending")
        until(lambda: "while it is paused" in sent(phones, ANNA), "it is sent afterwards")

        stack.bridge.stop()
        house.wait_state("binary_sensor.sms_bridge_connection", "off")
        house.wait_state("sensor.sms_bridge_queue", "unavailable")
        house.call("notify.send_message", "notify.sms_bridge_anna", message="while it is away")
        stack.bridge.start()
        until(lambda: "while it is away" in sent(phones, ANNA), "it is sent afterwards")
        house.wait_state("binary_sensor.sms_bridge_connection", "on")

        stack.bridge.stop()
        stack.bridge.config.write_text(stack.bridge.config.read_text() + "home_assistant: {discovery: false}\n")
        stack.bridge.start()
        until(lambda: house.ours() == {}, "all is gone")


def status(house: HomeAssistant) -> Any:
    found = house.entity("event.sms_bridge_message_status")
    return None if found is None else found["attributes"].get("event_type")


def test_a_stick_is_pulled_renamed_and_home_assistant_restarted(tmp_path: Path) -> None:
    with (
        plugging(tmp_path, 1, config=PLUGS, start=False) as stack,
        home_assistant(tmp_path / "ha", stack.broker.port, ANSWER) as house,
    ):
        stack.bridge.start()
        stack.put(0, "1-1")
        stack.wait_modem("quectel-1", "ready")
        signal, problem = "sensor.modem_quectel_1_signal", "binary_sensor.modem_quectel_1_problem"
        until(lambda: is_figure(house.state(signal)), "there is a signal")
        house.wait_state(problem, "off")
        assert house.device(signal, "manufacturer") == "Quectel"
        stack.pull(0, "1-1")
        house.wait_state(signal, "unavailable")
        house.wait_state("binary_sensor.modem_quectel_1_connected", "off")
        assert "unplugged" in house.wait_state(problem, "on")["attributes"]["reason"]
        house.wait_state("binary_sensor.sms_bridge_problem", "on")

        before = set(house.ours())
        stack.observer.request("modem/rename", **{"from": "quectel-1", "to": "alarm"})
        until(lambda: house.device(signal, "name") == "Modem alarm", "the device has the new name")
        assert set(house.ours()) == before
        stack.put(0, "1-1")
        stack.wait_modem("alarm", "ready", len(stack.observer.seen))
        until(lambda: is_figure(house.state(signal)), "there is a signal again")
        stack.emulation.do("deliver", modem=0, **{"from": ANNA, "text": "temp"})
        until(lambda: len(sent(stack.emulation, ANNA)) == 1, "an answer")
        restart(house, stack, before)
        assert len(sent(stack.emulation, ANNA)) == 1, "an old message was answered again"
        stack.emulation.do("deliver", modem=0, **{"from": ANNA, "text": "temp"})
        until(lambda: len(sent(stack.emulation, ANNA)) == 2, "the next one is answered")

        house.call("button.press", "button.modem_quectel_1_look_again")
        asked = stack.observer.wait_for("bridge/request/modem/interview", lambda _: True)
        assert asked.payload == {"modem": "alarm"}
        since = len(stack.observer.seen)
        stack.pull(0, "1-1")
        stack.wait_modem("alarm", "offline", since)
        assert stack.observer.request("modem/remove", modem="alarm")["status"] == "ok"
        until(lambda: not any("quectel" in one for one in house.ours()), "its entities are gone")


def restart(house: HomeAssistant, stack: PlugStack, before: set[str]) -> None:
    house.stop()
    since = len(stack.observer.seen)
    house.start()
    until(lambda: set(house.ours()) == before, "all entities are back")
    until(lambda: "unavailable" not in house.ours().values(), "and available")
    stack.observer.wait_for("bridge/info", lambda _: True, since=since)  # repeated on its birth


def is_figure(state: str | None) -> bool:
    try:
        float(state or "")
    except ValueError:
        return False
    return True
