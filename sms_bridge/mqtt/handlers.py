"""The requests that the core and the modems can answer today, as handlers for `Requests`."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeVar

from hardware.pdu import PduError, estimate
from sms_bridge.core.errors import CoreError, StoreError
from sms_bridge.mqtt.payloads import MAX_TEXT
from sms_bridge.mqtt.requests import Handler, RequestError, text_field, whole_field

T = TypeVar("T")

MAX_INBOX = 500  # messages of one answer


class QueryPort(Protocol):
    """What is asked of the core."""

    async def get(self, id: str) -> list[dict[str, Any]]:
        """The statuses of all orders of this id; empty: no such id."""

    async def cancel(self, id: str) -> list[dict[str, Any]]:
        """Cancel what has not been begun; the statuses after that; empty: no such id."""

    async def resend(self, id: str) -> int:
        """Send orders of unknown fate once more; how many."""

    async def inbox(self, limit: int = 50, before: int | None = None) -> list[str]:
        """Received messages as JSON texts, newest first."""

    def explain(self, to: str, parts: int) -> list[dict[str, Any]]:
        """Which modem would send it, and why not the others."""


ModemAction = Callable[[str], Awaitable[Any]]


def make_handlers(
    service: QueryPort,
    *,
    modems: Callable[[], Sequence[str]] = tuple,
    interview: ModemAction | None = None,
    reset: ModemAction | None = None,
    remove: ModemAction | None = None,
    rename: Callable[[str, str], Awaitable[Any]] | None = None,
    health: Callable[[], Awaitable[Any]] | None = None,
    restart: Callable[[], Awaitable[Any]] | None = None,
) -> dict[str, Handler]:
    """Handlers for what there is; a request without one is answered with a sentence."""
    questions = _Questions(service)
    handlers: dict[str, Handler] = {
        "message/get": questions.get,
        "message/cancel": questions.cancel,
        "message/resend": questions.resend,
        "message/estimate": questions.estimate,
        "inbox/list": questions.inbox,
    }
    for name, action in (("modem/interview", interview), ("modem/reset", reset), ("modem/remove", remove)):
        if action is not None:
            handlers[name] = _on_modem(action, modems)
    if rename is not None:
        handlers["modem/rename"] = _rename(rename)
    for name, plain in (("health_check", health), ("restart", restart)):
        if plain is not None:
            handlers[name] = _without_fields(plain)
    return handlers


class _Questions:
    def __init__(self, service: QueryPort) -> None:
        self._service = service

    async def get(self, fields: dict[str, Any]) -> Any:
        id = text_field(fields, "id")
        return {"id": id, "orders": _known(id, await _stored(self._service.get(id)))}

    async def cancel(self, fields: dict[str, Any]) -> Any:
        id = text_field(fields, "id")
        orders = _known(id, await _stored(self._service.cancel(id)))
        cancelled = sum(order.get("state") == "cancelled" for order in orders)
        if not cancelled:
            raise RequestError(f"nothing of {_shown(id)} can be cancelled any more: it is {orders[0].get('state')}")
        return {"id": id, "cancelled": cancelled, "orders": orders}

    async def resend(self, fields: dict[str, Any]) -> Any:
        id = text_field(fields, "id")
        count = await _stored(self._service.resend(id))
        if not count:
            _known(id, await _stored(self._service.get(id)))
            raise RequestError(f"nothing of {_shown(id)} is in the state unknown: nothing is sent again")
        return {"id": id, "resent": count}

    async def estimate(self, fields: dict[str, Any]) -> Any:
        """Parts and alphabet; with a recipient also which modem would be chosen, and why."""
        found = _estimate(fields)
        if fields.get("to") is not None:
            try:
                found["modems"] = self._service.explain(text_field(fields, "to"), found["parts"])
            except CoreError as error:
                raise RequestError(str(error)) from error
        return found

    async def inbox(self, fields: dict[str, Any]) -> Any:
        limit = whole_field(fields, "limit", 50, 1, MAX_INBOX)
        before = whole_field(fields, "before", None, 1, 2**62)
        found = await _stored(self._service.inbox(limit or 50, before))
        return {"messages": [json.loads(text) for text in found]}


def _estimate(fields: dict[str, Any]) -> dict[str, Any]:
    text = text_field(fields, "text", "message", "content")
    encoding = fields.get("encoding") or "auto"
    if encoding not in ("auto", "gsm7", "ucs2"):
        raise RequestError('`encoding` must be "auto", "gsm7" or "ucs2"')
    if len(text) > MAX_TEXT:
        raise RequestError(f"`text` has {len(text)} characters; the longest message has {MAX_TEXT}")
    try:
        found = estimate(text, encoding=encoding)
    except (PduError, ValueError) as error:
        raise RequestError(f"the text cannot be encoded: {error}") from error
    return {
        "encoding": found.encoding,
        "parts": found.segments,
        "units": found.units,
        "per_part": found.per_segment,
        "ucs2_characters": list(found.ucs2_characters),
    }


def _on_modem(action: ModemAction, modems: Callable[[], Sequence[str]]) -> Handler:
    async def handler(fields: dict[str, Any]) -> Any:
        name = text_field(fields, "modem", "id", "name")
        if name not in modems():
            there = ", ".join(modems()) or "none"
            raise RequestError(f"there is no modem {_shown(name)}; there are: {there}")
        return await action(name)

    return handler


def _rename(action: Callable[[str, str], Awaitable[Any]]) -> Handler:
    async def handler(fields: dict[str, Any]) -> Any:
        return await action(text_field(fields, "from", "old", "modem"), text_field(fields, "to", "new", "name"))

    return handler


def _without_fields(action: Callable[[], Awaitable[Any]]) -> Handler:
    async def handler(fields: dict[str, Any]) -> Any:
        return await action()

    return handler


async def _stored(waiting: Awaitable[T]) -> T:
    try:
        return await waiting
    except StoreError as error:
        raise RequestError(f"the journal does not answer: {error}") from error


def _known(id: str, orders: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if not orders:
        raise RequestError(f"there is no message with the id {_shown(id)}")
    return orders


def _shown(text: str) -> str:
    return repr(text[:64])
