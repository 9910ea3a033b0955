"""Asks where the modem is registered and listens when it says so (TS 27.007 7.2, 10.1.20, 10.1.22, 10.1.47)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from hardware.at import commands, parsers
from hardware.at.channel import AtChannel
from hardware.at.types import Urc
from hardware.modem.coverage import Coverage
from hardware.modem.dialogue import ask
from hardware.modem.life import CAN_SEND, Life
from hardware.types import Access, ModemState

__all__ = ["Cells"]


class Cells:
    """The registration of one connection; moves the modem between registering and ready.

    `look`: called when the registration should be asked for soon. `close` when the connection is over.
    """

    def __init__(self, channel: AtChannel, life: Life, look: Callable[[], None] = lambda: None) -> None:
        self._channel = channel
        self._life = life
        self._look = look
        self._coverage = Coverage()
        self._operators_access: Access | None = None  # what +COPS said, for modems whose +CREG does not
        self._timer: asyncio.TimerHandle | None = None

    @property
    def in_doubt(self) -> bool:
        """In service, though the modem says that the network is gone: ask soon."""
        return self._coverage.in_doubt

    def begin(self, domains: tuple[str, ...]) -> None:
        """The modem was set up anew; `domains` are those it answers."""
        self._coverage.begin(domains)
        self._operators_access = None
        self.close()

    def close(self) -> None:
        """Take back the timer; idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def told(self, urc: Urc) -> None:
        """`+CREG: <stat>…` and its kin, unasked."""
        state = parsers.creg(urc.text)
        if state is not None:
            before = self.in_doubt
            self._coverage.told(state)
            self.judge()
            if self.in_doubt and not before:
                self._look()

    async def ask(self) -> None:
        """Ask every domain that is worth it, then judge."""
        self._coverage.asked()
        for domain in self._coverage.domains:
            answer = await ask(self._channel, commands.cell_state(domain))
            if answer is not None:
                self._life.ok()
            for line in answer.lines if answer is not None else ():
                state = parsers.creg(line)
                if state is not None:
                    self._coverage.told(state)
        self.judge()

    async def ask_operator(self) -> None:
        """`+COPS?`, never `=?`, which blocks for minutes (domain A10)."""
        status = self._life.status
        answer = await ask(self._channel, commands.operator())
        if answer is not None:
            self._life.ok()
        for line in answer.lines if answer is not None else ():
            if (found := parsers.cops(line)) is not None:
                self._life.facts.names_operators = True
                self._operators_access = found.access
                if status.operator != found.name:
                    status.operator = found.name
                    self._life.changed()
        self.judge()

    def refused(self, reason: str) -> None:
        """A send found no service."""
        self._coverage.refused(reason, self._now())
        self.judge()

    def sent(self) -> None:
        """The network took a message."""
        self._coverage.sent(self._now())

    def judge(self) -> None:
        """What the cells say becomes the status, and the state where it is theirs to say."""
        life, status, now = self._life, self._life.status, self._now()
        found = self._coverage.judge(now)
        life.facts.losses = self._coverage.losses(now)
        access = found.access or (self._operators_access if found.serves else None)
        if (status.registration, status.access) != (found.registration, access):
            status.registration, status.access = found.registration, access
            life.changed()
        if found.serves and life.state is ModemState.REGISTERING:
            life.in_service(found.reason)
        elif not found.serves and life.state in CAN_SEND | {ModemState.REGISTERING}:
            self._operators_access = status.operator = None
            life.move(ModemState.REGISTERING, found.reason)
        life.hold(found.pauses)  # after the move: the gate must not open in between
        life.judge()
        self.close()
        if found.due is not None:
            self._timer = asyncio.get_running_loop().call_at(found.due, self._due)

    def _due(self) -> None:
        self._timer = None
        self.judge()

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
