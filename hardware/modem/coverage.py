"""Whether the network has the modem, over time: cells in, service out. Pure: every time is given (domain A10)."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from hardware.at.parsers import CellState
from hardware.modem import timeouts
from hardware.types import Access, Registration

__all__ = ["DOMAINS", "Coverage", "Standing"]

DOMAINS = ("CREG", "CEREG", "C5GREG", "CGREG")
"""Of the registration, those that can carry messages first; `CGREG` is shown where there is no other."""

MOST_QUESTIONS = 5  # without one answer; the modem is then taken for registered
STEADY = 3600.0  # seconds over which losses of service are counted

_WORDS = {
    0: "it does not search",
    6: "for messages only",
    7: "for messages only, roaming",
    8: "emergency calls only",
    9: "for data only (CSFB not preferred)",
    10: "for data only, roaming (CSFB not preferred)",
    11: "restricted local services only",
}
_PRECEDENCE = (Registration.DENIED, Registration.SEARCHING)  # what says most where nothing carries messages


@dataclass(frozen=True, slots=True)
class Standing:
    """`serves`: the modem is in service; `pauses`: but nothing new is to be handed over; `due`: look again then."""

    registration: Registration
    access: Access | None
    serves: bool
    pauses: bool
    due: float | None
    reason: str


class Coverage:
    """The registration of one connection; times are monotonic seconds."""

    def __init__(self) -> None:
        self._domains: tuple[str, ...] = ()
        self._cells: dict[str, CellState] = {}
        self._questions = 0
        self._serves = False
        self._shown = Registration.UNKNOWN
        self._words = str(self._shown)
        self._access: Access | None = None
        self._gap_since: float | None = None
        self._barred_until = 0.0
        self._barred_by = ""
        self._barrier = 0.0  # s, of the last bar; 0: the last send found service
        self._lost: deque[float] = deque(maxlen=100)

    def begin(self, domains: tuple[str, ...]) -> None:
        """The modem was set up anew; `domains` are those it answers."""
        self._domains = domains
        self._cells.clear()
        self._questions = 0
        self._serves = False
        self._gap_since = None
        self._barred_until = 0.0

    @property
    def domains(self) -> tuple[str, ...]:
        """Those worth asking: CGREG only where there is no other."""
        useful = tuple(domain for domain in self._domains if domain != "CGREG")
        return useful or self._domains

    @property
    def in_doubt(self) -> bool:
        """In service, though the modem says that the network is gone."""
        return self._gap_since is not None

    def asked(self) -> None:
        """One round of questions begins."""
        self._questions += 1

    def told(self, cell: CellState) -> None:
        self._cells[cell.domain] = cell

    def refused(self, reason: str, now: float) -> None:
        """A send found no service: out at once, whatever the modem says of its registration, longer each time."""
        self._barred_by = reason
        self._barrier = min(timeouts.NO_SERVICE_CAP, max(timeouts.NO_SERVICE, self._barrier * 2))
        self._barred_until = now + self._barrier
        self._leave(now)

    def sent(self, now: float) -> None:
        """The network took a message: whatever is said of the registration, it is there."""
        self._barrier = 0.0
        if self._gap_since is not None:
            self._gap_since = now

    def losses(self, now: float) -> int:
        """How often service was lost within the last hour."""
        return sum(now - at < STEADY for at in self._lost)

    def judge(self, now: float) -> Standing:
        """What holds now. Worse is believed after `FLAP` seconds, better at once."""
        best = self._best()
        silent = not self._domains or self._questions > MOST_QUESTIONS
        # A modem that never says where it is may still send: the network will say.
        carries = best.carries_sms if best is not None else silent
        if carries and now >= self._barred_until:
            self._serves, self._gap_since = True, None
        elif self._serves and not carries:
            if self._gap_since is None:
                self._gap_since = now
            if now >= self._gap_since + timeouts.FLAP:
                self._leave(now)
        if not self.in_doubt:
            self._shown = best.registration if best is not None else Registration.UNKNOWN
            self._words = _WORDS.get(best.stat, self._shown) if best is not None else self._shown
            self._access = best.access if best is not None and best.carries_sms else None
        pauses, due = self._gap(now)
        barred = now < self._barred_until
        reason = self._barred_by if barred else f"{'' if self._serves else 'not '}registered: {self._words}"
        return Standing(self._shown, self._access, self._serves, pauses, due, reason)

    def _gap(self, now: float) -> tuple[bool, float | None]:
        if self._gap_since is None:
            return False, None
        pause, end = self._gap_since + timeouts.GAP_SENDS, self._gap_since + timeouts.FLAP
        return now >= pause, pause if now < pause else end

    def _leave(self, now: float) -> None:
        if self._serves:
            self._lost.append(now)
        self._serves = False
        self._gap_since = None

    def _best(self) -> CellState | None:
        """The cell that carries messages, else the one that says most of why none does."""
        known = [self._cells[domain] for domain in DOMAINS if domain in self._cells]
        useful = [cell for cell in known if cell.domain != "CGREG"]
        if not useful:
            return known[0] if known else None
        carrying = next((cell for cell in useful if cell.carries_sms), None)
        if carrying is not None:
            return carrying
        for registration in _PRECEDENCE:
            for cell in useful:
                if cell.registration is registration:
                    return cell
        return useful[0]
