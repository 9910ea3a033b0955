"""One account at a message centre: its binds, kept up for the life of the process, and what goes through them.

A session lives for one connection; what outlives it stands here: when to connect again, the rate, who is told.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from random import random as any_random
from typing import Any, Protocol

from sms_bridge.routes.smpp.pace import Backoff, Rate, Window
from sms_bridge.routes.smpp.pdu import Bind, Message, Status
from sms_bridge.routes.smpp.session import (
    Answer,
    Connect,
    Ended,
    Received,
    Refused,
    Role,
    Session,
    SessionSettings,
    Unreachable,
    connect_tcp,
)
from sms_bridge.routes.smpp.status import OnBind, OnSubmit, describe, row_of

log = logging.getLogger(__name__)

DRAIN = 10.0  # seconds at the end for the answers to what is under way (domain C4)
LONGEST_PAUSE = 60.0  # seconds that an account rests between two complaints, however many there are
FAULT_DELAY = 30.0  # seconds after a defect of ours, before a connection is tried again


@dataclass(frozen=True, slots=True)
class Tls:
    """TLS to the centre; without `ca` the system's authorities are trusted."""

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    insecure: bool = False  # the certificate's name and chain are not checked


@dataclass(frozen=True, slots=True)
class AccountSettings:
    """Where, as whom and how much. Times are seconds."""

    name: str
    host: str
    port: int
    bind: Bind = field(repr=False)
    tls: Tls | None = None
    separate: bool = False  # a transmitter and a receiver in place of a transceiver
    binds: int = 1
    window: int = 10
    rate: float | None = None  # messages a second, of all binds
    enquire_link: float = 30.0
    response_timeout: float = 60.0


class Link(StrEnum):
    """How the account stands with its centre."""

    DOWN = "down"
    BOUND = "bound"
    REFUSED = "refused"  # a person must act


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message or a receipt, to be answered."""

    message: Message
    raw: bytes
    _session: Session
    _received: Received

    def reply(self, status: int = Status.OK) -> None:
        """Nothing happens when the session is over: the centre then delivers it again."""
        self._session.reply(self._received, status)


class AccountListener(Protocol):
    """Told on the loop, without waiting."""

    def answered(self, answers: list[Answer]) -> None:
        """What became of submits."""

    def late(self, answers: list[Answer]) -> None:
        """What became of submits that were told to be unknown."""

    def received(self, deliveries: list[Delivery]) -> None:
        """Each wants its `reply`, after the commit."""

    def ready(self) -> None:
        """There may be room for more."""

    def changed(self, link: Link, reason: str) -> None:
        """The account came up, went down or was refused; `reason` in words."""


class Account:
    """Keeps `binds` sessions (twice as many when separate) and spreads submits over them."""

    def __init__(
        self,
        settings: AccountSettings,
        listener: AccountListener,
        *,
        connect: Connect = connect_tcp,
        random: Callable[[], float] = any_random,
    ) -> None:
        self.settings = settings
        self.link = Link.DOWN
        self.reason = "it was not tried yet"
        self._listener = listener
        self._connect = connect
        self._random = random
        self._rate = Rate(settings.rate)
        self._roles = (Role.TRANSMITTER, Role.RECEIVER) if settings.separate else (Role.TRANSCEIVER,)
        self._sessions: dict[Session, Window] = {}  # those that are bound
        self._refusals: dict[Role, str] = {}  # the roles that the centre will not have until a person acts, and why
        self._tasks: list[asyncio.Task[None]] = []
        self._complaints = 0  # one after the other, without a message taken in between
        self._timer: asyncio.TimerHandle | None = None
        self._stopping = False
        self._up = False

    @property
    def name(self) -> str:
        return self.settings.name

    @property
    def is_up(self) -> bool:
        """A bind that may send is there; whether it has room is another question."""
        return not self._stopping and any(session.can_send for session in self._sessions)

    @property
    def flows(self) -> bool:
        """What has no room now will have it as soon as the centre answers: neither a rate nor a pause is in the way."""
        now = asyncio.get_running_loop().time()
        return self._rate.room(now) is None or self._rate.room(now) != 0

    @property
    def pending(self) -> int:
        """Submits without an answer."""
        return sum(session.pending for session in self._sessions)

    @property
    def rate(self) -> float | None:
        """Messages a second at present; None: as many as the window lets."""
        return self._rate.current

    @property
    def window(self) -> int:
        """Submits that may be under way at present."""
        return sum(window.size for session, window in self._sessions.items() if session.can_submit)

    @property
    def room(self) -> int:
        """How many PDUs may be submitted now; where it is the rate that forbids it, `ready` follows."""
        if self._stopping:
            return 0
        free = sum(self._free(session, window) for session, window in self._sessions.items())
        if not free:
            return 0
        now = asyncio.get_running_loop().time()
        allowed = self._rate.room(now)
        if allowed == 0:
            self._wake_at(self._rate.next_at(now))
        return free if allowed is None else min(free, allowed)

    def start(self) -> None:
        """Begin to connect, and go on for ever."""
        if self._tasks or self._stopping:
            return
        self._tasks = [
            asyncio.create_task(self._keep(role), name=f"smpp-{self.name}-{role}-{index}")
            for index in range(self.settings.binds)
            for role in self._roles
        ]

    async def stop(self) -> None:
        """Submit nothing more, wait for what is under way, unbind, close. Idempotent."""
        self._stopping = True
        if self._timer is not None:
            self._timer.cancel()
        await asyncio.gather(*(session.close(DRAIN) for session in list(self._sessions)))
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def submit(self, bodies: Sequence[tuple[bytes, Any]]) -> int:
        """Write (body of a submit_sm, token) to the binds; how many of them, from the first on: the rest has no room
        and was surely not sent."""
        done = 0
        for session, window in list(self._sessions.items()):
            take = min(self._free(session, window), len(bodies) - done)
            if take > 0:
                session.submit(bodies[done : done + take])
                done += take
        if done:
            self._rate.spend(done, asyncio.get_running_loop().time())
        return done

    # What the sessions tell.

    def answered(self, session: Session, answers: list[Answer]) -> None:
        taken = 0
        for answer in answers:
            if answer.status == Status.OK:
                taken += 1
            elif answer.status is not None:
                self._refused(session, answer.status)
        if taken:
            self._complaints = 0
            window = self._sessions.get(session)
            if window is not None:
                window.accepted(taken)
        self._listener.answered(answers)
        self._listener.ready()

    def late(self, session: Session, answers: list[Answer]) -> None:
        self._listener.late(answers)

    def received(self, session: Session, messages: list[Received]) -> None:
        self._listener.received([Delivery(found.message, found.raw, session, found) for found in messages])

    def writable(self, session: Session) -> None:
        self._listener.ready()

    def _refused(self, session: Session, status: int) -> None:
        row = row_of(status)
        if row.submit is OnSubmit.THROTTLED:
            now = asyncio.get_running_loop().time()
            if self._rate.room(now) != 0 or not self._complaints:  # else it answers what was sent before the pause
                self._complaints += 1
                pause = min(2.0 ** min(self._complaints - 1, 10), row.delay if row.slower else LONGEST_PAUSE)
                self._rate.complaint(now, max(1.0, pause))
            window = self._sessions.get(session)
            if window is not None:
                window.complaint(now)
        elif row.reconnect:
            log.warning("smpp %s: connecting anew: %s", self.name, describe(status))
            task = asyncio.create_task(session.close(0), name=f"smpp-{self.name}-anew")
            self._tasks.append(task)
            task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        if task in self._tasks:
            self._tasks.remove(task)

    def _free(self, session: Session, window: Window) -> int:
        return max(0, window.size - session.pending) if session.can_submit else 0

    # Connections.

    async def _keep(self, role: Role) -> None:
        backoff = Backoff(self._random)
        while not self._stopping:
            try:
                delay = await self._once(role, backoff)
            except Exception:  # a defect of ours must not end the account
                log.exception("smpp %s: a connection failed", self.name)
                delay = FAULT_DELAY
            await asyncio.sleep(delay)

    async def _once(self, role: Role, backoff: Backoff) -> float:
        """One connection, from the first attempt to its end; the seconds to wait before the next."""
        loop = asyncio.get_running_loop()
        try:
            session = Session(await self._session_settings(role), self, self._connect)
            await session.open()
        except Refused as refused:
            what = row_of(refused.status).bind
            delay = backoff.refused(what)
            text = f"the message centre refuses the bind: {refused}"
            if what is OnBind.STOP:
                self._refusals[role] = text
            self._review(text)
            log.warning("smpp %s: %s; it is tried again in %.0f s", self.name, text, delay)
            return delay
        except (Unreachable, OSError) as error:
            delay = backoff.lost(0.0)
            self._review(str(error))
            log.info("smpp %s: %s; it is tried again in %.0f s", self.name, error, delay)
            return delay
        self._sessions[session] = Window(self.settings.window)
        self._refusals.pop(role, None)
        self._review(f"bound to {self.settings.host}:{self.settings.port}")
        log.info("smpp %s: bound as %s", self.name, role)
        self._listener.ready()
        try:
            ended = await session.closed()
        finally:
            del self._sessions[session]
            if session.state != "closed":
                await session.close(0)
        return self._lost(ended, backoff, loop.time() - session.bound_at)

    def _lost(self, ended: Ended, backoff: Backoff, bound_for: float) -> float:
        if self._stopping:
            return 0.0
        delay = backoff.unbound(bound_for) if ended.unbound else backoff.lost(bound_for)
        log.warning("smpp %s: %s; it is tried again in %.0f s", self.name, ended.reason, delay)
        self._review(ended.reason)
        return delay

    async def _session_settings(self, role: Role) -> SessionSettings:
        own = self.settings
        context = None
        if own.tls is not None:
            # Each time anew: certificates are renewed while the bridge runs.
            context = await asyncio.get_running_loop().run_in_executor(None, _context, own.tls)
        return SessionSettings(own.host, own.port, own.bind, role, context, own.enquire_link, own.response_timeout)

    def _review(self, reason: str) -> None:
        """Something has happened to one of the binds, for this reason."""
        bound = {session.settings.role for session in self._sessions}
        if self._refusals:  # a person must act, whatever else goes wrong
            link, reason = Link.REFUSED, next(iter(self._refusals.values()))
        else:
            link = Link.BOUND if bound.issuperset(self._roles) else Link.DOWN
        changed = link is not self.link or (link is Link.REFUSED and reason != self.reason) or self._up != self.is_up
        self.link, self.reason, self._up = link, reason, self.is_up
        if changed:
            self._listener.changed(link, reason)

    def _wake_at(self, when: float) -> None:
        if self._timer is not None:
            if not self._timer.cancelled() and self._timer.when() <= when:
                return
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(when, self._timed)

    def _timed(self) -> None:
        self._timer = None
        self._listener.ready()


def _context(tls: Tls) -> ssl.SSLContext:
    """Reads files: not on the loop. OSError in words that name the file."""
    try:
        context = ssl.create_default_context(cafile=str(tls.ca) if tls.ca else None)
        if tls.cert is not None:
            context.load_cert_chain(str(tls.cert), str(tls.key) if tls.key else None)
    except (ssl.SSLError, OSError) as error:
        raise OSError(f"the certificates under tls cannot be used: {error}") from error
    if tls.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
