"""Webhooks: what happens is posted to other programs, signed, in order, at least once; their answer may be a reply.

Each has a task of its own, so that one that never answers delays nobody.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol

from sms_bridge.core.errors import StoreError
from sms_bridge.core.model import OutboxKind, OutboxRow
from sms_bridge.web.delivery import Gone, Later, Post, Refused, Taken
from sms_bridge.web.replies import Replies
from sms_bridge.web.stream import KINDS

log = logging.getLogger(__name__)

CHUNK = 100  # rows read from the journal at once
FIRST_RETRY, LAST_RETRY = 1.0, 3600.0  # s
JITTER = 0.25  # of a wait, so that bridges that failed together do not come together
READ_RETRY = 5.0  # s until a journal that refused is asked again
TELL_AFTER = 6  # failures in a row, about a minute, after which a person is told
LOOK_EVERY = 8  # failures, after which the feed is looked at for being too long
PASSED = 1000  # rows that it does not want, after which it says that it has seen them, so that they can go
MOST_STUMBLES = 3  # mistakes of ours over one event
MOST_REFUSALS = 10  # of one event that the webhook calls wrong, over about 20 minutes, before it is given up
_EVENT_TYPE = len('{"event_type":"')


@dataclass(frozen=True, slots=True)
class Hook:
    """One webhook as it is configured. `events`: kinds of `stream.KINDS`, or states of orders."""

    name: str
    url: str = field(repr=False)
    events: frozenset[str]
    secret: str | None = field(default=None, repr=False)
    timeout: float = 10.0
    give_up: float = 3 * 86_400.0  # s
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    reply: bool = True

    def wants(self, row: OutboxRow) -> bool:
        kind = KINDS.get(row.kind, "")
        if row.kind == OutboxKind.EVENT and f'"webhook":"{self.name}"' in row.payload:
            return False  # about itself: one that refuses them would make another each time
        if kind in self.events:
            return True
        return row.kind == OutboxKind.STATUS and _event_type(row.payload) in self.events

    @property
    def kinds(self) -> frozenset[str]:
        """The rows of the outbox that it may want."""
        named = {kind for kind, name in KINDS.items() if name in self.events}
        return frozenset(named | ({OutboxKind.STATUS} if self.events - set(KINDS.values()) else set()))


class FeedPort(Protocol):
    """What is needed of the journal. StoreError."""

    @property
    def id(self) -> str:
        """What event ids begin with."""

    @property
    def silent_up_to(self) -> int:
        """Up to this row nothing that a webhook answers is sent."""

    async def after(self, seq: int, limit: int) -> list[OutboxRow]:
        """Rows beyond `seq`, in order."""

    def seen(self, name: str, seq: int) -> None:
        """This webhook has everything up to `seq`; recorded lazily."""

    async def disable(self, name: str, now: int, event: str, data: Mapping[str, Any]) -> None:
        """Tell it nothing more, and say so."""

    async def skip(self, name: str, seq: int, before: int, now: int) -> tuple[int, int]:
        """Give up what is too old or too much; where it stands then, and how many were given up."""


Tell = Callable[[str, Mapping[str, Any]], Any]
"""An event of the bridge, durably. StoreError."""


class Webhook:
    """Posts to one address, one event at a time; runs until it is cancelled or answered 410 Gone."""

    def __init__(
        self, hook: Hook, seen: int, feed: FeedPort, post: Post, replies: Replies, tell: Tell, now: Callable[[], int]
    ) -> None:
        self.hook = hook
        self.figures = {"delivered": 0.0, "failures": 0.0, "given_up": 0.0, "disabled": 0.0}
        self._seen = seen
        self._feed = feed
        self._post = post
        self._replies = replies
        self._tell = tell
        self._now = now
        self._news = asyncio.Event()
        self._at = self._stumbled_at = 0  # the row that is being delivered; the one at which we failed
        self._stumbles = 0
        self._passed = 0  # rows since it was woken last
        self._failed = 0  # in a row
        self._reason = ""  # of the last failure
        self._failing_since: float | None = None  # loop time

    def added(self, rows: Collection[OutboxRow]) -> None:
        """From the journal, after a commit."""
        self._passed += len(rows)
        if self._passed >= PASSED or any(map(self.hook.wants, rows)):
            self._passed = 0
            self._news.set()

    def failing(self, now: float) -> float:
        """For how many seconds it has not worked."""
        return now - self._failing_since if self._failing_since is not None else 0.0

    @property
    def warning(self) -> str:
        """What is wrong with it, as a sentence; empty while it works."""
        if self.figures["disabled"]:
            return f"the webhook {self.hook.name} has answered 410 Gone: change its url, or remove it"
        if self._failed >= TELL_AFTER:
            return f"the webhook {self.hook.name} does not work: {self._reason}"
        return ""

    async def run(self) -> None:
        while not self.figures["disabled"]:
            try:
                self._news.clear()
                rows = await self._feed.after(self._seen, CHUNK)
                if not rows:
                    await self._news.wait()
                    continue
                await self._take(rows)
            except StoreError as error:
                log.error("the webhook %s waits for the journal: %s", self.hook.name, error)
                await asyncio.sleep(READ_RETRY)
            except Exception:
                log.exception("the webhook %s failed inside the bridge and goes on", self.hook.name)
                self._stumble()
                await asyncio.sleep(READ_RETRY)

    def _stumble(self) -> None:
        """A mistake of ours over one row must not bar those behind it for ever."""
        self._stumbles = self._stumbles + 1 if self._stumbled_at == self._at else 1
        self._stumbled_at = self._at
        if self._stumbles >= MOST_STUMBLES:
            self._seen = max(self._seen, self._at)
            self.figures["given_up"] += 1

    async def _take(self, rows: Sequence[OutboxRow]) -> None:
        for row in rows:
            self._at = row.seq
            if self.hook.wants(row) and not await self._deliver(row):
                return  # disabled, or what it missed was given up: look at the feed anew
            self._seen = row.seq
            if self.hook.wants(row):
                self._feed.seen(self.hook.name, row.seq)
        self._feed.seen(self.hook.name, self._seen)

    async def _deliver(self, row: OutboxRow) -> bool:
        """True: this row is done with."""
        event_id, refusals = f"{self._feed.id}-{row.seq}", 0
        event = KINDS[row.kind]
        body = f'{{"id":"{event_id}","event":"{event}","data":{row.payload}}}'.encode("utf-8", "replace")
        while True:
            outcome = await self._post(self.hook.url, body, event_id=event_id, event=event, hook=self.hook)
            match outcome:
                case Taken(answer):
                    if row.kind == OutboxKind.IN and self.hook.reply and row.seq > self._feed.silent_up_to:
                        await self._replies.take(self.hook.name, event_id, row.payload, answer)
                    await self._worked()
                    self.figures["delivered"] += 1
                    return True
                case Gone():
                    name = self.hook.name
                    await self._feed.disable(name, self._now(), "webhook_disabled", {"webhook": name})
                    self.figures["disabled"] = 1
                    log.warning("the webhook %s answered 410 Gone and is told nothing more", name)
                    return False
                case Refused(reason) if (refusals := refusals + 1) >= MOST_REFUSALS:
                    self.figures["given_up"] += 1
                    self._failed, self._failing_since = 0, None  # it answers: the next event begins anew
                    await self._tell("webhook_dropped", {"webhook": self.hook.name, "events": 1, "reason": reason})
                    return True
                case Refused(reason):
                    await self._wait(reason, None)
                case Later(reason, wait):
                    await self._wait(reason, wait)
                    if await self._give_up():
                        return False

    async def _wait(self, reason: str, asked: float | None) -> None:
        """After a failure: the longer it has failed the longer, and at least as long as it asked for."""
        self.figures["failures"] += 1
        self._failed += 1
        self._reason = reason
        if self._failing_since is None:
            self._failing_since = asyncio.get_running_loop().time()
        if self._failed == TELL_AFTER:
            log.warning("the webhook %s does not work: %s", self.hook.name, reason)
            await self._tell("webhook_failing", {"webhook": self.hook.name, "reason": reason})
        await asyncio.sleep(pause(self._failed, asked, random.uniform(-JITTER, JITTER)))

    async def _worked(self) -> None:
        told, self._failed, self._failing_since = self._failed >= TELL_AFTER, 0, None
        if told:
            log.warning("the webhook %s works again", self.hook.name)
            await self._tell("webhook_working", {"webhook": self.hook.name})

    async def _give_up(self) -> bool:
        """Whether rows were given up: the journal's clock alone may have jumped, so it must have failed as long too."""
        before = 0
        if self.failing(asyncio.get_running_loop().time()) >= self.hook.give_up:
            before = self._now() - round(self.hook.give_up * 1000)
        elif self._failed % LOOK_EVERY:
            return False
        self._seen, count = await self._feed.skip(self.hook.name, self._seen, before, self._now())
        self.figures["given_up"] += count
        if count:
            log.error("the webhook %s did not take %d events: they are given up", self.hook.name, count)
        return count > 0


class Webhooks:
    """All of them: started, told, stopped together."""

    def __init__(self, webhooks: Sequence[Webhook]) -> None:
        self._webhooks = webhooks
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._tasks = [asyncio.create_task(each.run(), name=f"webhook-{each.hook.name}") for each in self._webhooks]

    async def stop(self) -> None:
        """What is under way is posted again next time. Idempotent."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def added(self, rows: Collection[OutboxRow]) -> None:
        """From the journal, after a commit."""
        for each in self._webhooks:
            each.added(rows)

    def warnings(self) -> list[str]:
        """What a person should know, as sentences."""
        return [text for each in self._webhooks if (text := each.warning)]

    def figures(self) -> dict[str, dict[str, float]]:
        """Of each by its name, for `/metrics`."""
        now = asyncio.get_running_loop().time()
        return {each.hook.name: {**each.figures, "failing": each.failing(now)} for each in self._webhooks}


def pause(failures: int, asked: float | None, jitter: float) -> float:
    """Seconds to wait after so many failures in a row; `asked` is what the other side said, `jitter` a fraction."""
    wait = min(LAST_RETRY, FIRST_RETRY * 2.0 ** min(failures - 1, 12)) * (1 + jitter)
    return min(LAST_RETRY, max(wait, asked or 0.0))


def _event_type(payload: str) -> str:
    return payload[_EVENT_TYPE : payload.index('"', _EVENT_TYPE)]
