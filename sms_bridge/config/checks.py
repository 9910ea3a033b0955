"""What no single value shows: names that clash, members that are nobody. Works on data that may be wrong elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

from sms_bridge.config.document import Document, KeyPath
from sms_bridge.config.errors import Problem
from sms_bridge.config.report import problem_at
from sms_bridge.config.sections import web
from sms_bridge.config.sections.commands import check_commands
from sms_bridge.config.sections.people import member as member_of
from sms_bridge.config.sections.people import phone_digits
from sms_bridge.config.sections.routing import routing_checks
from sms_bridge.config.sections.smpp import smpp_checks
from sms_bridge.config.settings import MqttSettings


def cross_checks(document: Document, file: str) -> list[Problem]:
    data = document.data if isinstance(document.data, dict) else {}
    found = [*_mqtt(_dict(data, "mqtt")), *_modems(data.get("modems")), *_groups(data)]
    found += [*_balance(data), *_switches(data), *web.cross_checks(data), *smpp_checks(data.get("smpp"))]
    found += routing_checks(data.get("routing"), _dict(data, "smpp"))
    found += check_commands(data, _dict(data, "mqtt").get("base_topic", MqttSettings().base_topic))
    return [problem_at(document, file, path, message, hint) for path, message, hint in found]


_Found = Iterator[tuple[KeyPath, str, str]]


def _mqtt(mqtt: dict[str, Any]) -> _Found:
    if "password" in mqtt and "password_file" in mqtt:
        yield ("mqtt", "password_file"), "there are two passwords", "keep password or password_file"
    if ("password" in mqtt or "password_file" in mqtt) and "username" not in mqtt:
        yield ("mqtt",), "there is a password without a username", "add username: …"
    tls = _dict(mqtt, "tls")
    for one, other in (("cert", "key"), ("key", "cert")):
        if one in tls and other not in tls:
            yield ("mqtt", "tls", one), f"needs {other} beside it", f"add {other}: …"
    if "host" not in mqtt:
        for key in ("port", "tls", "username"):
            if key in mqtt:
                yield ("mqtt", key), "there is no host that it belongs to", "add host: 127.0.0.1 if it is this machine"


def _modems(modems: Any) -> _Found:
    if not isinstance(modems, list):
        return
    plugs = (("imei", "has this IMEI"), ("iccid", "has this ICCID"), ("usb_path", "has this plug"))
    for key, what in (("name", "is called so"), ("port", "has this port"), *plugs):
        seen: dict[Any, int] = {}
        for index, modem in enumerate(modems):
            default = f"modem-{index + 1}" if key == "name" else None
            value = modem.get(key, default) if isinstance(modem, dict) else None
            if not isinstance(value, str):
                continue
            if key in ("imei", "iccid"):
                value = phone_digits(value)
            if value in seen:
                yield ("modems", index, key), f"modems[{seen[value]}] {what} too", "each modem needs its own"
            seen.setdefault(value, index)


def _groups(data: dict[str, Any]) -> _Found:
    contacts, groups = _dict(data, "contacts"), _dict(data, "groups")
    for name in groups:
        if name in contacts:
            yield ("groups", name), "a contact has this name too", "an order to it could mean either: rename one"
    for name, entry in groups.items():
        detailed = isinstance(entry, dict)
        members, path = (entry.get("members"), ("groups", name, "members")) if detailed else (entry, ("groups", name))
        for index, member in enumerate(members if isinstance(members, list) else ()):
            if not isinstance(member, str):
                continue
            word = member_of(member).removeprefix("@")
            if word in contacts or re.fullmatch(r"\+?[0-9]{3,15}", word):
                continue
            near = get_close_matches(word, [str(contact) for contact in contacts], 1, 0.6)
            if word in groups:
                yield (*path, index), "this is a group", "list its members instead"
            else:
                hint = f"did you mean {near[0]}?" if near else f"add {word} under contacts"
                yield (*path, index), "there is no such contact", hint


def _switches(data: dict[str, Any]) -> _Found:
    base = _dict(data, "mqtt").get("base_topic", MqttSettings().base_topic)
    modems = data.get("modems")
    places: list[tuple[KeyPath, Any]] = [((), data)]
    places += [(("modems", index), modem) for index, modem in enumerate(modems if isinstance(modems, list) else ())]
    for path, place in places:
        switch = _dict(_dict(place, "recovery"), "power_switch") if isinstance(place, dict) else {}
        here = (*path, "recovery", "power_switch")
        topic = switch.get("topic")
        if isinstance(topic, str) and isinstance(base, str) and f"{topic.strip()}/".startswith(f"{base.strip()}/"):
            yield (*here, "topic"), "this is a topic of the bridge itself", "name the one that the plug obeys"
        if isinstance(switch.get("off"), str) and switch["off"] == switch.get("on"):
            yield (*here, "on"), "switches it on with what switches it off", "write what the plug takes for on"


def _balance(data: dict[str, Any]) -> _Found:
    entries = data.get("balance")
    for index, entry in enumerate(entries if isinstance(entries, list) else ()):
        if not isinstance(entry, dict):
            continue
        if ("ussd" in entry) == ("sms" in entry):
            what = "there are two ways to ask" if "ussd" in entry else "it says no way to ask"
            yield ("balance", index), what, "give ussd or sms"
        if "replies" in entry and "ussd" not in entry:
            yield ("balance", index, "replies"), "there is no menu that they are for", "add ussd: the code of the menu"


def _dict(data: dict[str, Any], key: str) -> dict[str, Any]:
    value = data.get(key)
    return value if isinstance(value, dict) else {}
