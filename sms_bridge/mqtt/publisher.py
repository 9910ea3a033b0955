"""The journal's outbox to the broker: at least once, in order, bounded in flight (domain E5.4)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from sms_bridge.core.errors import StoreError
from sms_bridge.core.model import OutboxKind, OutboxRow
from sms_bridge.mqtt.connection import Connection, Session
from sms_bridge.mqtt.errors import LinkError
from sms_bridge.mqtt.topics import Topics

log = logging.getLogger(__name__)

HELD = 1000  # rows in memory; older ones wait in the journal
CHUNK = 500  # rows read from the journal at once
EXPRESS = 1000  # received messages that may overtake a backlog of statuses
FLOOD_WINDOW = 8  # statuses in flight while orders pour in: accepting comes first
RETRY_REFUSED = 60.0  # s until what the broker refused is offered again: an ACL may have been mended
# s that a status may wait: what a modem is to be told after the same commit goes first, and several statuses
# leave in one segment.
STATUS_PAUSE = 0.005
LAST_PERIOD = 0.5  # s between two payloads of one "last message" topic: only the newest counts
READ_RETRY = 2.0  # s until a journal that could not be read is asked again
OVERHEAD = 64  # bytes of a PUBLISH besides topic and payload


class OutboxPort(Protocol):
    """What the publisher needs of the journal."""

    def on_outbox(self, callback: Callable[[list[OutboxRow]], None]) -> None:
        """Tell `callback`, on the loop and after the commit, which rows were added."""

    async def outbox_after(self, seq: int, limit: int) -> list[OutboxRow]:
        """Unpublished rows beyond `seq`, in order."""

    def outbox_done(self, seqs: Sequence[int]) -> None:
        """These were published."""


class Publisher:
    """A source of the link. Statuses keep their order; received messages keep theirs and go first."""

    def __init__(
        self,
        journal: OutboxPort,
        topics: Topics,
        *,
        kick: Callable[..., None],
        flooded: Callable[[], bool] = lambda: False,
        publish_last: bool = True,
    ) -> None:
        self.published = 0
        self._journal = journal
        self._kick = kick
        self._flooded = flooded
        self._publish_last = publish_last
        self._topics = topics
        self._topic_of = {
            OutboxKind.STATUS: topics.status,
            OutboxKind.IN: topics.incoming,
            OutboxKind.RAW: topics.raw,
            OutboxKind.EVENT: topics.event,
        }
        self._queue: deque[OutboxRow] = deque()
        self._express: deque[OutboxRow] = deque()
        self._ahead: set[int] = set()  # express rows beyond `_loaded`, to be skipped when it gets there
        self._early: set[int] = set()  # rows that were read between their commit and their announcement
        self._flight: dict[int, OutboxRow] = {}
        self._statuses_in_flight = 0
        self._refused: list[OutboxRow] = []
        self._refusal_told = False  # on this connection
        self._refused_timer: asyncio.TimerHandle | None = None
        self._loaded = 0  # every row up to here is held, in flight or done
        self._newest = 0
        self._caught_up = False
        self._idle = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None
        self._done: list[int] = []
        self._done_due = False
        self._last: dict[str, tuple[int, str]] = {}
        self._last_due: set[str] = set()
        self._last_at: dict[str, float] = {}

    @property
    def waiting(self) -> int:
        """Rows that are known and not acknowledged by the broker."""
        return len(self._queue) + len(self._express) + len(self._flight) + len(self._refused)

    async def start(self) -> None:
        """Learn what was left unpublished; call it before the first commit of this process."""
        self._journal.on_outbox(self._added)
        self._fetch()

    async def stop(self, deadline: float = 0.0) -> bool:
        """Wait up to `deadline` seconds for the outbox to be empty; whether it is."""
        self._last_at.clear()
        self._kick()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(deadline):
                self._note_idle()
                await self._idle.wait()
        empty = not self.waiting and self._caught_up
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reader
        if self._refused_timer is not None:
            self._refused_timer.cancel()
        self._flush_done()
        return empty

    def link_up(self, connection: Connection, session: Session) -> None:
        self._refusal_told = False
        self._last_due.update(self._last)
        self._kick()

    def link_down(self) -> None:
        """What was not acknowledged goes out again, before all else and in its order."""
        for row in sorted(self._flight.values(), key=_seq, reverse=True):
            (self._queue if row.kind == OutboxKind.STATUS else self._express).appendleft(row)
        self._flight.clear()
        self._statuses_in_flight = 0

    def fill(self, connection: Connection) -> None:
        """From the link: there is room."""
        while self._express and connection.room > 0:
            self._publish(connection, self._express.popleft())
        limit = FLOOD_WINDOW if self._flooded() else connection.room + self._statuses_in_flight
        while self._queue and connection.room > 0 and self._statuses_in_flight < limit:
            self._publish(connection, self._queue.popleft())
        if self._last_due:
            self._fill_last(connection)
        if not self._caught_up and len(self._queue) < CHUNK // 2:
            self._fetch()

    def _fill_last(self, connection: Connection) -> None:
        now = asyncio.get_running_loop().time()
        for topic in list(self._last_due):
            wait = self._last_at.get(topic, 0.0) + LAST_PERIOD - now
            if wait > 0:
                self._kick(wait)
            elif connection.room > 0:
                self._last_due.discard(topic)
                self._last_at[topic] = now
                connection.publish(topic, self._last[topic][1], retain=True)

    def _added(self, rows: list[OutboxRow]) -> None:
        """From the journal, after a commit."""
        if not rows:
            return
        self._newest = rows[-1].seq
        if self._early:
            rows = [row for row in rows if row.seq not in self._early]
            self._early = {seq for seq in self._early if seq > self._newest}
        if not rows:
            return
        if self._caught_up and len(self._queue) + len(self._express) < HELD:
            for row in rows:
                (self._queue if row.kind == OutboxKind.STATUS else self._express).append(row)
            self._loaded = max(self._loaded, self._newest)
        else:
            self._caught_up = False
            for row in rows:
                if row.kind != OutboxKind.STATUS and len(self._express) < EXPRESS:
                    self._express.append(row)
                    self._ahead.add(row.seq)
        self._kick(0.0 if self._express else STATUS_PAUSE)

    def _fetch(self) -> None:
        if self._reader is None or self._reader.done():
            self._reader = asyncio.get_running_loop().create_task(self._read_journal(), name="mqtt-outbox")

    async def _read_journal(self) -> None:
        while True:
            known = self._newest
            try:
                rows = await self._journal.outbox_after(self._loaded, CHUNK)
                break
            except StoreError as error:
                log.error("the outbox cannot be read: %s", error)
            except Exception:
                log.exception("the outbox cannot be read")
            await asyncio.sleep(READ_RETRY)
        for row in rows:
            if row.seq in self._ahead:
                continue
            (self._queue if row.kind == OutboxKind.STATUS else self._express).append(row)
            if row.seq > self._newest:
                self._early.add(row.seq)
        if rows:
            self._loaded = max(self._loaded, rows[-1].seq)
        if len(rows) < CHUNK:
            # What was announced before the reading began, and is not in it, has been published already.
            self._loaded = max(self._loaded, known)
            self._caught_up = self._newest <= self._loaded
        self._ahead = {seq for seq in self._ahead if seq > self._loaded}
        self._note_idle()
        self._kick()

    def _publish(self, connection: Connection, row: OutboxRow) -> None:
        topic = self._topic_of.get(row.kind)
        limit = connection.session.max_packet if connection.session is not None else None
        if topic is None or (limit is not None and len(row.payload.encode()) + len(topic) + OVERHEAD > limit):
            reason = "is of an unknown kind" if topic is None else f"is larger than the broker takes ({limit} bytes)"
            log.error("outbox row %d (%s) %s: it will not be published", row.seq, row.kind, reason)
            self._mark_done(row.seq)
            return
        self._flight[row.seq] = row
        status = row.kind == OutboxKind.STATUS
        self._statuses_in_flight += status
        try:
            connection.publish(topic, row.payload, done=partial(self._acknowledged, connection, row))
        except LinkError:
            if connection.up:  # else `link_down` sees to it
                del self._flight[row.seq]
                self._statuses_in_flight -= status
                (self._queue if status else self._express).appendleft(row)
            raise
        self._note_last(row, status)

    def _acknowledged(self, connection: Connection, row: OutboxRow, ok: bool, reason: str) -> None:
        if not ok and not connection.up:
            return
        if self._flight.pop(row.seq, None) is None:
            return
        self._statuses_in_flight -= row.kind == OutboxKind.STATUS
        if ok:
            self.published += 1
            self._mark_done(row.seq)
            return
        if not self._refusal_told:
            self._refusal_told = True
            log.error(
                "the broker refused a message on %s (%s): give our user the right to publish there",
                self._topic_of[row.kind],
                reason,
            )
        if len(self._refused) < HELD:  # more than that stays in the journal for the next start
            self._refused.append(row)
        if self._refused_timer is None:
            self._refused_timer = asyncio.get_running_loop().call_later(RETRY_REFUSED, self._offer_again)

    def _offer_again(self) -> None:
        self._refused_timer = None
        rows, self._refused = self._refused, []
        for row in reversed(rows):
            (self._queue if row.kind == OutboxKind.STATUS else self._express).appendleft(row)
        self._kick()

    def _note_last(self, row: OutboxRow, status: bool) -> None:
        """Keep the newest received and the newest sent message for the retained topics."""
        if not self._publish_last or row.kind not in (OutboxKind.IN, OutboxKind.STATUS):
            return
        if status and not ('"sent"' in row.payload and _is_sent(row.payload)):
            return
        topic = self._topics.last_out if status else self._topics.last_in
        if row.seq >= self._last.get(topic, (0, ""))[0]:
            self._last[topic] = (row.seq, row.payload)
            self._last_due.add(topic)

    def _note_idle(self) -> None:
        if self._caught_up and not self.waiting:
            self._idle.set()
        else:
            self._idle.clear()

    def _mark_done(self, seq: int) -> None:
        self._done.append(seq)
        if not self._done_due:
            self._done_due = True
            asyncio.get_running_loop().call_soon(self._flush_done)

    def _flush_done(self) -> None:
        self._done_due = False
        if self._done:
            done, self._done = self._done, []
            self._journal.outbox_done(done)
        self._note_idle()


def _seq(row: OutboxRow) -> int:
    return row.seq


def _is_sent(payload: str) -> bool:
    try:
        return bool(json.loads(payload).get("state") == "sent")
    except (ValueError, AttributeError):
        return False
