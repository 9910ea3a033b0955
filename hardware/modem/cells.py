"""Whether the network has the modem: `+CREG` and `+CEREG`, asked for or told (TS 27.007 7.2, 10.1.22)."""

from __future__ import annotations

from hardware.at import commands, parsers
from hardware.at.channel import AtChannel
from hardware.at.parsers import CellState
from hardware.at.types import Urc
from hardware.modem.dialogue import ask
from hardware.modem.life import CAN_SEND, Life
from hardware.types import ModemState, Registration

__all__ = ["Cells"]


MOST_QUESTIONS = 5  # without one answer; the modem is then taken for registered


class Cells:
    """The registration of one connection; moves the modem between registering and ready."""

    def __init__(self, channel: AtChannel, life: Life) -> None:
        self._channel = channel
        self._life = life
        self._cells: dict[str, CellState] = {}
        self._domains: tuple[str, ...] = ()
        self._asked = 0
        self.absence: str | None = None  # what a person should know of a network that is missing for long

    def begin(self, domains: tuple[str, ...]) -> None:
        """The modem was set up anew; `domains` are those it answers."""
        self._domains = domains
        self._cells.clear()
        self._asked = 0

    def told(self, urc: Urc) -> None:
        """`+CREG: <stat>…` and its kin, unasked."""
        state = parsers.creg(urc.text)
        if state is not None:
            self._cells[state.domain] = state
            self.judge()

    async def ask(self) -> None:
        """Ask every domain, then judge."""
        self._asked += 1
        for domain in self._domains:
            answer = await ask(self._channel, commands.cell_state(domain))
            for line in answer.lines if answer is not None else ():
                state = parsers.creg(line)
                if state is not None:
                    self._cells[state.domain] = state
        self.judge()

    def judge(self) -> None:
        """What the cells say becomes the status, and the state where it is theirs to say."""
        life, status = self._life, self._life.status
        known = [self._cells[d] for d in ("CREG", "CEREG", "C5GREG") if d in self._cells]
        best = next((cell for cell in known if cell.carries_sms), known[0] if known else None)
        registration = best.registration if best is not None else Registration.UNKNOWN
        access = next((cell.access for cell in known if cell.carries_sms and cell.access), None)
        if (status.registration, status.access) != (registration, access):
            status.registration, status.access = registration, access
            life.changed()
        # A modem that never says where it is may still send: the network will say.
        silent = not self._domains or self._asked > MOST_QUESTIONS
        carries = best.carries_sms if best is not None else silent
        if carries and life.state is ModemState.REGISTERING:
            self.absence = None
            life.in_service(f"registered: {registration}")
        elif not carries and life.state in CAN_SEND | {ModemState.REGISTERING}:
            life.move(ModemState.REGISTERING, self.absence or f"not registered: {registration}")
