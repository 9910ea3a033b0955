"""The automations of our pages, word for word but for the names of a house's own entities, in Home Assistant."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

from tests.home_assistant.core import home_assistant, until
from tests.support.plug_stack import plugging
from tests.support.stack import ROOT, Emulation, wait_until

ANNA, BELA = "+36301234567", "+36209876543"
CONFIG = f"""\
usb: {{discover: false}}
virtual_modems: {{count: 1, latency: 0}}
contacts:
  anna: "{ANNA}"
  bela: "{BELA}"
  boss: "+36203334455"
groups:
  family: [anna, bela]
  team: [boss, bela]
"""
HOUSE = """\
input_boolean: {doorbell: , gate: , smoke: }
input_number: {temperature: {min: -50, max: 50, initial: 21.5}}
"""
OWN = {
    "sensor.living_room_temperature": "input_number.temperature",
    "binary_sensor.doorbell": "input_boolean.doorbell",
    "binary_sensor.smoke": "input_boolean.smoke",
    "switch.turn_on": "input_boolean.turn_on",
    "switch.gate": "input_boolean.gate",
}


def blocks(page: str, begins: str) -> list[str]:
    """The examples of a page that begin like this, with entities that this house has."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    found = [block for block in re.findall(r"^```\w*\n(.*?)^```$", text, re.M | re.S) if block.startswith(begins)]
    assert found, page
    for theirs, ours in OWN.items():
        found = [block.replace(theirs, ours) for block in found]
    return found


def listed(text: str, indent: str = "  ") -> str:
    """As an entry of a YAML list."""
    return textwrap.indent("- " + textwrap.indent(text, "  ").lstrip(), indent)


def sent(phones: Emulation, number: str) -> list[str]:
    return [line["text"] for line in phones.ledger("submit") if line["accepted"] and line["to"] == number]


def test_what_our_pages_say_works(tmp_path: Path) -> None:
    automations = blocks("home-assistant.md", "alias:") + blocks("replies.md", "alias:")
    actions = blocks("home-assistant.md", "action:")
    scripts = [f"  say_{n}:\n    sequence:\n{listed(one, '      ')}" for n, one in enumerate(actions)]
    extra = HOUSE + "automation:\n" + "".join(map(listed, automations)) + "script:\n" + "".join(scripts)
    with (
        plugging(tmp_path, config=CONFIG, start=False) as stack,
        home_assistant(tmp_path / "ha", stack.broker.port, extra) as house,
    ):
        stack.bridge.start()
        phones = Emulation(tmp_path / "data" / "virtual", 1)
        house.wait_state("binary_sensor.modem_virtual_1_connected", "on")

        for number in range(len(actions)):
            house.call("script.turn_on", f"script.say_{number}")
        water = "Water in the cellar!"
        until(lambda: sent(phones, ANNA) == [water] * 2 and sent(phones, BELA) == [water], "both actions have sent")

        phones.do("deliver", modem=0, **{"from": ANNA, "text": "Temp"})
        until(lambda: sent(phones, ANNA)[2:] == ["21.5 °C"], "the answer")

        house.call("input_boolean.turn_on", "input_boolean.doorbell")
        until(lambda: len(sent(phones, ANNA)) == 4, "the question")
        assert house.state("input_boolean.gate") == "off"
        phones.do("deliver", modem=0, **{"from": BELA, "text": "1"})
        wait_until(lambda: [one for one in stack.observer.of("in") if one["contact"] == "bela"], 10, "somebody else")
        assert house.state("input_boolean.gate") == "off"
        phones.do("deliver", modem=0, **{"from": ANNA, "text": "1 please"})
        house.wait_state("input_boolean.gate", "on")

        house.call("input_boolean.turn_on", "input_boolean.smoke")
        until(lambda: any("Smoke" in text for text in sent(phones, ANNA)), "the alarm")

        stack.observer.request("contacts/set", contact="cili", number="+36705556677")
        until(lambda: house.state("notify.sms_bridge_cili") is not None, "a new contact")
        house.call("notify.send_message", "notify.sms_bridge_cili", message="hello")
        until(lambda: sent(phones, "+36705556677") == ["hello"], "who is new is written to")
