"""The contract as an AsyncAPI 3.0 document, made from the models of the payloads."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import models_json_schema
from ruamel.yaml import YAML

from sms_bridge.payloads.orders import SendOrder
from sms_bridge.payloads.requests import REQUESTS
from sms_bridge.payloads.schemas import Call, Received, Response, State, Status
from sms_bridge.payloads.told import Event, Health, Info, Listed, LogLine, Modem, Raw

VERSION = "1.0.0"  # of the contract

Mode = Literal["validation", "serialization"]


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic; `action` is the bridge's."""

    address: str
    action: Literal["send", "receive"]
    model: type[BaseModel] | None  # None: text, or an order
    summary: str
    retained: bool = False
    many: bool = False  # the payload is a list of these
    qos: int = 1


TOPICS: dict[str, Topic] = {
    "out": Topic("sms/out", "receive", SendOrder, "An order. `to` and `text` are enough."),
    "outTo": Topic("sms/out/{recipient}", "receive", None, "The text itself, or an order without `to`."),
    "outBy": Topic("sms/modem/{modem}/out", "receive", SendOrder, "An order for this modem only."),
    "status": Topic("sms/status", "send", Status, "Every change of every order."),
    "in": Topic("sms/in", "send", Received, "Received messages."),
    "raw": Topic("sms/raw", "send", Raw, "What could not be decoded."),
    "lastIn": Topic("sms/last/in", "send", Received, "The last received message.", retained=True),
    "lastOut": Topic("sms/last/out", "send", Status, "The last `sent` status.", retained=True),
    "modem": Topic("sms/modem/{modem}", "send", Modem, "A modem's state.", retained=True),
    "availability": Topic("sms/modem/{modem}/availability", "send", State, "Whether its port is there.", retained=True),
    "call": Topic("sms/modem/{modem}/call", "send", Call, "Incoming calls, two events each."),
    "state": Topic("sms/bridge/state", "send", State, "Whether the bridge runs; its last will.", retained=True),
    "info": Topic("sms/bridge/info", "send", Info, "Version and configuration.", retained=True),
    "modems": Topic("sms/bridge/modems", "send", Listed, "All that is plugged in or known.", retained=True, many=True),
    "health": Topic("sms/bridge/health", "send", Health, "Queue, counters, process.", retained=True),
    "event": Topic("sms/bridge/event", "send", Event, "What happened to modems, SIMs, the journal."),
    "logging": Topic("sms/bridge/logging", "send", LogLine, "Warnings and errors.", qos=0),
}


def document() -> dict[str, Any]:
    """The whole of it, as plain data."""
    refs, schemas = _schemas()
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    for key, topic in TOPICS.items():
        payload: dict[str, Any] = {"type": "string"} if topic.model is None else refs[topic.model]
        if topic.many:
            payload = {"type": "array", "items": payload}
        _add(channels, operations, key, topic, payload)
    for name, kind in REQUESTS.items():
        key = _camel(name)
        asked = Topic(f"sms/bridge/request/{name}", "receive", kind.request, _summary(kind.request))
        said = Topic(f"sms/bridge/response/{name}", "send", kind.answer, f"The answer to `{name}`.")
        _add(channels, operations, f"{key}Request", asked, refs[kind.request])
        answer = {
            "allOf": [refs[Response], {"properties": {"data": {"anyOf": [refs[kind.answer], {"type": "object"}]}}}]
        }
        _add(channels, operations, f"{key}Response", said, answer)
        operations[f"{key}Request"]["reply"] = {"channel": {"$ref": f"#/channels/{key}Response"}}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "sms-bridge",
            "version": VERSION,
            "description": "Two-way SMS on MQTT. docs/topics.md says the same in words. `sms` is the base topic.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {"broker": {"host": "localhost:1883", "protocol": "mqtt", "description": "MQTT 3.1.1 or 5"}},
        "channels": channels,
        "operations": operations,
        "components": {"schemas": schemas},
    }


def text() -> str:
    """The document as YAML."""
    yaml = YAML()
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.representer.ignore_aliases = lambda _: True
    out = io.StringIO()
    yaml.dump(document(), out)
    return "# Made by `make docs`: change the models, not this file.\n" + out.getvalue()


def model_of(topic: str) -> TypeAdapter[Any] | None:
    """What checks the payloads of a topic of the bridge, base topic `sms`; None: it has none, or is not known."""
    levels = topic.split("/")
    for entry in TOPICS.values():
        pattern = entry.address.split("/")
        if len(levels) == len(pattern) and all(
            p in (t, "{modem}", "{recipient}") for t, p in zip(levels, pattern, strict=True)
        ):
            if entry.model is None:
                return None
            return TypeAdapter(list[entry.model]) if entry.many else TypeAdapter(entry.model)  # type: ignore[name-defined]
    if topic.startswith("sms/bridge/response/"):
        return TypeAdapter(Response)
    kind = REQUESTS.get(topic.removeprefix("sms/bridge/request/"))
    return TypeAdapter(kind.request) if kind is not None else None


def _add(channels: dict[str, Any], operations: dict[str, Any], key: str, topic: Topic, payload: dict[str, Any]) -> None:
    channel: dict[str, Any] = {"address": topic.address, "description": topic.summary}
    parameters = [name for name in ("modem", "recipient") if f"{{{name}}}" in topic.address]
    if parameters:
        words = {"modem": "a modem's name", "recipient": "a number without +, a contact or a group"}
        channel["parameters"] = {name: {"description": words[name]} for name in parameters}
    channel["messages"] = {key: {"name": key, "payload": payload}}
    channels[key] = channel
    operations[key] = {
        "action": topic.action,
        "channel": {"$ref": f"#/channels/{key}"},
        "summary": topic.summary,
        "bindings": {"mqtt": {"qos": topic.qos, "retain": topic.retained}},
    }


def _schemas() -> tuple[dict[Any, Any], dict[str, Any]]:
    """A reference for each model, and all definitions; pydantic tells apart what has one name in two modules."""
    models: list[type[BaseModel]] = [topic.model for topic in TOPICS.values() if topic.model is not None]
    models += [model for kind in REQUESTS.values() for model in (kind.request, kind.answer)]
    models.append(Response)
    wanted: list[tuple[type[BaseModel], Mode]] = [(model, "validation") for model in dict.fromkeys(models)]
    keys, found = models_json_schema(wanted, ref_template="#/components/schemas/{model}")
    definitions: dict[str, Any] = found["$defs"]
    return {model: reference for (model, _), reference in keys.items()}, dict(sorted(definitions.items()))


def _camel(name: str) -> str:
    first, *rest = name.replace("/", "_").split("_")
    return first + "".join(word.title() for word in rest)


def _summary(model: type[BaseModel]) -> str:
    return " ".join((model.__doc__ or "").split())
