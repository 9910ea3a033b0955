"""The requests that the core and the modems can answer today, as handlers for `Requests`."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeVar

from hardware.pdu import PduError
from sms_bridge.core.errors import CoreError, StoreError
from sms_bridge.core.estimates import describe
from sms_bridge.core.model import InboxPage
from sms_bridge.core.selftest import Started
from sms_bridge.mqtt.requests import Handler, RequestError, answered, text_field, whole_field
from sms_bridge.payloads.orders import MAX_TEXT

T = TypeVar("T")

MAX_INBOX = 500  # messages of one answer


class QueryPort(Protocol):
    """What is asked of the core."""

    async def get(self, id: str) -> list[dict[str, Any]]:
        """The statuses of all orders of this id; empty: no such id."""

    async def cancel(self, id: str) -> tuple[list[dict[str, Any]], int]:
        """Cancel what has not been begun; the statuses after that (none: no such id), and how many that were."""

    async def resend(self, id: str, route: str | None = None) -> tuple[int, list[str]]:
        """Send orders of unknown fate, or that failed, once more; how many, and the ids of new ones. CoreError."""

    async def inbox(self, limit: int = 50, before: int | None = None) -> InboxPage:
        """Received messages, newest first."""

    def explain(self, to: str, parts: int) -> list[dict[str, Any]]:
        """Which modem would send it, and why not the others."""

    def plan(self, to: str, parts: int, **facts: Any) -> dict[str, Any]:
        """Which routes it would take, and why not the others."""


ModemAction = Callable[[str], Awaitable[Any]]
"""What is asked of the modem of that name. CoreError with a sentence."""

ModemStep = Callable[[str, str], Awaitable[Any]]
"""The modem's name, and the step of its recovery."""

Unlock = Callable[[str, str, str | None, bool], Awaitable[Any]]
"""The modem's name, a PIN, a PUK where the PIN is a new one, and whether the last attempt may be used."""

SelfTest = Callable[[str | None, str | None], Awaitable[Started]]


class UssdPort(Protocol):
    """USSD on the modem of that name; each returns `{"text": …, "session": "open" or "closed"}`. CoreError."""

    async def begin(self, modem: str, code: str) -> Any:
        """Send a code."""

    async def go_on(self, modem: str, reply: str) -> Any:
        """Reply to the menu that is open."""

    async def end(self, modem: str) -> Any:
        """Close it."""


def make_handlers(
    service: QueryPort,
    *,
    modems: Callable[[], Sequence[str]] = tuple,
    interview: ModemAction | None = None,
    reset: ModemStep | None = None,
    unlock: Unlock | None = None,
    remove: ModemAction | None = None,
    rename: Callable[[str, str], Awaitable[Any]] | None = None,
    balance: ModemAction | None = None,
    ussd: UssdPort | None = None,
    health: Callable[[], Awaitable[Any]] | None = None,
    restart: Callable[[], Awaitable[Any]] | None = None,
    self_test: SelfTest | None = None,
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
    if reset is not None:
        handlers["modem/reset"] = _step(reset, modems)
    if unlock is not None:
        handlers["sim/unlock"] = _unlock(unlock, modems)
    on_modem = {"interview": interview, "remove": remove, "balance": balance}
    for name, action in on_modem.items():
        if action is not None:
            handlers[f"modem/{name}"] = _on_modem(action, modems)
    if rename is not None:
        handlers["modem/rename"] = _rename(rename)
    if ussd is not None:
        handlers["modem/ussd"] = _ussd(ussd, modems)
    for name, plain in (("health_check", health), ("restart", restart)):
        if plain is not None:
            handlers[name] = _without_fields(plain)
    if self_test is not None:
        handlers["self_test"] = _self_test(self_test)
    return handlers


class _Questions:
    def __init__(self, service: QueryPort) -> None:
        self._service = service

    async def get(self, fields: dict[str, Any]) -> Any:
        id = text_field(fields, "id")
        return {"id": id, "orders": _known(id, await _stored(self._service.get(id)))}

    async def cancel(self, fields: dict[str, Any]) -> Any:
        id = text_field(fields, "id")
        orders, cancelled = await _stored(self._service.cancel(id))
        if not cancelled:
            _known(id, orders)
            raise RequestError(f"nothing of {_shown(id)} can be cancelled any more: it is {orders[0].get('state')}")
        return {"id": id, "cancelled": cancelled, "orders": orders}

    async def resend(self, fields: dict[str, Any]) -> Any:
        """What is unknown goes again; what failed becomes a new order, as what is final stays so."""
        id = text_field(fields, "id")
        route = text_field(fields, "route") if fields.get("route") is not None else None
        count, anew = await answered(self._service.resend(id, route))
        if not count and not anew:
            _known(id, await _stored(self._service.get(id)))
            raise RequestError(f"nothing of {_shown(id)} is unknown or failed: nothing is sent again")
        return {"id": id, "resent": count, "new_ids": anew}

    async def estimate(self, fields: dict[str, Any]) -> Any:
        """Parts and alphabet; with a recipient also which route and modem would be chosen, and why."""
        found = _estimate(fields)
        if fields.get("to") is not None:
            to, parts = text_field(fields, "to"), found["parts"]
            wanted: dict[str, Any] = {
                key: text_field(fields, key) for key in ("route", "modem") if fields.get(key) is not None
            }
            wanted["priority"] = whole_field(fields, "priority", 0, -128, 127) or 0
            if fields.get("flash") is True:
                wanted["kind"] = "flash"
            try:
                found["plan"] = self._service.plan(to, parts, **wanted)
                found["modems"] = self._service.explain(to, parts)
            except CoreError as error:
                raise RequestError(str(error), "invalid_number") from error
        return found

    async def inbox(self, fields: dict[str, Any]) -> Any:
        limit = whole_field(fields, "limit", 50, 1, MAX_INBOX)
        before = whole_field(fields, "before", None, 1, 2**62)
        page = await _stored(self._service.inbox(limit or 50, before))
        return {"messages": [json.loads(text) for text in page.messages], "next": page.next}


def _estimate(fields: dict[str, Any]) -> dict[str, Any]:
    text = text_field(fields, "text", "message", "content")
    encoding = fields.get("encoding") or "auto"
    if encoding not in ("auto", "gsm7", "ucs2"):
        raise RequestError('`encoding` must be "auto", "gsm7" or "ucs2"', "invalid_field")
    if len(text) > MAX_TEXT:
        raise RequestError(f"`text` has {len(text)} characters; the longest message has {MAX_TEXT}", "too_long")
    national = fields.get("national") or []
    if not isinstance(national, list) or not all(isinstance(name, str) for name in national):
        raise RequestError('`national` must be a list of languages, such as ["turkish"]', "invalid_field")
    language = text_field(fields, "language") if fields.get("language") is not None else None
    try:
        return describe(text, encoding, national, language)
    except (PduError, ValueError) as error:
        raise RequestError(f"the text cannot be encoded: {error}", "not_encodable") from error


def _on_modem(action: ModemAction, modems: Callable[[], Sequence[str]]) -> Handler:
    async def handler(fields: dict[str, Any]) -> Any:
        return await answered(action(_modem(fields, modems)))

    return handler


def _rename(action: Callable[[str, str], Awaitable[Any]]) -> Handler:
    async def handler(fields: dict[str, Any]) -> Any:
        return await action(text_field(fields, "from", "old", "modem"), text_field(fields, "to", "new", "name"))

    return handler


def _step(action: ModemStep, modems: Callable[[], Sequence[str]]) -> Handler:
    async def handler(fields: dict[str, Any]) -> Any:
        name = _modem(fields, modems)
        return await action(name, text_field(fields, "step") if "step" in fields else "auto")

    return handler


def _self_test(begin: SelfTest) -> Handler:
    async def handler(fields: dict[str, Any]) -> Any:
        sender, receiver = (
            text_field(fields, key) if fields.get(key) is not None else None for key in ("sender", "receiver")
        )
        started = await answered(begin(sender, receiver))
        return {"id": started.id, "sender": started.sender, "receiver": started.receiver}

    return handler


def _ussd(port: UssdPort, modems: Callable[[], Sequence[str]]) -> Handler:
    async def handler(fields: dict[str, Any]) -> Any:
        name = _modem(fields, modems)
        given = [key for key in ("code", "reply", "cancel") if fields.get(key) not in (None, False)]
        if len(given) != 1:
            raise RequestError(
                'give one of `code`, `reply` and `cancel`, such as {"modem": "stick-1", "code": "*100#"}'
            )
        if given == ["cancel"]:
            return await answered(port.end(name))
        text = text_field(fields, given[0])
        return await answered(port.begin(name, text) if given == ["code"] else port.go_on(name, text))

    return handler


def _unlock(action: Unlock, modems: Callable[[], Sequence[str]]) -> Handler:
    async def handler(fields: dict[str, Any]) -> Any:
        unknown = fields.keys() - {"modem", "id", "name", "pin", "puk", "force"}
        if unknown:
            raise RequestError(f"there is no field {_shown(min(unknown))} here; there are: modem, pin, puk, force")
        name, pin = _modem(fields, modems), _secret(fields, "pin")
        force = fields.get("force", False)
        if not isinstance(force, bool):
            raise RequestError("`force` must be true or false")
        if pin is None:
            raise RequestError("`pin` is missing: give it as text in quotes")
        return await action(name, pin, _secret(fields, "puk"), force)

    return handler


def _secret(fields: dict[str, Any], name: str) -> str | None:
    """A field that is never shown, not even when it is wrong."""
    value = fields.get(name)
    if value is not None and not isinstance(value, str):
        raise RequestError(f'`{name}` must be text in quotes, such as "0123": a number loses its zeros')
    return value


def _modem(fields: dict[str, Any], modems: Callable[[], Sequence[str]]) -> str:
    name = text_field(fields, "modem", "id", "name")
    if name not in modems():
        there = ", ".join(modems()) or "none"
        raise RequestError(f"there is no modem {_shown(name)}; there are: {there}")
    return name


def _without_fields(action: Callable[[], Awaitable[Any]]) -> Handler:
    async def handler(fields: dict[str, Any]) -> Any:
        return await action()

    return handler


async def _stored(waiting: Awaitable[T]) -> T:
    try:
        return await waiting
    except StoreError as error:
        raise RequestError(f"the journal does not answer: {error}", "unavailable") from error


def _known(id: str, orders: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if not orders:
        raise RequestError(f"there is no message with the id {_shown(id)}", "not_found")
    return orders


def _shown(text: str) -> str:
    return repr(text[:64])
