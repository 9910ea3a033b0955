"""Messages from the modem to the sink: read, stored there, and only then deleted (store, then acknowledge)."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from hardware.at import commands, parsers
from hardware.at.channel import AtChannel, Turn
from hardware.at.parsers import StoragePointer, StoredMessage
from hardware.at.types import AtCommandError, Urc
from hardware.errors import AtTimeout
from hardware.modem import timeouts
from hardware.modem.config import ModemConfig
from hardware.modem.interview import Storages
from hardware.modem.life import Life
from hardware.pdu import PduError, StatusReport, decode
from hardware.types import InboundSink, ReceivedPdu

__all__ = ["Inbox"]

_LOG = logging.getLogger(__name__)

NOT_FULL = 0.8  # of a storage: below it, that it is full is an event again
MOST_ROUTED = 500  # routed messages kept in memory while the sink refuses; they exist nowhere else
MOST_ANNOUNCED = 500  # more than any storage holds; a modem that says more is out of its mind
MOST_AT_ONCE = 10  # reads, and as many deletions, between two sends
MOST_SLOTS = 255  # of a storage, when each slot must be asked
INBOUND = (0, 1)  # <stat> of received messages; 2 and 3 are somebody's drafts and sent items (TS 27.005 3.1)


@dataclass(slots=True)
class _Item:
    """A message on its way; `index` is None for one that was routed and stands in no storage."""

    pdu: ReceivedPdu
    storage: str
    index: int | None
    counted: bool  # the modem's own count of its storage had it
    again: bool = False  # the sink had it before

    @property
    def key(self) -> tuple[str, int] | None:
        return None if self.index is None else (self.storage, self.index)


@dataclass(slots=True)
class _Slot:
    """What is known of a slot: the message in it, and whether the sink has that."""

    item: _Item
    stored: bool = False
    stored_at: float = 0.0  # loop time

    @property
    def raw(self) -> str:
        return self.item.pdu.raw


class Inbox:
    """One connection's inbound side. `run_reader` alone touches storages; `run_storer` alone talks to the sink."""

    def __init__(
        self, channel: AtChannel, config: ModemConfig, life: Life, sink: InboundSink, backlog: list[ReceivedPdu]
    ) -> None:
        self.lock = asyncio.Lock()  # storage selection is global to the modem (domain A5.7)
        self._channel = channel
        self._config = config
        self._life = life
        self._sink = sink
        self._storages: Storages | None = None  # None: not set up, nothing is read
        self._selected: str | None = None
        self._announced: dict[StoragePointer, None] = {}
        self._backlog = backlog  # routed messages that no session has brought to the sink yet
        self._fresh: list[_Item] = []
        self._storing: asyncio.Future[None] | None = None  # the sink's commit while it runs
        self._in_hand: list[ReceivedPdu] = []  # what of it was routed
        self._deletions: deque[_Item] = deque()
        self._slots: dict[tuple[str, int], _Slot] = {}
        self._unlisted: set[str] = set()  # storages whose +CMGL does not work (domain A5.4)
        self._sweep_at = 0.0
        self._refused_until = 0.0
        self._refusals = 0
        self._said_full = False
        self._work = asyncio.Event()
        self._hand = asyncio.Event()
        self._step_of: asyncio.Task[None] | None = None  # the reader, while it talks to the modem

    def begin(self, storages: Storages, *, lists: bool = True) -> None:
        """The modem is set up (anew): forget what was known of its slots, sweep them all. `lists`: by `+CMGL`."""
        self._storages = storages
        if not lists:
            self._unlisted.update(storages.all)
        self._selected = storages.home
        self._deletions.clear()
        self._slots.clear()
        self.sweep_soon()

    def pause(self) -> None:
        """The modem restarted: its settings, perhaps its SIM, are not what they were. `begin` ends it."""
        if self._step_of is not None:
            self._step_of.cancel()  # its question was lost with the restart; the deadline need not pass
            self._step_of = None
        self._storages = None
        self._selected = None
        self._deletions.clear()
        self._announced.clear()

    def announced(self, urc: Urc) -> None:
        """`+CMTI` or `+CDSI`: something was stored."""
        pointer = parsers.cmti(urc.text)
        if pointer is None:
            _LOG.warning("%s: not understood: %.40s", self._config.name, urc.text)
            self.sweep_soon()
            return
        if len(self._announced) < MOST_ANNOUNCED:
            self._announced[pointer] = None  # what is left out is met by the next sweep
        self._work.set()

    def routed(self, urc: Urc) -> None:
        """`+CMT` or `+CDS`: the message itself, in no storage; a crash before the commit loses it (domain A4.2)."""
        raw = urc.body[0].strip().upper() if urc.body else ""
        if not raw:
            _LOG.warning("%s: a routed message without its PDU", self._config.name)
            return
        self._take("", None, raw)

    def sweep_soon(self, delay: float = 0.0) -> None:
        """Look through all storages, `delay` seconds from now at the latest."""
        self._sweep_at = min(self._sweep_at, asyncio.get_running_loop().time() + delay)
        self._work.set()

    async def run_reader(self) -> None:
        """Announced messages first, then deletions, then sweeps; runs until cancelled or the port is lost."""
        while True:
            self._work.clear()
            task = self._step_of = asyncio.current_task()
            try:
                busy = await self._step()
            except asyncio.CancelledError:
                if self._step_of is not None or task is None or task.uncancel() > 0:
                    raise
                busy = False  # interrupted by `pause`
            except AtTimeout as error:
                # What was asked stays in its slot, and the next sweep meets it again.
                _LOG.warning("%s: %s", self._config.name, error)
                self.sweep_soon(timeouts.EMPTY_SLOT_RETRY)
                busy = False
            self._step_of = None
            if not busy:
                await self._rest()

    async def run_storer(self) -> None:
        """What was read goes to the sink, as one batch of all there is; runs until cancelled."""
        self._fresh[:0] = [_Item(pdu, "", None, counted=False) for pdu in self._backlog]
        self._backlog.clear()
        if self._fresh:
            self._hand.set()
        while True:
            await self._hand.wait()
            self._hand.clear()
            batch, self._fresh = self._fresh, []
            if not batch:
                continue
            try:
                await self._hand_over(batch)
            except Exception as error:  # whatever the sink's reason: nothing may be deleted
                self._refused(batch, error)
                await asyncio.sleep(self._refused_until - asyncio.get_running_loop().time())
                self._hand.set()
            else:
                self._stored(batch)

    async def finish(self) -> None:
        """The connection is over: a commit that runs may end, and what was routed is kept for the next one."""
        routed = [item.pdu for item in self._fresh if item.index is None]
        self._fresh.clear()
        if self._storing is not None:
            await asyncio.wait({self._storing}, timeout=timeouts.LAST_STORE)
            self._storing.cancel()
            done = self._storing.done() and not self._storing.cancelled() and self._storing.exception() is None
            if not done:
                routed[:0] = self._in_hand
        self._backlog.extend(routed[:MOST_ROUTED])

    async def _hand_over(self, batch: list[_Item]) -> None:
        """The sink's commit; raises what it raises. A lost connection does not cut it short: see `finish`."""
        self._in_hand = [item.pdu for item in batch if item.index is None]
        self._storing = asyncio.ensure_future(self._sink.store([item.pdu for item in batch]))
        try:
            async with asyncio.timeout(timeouts.STORE):
                await asyncio.shield(self._storing)
        except asyncio.CancelledError:
            raise  # the connection ended, the commit did not
        except BaseException:
            self._storing.cancel()
            self._storing = None
            raise
        self._storing = None

    async def _step(self) -> bool:
        """The most urgent piece of work; False when there is none."""
        storages = self._storages
        if storages is None:
            return False
        if self._deletions or self._may_read():
            await self._locked(storages, self._serve)
        elif self._sweep_is_due():
            await self._sweep(storages)
        elif self._selected != storages.home:
            await self._locked(storages, self._go_home)
        else:
            return False
        return True

    def _refusing(self) -> bool:
        """The sink takes nothing for a while, so nothing is read."""
        return asyncio.get_running_loop().time() < self._refused_until

    def _may_read(self) -> bool:
        return bool(self._announced) and not self._refusing()

    def _sweep_is_due(self) -> bool:
        return asyncio.get_running_loop().time() >= self._sweep_at and not self._refusing()

    async def _locked(self, storages: Storages, work: Callable[[Storages], Awaitable[None]]) -> None:
        """Do `work`, unless the modem was set up anew while the lock was not ours."""
        async with self.lock:
            if self._storages is storages:
                await work(storages)

    async def _serve(self, storages: Storages) -> None:
        """Announced messages, then deletions: several of both in one turn, as a busy modem sends between two turns.

        The sink's commit is not waited for: what it takes meanwhile is deleted here, the rest in a later turn.
        """
        loop = asyncio.get_running_loop()
        async with self._channel.turn() as turn:
            end = loop.time() + timeouts.INBOX_TURN
            reads = deletions = 0
            while loop.time() < end:  # no command begins later
                if self._may_read():
                    if reads == MOST_AT_ONCE:
                        break  # the rest is the next turn's first work, before any deletion
                    reads += 1
                    await self._read_next(turn, storages)
                elif deletions < MOST_AT_ONCE and self._deletions:
                    deletions += 1
                    await self._delete_next(turn, storages)
                else:
                    break

    async def _go_home(self, storages: Storages) -> None:
        try:
            async with self._channel.turn() as turn:
                await self._select(turn, storages, storages.home)
        except AtCommandError as error:
            _LOG.warning("%s: %s", self._config.name, error)
            self._selected = storages.home  # asked for again with the next sweep

    async def _rest(self) -> None:
        """Until there is work, or a sweep is due."""
        wait: float | None = None
        if self._storages is not None:
            due = max(self._sweep_at, self._refused_until)
            wait = max(0.0, due - asyncio.get_running_loop().time())
        try:
            async with asyncio.timeout(wait):
                await self._work.wait()
        except TimeoutError:
            pass

    async def _read_next(self, turn: Turn, storages: Storages) -> None:
        """One announced message; Huawei may name the wrong storage, so the home one is looked at too (domain A2.2)."""
        pointer = next(iter(self._announced))
        del self._announced[pointer]
        for storage in dict.fromkeys((pointer.storage, storages.home)):
            message = await self._slot(turn, storages, storage, pointer.index)
            if message is not None:
                if message.status in INBOUND or message.status is None:
                    self._take(storage, pointer.index, message.pdu)
                return
        self.sweep_soon(timeouts.EMPTY_SLOT_RETRY)

    async def _slot(self, turn: Turn, storages: Storages, storage: str, index: int) -> StoredMessage | None:
        """The message in a slot; None when it is empty or cannot be read."""
        try:
            await self._select(turn, storages, storage)
            answer = await turn.command(commands.read_message(index))
        except AtCommandError as error:
            _LOG.debug("%s: slot %s/%d: %s", self._config.name, storage, index, error.name)
            return None
        message = parsers.cmgr(answer.lines)
        return message if message is not None and message.pdu else None

    async def _delete_next(self, turn: Turn, storages: Storages) -> None:
        """One message that the sink has; only while its slot holds that very message."""
        item = self._deletions.popleft()
        key = item.key
        slot = self._slots.get(key) if key is not None else None
        if key is None or slot is None or not slot.stored or slot.raw != item.pdu.raw:
            return
        try:
            await self._select(turn, storages, item.storage)
            await turn.command(commands.delete_message(key[1]))
        except AtCommandError as error:
            if error.code not in (21, 321):  # an empty slot is what was wanted
                # It stays known, so it is not handed over again; the next sweep tries once more.
                _LOG.warning("%s: slot %s/%d: %s", self._config.name, *key, error)
                return
        self._slots.pop(key, None)
        count = self._life.status.storage
        if item.counted and item.storage == storages.home and count.used and count.total is not None:
            self._count(storages.home, count.used - 1, count.total)

    async def _sweep(self, storages: Storages) -> None:
        self._sweep_at = asyncio.get_running_loop().time() + self._config.sweep_interval
        for storage in storages.all:
            await self._locked(storages, partial(self._sweep_storage, storage))
            if self._announced:
                break  # a new message does not wait for the rest
        else:
            return
        self.sweep_soon()

    async def _sweep_storage(self, storage: str, storages: Storages) -> None:
        async with self._channel.turn() as turn:
            try:
                use = await self._select(turn, storages, storage, anew=True)
            except AtCommandError as error:
                _LOG.debug("%s: storage %s: %s", self._config.name, storage, error.name)
                return
            listed = None if storage in self._unlisted else await self._listing(turn, storage)
        if listed is None and (use is None or use.used > 0):
            listed = await self._scan(storages, storage, use)
        found = {}
        for message in listed or ():
            if message.index is not None and message.pdu:
                found[(storage, message.index)] = message.pdu
                if message.status in INBOUND or message.status is None:
                    self._take(storage, message.index, message.pdu, counted=True)
        if listed is not None:
            self._forget_gone(storage, found)
            self._delete_again(storage)

    async def _listing(self, turn: Turn, storage: str) -> list[StoredMessage] | None:
        """`+CMGL=4`; None when the modem does not list in PDU mode (domain A5.4)."""
        for _ in range(2):
            try:
                answer = await turn.command(commands.all_messages())
            except AtCommandError as error:
                if error.code in (303, 4):
                    self._unlisted.add(storage)
                return None
            listing = parsers.cmgl(answer.lines)
            if not listing.refused:
                return list(listing.messages)
            # Text mode came back, after a SIM refresh perhaps (domain A2.2).
            await turn.command(commands.message_format())
        _LOG.warning("%s: %s lists %d messages unreadably", self._config.name, storage, len(listing.refused))
        return None

    async def _scan(self, storages: Storages, storage: str, use: parsers.StorageUse | None) -> list[StoredMessage]:
        """Each slot by itself: from 0, as some modems count from there."""
        used, total = (use.used, use.total) if use is not None else (MOST_SLOTS, MOST_SLOTS)
        found: list[StoredMessage] = []
        loop = asyncio.get_running_loop()
        index, last = 0, min(total, MOST_SLOTS)
        while index <= last:
            async with self._channel.turn() as turn:
                end = loop.time() + timeouts.INBOX_TURN
                while index <= last and loop.time() < end:  # then a send may come in between
                    message = await self._slot(turn, storages, storage, index)
                    if message is not None:
                        found.append(StoredMessage(index, message.status, message.length, message.pdu))
                    if len(found) >= used or self._storages is not storages:
                        return found
                    index += 1
        return found

    async def _select(
        self, turn: Turn, storages: Storages, storage: str, *, anew: bool = False
    ) -> parsers.StorageUse | None:
        """Make `storage` the one to read; its use, when it was asked. Raises AtCommandError."""
        if self._selected == storage and not anew:
            return None
        self._selected = None
        answer = await turn.command(storages.select(storage))
        self._selected = storage
        use = next((u[0] for line in answer.lines if (u := parsers.cpms(line))), None)
        if use is not None and storage == storages.home:
            self._count(storage, use.used, use.total)
        return use

    def _count(self, storage: str, used: int, total: int) -> None:
        status = self._life.status.storage
        if (status.used, status.total) != (used, total):
            status.used, status.total = used, total
            self._life.changed()
            self._life.judge()
        if total > 0 and used >= total and not self._said_full:
            self._said_full = True
            self._life.event("storage_full", storage=storage, used=used, total=total)
        self._said_full = self._said_full and used >= NOT_FULL * total

    def _take(self, storage: str, index: int | None, raw: str, *, counted: bool = False) -> None:
        """A message was read: towards the sink, unless it is there already."""
        again = False
        if index is not None:
            slot = self._slots.get((storage, index))
            if again := slot is not None and slot.raw == raw:
                now = asyncio.get_running_loop().time()
                if not slot.stored or now - slot.stored_at < timeouts.OFFER_AGAIN:
                    return
        item = _Item(self._received(raw, storage, index), storage, index, counted, again)
        if index is not None:
            self._slots[(storage, index)] = _Slot(item)
        self._fresh.append(item)
        self._hand.set()

    def _received(self, raw: str, storage: str, index: int | None) -> ReceivedPdu:
        status = self._life.status
        pdu, error = None, None
        try:
            pdu = decode(raw)
        except PduError as problem:
            error = str(problem)
            _LOG.warning("%s: a message cannot be decoded: %s", self._config.name, error)
        return ReceivedPdu(
            raw=raw,
            pdu=pdu,
            error=error,
            storage=storage,
            index=index,
            imei=status.imei,
            iccid=status.iccid,
            modem=self._config.name,
            received_at=datetime.now(UTC),
        )

    def _stored(self, batch: Iterable[_Item]) -> None:
        """The sink has them: count, and delete what stands in a slot."""
        for item in batch:
            if not item.again and not isinstance(item.pdu.pdu, StatusReport):
                self._life.status.received += 1
            slot = self._slots.get(item.key) if item.key is not None else None
            if slot is not None and slot.raw == item.pdu.raw:
                slot.stored, slot.stored_at = True, asyncio.get_running_loop().time()
                if self._config.delete_after_read:
                    self._deletions.append(item)
        self._refusals = 0
        self._refused_until = 0.0
        self._life.fault("inbound", None)
        self._life.ok()
        self._life.changed()
        self._work.set()

    def _refused(self, batch: list[_Item], error: Exception) -> None:
        """The sink has none of them: they stay where they are, and are read again later."""
        self._refusals += 1
        delay = min(timeouts.SINK_BACKOFF_CAP, timeouts.SINK_BACKOFF_FIRST * 2 ** (self._refusals - 1))
        self._refused_until = asyncio.get_running_loop().time() + delay
        self._sweep_at = min(self._sweep_at, self._refused_until)
        for item in batch:
            if item.key is not None:
                self._slots.pop(item.key, None)
        kept = [item for item in batch if item.index is None]
        if len(kept) > MOST_ROUTED:
            _LOG.error("%s: %d routed messages are lost", self._config.name, len(kept) - MOST_ROUTED)
        self._fresh = kept[:MOST_ROUTED] + self._fresh
        reason = str(error) or type(error).__name__
        if self._refusals == 1:
            _LOG.error("%s: received messages are not stored: %s", self._config.name, reason)
            self._life.event("inbound_refused", reason=reason, waiting=len(batch))
        self._life.fault("inbound", "received messages cannot be stored; they stay in the modem")
        self._work.set()

    def _forget_gone(self, storage: str, found: dict[tuple[str, int], str]) -> None:
        """Slots that were emptied by somebody else; those still in hand are ours."""
        gone = [k for k, slot in self._slots.items() if k[0] == storage and k not in found and slot.stored]
        for key in gone:
            del self._slots[key]

    def _delete_again(self, storage: str) -> None:
        """Deletions that failed before, in a storage that was just seen to hold these very messages.

        Without that look another message may stand there by now: the answer was lost, not the deletion.
        """
        if not self._config.delete_after_read:
            return
        queued = {item.key for item in self._deletions}
        for key, slot in self._slots.items():
            if slot.stored and key[0] == storage and key not in queued:
                self._deletions.append(slot.item)
