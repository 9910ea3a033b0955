"""A webhook's answer to a received message may be a message: `{"reply": "…"}`, or `{"to": "…", "text": "…"}`."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Mapping
from typing import Any

from sms_bridge.core.events import to_json
from sms_bridge.core.model import Accepted
from sms_bridge.payloads import jsontext, orders
from sms_bridge.web.orders import SubmitPort

log = logging.getLogger(__name__)

MOST, WINDOW = 10, 3600.0  # replies to one recipient within so many seconds: two machines must not talk for ever
RECIPIENTS = 1000  # that are remembered

Tell = Callable[[str, Mapping[str, Any]], Any]


class Replies:
    """Makes orders of answers. The id follows from the event: an event that is told twice is answered once."""

    def __init__(
        self,
        service: SubmitPort,
        tell: Tell,
        own_numbers: Callable[[], Collection[str]],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._service = service
        self._tell = tell
        self._own_numbers = own_numbers
        self._now = now
        self._sent: OrderedDict[str, deque[float]] = OrderedDict()

    async def take(self, webhook: str, event_id: str, received: str, answer: bytes) -> None:
        """Send what `answer` says, if it says something. StoreError: it must be asked again."""
        sender = jsontext.parse(received.encode()).get("from")
        order = _order(answer, sender)
        if order is None:
            return
        try:
            request = orders.parse_order(to_json({"id": f"reply-{webhook}-{event_id}", **order}).encode())
        except orders.Refused as refused:
            await self._refuse(webhook, refused.rejection.code)
            return
        if sender in self._own_numbers() and set(request.to) == {sender}:
            await self._refuse(webhook, "loop")  # from a modem of ours: the answer would be answered
            return
        key = " ".join(request.to)
        if self._too_many(key):
            await self._refuse(webhook, "too_many_replies")
            return
        request.source = f"webhook:{webhook}"
        outcome = (await self._service.submit([request]))[0]
        if not isinstance(outcome, Accepted):
            await self._refuse(webhook, outcome.rejections[0].code)
        elif not outcome.repeated:
            self._count(key)

    async def _refuse(self, webhook: str, code: str) -> None:
        log.warning("an answer of the webhook %s is not sent: %s", webhook, code)
        await self._tell("webhook_reply_refused", {"webhook": webhook, "code": code})

    def _too_many(self, key: str) -> bool:
        times = self._sent.get(key)
        return times is not None and len(times) == MOST and self._now() - times[0] < WINDOW

    def _count(self, key: str) -> None:
        times = self._sent.pop(key, None) or deque(maxlen=MOST)
        times.append(self._now())
        self._sent[key] = times
        if len(self._sent) > RECIPIENTS:
            self._sent.popitem(last=False)


def _order(answer: bytes, sender: Any) -> dict[str, Any] | None:
    """Whom and what; None: the answer asks for nothing. Other fields are the webhook's own business."""
    try:
        found = jsontext.parse(answer)
    except jsontext.JsonError:
        return None  # many answer "OK"
    if not isinstance(found, dict):
        return None
    if found.get("reply"):
        return {"to": sender, "text": found["reply"]}
    if found.get("to") and found.get("text"):
        return {"to": found["to"], "text": found["text"]}
    return None
