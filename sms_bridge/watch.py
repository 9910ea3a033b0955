"""What the bridge looks at now and then on behalf of its modems: power supply, SIMs without reports, self-tests."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from hardware.types import ModemStatus, Told
from sms_bridge.core import silence
from sms_bridge.core.clock import Clock
from sms_bridge.core.errors import StoreError
from sms_bridge.core.model import ClaimantView
from sms_bridge.core.ports import Journal
from sms_bridge.core.selftest import SelfTests
from sms_bridge.core.settings import SilenceSettings

__all__ = ["Supply", "Voltage", "Watch", "Watched"]

log = logging.getLogger(__name__)

TICK = 1.0  # s between two looks at the self-tests
SUPPLY_EVERY = 60.0  # s
SUPPLY_RARELY = 3600.0  # s, where nobody answers: this is no Raspberry Pi
SUPPLY_DEADLINE = 30.0  # s for the question, which may be a program's
DIP = 86_400.0  # s for which a voltage that fell for a moment is held against the supply
REPORTS_EVERY = 300.0  # s between two looks back on what was sent: some milliseconds beside the writer
REPORTS_LEAST = 0.5  # s, where reports are expected within moments


class Voltage(Protocol):
    """What the computer says of its supply. `since_boot`: it was too low at some time; None: not remembered."""

    @property
    def now(self) -> bool: ...
    @property
    def since_boot(self) -> bool | None: ...


Supply = Callable[[], Awaitable[Voltage | None]]
"""Asks the computer; None: nobody knows. Does not block."""


class Watched(Protocol):
    """A modem."""

    @property
    def status(self) -> ModemStatus: ...

    def tell(self, told: Told) -> None: ...


@dataclass(slots=True)
class _Due:
    supply: float = 0.0
    reports: float = 0.0


class Watch:
    """`run` until cancelled. Each part may fail without the others."""

    def __init__(
        self,
        journal: Journal,
        tests: SelfTests,
        clock: Clock,
        settings: SilenceSettings,
        *,
        modems: Callable[[], Iterable[Watched]],
        supply: Supply | None = None,
    ) -> None:
        self._journal = journal
        self._tests = tests
        self._clock = clock
        self._settings = settings
        self._modems = modems
        self._supply = supply
        self._due = _Due()
        self._undervoltage: bool | None = None
        self._unreported: dict[str, bool] = {}  # by SIM
        self._was_low = False  # the firmware remembers a fall of the voltage
        self._fell_at = float("-inf")  # monotonic

    async def run(self) -> None:
        """Look, tell the modems what they cannot know, wait."""
        parts: Sequence[tuple[str, Callable[[], Any]]] = (
            ("self-tests", self._tests.tick),
            ("delivery reports", self._look_at_reports),
            ("the power supply", self._look_at_supply),
        )
        while True:
            for what, work in parts:
                try:
                    await work()
                except StoreError as error:
                    log.error("%s are looked at later: %s %s", what, error, error.hint)
                except Exception:  # none of this may cost the others their turn
                    log.exception("%s could not be looked at", what)
            self.tell()
            await asyncio.sleep(TICK)

    def tell(self) -> None:
        """Each modem what is known of it; cheap when it knows already."""
        blamed = self._tests.blame()
        for modem in self._modems():
            status = modem.status
            sim = ClaimantView(status.name, status.iccid, status.imei).sim
            modem.tell(Told(self._undervoltage, self._unreported.get(sim), blamed.get(status.name)))

    async def _look_at_reports(self) -> None:
        now, monotonic = self._clock.now(), self._clock.monotonic()
        if monotonic < self._due.reports:
            return
        self._due.reports = monotonic + max(REPORTS_LEAST, min(REPORTS_EVERY, self._settings.report_time / 2))
        self._unreported = await self._journal.read(lambda reader: silence.look(reader, now, self._settings))

    async def _look_at_supply(self) -> None:
        monotonic = self._clock.monotonic()
        if self._supply is None or monotonic < self._due.supply:
            return
        self._due.supply = monotonic + SUPPLY_RARELY
        found = None
        try:
            async with asyncio.timeout(SUPPLY_DEADLINE):
                found = await self._supply()
        except TimeoutError:
            log.warning("the computer does not say within %.0f s how its power supply is", SUPPLY_DEADLINE)
        if found is None:
            self._undervoltage = None
            return
        self._due.supply = monotonic + SUPPLY_EVERY
        # Modems draw their 2 A for moments, between two looks; the firmware remembers them until the next boot.
        if found.now or (found.since_boot and not self._was_low):
            self._fell_at = monotonic
        self._was_low = found.since_boot or False
        self._undervoltage = found.now or monotonic - self._fell_at < DIP
