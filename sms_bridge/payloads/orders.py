"""The send request of the contract: from octets to `core.model.SendRequest`, or a rejection in words."""

from __future__ import annotations

import base64
import binascii
import difflib
import re
from typing import Annotated, Any, Literal

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    ValidationError,
)

from sms_bridge.core.events import to_json
from sms_bridge.core.model import AUTO, Rejection, SendRequest
from sms_bridge.core.states import OnUnknown
from sms_bridge.core.submission import MAX_SENDER, MAX_TRANSACTION
from sms_bridge.payloads import jsontext
from sms_bridge.payloads.asking import Escalation, ExpectReply
from sms_bridge.payloads.names import is_name

MAX_PAYLOAD = 1024 * 1024  # bytes; 39 015 emoji, escaped, are 468 kB
MAX_TEXT = 255 * 153  # characters; 255 parts of 153 septets (TS 23.040 9.2.3.24.1)
MAX_DATA = 255 * 134  # octets; 255 parts of 140 less 6 of header
MAX_ID = 128  # characters
MAX_NUMBER = 64  # characters, with whatever people put between digits, or an alias
MAX_RECIPIENTS = 1000
MAX_VALIDITY = 63 * 7 * 86_400  # seconds; what TP-VP can say (TS 23.040 9.2.3.12.1)

ALIASES = {
    "number": "to",
    "recipient": "to",
    "target": "to",
    "phoneNumbers": "to",
    "message": "text",
    "content": "text",
}


_ROUTE = re.compile(r"[a-z][a-z0-9]{0,15}:[a-z0-9_-]{1,32}")  # a kind and an account, such as smpp:backup


class Refused(Exception):
    """The payload is no order; `rejection` says why."""

    def __init__(self, rejection: Rejection) -> None:
        super().__init__(rejection.text)
        self.rejection = rejection


def _only_text(value: Any) -> Any:
    if isinstance(value, str):
        return value
    raise ValueError("no text")


When = Annotated[AwareDatetime, BeforeValidator(_only_text, json_schema_input_type=str)]


class SendOrder(BaseModel):
    """What an automation publishes to `sms/out`. `to` and `text` are enough."""

    model_config = ConfigDict(extra="forbid", title="Send request")

    id: StrictStr | None = Field(
        None, max_length=MAX_ID, description="yours, to find the statuses by; the same id twice sends once"
    )
    to: StrictStr | list[StrictStr] | None = Field(
        None,
        description="a number, @alias or #group, or a list; also read: number, recipient, target, phoneNumbers",
    )
    text: StrictStr | None = Field(None, max_length=MAX_TEXT, description="also read: message, content")
    modem: StrictStr = Field(AUTO, description="a modem's name, or auto")
    route: StrictStr = Field(AUTO, description="a route's name, or auto")
    flash: StrictBool = Field(False, description="class 0: shown at once, not stored")
    priority: Annotated[StrictInt, Field(ge=-128, le=127)] = Field(0, description="higher goes first")
    validity: Annotated[StrictInt, Field(gt=0, le=MAX_VALIDITY)] | None = Field(
        None, description="seconds for which the network tries to deliver"
    )
    send_at: When | None = Field(None, description="not before; RFC 3339 with an offset")
    deadline: When | None = Field(None, description="never sent after it; RFC 3339 with an offset")
    delivery_report: StrictBool = True
    on_unknown: Literal["hold", "resend", "failover"] = Field(
        "hold", description="what becomes of what may have been sent and was not confirmed"
    )
    encoding: Literal["auto", "gsm7", "ucs2"] = "auto"
    transliterate: StrictBool = Field(False, description="replace what costs a bigger alphabet")
    data: StrictStr | None = Field(None, description="base64, for an 8-bit message instead of a text")
    port: Annotated[StrictInt, Field(ge=0, le=65_535)] | None = Field(
        None, description="destination port, TS 23.040 9.2.3.24.4"
    )
    sender: StrictStr | None = Field(
        None, min_length=1, max_length=MAX_SENDER, description="the number or name to send from; SMPP routes only"
    )
    expect_reply: ExpectReply = Field(None, description="an answer is waited for, for so many seconds")
    escalate: Escalation = Field(None, description="what is done when it has come to nothing after some time")
    transaction: Any = Field(None, description="any JSON value, echoed in each status")


def parse_order(payload: bytes) -> SendRequest:
    """The request of `sms/out`. Raises Refused, and nothing else."""
    return _request(_object(payload), None, None)


def parse_modem_order(payload: bytes, modem: str) -> SendRequest:
    """The request of `sms/modem/<name>/out`, bound to that modem. Raises Refused, and nothing else."""
    return _request(_object(payload), None, modem)


def parse_recipient_order(payload: bytes, recipient: str) -> SendRequest:
    """The request of `sms/out/<recipient>`: the text itself, or a request without `to`. Raises Refused only."""
    _check_size(payload, recipient)
    if payload.lstrip()[:1] == b"{":
        try:
            found = jsontext.parse(payload)
        except jsontext.JsonError:
            found = None
        # Other JSON is a text that happens to be JSON: what holds neither a text nor data, or nothing that we know.
        if isinstance(found, dict) and (found.keys() & _CONTENT or found.keys() <= _KNOWN):
            if (given := next((key for key in found if ALIASES.get(key, key) == "to"), None)) is not None:
                text = f"the topic names the recipient already: leave out `{given}`"
                raise _refused("invalid_field", text, found, recipient)
            return _request(found, recipient, None)
    try:
        text = jsontext.decode(payload)
    except jsontext.JsonError as error:
        raise Refused(Rejection("invalid_text", f"the text is {error}", to=recipient)) from None
    return _request({"text": text}, recipient, None)


def short_key(payload: bytes) -> tuple[str | None, Any]:
    """The id and the transaction of a payload that is rejected unread, when they can be found cheaply."""
    if len(payload) > MAX_PAYLOAD:
        return None, None
    try:
        found = jsontext.parse(payload)
    except jsontext.JsonError:
        return None, None
    return (_safe_id(found), _safe_transaction(found)) if isinstance(found, dict) else (None, None)


_KNOWN = frozenset(SendOrder.model_fields) | frozenset(ALIASES)
_FIELDS = frozenset(SendOrder.model_fields)
_CONTENT = frozenset({"text", "message", "content", "data"})
_VALIDATE = SendOrder.model_validate
_EXPECTED = {
    "id": f"text of 1 to {MAX_ID} printable characters, in quotes",
    "to": 'a number in quotes such as "+36301234567", an "@alias", a "#group", or a list of them',
    "text": "text in quotes",
    "modem": 'a modem\'s name or "auto"',
    "route": 'a route\'s name or "auto"',
    "sender": f"a number or a name of 1 to {MAX_SENDER} characters, in quotes",
    "flash": "true or false",
    "priority": "a whole number from -128 to 127",
    "validity": f"a whole number of seconds from 1 to {MAX_VALIDITY}",
    "send_at": 'a time with its offset, such as "2026-11-22T20:00:00+01:00"',
    "deadline": 'a time with its offset, such as "2026-11-22T20:00:00+01:00"',
    "delivery_report": "true or false",
    "on_unknown": '"hold", "resend" or "failover"',
    "encoding": '"auto", "gsm7" or "ucs2"',
    "transliterate": "true or false",
    "data": "base64 in quotes",
    "port": "a whole number from 0 to 65535",
}


def _object(payload: bytes) -> dict[str, Any]:
    _check_size(payload, None)
    try:
        found = jsontext.parse(payload)
    except jsontext.JsonError as error:
        raise Refused(Rejection("invalid_json", f"the payload is {error}")) from None
    if not isinstance(found, dict):
        kind = "a list" if isinstance(found, list) else "a single value"
        raise Refused(
            Rejection("invalid_json", f'the payload is {kind}, not an object such as {{"to": "+36...", "text": "..."}}')
        )
    return found


def _check_size(payload: bytes, recipient: str | None) -> None:
    if len(payload) > MAX_PAYLOAD:
        text = f"the payload has {len(payload)} bytes; the most that is read is {MAX_PAYLOAD}"
        raise Refused(Rejection("payload_too_large", text, to=recipient))


def _request(found: dict[str, Any], recipient: str | None, modem: str | None) -> SendRequest:
    if not found.keys() <= _FIELDS:
        found = _renamed(found, recipient)
    try:
        order = _VALIDATE(found)
    except ValidationError as error:
        raise _from_validation(error, found, recipient) from None
    data = _content(order, found, recipient)
    to = (recipient,) if recipient is not None else _recipients(order.to, found)
    if order.id is not None and (not order.id or not order.id.isprintable()):
        raise _refused("invalid_field", f"`id` must be {_EXPECTED['id']}", found, recipient)
    return SendRequest(
        to=to,
        text=order.text if data is None else None,
        id=order.id,
        data=data,
        port=order.port,
        modem=_name("modem", order.modem, modem, found, recipient),
        route=_name("route", order.route, None, found, recipient),
        sender=order.sender,
        flash=order.flash,
        priority=order.priority,
        validity=order.validity,
        send_at=order.send_at,
        deadline=order.deadline,
        delivery_report=order.delivery_report,
        on_unknown=_ON_UNKNOWN[order.on_unknown],
        encoding=order.encoding,
        transliterate=order.transliterate,
        transaction=order.transaction,
        expect=order.expect_reply,
        escalate=order.escalate,
    )


_ON_UNKNOWN = {item.value: item for item in OnUnknown}


def _renamed(found: dict[str, Any], recipient: str | None) -> dict[str, Any]:
    """Old names replaced; raises Refused for unknown ones and for one thing said under two names."""
    result: dict[str, Any] = {}
    said: dict[str, str] = {}
    unknown = [key for key in found if key not in _KNOWN]
    if unknown:
        raise _refused("unknown_field", _unknown(unknown), found, recipient)
    for key, value in found.items():
        name = ALIASES.get(key, key)
        if name in said:
            text = f"`{said[name]}` and `{key}` say the same thing: give one of them"
            raise _refused("invalid_field", text, found, recipient)
        said[name] = key
        result[name] = value
    return result


def _unknown(keys: list[str]) -> str:
    shown = []
    for key in keys[:5]:
        close = difflib.get_close_matches(key[:40], sorted(_KNOWN), 1)
        shown.append(f"`{_printable(key)}`" + (f" (did you mean `{close[0]}`?)" if close else ""))
    more = f" and {len(keys) - 5} more" if len(keys) > 5 else ""
    return f"unknown field{'s' if len(keys) > 1 else ''} {', '.join(shown)}{more}"


def _content(order: SendOrder, found: dict[str, Any], recipient: str | None) -> bytes | None:
    """The octets of an 8-bit message, or None for a text that may be sent; raises Refused."""
    if order.data is not None:
        if order.text is not None:
            raise _refused("invalid_field", "give `text` or `data`, not both", found, recipient)
        try:
            data = base64.b64decode(order.data, validate=True)
        except (binascii.Error, ValueError):
            raise _refused("invalid_field", f"`data` must be {_EXPECTED['data']}", found, recipient) from None
        if not data:
            raise _refused("empty_text", "`data` is empty: there is nothing to send", found, recipient)
        if len(data) > MAX_DATA:
            raise _refused("too_long", f"`data` has {len(data)} octets; {MAX_DATA} fit", found, recipient)
        return data
    if order.text is None:
        raise _refused("no_text", "there is no `text` (nor `data`)", found, recipient)
    if not order.text:
        raise _refused("empty_text", "`text` is empty: there is nothing to send", found, recipient)
    if "\x00" in order.text:
        where = order.text.index("\x00")
        raise _refused("invalid_field", f"`text` has a NUL character at position {where}", found, recipient)
    return None


def _recipients(to: str | list[str] | None, found: dict[str, Any]) -> tuple[str, ...]:
    numbers = [to] if isinstance(to, str) else to or []
    if len(numbers) > MAX_RECIPIENTS:
        text = f"`to` has {len(numbers)} recipients; {MAX_RECIPIENTS} is the most, or make a group"
        raise _refused("invalid_field", text, found)
    result = []
    for number in numbers:
        if not number.isprintable() or len(number) > MAX_NUMBER:
            raise _refused("invalid_number", _bad_number(number), found)
        if number := number.strip():
            result.append(number)
    if not result:
        raise _refused("no_recipient", "there is no recipient: give `to`", found)
    return tuple(result)


def _bad_number(number: str) -> str:
    if len(number) > MAX_NUMBER:
        return f"a recipient of {len(number)} characters: no number is that long"
    bad = next(character for character in number if not character.isprintable())
    return f"a recipient has the invisible character U+{ord(bad):04X} in it: type it anew"


def _name(field: str, value: str, bound: str | None, found: dict[str, Any], recipient: str | None) -> str:
    if bound is not None:
        if value not in (AUTO, bound):
            text = f"the topic binds this to modem {bound}, but `{field}` says otherwise: leave it out"
            raise _refused("invalid_field", text, found, recipient)
        return bound
    if value != AUTO and not is_name(value) and not (field == "route" and _ROUTE.fullmatch(value)):
        raise _refused("invalid_field", f"`{field}` must be {_EXPECTED[field]}", found, recipient)
    return value


def _from_validation(error: ValidationError, found: dict[str, Any], recipient: str | None) -> Refused:
    problems = error.errors(include_url=False, include_context=False)
    first = problems[0]
    field = str(first["loc"][0]) if first["loc"] else ""
    if field == "text" and first["type"] == "string_too_long":
        text = f"`text` has {len(found['text'])} characters; the longest message has 255 parts, {MAX_TEXT} characters"
        return _refused("too_long", text, found, recipient)
    if field in ("expect_reply", "escalate"):
        return _refused("invalid_field", first["msg"].removeprefix("Value error, "), found, recipient)
    hint = ""
    if field == "to" and isinstance(found.get("to"), int | float):
        hint = ": put quotes around it, a number without them loses its + and its zeros"
    text = f"`{field}` must be {_EXPECTED.get(field, 'something else')}{hint}"
    if len(found) and len({str(problem["loc"][0]) for problem in problems if problem["loc"]}) > 1:
        others = sorted({f"`{problem['loc'][0]}`" for problem in problems if problem["loc"]} - {f"`{field}`"})
        text += f" (also wrong: {', '.join(others)})"
    return _refused("invalid_field", text, found, recipient)


def _refused(code: str, text: str, found: dict[str, Any], recipient: str | None = None) -> Refused:
    return Refused(
        Rejection(code, text, id=_safe_id(found), to=recipient or _safe_to(found), transaction=_safe_transaction(found))
    )


def _safe_id(found: dict[str, Any]) -> str | None:
    value = found.get("id")
    return value if isinstance(value, str) and 0 < len(value) <= MAX_ID and value.isprintable() else None


def _safe_to(found: dict[str, Any]) -> str | None:
    for key in ("to", *(alias for alias, name in ALIASES.items() if name == "to")):
        value = found.get(key)
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if isinstance(value, str) and value:
            return _printable(value[:MAX_NUMBER])
    return None


def _safe_transaction(found: dict[str, Any]) -> Any:
    value = found.get("transaction")
    if value is None or isinstance(value, (int, bool)):
        return value
    return value if len(to_json(value)) <= MAX_TRANSACTION else None


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "\ufffd" for character in text[:64])
