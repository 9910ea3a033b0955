"""`sms/bridge/request/<name>` to `sms/bridge/response/<name>`: what a person or an automation asks of the bridge."""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from sms_bridge.core.errors import CoreError, StoreError
from sms_bridge.mqtt.client import Delivery
from sms_bridge.mqtt.connection import make_properties
from sms_bridge.mqtt.topics import Topics
from sms_bridge.payloads import jsontext
from sms_bridge.payloads.requests import REQUESTS, fields_of

log = logging.getLogger(__name__)

DEADLINE = 120.0  # s for one request; an interview of a slow modem takes a minute
MAX_AT_ONCE = 32
MAX_PAYLOAD = 64 * 1024  # bytes
KNOWN = frozenset(
    "health_check restart backup options modem/rename modem/options modem/remove modem/interview modem/reset "
    "modem/ussd modem/balance modem/at sim/unlock message/estimate message/cancel message/get message/resend "
    "inbox/list self_test pause resume "
    "contacts/list contacts/set contacts/remove groups/list groups/set groups/remove".split()
)
# Never obeyed when the broker delivers them again.
ONCE = frozenset(
    "restart message/resend modem/reset modem/ussd modem/balance modem/at sim/unlock self_test resume".split()
)

T = TypeVar("T")

Handler = Callable[[dict[str, Any]], Awaitable[Any]]
"""Takes the request's fields without `transaction`, returns `data`; raises RequestError with a sentence."""

Publish = Callable[[str, bytes, Properties | None], object]


class RequestError(Exception):
    """The request cannot be done; the text is for the person who asked, `code` is what HTTP makes a status of."""

    def __init__(self, text: str, code: str = "refused") -> None:
        super().__init__(text)
        self.code = code  # "refused", "invalid_field", "not_found", "unavailable"


class Requests:
    """Runs handlers, each with a deadline; answers always, raises never."""

    def __init__(self, topics: Topics, handlers: Mapping[str, Handler], publish: Publish) -> None:
        self._topics = topics
        self._handlers = handlers
        self._publish = publish
        self._tasks: set[asyncio.Task[None]] = set()

    def accept(self, name: str, message: Delivery) -> Callable[[], None] | None:
        """What to run once `message` is acknowledged; None: nothing, a retained request is never obeyed."""
        if message.retain:
            return None
        payload, again = message.payload, message.dup
        answer_to = message.properties.get("ResponseTopic")
        correlation = message.properties.get("CorrelationData")
        return lambda: self._begin(name, payload, again, answer_to, correlation)

    async def stop(self) -> None:
        """Cancel what is still running."""
        for task in list(self._tasks):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def _begin(self, name: str, payload: bytes, again: bool, topic: str | None, correlation: bytes | None) -> None:
        if len(self._tasks) >= MAX_AT_ONCE:
            log.warning("too many requests at once: one was dropped")
            return
        task = asyncio.get_running_loop().create_task(
            self._serve(name, payload, again, topic, correlation), name="mqtt-request"
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(
        self, name: str, payload: bytes, again: bool, topic: str | None, correlation: bytes | None
    ) -> None:
        fields: dict[str, Any] = {}
        try:
            fields = _fields(payload)
            answer = {"status": "ok", "data": await self._run(name, fields, again)}
            text = _json(answer, fields)
        except RequestError as error:
            text = _json({"status": "error", "error": str(error), "data": {}}, fields)
        except TimeoutError:
            text = _json({"status": "error", "error": f"not done within {DEADLINE:g} s", "data": {}}, fields)
        except Exception as error:
            log.exception("the request %s failed", name if name in KNOWN else "(unknown)")
            said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            text = _json({"status": "error", "error": f"this failed inside the bridge: {said}", "data": {}}, fields)
        # An unknown name has no response topic of its own: a topic is never built from what is not ours.
        self._publish(self._topics.response(name if name in KNOWN or name in self._handlers else "unknown"), text, None)
        if topic and _may_answer(topic, self._topics):
            properties = make_properties(PacketTypes.PUBLISH)
            if correlation is not None:
                properties.CorrelationData = correlation
            self._publish(topic, text, properties)

    async def _run(self, name: str, fields: dict[str, Any], again: bool) -> Any:
        handler = self._handlers.get(name)
        if handler is None:
            if name in KNOWN:
                raise RequestError(f"{name} is not available in this version or configuration")
            available = ", ".join(sorted(self._handlers)) or "none"
            raise RequestError(f"there is no such request; available: {available}")
        if again and name in ONCE:
            raise RequestError(f"the broker delivered this {name} again, it may have been done: ask anew if need be")
        _check_fields(name, fields)
        async with asyncio.timeout(DEADLINE):
            data = await handler({key: value for key, value in fields.items() if key != "transaction"})
        return {} if data is None else data


async def answered(waiting: Awaitable[T]) -> T:
    """What a person can mend is a sentence."""
    try:
        return await waiting
    except StoreError as error:
        raise RequestError(f"the journal does not answer: {error}", "unavailable") from error
    except CoreError as error:
        raise RequestError(f"{error}{f' ({error.hint})' if error.hint else ''}") from error


def text_field(fields: Mapping[str, Any], name: str, *aliases: str) -> str:
    """A field that must be a text; raises RequestError with a sentence."""
    for key in (name, *aliases):
        value = fields.get(key)
        if isinstance(value, str) and value:
            return value
    raise RequestError(f"`{name}` is missing: give it as text in quotes", "invalid_field")


def whole_field(fields: Mapping[str, Any], name: str, default: int | None, low: int, high: int) -> int | None:
    """A field that must be a whole number from `low` to `high`; raises RequestError with a sentence."""
    value = fields.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise RequestError(f"`{name}` must be a whole number from {low} to {high}", "invalid_field")
    return value


def _check_fields(name: str, fields: Mapping[str, Any]) -> None:
    """What a request does not know is not what was meant: say so instead of leaving it out."""
    kind = REQUESTS.get(name)
    if kind is None:
        return
    known = fields_of(kind.request)
    for key in fields:
        if key != "transaction" and key not in known:
            near = difflib.get_close_matches(key[:40], known, 1)
            there = f"did you mean `{near[0]}`?" if near else f"there are: {', '.join(sorted(known)) or 'none'}"
            raise RequestError(f"there is no field {key[:40]!a} here; {there}")


def _fields(payload: bytes) -> dict[str, Any]:
    if len(payload) > MAX_PAYLOAD:
        raise RequestError(f"the payload has {len(payload)} bytes; the most that is read is {MAX_PAYLOAD}")
    if not payload.strip():
        return {}
    try:
        found = jsontext.parse(payload)
    except jsontext.JsonError as error:
        raise RequestError(f"the payload is {error}") from None
    if not isinstance(found, dict):
        raise RequestError('the payload is no object: give {} or {"transaction": 1, ...}')
    return found


def _may_answer(topic: str, topics: Topics) -> bool:
    ours = topic == topics.base or topic.startswith(f"{topics.base}/")
    return not (ours or "+" in topic or "#" in topic or topic.startswith("$"))


def _json(answer: dict[str, Any], fields: dict[str, Any]) -> bytes:
    if "transaction" in fields:
        answer["transaction"] = fields["transaction"]
    return json.dumps(answer, ensure_ascii=False, separators=(",", ":"), default=str).encode("utf-8", "replace")
