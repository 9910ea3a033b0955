"""What Home Assistant is told of the bridge and of its modems: device-based discovery, from 2024.11 on. Pure.

Below `device`, `origin` and the root, a key that Home Assistant does not know makes it drop the whole payload; in a
component it is ignored. Retained at the broker: no phone number, no IMEI, no text stands in any of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from hardware.types import Access, Health, ModemState, Registration
from sms_bridge.core.states import OrderState
from sms_bridge.mqtt.topics import Topics

MANUFACTURER = "sms-bridge"
STATE_LENGTH = 250  # characters; Home Assistant refuses a state of more than 255
RECEIVED_TYPES = ("received",)
CALL_TYPES = ("call", "missed_call", "rejected_call")
SIM_STATES = ("ready", "pin", "puk", "absent", "failure")  # and "unknown", which Home Assistant says by itself

Component = dict[str, Any]

_CURRENCY = re.compile(r"[A-Z]{3}\Z")  # ISO 4217, as `monetary` wants it


@dataclass(frozen=True, slots=True)
class ModemFacts:
    """All of a modem that its device says; a change of it is published."""

    name: str
    manufacturer: str | None = None
    model: str | None = None
    model_id: str | None = None
    firmware: str | None = None
    balance: bool = False  # it can be asked for
    currency: str | None = None


def config_topic(prefix: str, device: str) -> str:
    """Where the configuration of the device with this id is retained."""
    return f"{prefix}/device/{device}/config"


class Devices:
    """Builds the payloads of one bridge. `id` is the bridge's own, `[a-z0-9_]`, and stays for ever."""

    def __init__(self, topics: Topics, id: str, version: str, *, last: bool = True) -> None:
        """`last`: the last messages are published (`publish_last`)."""
        self._topics = topics
        self._id = id
        self._version = version
        self._last = last
        self._online = _availability(topics.state)

    def bridge(self, *, contacts: Iterable[str] = (), groups: Iterable[str] = ()) -> dict[str, Any]:
        """The bridge; contacts and groups become `notify` entities, by name alone."""
        topics = self._topics
        components = {**self._events(), **self._figures()}
        if self._last:
            components |= self._last_messages()
        components["pause"] = self._pause()
        components["restart"] = _button("Restart", self._request("restart"), {}, device_class="restart")
        for kind, sign, names in (("contact", "@", contacts), ("group", "#", groups)):
            for name in names:
                components[f"notify_{kind}_{name}"] = _notify(_spoken(name), topics.out, f"{sign}{name}", kind)
        device = {"name": "SMS bridge", "manufacturer": MANUFACTURER, "model": "Bridge", "sw_version": self._version}
        return self._payload(self._id, device, [self._online], components)

    def modem(self, id: str, facts: ModemFacts) -> dict[str, Any]:
        """A modem: unavailable while it is unplugged; that it is, and its problem, stay to be seen.

        `id` stays for ever, whatever the modem is called.
        """
        topics, name = self._topics, facts.name
        components = _modem_sensors(topics.modem(name))
        components["connected"] = _connectivity("Connected", topics.availability(name), availability=[self._online])
        components["problem"]["availability"] = [self._online]
        components["call"] = _event("Incoming call", topics.call(name), CALL_TYPES, "mdi:phone-incoming")
        components["reset"] = _button("Reset", self._request("modem/reset"), {"modem": name}, device_class="restart")
        components["interview"] = _button(
            "Look again", self._request("modem/interview"), {"modem": name}, icon="mdi:magnify", diagnostic=True
        )
        if facts.balance:
            components["balance"] = _balance(topics.modem(name), facts.currency)
            components["check_balance"] = _button(
                "Check balance", self._request("modem/balance"), {"modem": name}, icon="mdi:cash-sync", diagnostic=True
            )
        device = {
            "name": f"Modem {name}",
            "manufacturer": facts.manufacturer,
            "model": facts.model,
            "model_id": facts.model_id,
            "sw_version": facts.firmware,
            "via_device": self._id,
        }
        availability = [self._online, _availability(topics.availability(name))]
        return self._payload(id, device, availability, components)

    def _payload(
        self, id: str, device: Component, availability: list[Component], components: dict[str, Component]
    ) -> dict[str, Any]:
        for key, component in components.items():
            # Not at the root: Home Assistant 2026.2 and older do not hand it down from there, and an order of QoS 0 is
            # lost while we are away.
            component |= {"unique_id": f"{id}_{key}", "qos": 1}
        return {
            "device": {"identifiers": [id], **{key: value for key, value in device.items() if value is not None}},
            "origin": {"name": "sms-bridge", "sw_version": self._version},
            "availability": availability,
            "availability_mode": "all",
            "components": components,
        }

    def _request(self, name: str) -> str:
        return self._topics.request(name)

    def _events(self) -> dict[str, Component]:
        states = tuple(state.value for state in OrderState)
        return {
            "received": _event("Message received", self._topics.incoming, RECEIVED_TYPES, "mdi:message-arrow-left"),
            "status": _event("Message status", self._topics.status, states, "mdi:message-check"),
        }

    def _figures(self) -> dict[str, Component]:
        health = self._topics.health
        return {
            "connection": _connectivity("Connection", self._topics.state, availability=[]),
            "problem": {
                "platform": "binary_sensor",
                "name": "Problem",
                "device_class": "problem",
                "entity_category": "diagnostic",
                "state_topic": health,
                "value_template": _problem("value_json.status"),
                "json_attributes_topic": health,
                "json_attributes_template": _attributes("{'reason': value_json.reason}"),
            },
            "queue": _sensor("Queue", health, "queue", icon="mdi:tray-full", state_class="measurement"),
            "sent": _counter("Messages sent", health, "sent", "mdi:message-arrow-right"),
            "received_total": _counter("Messages received", health, "received", "mdi:message-arrow-left"),
            "failures": _counter("Failures", health, "failures", "mdi:message-alert"),
        }

    def _pause(self) -> Component:
        info = self._topics.info
        return {
            "platform": "switch",
            "name": "Pause sending",
            "icon": "mdi:pause-octagon",
            "entity_category": "config",
            "state_topic": info,
            "value_template": "{{ ('ON' if value_json.paused else 'OFF') if value_json is defined else None }}",
            "command_topic": self._request("pause"),
            "payload_on": '{"paused":true,"reason":"in Home Assistant"}',
            "payload_off": '{"paused":false}',
            "state_on": "ON",
            "state_off": "OFF",
            "json_attributes_topic": info,
            "json_attributes_template": _attributes("value_json.pause"),
        }

    def _last_messages(self) -> dict[str, Component]:
        topics = self._topics
        text = f"(value_json.text or '') | truncate({STATE_LENGTH}, True, '…', 0)"
        return {
            "last_in": {
                "platform": "sensor",
                "name": "Last message received",
                "icon": "mdi:message-arrow-left",
                "state_topic": topics.last_in,
                "value_template": _of(text),
                "json_attributes_topic": topics.last_in,
                "json_attributes_template": _attributes("value_json"),
            },
            "last_out": {
                "platform": "sensor",
                "name": "Last message sent",
                "icon": "mdi:message-arrow-right",
                "device_class": "timestamp",
                "state_topic": topics.last_out,
                "value_template": _of("value_json.ts"),
                "json_attributes_topic": topics.last_out,
                "json_attributes_template": _attributes("value_json"),
            },
        }


def _modem_sensors(topic: str) -> dict[str, Component]:
    signal = _sensor("Signal", topic, "signal_dbm", device_class="signal_strength", state_class="measurement")
    storage = _sensor("SIM storage used", topic, "storage.percent", icon="mdi:sim", state_class="measurement")
    registration = tuple(one.value for one in Registration if one is not Registration.UNKNOWN)
    return {
        "problem": {
            "platform": "binary_sensor",
            "name": "Problem",
            "device_class": "problem",
            "entity_category": "diagnostic",
            "state_topic": topic,
            "value_template": _problem("value_json.health"),
            "json_attributes_topic": topic,
            "json_attributes_template": _attributes("{'reason': value_json.health_reason}"),
        },
        "state": _enum("State", topic, "state", tuple(ModemState), "mdi:state-machine"),
        "health": _enum("Health", topic, "health", tuple(Health), "mdi:heart-pulse"),
        "signal": {**signal, "unit_of_measurement": "dBm", "suggested_display_precision": 0},
        "operator": _sensor("Operator", topic, "operator", icon="mdi:radio-tower"),
        "registration": _enum("Registration", topic, "registration", registration, "mdi:cellphone-check"),
        "access": _enum("Network", topic, "access", tuple(Access), "mdi:signal-4g"),
        "sim": _enum("SIM", topic, "sim.state", SIM_STATES, "mdi:sim"),
        "storage": {**storage, "unit_of_measurement": "%", "suggested_display_precision": 0},
        "last_ok": _sensor("Last answer", topic, "last_ok", device_class="timestamp"),
    }


def _sensor(name: str, topic: str, key: str, **more: Any) -> Component:
    return {
        "platform": "sensor",
        "name": name,
        "entity_category": "diagnostic",
        "state_topic": topic,
        "value_template": _of(f"value_json.{key}"),
        **more,
    }


def _counter(name: str, topic: str, key: str, icon: str) -> Component:
    return _sensor(name, topic, key, icon=icon, state_class="total_increasing", suggested_display_precision=0)


def _enum(name: str, topic: str, key: str, options: tuple[str, ...], icon: str) -> Component:
    """A value that is none of `options` is not known: Home Assistant complains of each other one."""
    found = [str(option) for option in options]
    template = f"{{{{ value_json.{key} if value_json is defined and value_json.{key} in {found} else None }}}}"
    more = {"device_class": "enum", "options": found, "icon": icon}
    return {**_sensor(name, topic, key, **more), "value_template": template}


def _balance(topic: str, currency: str | None) -> Component:
    component = _sensor("Balance", topic, "balance.amount", icon="mdi:cash", suggested_display_precision=2)
    del component["entity_category"]
    if currency is not None:
        component["unit_of_measurement"] = currency
        if _CURRENCY.match(currency):
            component["device_class"] = "monetary"
            del component["icon"]
    about = "{'expires': value_json.balance.expires, 'checked_at': value_json.balance.checked_at}"
    return {**component, "json_attributes_topic": topic, "json_attributes_template": _attributes(about)}


def _connectivity(name: str, topic: str, availability: list[Component]) -> Component:
    """Off rather than unavailable when it is away: `availability` is not the device's."""
    return {
        "platform": "binary_sensor",
        "name": name,
        "device_class": "connectivity",
        "entity_category": "diagnostic",
        "state_topic": topic,
        "value_template": _state(),
        "payload_on": "online",
        "payload_off": "offline",
        "availability": availability,
    }


def _event(name: str, topic: str, types: Iterable[str], icon: str) -> Component:
    """Always available: a message that comes just when the bridge is back must fire, and its return must not."""
    return {
        "platform": "event",
        "name": name,
        "icon": icon,
        "state_topic": topic,
        "event_types": list(types),
        "availability": [],
    }


def _button(
    name: str,
    topic: str,
    payload: dict[str, str],
    *,
    device_class: str | None = None,
    icon: str | None = None,
    diagnostic: bool = False,
) -> Component:
    # Names are [a-z0-9_-]: nothing in them needs an escape.
    body = ",".join(f'"{key}":"{value}"' for key, value in payload.items())
    component: Component = {
        "platform": "button",
        "name": name,
        "entity_category": "diagnostic" if diagnostic else "config",
        "command_topic": topic,
        "payload_press": f"{{{body}}}",
    }
    if device_class is not None:
        component["device_class"] = device_class
    if icon is not None:
        component["icon"] = icon
    return component


def _notify(name: str, topic: str, to: str, kind: str) -> Component:
    """Always available: the broker keeps an order for a bridge that is away, Home Assistant would drop it."""
    return {
        "platform": "notify",
        "name": name,
        "icon": "mdi:account-multiple" if kind == "group" else "mdi:account",
        "command_topic": topic,
        "command_template": f'{{"to":"{to}","text":{{{{ value | tojson }}}}}}',
        "availability": [],
    }


def _availability(topic: str) -> Component:
    return {"topic": topic, "value_template": _state()}


# An empty payload clears a retained topic: there is no `value_json` then, and a template that wants one is logged.


def _state() -> str:
    return "{{ value_json.state if value_json is defined else 'offline' }}"


def _of(expression: str) -> str:
    return f"{{{{ {expression} if value_json is defined else None }}}}"


def _problem(verdict: str) -> str:
    return f"{{{{ ('OFF' if {verdict} == 'pass' else 'ON') if value_json is defined else None }}}}"


def _attributes(expression: str) -> str:
    return f"{{{{ {expression} | tojson if value_json is defined else '{{}}' }}}}"


def _spoken(name: str) -> str:
    """`anna_maria` as `Anna maria`."""
    words = name.replace("_", " ").replace("-", " ").strip()
    return words[:1].upper() + words[1:] if words else name
