"""The published JSON Schema and what the bridge accepts are the same thing."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
import voluptuous as vol

from sms_bridge.config.schema import ROOT, json_schema
from sms_bridge.config.sections.websettings import TokenSettings, WebhookSettings, WebSettings
from sms_bridge.config.settings import (
    BalanceSettings,
    BalanceSmsSettings,
    ModemSettings,
    MqttSettings,
    Settings,
    TlsSettings,
    UsbSettings,
)
from sms_bridge.core.settings import SelfTestSettings

TYPES: dict[str, Any] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}


def valid(rule: dict[str, Any], value: Any) -> bool:
    """As much of JSON Schema 2020-12 as ours uses; fails on a keyword that it does not know."""
    checks: dict[str, Callable[[Any], bool]] = {
        "type": lambda want: any(is_a(name, value) for name in ([want] if isinstance(want, str) else want)),
        "enum": lambda want: any(type(value) is type(item) and value == item for item in want),
        "anyOf": lambda want: any(valid(one, value) for one in want),
        "oneOf": lambda want: sum(valid(one, value) for one in want) == 1,
        "pattern": lambda want: not isinstance(value, str) or re.search(want, value) is not None,
        "minimum": lambda want: not is_a("number", value) or value >= want,
        "maximum": lambda want: not is_a("number", value) or value <= want,
        "maxItems": lambda want: not isinstance(value, list) or len(value) <= want,
        "maxProperties": lambda want: not isinstance(value, dict) or len(value) <= want,
        "items": lambda want: not isinstance(value, list) or all(valid(want, item) for item in value),
        "required": lambda want: not isinstance(value, dict) or set(want) <= value.keys(),
        "propertyNames": lambda want: not isinstance(value, dict) or all(valid(want, key) for key in value),
        "properties": lambda want: (
            not isinstance(value, dict) or all(valid(want[key], item) for key, item in value.items() if key in want)
        ),
        "additionalProperties": lambda want: (
            not isinstance(value, dict)
            or all(
                want is not False and valid(want, item)
                for key, item in value.items()
                if key not in rule.get("properties", {})
            )
        ),
    }
    notes = {"description", "default", "title", "$schema"}
    return all(checks[key](want) for key, want in rule.items() if key not in notes)


def is_a(name: str, value: Any) -> bool:
    return isinstance(value, TYPES[name]) and not (isinstance(value, bool) and name in ("integer", "number"))


def accepted(value: Any) -> bool:
    try:
        ROOT(value)
    except vol.Invalid:
        return False
    return True


BINDINGS = {"modems": {"imei", "iccid", "usb_path", "port"}, "tokens": {"token", "token_file", "env"}}
WORDS = """
    2/day 100/month 101/day 2/Day all
    x h hu HUN LS NO auto 5 311 3.1.1 debug loud stick-1 Stick sms/x sms/# $SYS ::1 192.168.1.1 mqtt://h /dev/x ttyUSB0
    socket://h:1 rfc2217://[::1]:4000 +36301234567 0000 12 45s 10m 24h 30d 1w 2-6 AT+CGSMS=1 x.pem
    860461024123456 86046102-412345-6 8936304444000012345 89-36304444000012345 1-1.3 1-1. usb1
    20/1h 5/10m 500/day off UTC Europe/Budapest 22:00-07:00 22:00
    *100# *102*{digits}# 8936 (?P<amount>.) https://h:1/x
"""
VALUES: list[Any] = [
    *(None, True, False, 0, 1, 5, 30, 45, 311, 1883, 9600, 65_536, 10**9, -1, 0.5, 1.5),
    *("", "a b", "1 h", "2 - 6", "06 (20) 555-1234", "strict", *WORDS.split()),
    *(
        [],
        [1],
        ["x"],
        ["AT+CGSMS=1"],
        ["+36301234567"],
        ["@anna"],
        ["06 20 5551234"],
        [{}],
        [None],
        [{"port": "/dev/x"}],
        [{"pattern": "(?P<amount>.)", "ussd": "*100#"}],
        [{"token": "0123456789abcdef"}],
        [{"url": "http://h/x"}],
        ["*102*{digits}#"],
    ),
    *("failover", "flash", ["modems"], ["smpp:backup"], [{"routes": ["modems"]}]),
    *({"modems": 2}, {"smpp:backup": {"+36": 0.02, "+": 0.1}}, {"modems": {"36": 1}}),
    *({}, {"x": 1}, {"anna": "+36301234567"}, {"123": "+36301234567"}, {"family": ["anna", "112"]}),
    *({"anna": {"number": "+36301234567", "quiet_hours": "22:00-07:00"}}, {"anna": {"number": 1}}, {"anna": {}}),
    *({"family": {"members": ["anna"]}}, {"family": {}}, ["22:00-07:00", "sat-sun 0:00-9:00"]),
    *({"port": "/dev/x"}, {"ca": "x.pem"}, {"topic": "plug/set", "off": "0", "on": "1"}, {"to": "1755", "text": "B"}),
]
# What a group needs besides the key in question.
NEEDED = {
    "modems": {"port": "/dev/x"},
    "tokens": {"token": "0123456789abcdef"},
    "webhooks": {"url": "http://h/x"},
    "balance": {"pattern": "(?P<amount>.)"},
    "sms": {"to": "1755", "text": "B"},
    "rules": {"routes": ["modems"]},
    "power_switch": {"topic": "plug/set", "off": "OFF", "on": "ON"},
}


def paths() -> list[tuple[str, ...]]:
    """Each key of the schema, as the keys that lead to it; a list's item is `[]`."""
    found: list[tuple[str, ...]] = []

    def walk(rule: dict[str, Any], path: tuple[str, ...]) -> None:
        for key, inner in rule.get("properties", {}).items():
            found.append((*path, key))
            walk(inner, (*path, key))
        if "items" in rule:
            walk(rule["items"], (*path, "[]"))

    walk(json_schema(), ())
    return found


def wrap(path: tuple[str, ...], value: Any) -> Any:
    for index in reversed(range(len(path))):
        if path[index] == "[]":
            bound = BINDINGS.get(path[index - 1], set()) & value.keys()
            value = [value if bound else {**NEEDED[path[index - 1]], **value}]
        elif path[index] in NEEDED and index < len(path) - 1 and isinstance(value, dict):
            value = {path[index]: {**NEEDED[path[index]], **value}}
        else:
            value = {path[index]: value}
    return value


@pytest.mark.parametrize("path", paths(), ids=".".join)
def test_both_give_the_same_verdict_on_every_key(path: tuple[str, ...]) -> None:
    schema = json_schema()
    verdicts = set()
    for value in VALUES:
        data = wrap(path, value)
        verdict = accepted(data)
        # What only the bridge knows: limits in units, ranges that run backwards, forbidden commands.
        assert valid(schema, data) >= verdict, (data, "the schema refuses what the bridge takes")
        if not (isinstance(value, str) and re.fullmatch(r"[0-9.]+ ?[smhd]?", value)):
            assert valid(schema, data) == verdict, data
        verdicts.add(verdict)
    assert verdicts == {True, False}


def test_an_unknown_key_is_refused_by_both() -> None:
    for path in [(), ("mqtt",), ("mqtt", "tls"), ("modems", "[]"), ("inbound",), ("logging",)]:
        data = wrap(path, {"surprise": 1})
        assert not accepted(data)
        assert not valid(json_schema(), data)


def test_every_key_is_described_and_every_default_is_valid() -> None:
    def walk(rule: dict[str, Any], place: str) -> None:
        for key, inner in rule.get("properties", {}).items():
            assert inner.get("description"), f"{place}.{key}"
            if "default" in inner:
                assert valid(inner, inner["default"]), f"{place}.{key}"
            walk(inner, f"{place}.{key}")
        if "items" in rule:
            walk(rule["items"], f"{place}[]")

    walk(json_schema(), "")
    json.dumps(json_schema())


def test_schema_and_settings_have_the_same_keys() -> None:
    properties = json_schema()["properties"]
    settings = {field.name for field in dataclasses.fields(Settings)} - {"source"}
    assert settings == properties.keys() - {"version"}
    usb = {field.name for field in dataclasses.fields(UsbSettings)} - {"sysfs", "dev"}
    assert usb == properties["usb"]["properties"].keys()
    groups = "inbound sending limits retention logging recovery virtual_modems ussd calls health home_assistant replies"
    for name in groups.split():
        group = {field.name for field in dataclasses.fields(getattr(Settings(), name))}
        assert group == properties[name]["properties"].keys(), name
    tests = {field.name for field in dataclasses.fields(SelfTestSettings)} - {"settle"}
    assert tests == properties["self_test"]["properties"].keys()
    mqtt = {field.name for field in dataclasses.fields(MqttSettings)} - {"local"} | {"password_file"}
    assert mqtt == properties["mqtt"]["properties"].keys()
    tls = {field.name for field in dataclasses.fields(TlsSettings)}
    assert tls == properties["mqtt"]["properties"]["tls"]["properties"].keys()
    modem = {field.name for field in dataclasses.fields(ModemSettings)}
    assert modem == properties["modems"]["items"]["properties"].keys()
    balance = {field.name for field in dataclasses.fields(BalanceSettings)}
    assert balance == properties["balance"]["items"]["properties"].keys()
    web = {field.name for field in dataclasses.fields(WebSettings)}
    assert web == properties["web"]["properties"].keys()
    token = {field.name for field in dataclasses.fields(TokenSettings)} | {"token_file", "env"}
    assert token == properties["web"]["properties"]["tokens"]["items"]["properties"].keys()
    webhook = {field.name for field in dataclasses.fields(WebhookSettings)} | {"secret_file", "env"}
    assert webhook == properties["webhooks"]["items"]["properties"].keys()
    sms = {field.name for field in dataclasses.fields(BalanceSmsSettings)} - {"senders"} | {"from"}
    assert sms == properties["balance"]["items"]["properties"]["sms"]["properties"].keys()
