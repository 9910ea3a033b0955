"""One connection with a message centre: bind, submits within a window, what comes in, its end (SMPP 3.4 2 and 7).

Used once. No task and no future stands behind a message: what is answered is told in one call for all that a read
brought, and what is written goes out in one write.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from struct import Struct
from typing import Any, NamedTuple, Protocol

from sms_bridge.routes.smpp import pdu
from sms_bridge.routes.smpp.framing import HEADER, Framer
from sms_bridge.routes.smpp.pdu import LAST_SEQUENCE, RESPONSE, Bind, Command, Message, PduError, Status
from sms_bridge.routes.smpp.status import describe

log = logging.getLogger(__name__)

CONNECT_TIMEOUT = 20.0  # seconds for TCP and TLS: a far centre needs two, a firewall that drops answers never
BIND_TIMEOUT = 30.0  # seconds from the bind to its answer: the session init timer (SMPP 3.4 7.2)
ENQUIRE_ANSWER = 10.0  # seconds that an enquire_link may take
ENQUIRE_TRIES = 2
LEAVE_TIMEOUT = 5.0  # seconds for what is under way when the centre has taken its leave
UNBIND_TIMEOUT = 5.0  # seconds from our unbind to its answer
MOST_OVERDUE = 10_000  # submits whose late answer would still be recognised
MOST_INBOUND = 2 * 1024 * 1024  # octets of received messages that wait for the journal, before reading pauses

_HEAD = Struct(">III")  # command, status, sequence number


class Role(StrEnum):
    """What a bind is for."""

    TRANSCEIVER = "transceiver"
    TRANSMITTER = "transmitter"
    RECEIVER = "receiver"


class State(StrEnum):
    NEW = "new"
    BINDING = "binding"
    BOUND = "bound"
    LEAVING = "leaving"  # nothing more is submitted
    CLOSED = "closed"


_MOVES = {
    State.NEW: {State.BINDING, State.CLOSED},
    State.BINDING: {State.BOUND, State.CLOSED},
    State.BOUND: {State.LEAVING, State.CLOSED},
    State.LEAVING: {State.CLOSED},
    State.CLOSED: set(),
}

_BINDS = {
    Role.TRANSCEIVER: Command.BIND_TRANSCEIVER,
    Role.TRANSMITTER: Command.BIND_TRANSMITTER,
    Role.RECEIVER: Command.BIND_RECEIVER,
}


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """Where and as whom. Times are seconds."""

    host: str
    port: int
    bind: Bind
    role: Role = Role.TRANSCEIVER
    tls: ssl.SSLContext | None = None
    enquire_link: float = 30.0  # of silence before the other side is asked for a sign of life
    response_timeout: float = 60.0  # after which a submit is unknown


class Answer(NamedTuple):
    """What became of a submit. `status` None: nobody knows whether the centre took it; `why` in words."""

    token: Any
    status: int | None
    message_id: str = ""
    why: str = ""


@dataclass(slots=True)
class Received:
    """A deliver_sm or data_sm, to be answered with `Session.reply`."""

    command: int
    sequence: int
    raw: bytes  # the whole PDU
    message: Message


class Ended(NamedTuple):
    """How a session ended. `unbound`: the centre took its leave in order."""

    reason: str
    unbound: bool = False


class Refused(Exception):
    """The centre refused the bind."""

    def __init__(self, status: int) -> None:
        super().__init__(describe(status))
        self.status = status


class Unreachable(Exception):
    """There was no connection, or no answer to the bind; the text says why."""


class Listener(Protocol):
    """Told on the loop, without waiting."""

    def answered(self, session: Session, answers: list[Answer]) -> None:
        """What became of submits."""

    def late(self, session: Session, answers: list[Answer]) -> None:
        """Answers that came after the submit was told to be unknown."""

    def received(self, session: Session, messages: list[Received]) -> None:
        """Messages and receipts, each to be answered."""

    def writable(self, session: Session) -> None:
        """There may be room for more."""


Connect = Callable[[asyncio.Protocol, SessionSettings], Awaitable[None]]
"""Brings the protocol a connection. OSError, with what a person can do something with."""


async def connect_tcp(protocol: asyncio.Protocol, where: SessionSettings) -> None:
    """By TCP, over IPv4 or IPv6, and TLS where it is set."""
    await asyncio.get_running_loop().create_connection(
        lambda: protocol,
        where.host,
        where.port,
        ssl=where.tls,
        server_hostname=where.host if where.tls is not None else None,
    )


class Session(asyncio.Protocol):
    """One bind."""

    def __init__(self, settings: SessionSettings, listener: Listener, connect: Connect = connect_tcp) -> None:
        self.settings = settings
        self._connect = connect
        self.state = State.NEW
        self.bound_at = 0.0  # loop time
        self._listener = listener
        self._framer = Framer()
        self._transport: asyncio.Transport | None = None
        self._sequence = 0
        self._pending: dict[int, tuple[Any, float]] = {}  # sequence number: token and loop time at which it is overdue
        self._overdue: dict[int, Any] = {}
        self._inbound_octets = 0  # of messages that were told and not answered
        self._wake: dict[int, asyncio.Future[int]] = {}  # sequence number: who waits for the status of its answer
        self._empty: asyncio.Future[None] | None = None
        self._ended: asyncio.Future[Ended] | None = None
        self._end = Ended("the connection was lost")
        self._heard = 0.0
        self._enquiries = 0
        self._enquiry = -1  # sequence number of the last one
        self._full = False
        self._timers: dict[str, asyncio.TimerHandle] = {}

    async def open(self) -> None:
        """Connect and bind. Refused, Unreachable: the session is over."""
        loop = asyncio.get_running_loop()
        self._ended = loop.create_future()
        self._move(State.BINDING)
        where = self.settings
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await self._connect(self, where)
            status = await self._ask(_BINDS[where.role], pdu.bind_body(where.bind), BIND_TIMEOUT)
        except TimeoutError:
            reason = "it did not answer the bind" if self._transport else "it did not answer"
            await self._give_up(reason)
            raise Unreachable(f"{where.host}:{where.port}: {reason}") from None
        except (OSError, _Lost) as error:
            reason = _network_reason(error)
            await self._give_up(reason)
            raise Unreachable(f"{where.host}:{where.port}: {reason}") from None
        except BaseException:
            await self._give_up("it was given up")
            raise
        if status != Status.OK:
            await self._give_up(describe(status))
            raise Refused(status)
        self._move(State.BOUND)
        self.bound_at = self._heard = loop.time()
        self._arm("enquire", self.bound_at + where.enquire_link, self._liveness)

    async def closed(self) -> Ended:
        """Until it is over, for whatever reason; all unanswered submits have been told by then."""
        assert self._ended is not None
        return await asyncio.shield(self._ended)

    async def close(self, drain: float) -> None:
        """Take leave: submit nothing more, wait at most `drain` seconds for answers, unbind, close. Idempotent."""
        if self.state is State.BOUND:
            self._move(State.LEAVING)
            await self._drained(drain)
            if self._transport is not None and not self._transport.is_closing():
                try:
                    await self._ask(Command.UNBIND, b"", UNBIND_TIMEOUT)
                except (TimeoutError, _Lost):
                    pass
        await self._give_up("the bridge ends it")

    @property
    def can_send(self) -> bool:
        """It is bound, and not as a receiver."""
        return self.state is State.BOUND and self.settings.role is not Role.RECEIVER

    @property
    def can_submit(self) -> bool:
        """Now: what was written before has left."""
        return self.can_send and not self._full and self._transport is not None and not self._transport.is_closing()

    @property
    def pending(self) -> int:
        """Submits without an answer."""
        return len(self._pending)

    def submit(self, bodies: Sequence[tuple[bytes, Any]]) -> None:
        """Write submit_sm PDUs, (body, token), at once; each token comes back in one `Answer`."""
        assert self._transport is not None
        overdue_at = asyncio.get_running_loop().time() + self.settings.response_timeout
        octets = []
        pending = self._pending
        for body, token in bodies:
            sequence = self._next_sequence()
            pending[sequence] = (token, overdue_at)
            octets.append(pdu.pack(Command.SUBMIT_SM, sequence, body))
        self._transport.write(b"".join(octets))
        if "overdue" not in self._timers:
            self._arm("overdue", overdue_at, self._time_out)

    def reply(self, received: Received, status: int) -> None:
        """Answer a deliver_sm or data_sm, each once; nothing happens when the session is over."""
        size = len(received.raw)
        self._inbound_octets -= size
        if self._transport is None or self._transport.is_closing():
            return
        self._transport.write(pdu.pack(received.command | RESPONSE, received.sequence, b"\0", status))
        if self._inbound_octets + size > MOST_INBOUND >= self._inbound_octets:
            self._resume()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        if error is not None and self.state is not State.LEAVING and self._end.reason == "the connection was lost":
            self._end = Ended(_network_reason(error))
        if self.state is not State.CLOSED:
            self._move(State.CLOSED)
        pending, self._pending = self._pending, {}
        for waiter in self._wake.values():
            if not waiter.done():
                waiter.set_exception(_Lost(self._end.reason))
        self._wake.clear()
        if pending:
            why = f"the connection ended before the answer: {self._end.reason}"
            self._listener.answered(self, [Answer(token, None, "", why) for token, _ in pending.values()])
        self._note_empty()
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(self._end)

    def pause_writing(self) -> None:
        self._full = True
        if self._transport is not None:
            self._transport.pause_reading()  # what we would have to answer

    def resume_writing(self) -> None:
        self._full = False
        self._resume()
        self._listener.writable(self)

    def data_received(self, data: bytes) -> None:
        frames = self._framer.feed(data)
        if frames:
            self._heard = asyncio.get_running_loop().time()
            self._enquiries = 0
            self._handle(frames)
        if self._framer.broken is not None:
            self._abort(self._framer.broken)

    # What comes in.

    def _handle(self, frames: list[bytes]) -> None:
        answers: list[Answer] = []
        late: list[Answer] = []
        messages: list[Received] = []
        out: list[bytes] = []
        pending = self._pending
        for octets in frames:
            command, status, sequence = _HEAD.unpack_from(octets, 4)
            if command == Command.SUBMIT_SM_RESP or self._is_nack(command, sequence):
                if command == Command.GENERIC_NACK:
                    status = status or Status.UNKNOWN_ERROR  # whatever it says, it is a refusal
                entry = pending.pop(sequence, None)
                message_id = "" if status else pdu.read_message_id(octets[HEADER:])
                if entry is not None:
                    answers.append(Answer(entry[0], status, message_id))
                elif sequence in self._overdue:
                    late.append(Answer(self._overdue.pop(sequence), status, message_id))
                else:
                    log.info("%s: an answer to nothing that was asked", self.settings.host)
            elif command in (Command.DELIVER_SM, Command.DATA_SM):
                self._message(octets, command, sequence, messages, out)
            else:
                out.extend(self._other(octets, command, status, sequence))
        if out and self._transport is not None:
            self._transport.write(b"".join(out))
        if answers:
            self._listener.answered(self, answers)
        if late:
            self._listener.late(self, late)
        if messages:
            self._listener.received(self, messages)
        if not pending:
            self._note_empty()

    def _is_nack(self, command: int, sequence: int) -> bool:
        """A generic_nack that refuses a submit."""
        return command == Command.GENERIC_NACK and (sequence in self._pending or sequence in self._overdue)

    def _message(self, octets: bytes, command: int, sequence: int, messages: list[Received], out: list[bytes]) -> None:
        if self.state not in (State.BOUND, State.LEAVING):
            out.append(pdu.pack(command | RESPONSE, sequence, b"\0", Status.INVALID_BIND_STATE))
            return
        read = pdu.read_message if command == Command.DELIVER_SM else pdu.read_data
        try:
            message = read(octets[HEADER:])
        except PduError as error:
            log.warning("%s: a message that cannot be read was refused: %s", self.settings.host, error)
            out.append(pdu.pack(command | RESPONSE, sequence, b"\0", error.status))
            return
        self._inbound_octets += len(octets)
        messages.append(Received(command, sequence, octets, message))
        if self._inbound_octets > MOST_INBOUND and self._transport is not None:
            self._transport.pause_reading()

    def _other(self, octets: bytes, command: int, status: int, sequence: int) -> Iterator[bytes]:
        if command == Command.ENQUIRE_LINK:
            yield pdu.pack(Command.ENQUIRE_LINK_RESP, sequence)
        elif command == Command.UNBIND:
            yield pdu.pack(Command.UNBIND_RESP, sequence)
            self._asked_to_leave()
        elif command & RESPONSE:
            waiter = self._wake.pop(sequence, None)
            if waiter is not None and not waiter.done():
                waiter.set_result(status)
            elif command == Command.GENERIC_NACK and sequence != self._enquiry:
                self._abort(f"it did not understand a PDU of ours: {describe(status)}")
        elif command in (Command.OUTBIND, Command.ALERT_NOTIFICATION):
            log.info("%s: %s is not used here", self.settings.host, Command(command).name.lower())
        else:
            log.warning("%s: an unknown command 0x%08x was refused", self.settings.host, command)
            yield pdu.pack(Command.GENERIC_NACK, sequence, b"", Status.INVALID_COMMAND)

    def _asked_to_leave(self) -> None:
        self._end = Ended("the message centre has ended the session", unbound=True)
        if self.state is State.BOUND:
            self._move(State.LEAVING)
            self._arm("leave", asyncio.get_running_loop().time() + LEAVE_TIMEOUT, self._abort)
            if not self._pending:
                asyncio.get_running_loop().call_soon(self._note_empty)  # after the answer was written

    # Timers.

    def _liveness(self) -> None:
        now = asyncio.get_running_loop().time()
        silent_since = self._heard + self.settings.enquire_link
        if now < silent_since:
            self._arm("enquire", silent_since, self._liveness)
            return
        if self._enquiries >= ENQUIRE_TRIES:
            self._abort(f"it has not answered {ENQUIRE_TRIES} times whether it is still there")
            return
        self._enquiries += 1
        self._enquiry = self._next_sequence()
        if self._transport is not None:
            self._transport.write(pdu.pack(Command.ENQUIRE_LINK, self._enquiry))
        self._arm("enquire", now + ENQUIRE_ANSWER, self._liveness)

    def _time_out(self) -> None:
        now = asyncio.get_running_loop().time()
        answers = []
        why = f"the message centre did not answer within {self.settings.response_timeout:g} s"
        for sequence, (token, overdue_at) in list(self._pending.items()):
            if overdue_at > now:
                break  # they stand in the order in which they were written
            del self._pending[sequence]
            self._overdue[sequence] = token
            answers.append(Answer(token, None, "", why))
        while len(self._overdue) > MOST_OVERDUE:
            del self._overdue[next(iter(self._overdue))]
        if self._pending:
            self._arm("overdue", next(iter(self._pending.values()))[1], self._time_out)
        else:
            self._timers.pop("overdue", None)
            self._note_empty()
        if answers:
            self._listener.answered(self, answers)

    def _arm(self, name: str, when: float, what: Any) -> None:
        if name in self._timers:
            self._timers[name].cancel()
        self._timers[name] = asyncio.get_running_loop().call_at(when, what)

    # The end.

    async def _drained(self, timeout: float) -> None:
        if not self._pending:
            return
        self._empty = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(timeout):
                await self._empty
        except TimeoutError:
            log.warning("%s: %d submits were not answered in time", self.settings.host, len(self._pending))

    def _note_empty(self) -> None:
        if self._empty is not None and not self._empty.done():
            self._empty.set_result(None)
        if self._end.unbound and self.state is State.LEAVING and self._transport is not None:
            self._transport.close()

    async def _ask(self, command: int, body: bytes, timeout: float) -> int:
        """The status of the answer. TimeoutError, _Lost."""
        if self._transport is None:
            raise _Lost(self._end.reason)
        sequence = self._next_sequence()
        waiter: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._wake[sequence] = waiter
        self._transport.write(pdu.pack(command, sequence, body))
        try:
            async with asyncio.timeout(timeout):
                return await waiter
        finally:
            self._wake.pop(sequence, None)

    async def _give_up(self, reason: str) -> None:
        """Idempotent."""
        if self._transport is None:
            if self.state is not State.CLOSED:
                self._move(State.CLOSED)
            if self._ended is not None and not self._ended.done():
                self._ended.set_result(Ended(reason))
            return
        self._abort(reason)
        await self.closed()

    def _abort(self, reason: str | None = None) -> None:
        if self.state is State.CLOSED:
            return
        if reason is not None and not self._end.unbound:
            self._end = Ended(reason)
        if self._transport is not None:
            self._transport.abort()

    def _resume(self) -> None:
        if self._transport is not None and not self._full and self._inbound_octets <= MOST_INBOUND:
            self._transport.resume_reading()

    def _next_sequence(self) -> int:
        sequence = self._sequence % LAST_SEQUENCE + 1
        while sequence in self._pending or sequence in self._overdue:
            sequence = sequence % LAST_SEQUENCE + 1
        self._sequence = sequence
        return sequence

    def _move(self, to: State) -> None:
        if to not in _MOVES[self.state]:
            raise RuntimeError(f"a session that is {self.state} cannot become {to}")
        self.state = to


class _Lost(Exception):
    """The connection ended before the answer."""


def _network_reason(error: BaseException) -> str:
    """What a person can do something with."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason or error}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror[:1].lower() + error.strerror[1:]
    return str(error) or type(error).__name__
