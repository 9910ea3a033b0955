"""What Home Assistant is told of us: only what it knows, and nothing that is nobody's business."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from hardware.modem import CALL_EVENTS
from sms_bridge.core.states import OrderState
from sms_bridge.mqtt.discovery import CALL_TYPES, Devices, ModemFacts, config_topic
from sms_bridge.mqtt.topics import Topics
from sms_bridge.parts.home_assistant import Known
from sms_bridge.payloads.switches import PauseRequest
from tests.support.ha_facts import complaints

FACTS = ModemFacts("stick-1", "Huawei", "E3372", "12d1:1506", "21.180.01.00.00", balance=True, currency="HUF")
DEVICES = Devices(Topics("house/sms"), "sms_bridge_7f3a", "0.1.0")
BRIDGE = DEVICES.bridge(contacts=["anna", "o-neil"], groups=["family"])
MODEM = DEVICES.modem("sms_bridge_7f3a_01", FACTS)
BARE = DEVICES.modem("sms_bridge_7f3a_02", ModemFacts("stick-2"))


def components(payload: dict[str, Any], platform: str) -> dict[str, dict[str, Any]]:
    return {key: one for key, one in payload["components"].items() if one["platform"] == platform}


@pytest.mark.parametrize("payload", [BRIDGE, MODEM, BARE, Devices(Topics(), "b", "1", last=False).bridge()])
def test_home_assistant_has_nothing_to_complain_of(payload: dict[str, Any]) -> None:
    assert complaints(payload) == []
    assert json.loads(json.dumps(payload)) == payload


@pytest.mark.parametrize(
    ("where", "key"), [((), "o"), (("device",), "serial"), (("origin",), "url"), (("components", "queue"), "object_id")]
)
def test_a_key_that_it_does_not_know_is_found(where: tuple[str, ...], key: str) -> None:
    payload = json.loads(json.dumps(BRIDGE))
    place = payload
    for step in where:
        place = place[step]
    place[key] = "x"
    assert any(repr(key) in one for one in complaints(payload))


def test_every_component_says_qos_1_itself() -> None:
    for payload in (BRIDGE, MODEM):
        assert all(one["qos"] == 1 for one in payload["components"].values())
        assert "qos" not in payload  # Home Assistant up to 2026.2 takes it there and keeps to QoS 0


def test_no_number_stands_in_what_is_retained() -> None:
    for payload in (BRIDGE, MODEM, BARE):
        assert not re.search(r"\+?[0-9]{6,}", json.dumps(payload))


def test_a_modem_is_unavailable_when_it_or_the_bridge_is_away_but_says_so() -> None:
    topics = [one["topic"] for one in MODEM["availability"]]
    assert topics == ["house/sms/bridge/state", "house/sms/modem/stick-1/availability"]
    assert MODEM["availability_mode"] == "all"
    assert MODEM["device"]["via_device"] == BRIDGE["device"]["identifiers"][0]
    own = {key: one["availability"] for key, one in MODEM["components"].items() if "availability" in one}
    assert own == {"connected": topics_of("bridge/state"), "problem": topics_of("bridge/state"), "call": []}
    assert BRIDGE["components"]["connection"]["availability"] == []


def topics_of(*names: str) -> list[dict[str, str]]:
    template = "{{ value_json.state if value_json is defined else 'offline' }}"
    return [{"topic": f"house/sms/{name}", "value_template": template} for name in names]


def test_events_and_notifications_are_never_unavailable() -> None:
    for platform in ("event", "notify"):
        for payload in (BRIDGE, MODEM):
            assert all(one["availability"] == [] for one in components(payload, platform).values())


def test_event_types_are_all_that_is_published() -> None:
    assert BRIDGE["components"]["status"]["event_types"] == [state.value for state in OrderState]
    assert set(CALL_TYPES) == CALL_EVENTS
    assert MODEM["components"]["call"]["event_types"] == list(CALL_TYPES)


def test_a_contact_and_a_group_are_orders_by_name() -> None:
    found = components(BRIDGE, "notify")
    assert [one["name"] for one in found.values()] == ["Anna", "O neil", "Family"]
    order = '{"to":"#family","text":{{ value | tojson }}}'
    assert found["notify_group_family"]["command_template"] == order
    assert found["notify_group_family"]["command_topic"] == "house/sms/out"


def test_buttons_are_requests() -> None:
    pressed = {
        one["command_topic"].removeprefix("house/sms/bridge/request/"): json.loads(one["payload_press"])
        for payload in (BRIDGE, MODEM)
        for one in components(payload, "button").values()
    }
    named = {"modem": "stick-1"}
    assert pressed == {"restart": {}, "modem/reset": named, "modem/interview": named, "modem/balance": named}


def test_the_switch_is_a_request_that_goes_both_ways() -> None:
    pause = BRIDGE["components"]["pause"]
    assert pause["command_topic"] == "house/sms/bridge/request/pause"
    wanted = [PauseRequest.model_validate_json(pause[key]).paused for key in ("payload_on", "payload_off")]
    assert wanted == [True, False]


def test_a_balance_is_shown_where_it_can_be_asked_for() -> None:
    assert not {"balance", "check_balance"} & BARE["components"].keys()
    assert MODEM["components"]["balance"]["device_class"] == "monetary"
    unknown = DEVICES.modem("x", ModemFacts("stick-1", balance=True))["components"]["balance"]
    assert "unit_of_measurement" not in unknown
    own = DEVICES.modem("x", ModemFacts("stick-1", balance=True, currency="Ft"))["components"]["balance"]
    assert (own["unit_of_measurement"], own.get("device_class")) == ("Ft", None)


def test_a_name_changes_what_is_heard_and_not_who_it_is() -> None:
    renamed = DEVICES.modem("sms_bridge_7f3a_01", ModemFacts("alarm", "Huawei", "E3372", balance=True))
    ids = [
        {key: one["unique_id"] for key, one in payload["components"].items()} | {"": payload["device"]["identifiers"]}
        for payload in (MODEM, renamed)
    ]
    assert ids[0] == ids[1]
    assert renamed["components"]["signal"]["state_topic"] == "house/sms/modem/alarm"


def test_ids_are_kept_by_name_and_follow_the_modem() -> None:
    known = Known("b")
    first, second = known.device_of("modem-1", None, ["modem-1"]), known.device_of("modem-2", "86", ["modem-1"])
    assert first != second
    kept = Known.read(known.text())
    assert kept.device_of("modem-1", "87", ["modem-1"]) == first
    # The same stick, given a name in the configuration; and another stick in the place of the first.
    assert kept.device_of("alarm", "86", ["modem-1", "alarm"]) == second
    assert kept.device_of("modem-1", "88", ["modem-1", "alarm"]) == first
    assert set(kept.modems) == {"modem-1", "alarm"}


@pytest.mark.parametrize("text", [None, "", "[]", "{", '{"bridge": "b"}', '{"bridge":"b","modems":[],"topics":[]}'])
def test_what_is_kept_and_cannot_be_read_was_never_there(text: str | None) -> None:
    assert Known.read(text) == Known()


def test_the_topic() -> None:
    assert config_topic("homeassistant", "sms_bridge_7f3a") == "homeassistant/device/sms_bridge_7f3a/config"
