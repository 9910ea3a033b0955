"""The interface as OpenAPI 3.1, made from the models of the payloads; served, and kept in `docs/openapi.json`.

`python -m sms_bridge.web.openapi FILE` writes it.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import models_json_schema

from sms_bridge.core.states import OrderState
from sms_bridge.payloads.orders import SendOrder
from sms_bridge.payloads.schemas import Received, Status
from sms_bridge.web.problems import MEDIA_TYPE

REF = "#/components/schemas/{model}"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Refused(_Model):
    """A recipient, or the whole order, that will not be sent."""

    to: str | None
    code: str = Field(description="stable")
    detail: str
    field: str | None


class Problem(BaseModel):
    """RFC 9457; `code` is stable, `detail` says what to do."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    code: str
    detail: str
    field: str | None = Field(None, description="the field or parameter that it speaks about")
    id: str | None = None
    rejected: list[Refused] | None = None


class AcceptedOrder(_Model):
    """The order is on the disk."""

    id: str
    orders: int = Field(description="messages to send, one for each recipient; 0: it was known before")
    repeated: bool = Field(description="this id came before with the same content: nothing new is sent")
    state: OrderState = Field(description="of the first recipient")
    rejected: list[Refused] = Field(description="recipients that will get nothing")
    transaction: Any


class Attempt(_Model):
    """One try to hand one part to the network."""

    part: int
    attempt: int
    state: str
    route: str
    modem: str | None
    sim: str | None
    began_at: str
    ended_at: str | None
    mr: int | None
    message_id: str | None = Field(description="what the service centre calls it, where it says so")
    error: str | None
    error_text: str | None
    report_status: int | None


class StatusWithAttempts(Status):
    plan: list[str] = Field(description="routes, the first one first")
    attempts: list[Attempt]


class Message(_Model):
    """One order, for each recipient its status with every attempt."""

    id: str
    orders: list[StatusWithAttempts]


class Messages(_Model):
    """A page of statuses, newest first."""

    messages: list[Status]
    next: int | None = Field(description="give it as `before` for the next page")


class Cancelled(_Model):
    id: str
    cancelled: int
    orders: list[Status]


class Resent(_Model):
    id: str
    resent: int


class EstimateRequest(BaseModel):
    model_config = ConfigDict(extra="allow")

    text: str
    to: str | None = Field(None, description="one recipient: tells which modem would send it, and why not the others")
    encoding: str = "auto"


class Estimate(BaseModel):
    """What a text would cost."""

    model_config = ConfigDict(extra="allow")

    encoding: str
    parts: int
    units: int
    per_part: int
    ucs2_characters: list[str] = Field(description="those that force the bigger alphabet")


class Inbox(_Model):
    """A page of received messages, newest first."""

    messages: list[Received]
    next: int | None = Field(description="give it as `before` for the next page")


class Modem(BaseModel):
    """As on `sms/modem/<name>`."""

    model_config = ConfigDict(extra="allow")

    name: str
    state: str
    health: str
    health_reason: str | None
    signal_dbm: int | None
    queue: int | None


class Modems(_Model):
    modems: list[Modem]


class Ready(_Model):
    status: str
    reasons: list[str]


class Anything(BaseModel):
    """What the request answers on MQTT."""

    model_config = ConfigDict(extra="allow")


@dataclass(frozen=True, slots=True)
class _Operation:
    method: str
    path: str
    summary: str
    scope: str = ""  # "": no token needed
    takes: type[BaseModel] | None = None
    gives: type[BaseModel] | str = Anything  # a text: its media type
    status: int = 200
    parameters: tuple[tuple[str, str, dict[str, Any]], ...] = ()  # (place, name, schema)


_TEXT = {"type": "string"}
_PAGE = (
    ("query", "before", {"type": "integer", "minimum": 1}),
    ("query", "limit", {"type": "integer", "minimum": 1, "maximum": 500, "default": 50}),
)
_ID = ("path", "id", _TEXT)
_NAME = ("path", "name", _TEXT)
_STATE = ("query", "state", {"enum": [state.value for state in OrderState]})
_KEY = ("header", "Idempotency-Key", {"type": "string", "maxLength": 128})
_KINDS = ("query", "kinds", {"type": "string", "examples": ["received,status"]})
_LAST = ("header", "Last-Event-ID", {"type": "integer"})
_ACTION = ("path", "action", {"enum": ["reset", "interview", "balance", "ussd", "unlock"]})

_OPERATIONS = (
    _Operation(
        "post", "/api/v1/messages", "Send. 202 says that the order is on the disk.", "send", SendOrder, AcceptedOrder,
        202, (_KEY,),
    ),
    _Operation(
        "get", "/api/v1/messages", "Statuses of orders, newest first.", "read", None, Messages,
        parameters=(_STATE, *_PAGE),
    ),
    _Operation(
        "get", "/api/v1/messages/{id}", "One order. Scope read or send.", "read", None, Message, parameters=(_ID,)
    ),
    _Operation(
        "delete", "/api/v1/messages/{id}", "Cancel what has not been begun.", "send", None, Cancelled, parameters=(_ID,)
    ),
    _Operation(
        "post", "/api/v1/messages/{id}/resend", "Send once more what is in the state unknown.", "send", None, Resent,
        202, (_ID,),
    ),
    _Operation(
        "post", "/api/v1/estimate", "Alphabet and parts of a text. Scope send or read.", "send", EstimateRequest,
        Estimate,
    ),
    _Operation("get", "/api/v1/inbox", "Received messages, newest first.", "read", None, Inbox, parameters=_PAGE),
    _Operation("get", "/api/v1/modems", "All modems.", "read", None, Modems),
    _Operation("get", "/api/v1/modems/{name}", "One modem.", "read", None, Modem, parameters=(_NAME,)),
    _Operation(
        "post", "/api/v1/modems/{name}/{action}", "As the request of that name on MQTT.", "admin", Anything, Anything,
        parameters=(_NAME, _ACTION),
    ),
    _Operation(
        "post", "/api/v1/requests/{name}", "Any request of sms/bridge/request/<name>.", "admin", Anything, Anything,
        parameters=(_NAME,),
    ),
    _Operation("get", "/events", "Live events (SSE).", "read", None, "text/event-stream", parameters=(_KINDS, _LAST)),
    _Operation("get", "/metrics", "Figures for Prometheus.", "metrics", None, "text/plain"),
    _Operation("get", "/health", "The bridge's health, as on sms/bridge/health."),
    _Operation("get", "/health/live", "200 while the process works."),
    _Operation("get", "/health/ready", "200, or 503 with the reasons.", "", None, Ready),
)  # fmt: skip


def document() -> dict[str, Any]:
    """The whole description."""
    models: set[type[BaseModel]] = {Problem}
    for each in _OPERATIONS:
        models |= {model for model in (each.takes, each.gives) if isinstance(model, type)}
    ordered = sorted(models, key=lambda model: model.__name__)
    names, definitions = models_json_schema([(model, "validation") for model in ordered], ref_template=REF)
    refs = {model: names[model, "validation"] for model in ordered}
    paths: dict[str, Any] = {}
    for each in _OPERATIONS:
        paths.setdefault(each.path, {})[each.method] = _operation(each, refs)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "sms-bridge",
            "version": "1",
            "description": "Two-way SMS. Store, then acknowledge: 202 goes out after the commit.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": definitions["$defs"],
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(each: _Operation, refs: dict[type[BaseModel], Any]) -> dict[str, Any]:
    problem = {"description": "A problem.", "content": {MEDIA_TYPE: {"schema": refs[Problem]}}}
    content = {each.gives: {}} if isinstance(each.gives, str) else {"application/json": {"schema": refs[each.gives]}}
    found: dict[str, Any] = {
        "summary": each.summary,
        "operationId": _operation_id(each),
        "responses": {str(each.status): {"description": "Done.", "content": content}, "default": problem},
    }
    if each.scope:
        found["security"] = [{"token": [each.scope]}]
    if each.takes is not None:
        body = {"application/json": {"schema": refs[each.takes]}}
        found["requestBody"] = {"required": each.takes is not Anything, "content": body}
    if each.parameters:
        found["parameters"] = [
            {"in": place, "name": name, "required": place == "path", "schema": schema}
            for place, name, schema in each.parameters
        ]
    return found


def _operation_id(each: _Operation) -> str:
    words = [word.strip("{}") for word in each.path.split("/") if word and word not in ("api", "v1")]
    return "_".join([each.method, *words])


def text() -> str:
    """As it stands in the file."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(text(), encoding="utf-8")
