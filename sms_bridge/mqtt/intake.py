"""Orders from the broker to the core: read, commit, and only then PUBACK, in the order of arrival (domain E5.1)."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import os
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from sms_bridge.core.errors import StoreError
from sms_bridge.core.model import Accepted, Rejected, Rejection, SendRequest
from sms_bridge.mqtt.client import Delivery
from sms_bridge.mqtt.connection import Connection, Session, make_properties
from sms_bridge.mqtt.topics import Incoming, Kind, Topics
from sms_bridge.payloads import orders

log = logging.getLogger(__name__)

HIGH, LOW = 400, 50  # unacknowledged orders: stop reading, read again (the broker's window is no back-pressure)
BATCH = 256  # orders of one commit, so that no batch holds the loop for more than a few milliseconds
FIRST_RETRY, LAST_RETRY = 1.0, 30.0  # s until orders that could not be committed are asked for again
STOP_DEADLINE = 10.0  # s for the commit under way; an SD card that takes longer is broken
EPOCH_BYTES = 9
MAX_EXPIRY = 100 * 366 * 86_400  # seconds; MQTT allows 136 years, a calendar of ours less


class SubmitPort(Protocol):
    """What the intake needs of the core."""

    async def submit(self, batch: list[SendRequest]) -> list[Accepted | Rejected]:
        """Resolves after one durable commit of all of `batch`; raises, and then nothing of it was committed."""

    async def reject(self, rejection: Rejection) -> None:
        """Make a `rejected` status, durably."""


@dataclass(slots=True, eq=False)
class _Item:
    """One PUBLISH between its arrival and its PUBACK."""

    connection: Connection
    mid: int
    qos: int
    work: SendRequest | Rejection | None  # None: nothing to commit, only to acknowledge
    then: Callable[[], None] | None = None  # run once it is acknowledged
    digest: str | None = None
    expires: float | None = None  # loop time; no clock has a say in it
    response_topic: str | None = None
    correlation: bytes | None = None


class Intake:
    """Takes `sms/out`, `sms/out/<recipient>` and `sms/modem/<name>/out`."""

    def __init__(
        self,
        service: SubmitPort,
        topics: Topics,
        *,
        epoch_file: Path,
        drop: Callable[[str], None],
        respond: Callable[[str, bytes, Properties], object],
    ) -> None:
        self.unacked = 0
        self.taken = 0
        self._service = service
        self._topics = topics
        self._drop = drop
        self._respond = respond
        self._epoch_file = epoch_file
        self._epoch = ""  # the name of the broker's session
        self._epoch_kept = False  # it stands in the file
        self._epoch_due: bool | None = None  # a connection waits for its name; True: for a new one
        self._epoch_ready = asyncio.Event()
        self._epoch_task: asyncio.Task[None] | None = None
        self._queue: deque[_Item] = deque()
        self._arrived = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None
        self._stopping = False
        self._stop = asyncio.Event()
        self._paused: Connection | None = None
        self._breath: asyncio.TimerHandle | None = None
        self._retry = FIRST_RETRY

    @property
    def flooded(self) -> bool:
        """Whether so much comes in that statuses should wait."""
        return self.unacked > LOW

    async def start(self) -> None:
        if self._worker is None:
            self._stopping = False
            self._stop.clear()
            self._worker = asyncio.create_task(self._run(), name="mqtt-intake")

    async def stop(self, deadline: float = STOP_DEADLINE) -> None:
        """Take no further order; what is being committed is still acknowledged, the rest comes again next time."""
        self._stopping = True
        self._stop.set()
        self._arrived.set()
        self._epoch_ready.set()
        worker, self._worker = self._worker, None
        if worker is not None:
            _, late = await asyncio.wait({worker}, timeout=deadline)
            if late:
                log.error("orders are still being committed after %g s: they will come again", deadline)
                worker.cancel()
                await asyncio.wait({worker})
        if self._epoch_task is not None:
            self._epoch_task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._epoch_task
        self._resume()

    def link_up(self, connection: Connection, session: Session) -> None:
        """A connection stands: packet ids mean something within `session` only."""
        self._forget()
        self._epoch_ready.clear()
        self._epoch_due = bool(self._epoch_due) or not session.present
        if self._epoch_task is None or self._epoch_task.done():
            self._epoch_task = asyncio.create_task(self._name_epochs(), name="mqtt-epoch")

    def link_down(self) -> None:
        """What is not committed yet will be sent again by the broker."""
        self._forget()

    def message(self, connection: Connection, message: Delivery, parsed: Incoming) -> None:
        """One PUBLISH of an order; never blocks."""
        if not self._stopping:
            self.taken += 1
            self._put(connection, self._item(connection, message, parsed))

    def passing(self, connection: Connection, message: Delivery, then: Callable[[], None]) -> None:
        """Something that is no order: run `then` after all orders before it are durable, and it is acknowledged."""
        if not self._stopping:
            self._put(connection, _Item(connection, message.mid, message.qos, None, then))

    def _put(self, connection: Connection, item: _Item) -> None:
        self._queue.append(item)
        self.unacked += 1
        self._arrived.set()
        if self.unacked >= HIGH and self._paused is None:
            self._pause(connection)

    def _item(self, connection: Connection, message: Delivery, parsed: Incoming) -> _Item:
        item = _Item(connection, message.mid, message.qos, None)
        payload, properties = message.payload, message.properties
        item.work = self._work(parsed, payload, message.retain)
        if "ResponseTopic" in properties:
            self._answer_to(item, properties)
        if not isinstance(item.work, SendRequest):
            return item
        if item.work.id is None and message.qos:
            # The same text again may be meant: only the same delivery is recognised, by the broker's packet id.
            item.digest = hashlib.blake2b(message.topic + b"\0" + payload, digest_size=12).hexdigest()
        item.work.redelivered = message.dup
        if "MessageExpiryInterval" in properties:
            lifetime = min(properties["MessageExpiryInterval"], MAX_EXPIRY)
            item.expires = asyncio.get_running_loop().time() + lifetime
        return item

    def _work(self, parsed: Incoming, payload: bytes, retained: bool) -> SendRequest | Rejection | None:
        if retained:
            return _retained(payload)
        try:
            if parsed.kind is Kind.OUT:
                return orders.parse_order(payload)
            if parsed.kind is Kind.RECIPIENT:
                return orders.parse_recipient_order(payload, parsed.argument)
            if parsed.kind is Kind.MODEM_OUT:
                return orders.parse_modem_order(payload, parsed.argument)
        except orders.Refused as refused:
            return refused.rejection
        except Exception as error:  # a mistake of ours must not stop the orders behind it
            log.exception("an order could not be read")
            return Rejection("internal", f"this order could not be read: {type(error).__name__}")
        return _misaddressed(parsed, payload)

    def _answer_to(self, item: _Item, properties: Mapping[str, Any]) -> None:
        """Remember where the sender wants to be answered (MQTT 5 4.10); never below our own topics."""
        topic = properties["ResponseTopic"]
        own = topic == self._topics.base or topic.startswith(f"{self._topics.base}/")
        if not topic or "+" in topic or "#" in topic or topic.startswith("$") or own:
            log.warning("an order asked for an answer on a topic that is not for answers; none is given")
            return
        item.response_topic = topic
        item.correlation = properties.get("CorrelationData")

    async def _run(self) -> None:
        while not self._stopping:
            await self._arrived.wait()
            self._arrived.clear()
            while self._queue and not self._stopping:
                await self._epoch_ready.wait()
                if self._stopping:
                    return
                try:
                    await self._commit_some()
                except Exception:  # a mistake of ours must not end the intake: what was not acknowledged returns
                    log.exception("a batch of orders failed")
                    self._drop("a batch of orders failed")
                    await asyncio.sleep(FIRST_RETRY)

    async def _commit_some(self) -> None:
        """One batch: commit, then acknowledge all of it in the order of arrival."""
        batch: list[_Item] = []
        while self._queue and len(batch) < BATCH:
            batch.append(self._queue.popleft())
        requests = [item.work for item in batch if isinstance(item.work, SendRequest)]
        for item in batch:
            if item.digest is not None and isinstance(item.work, SendRequest):
                item.work.delivery_key = f"{self._epoch}:{item.mid}:{item.digest}"
            if item.expires is not None and isinstance(item.work, SendRequest):
                item.work.expires_in = item.expires - asyncio.get_running_loop().time()
        rejections = [item.work for item in batch if isinstance(item.work, Rejection)]
        try:
            if rejections:
                refusing = asyncio.gather(*(self._reject(rejection) for rejection in rejections))
                answers, _ = await asyncio.gather(self._submit(requests), refusing)
            else:
                answers = await self._submit(requests)
        except StoreError as error:
            await self._not_committed(batch, error)
            return
        self._retry = FIRST_RETRY
        self._acknowledge(batch, iter(answers))

    async def _reject(self, rejection: Rejection) -> None:
        try:
            await self._service.reject(rejection)
        except StoreError:
            raise
        except Exception:
            log.exception("a rejection (%s) could not be published", rejection.code)

    async def _submit(self, requests: list[SendRequest]) -> list[Accepted | Rejected]:
        if not requests:
            return []
        try:
            return await self._service.submit(requests)
        except StoreError:
            raise
        except Exception:
            log.exception("a batch of orders was not accepted; they are tried one by one")
        return [await self._submit_alone(request) for request in requests]

    async def _submit_alone(self, request: SendRequest) -> Accepted | Rejected:
        """So that one order that we cannot digest is not redelivered for ever, with all others behind it."""
        try:
            return (await self._service.submit([request]))[0]
        except StoreError:
            raise
        except Exception as error:
            log.exception("an order was not accepted")
            rejection = Rejection("internal", f"this order could not be accepted: {type(error).__name__}")
            rejection.id, rejection.to, rejection.transaction = request.id, request.to[0], request.transaction
            await self._reject(rejection)
            return Rejected(request.id, [rejection])

    def _acknowledge(self, batch: list[_Item], answers: Any) -> None:
        for item in batch:
            answer = next(answers) if isinstance(item.work, SendRequest) else item.work
            item.connection.ack(item.mid, item.qos)
            if item.connection.up:
                self.unacked -= 1
                if item.response_topic is not None:
                    self._publish_answer(item, answer)
                if item.then is not None:
                    item.then()
        if self.unacked <= LOW:
            self._resume()

    def _publish_answer(self, item: _Item, answer: Accepted | Rejected | Rejection | None) -> None:
        assert item.response_topic is not None
        properties = make_properties(PacketTypes.PUBLISH)
        if item.correlation is not None:
            properties.CorrelationData = item.correlation
        self._respond(item.response_topic, _answer(answer, item.work), properties)

    async def _not_committed(self, batch: list[_Item], error: StoreError) -> None:
        """Nothing is acknowledged; the connection is dropped, which is how MQTT asks for it again (domain E5.1)."""
        log.error("%d orders could not be stored, the broker will be asked for them again: %s", len(batch), error)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._retry):
                await self._stop.wait()
        self._retry = min(LAST_RETRY, self._retry * 2)
        # What waits behind the batch is of the same connection as long as that is up; another one's orders must stay.
        if batch[0].connection.up:
            self._queue.clear()
            self._drop("orders could not be stored")

    def _forget(self) -> None:
        self._queue.clear()
        self.unacked = 0
        self._paused = None
        if self._breath is not None:
            self._breath.cancel()
            self._breath = None

    def _pause(self, connection: Connection) -> None:
        self._paused = connection
        connection.pause()
        self._breathe_later(connection)

    def _resume(self) -> None:
        connection, self._paused = self._paused, None
        if self._breath is not None:
            self._breath.cancel()
            self._breath = None
        if connection is not None:
            connection.resume()

    def _breathe_later(self, connection: Connection) -> None:
        # A PINGRESP that is not read counts as a dead broker: a third of the keep-alive is soon enough.
        period = connection.settings.keepalive / 3
        self._breath = asyncio.get_running_loop().call_later(period, self._breathe, connection)

    def _breathe(self, connection: Connection) -> None:
        if self._paused is connection and connection.up:
            connection.read_once()
            self._breathe_later(connection)

    async def _name_epochs(self) -> None:
        """Name the broker's session durably: packet ids repeat in another one.

        One after the other, however quickly connections follow each other: what a thread writes for an earlier one
        must not end up in the file behind the name that is used.
        """
        while self._epoch_due is not None:
            new, self._epoch_due = self._epoch_due, None
            if new:
                self._epoch, self._epoch_kept = _new_epoch(), False
            if self._epoch_kept:
                continue
            try:
                keep = asyncio.get_running_loop().run_in_executor(None, _keep_epoch, self._epoch_file, self._epoch)
                self._epoch, self._epoch_kept = await keep, True
            except OSError as error:
                log.error("cannot write %s: %s; repeated deliveries may not be recognised", self._epoch_file, error)
                self._epoch = self._epoch or _new_epoch()  # the next connection tries to write it again
        self._epoch_ready.set()


def _retained(payload: bytes) -> Rejection | None:
    if not payload:
        return None  # somebody clears a retained order
    key, transaction = orders.short_key(payload)
    text = "a retained message is never sent: publish it without the retain flag, and clear the topic"
    return Rejection("retained", text, id=key, transaction=transaction)


def _misaddressed(parsed: Incoming, payload: bytes) -> Rejection | None:
    shown = "".join(c if c.isprintable() else "\ufffd" for c in parsed.argument[:64])
    key, transaction = orders.short_key(payload)
    if parsed.kind is Kind.BAD_RECIPIENT:
        text = (
            f"the topic's last level {shown!r} is no recipient: give an international number without +, "
            "or the bare name of an alias or a group (a-z, 0-9, _ and -)"
        )
        return Rejection("invalid_number", text, id=key, to=shown, transaction=transaction)
    if parsed.kind is Kind.BAD_MODEM:
        text = f"{shown!r} is no name of a modem (a-z, 0-9, _ and -)"
        return Rejection("invalid_field", text, id=key, transaction=transaction)
    log.warning("a message on a topic that is not ours was dropped; an old subscription of this client id?")
    return None


def _answer(answer: Accepted | Rejected | Rejection | None, work: SendRequest | Rejection | None) -> bytes:
    transaction = work.transaction if work is not None else None
    result: dict[str, Any]
    if isinstance(answer, Accepted):
        result = {"status": "ok", "data": {"id": answer.id, "orders": answer.orders, "repeated": answer.repeated}}
    else:
        rejections = answer.rejections if isinstance(answer, Rejected) else [answer] if answer is not None else []
        result = {
            "status": "error",
            "error": rejections[0].text if rejections else "not accepted",
            "data": {"id": answer.id if answer else None, "code": rejections[0].code if rejections else None},
        }
    if transaction is not None:
        result["transaction"] = transaction
    return json.dumps(result, ensure_ascii=False, separators=(",", ":")).encode()


def _new_epoch() -> str:
    return os.urandom(EPOCH_BYTES).hex()


def _keep_epoch(file: Path, name: str) -> str:
    """Write `name` durably to `file`; without one, the name that is there, or a new one."""
    there = _read_epoch(file)
    if there and name in ("", there):
        return there
    name = name or _new_epoch()
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_name(file.name + ".new")
    with fresh.open("w", encoding="ascii") as out:
        out.write(name + "\n")
        out.flush()
        os.fsync(out.fileno())
    fresh.replace(file)
    directory = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
    return name


def _read_epoch(file: Path) -> str:
    """The name in `file`; empty when there is none."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        name = file.read_text("ascii").strip()
        if len(name) == 2 * EPOCH_BYTES and name.isalnum():
            return name
    return ""
