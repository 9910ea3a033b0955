"""What the bridge tells its modems of the supply, of missing reports and of self-tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from hardware.types import Blame, ModemStatus, Told
from sms_bridge import watch as room
from sms_bridge.core.selftest import SelfTests
from sms_bridge.core.settings import SilenceSettings
from sms_bridge.core.testbook import Book, Outcome, Trial
from sms_bridge.watch import Voltage, Watch
from tests.support.desk import OTHER, STICK, Desk, ManualClock, open_desk, sent

HOUR = 3600.0


@dataclass
class Stick:
    """A modem, as far as it is watched."""

    status: ModemStatus
    told: Told = field(default_factory=Told)
    times: int = 0

    def tell(self, told: Told) -> None:
        self.told = told
        self.times += 1


@dataclass(frozen=True)
class Reading:
    now: bool = False
    since_boot: bool | None = False


@dataclass
class Lab:
    desk: Desk
    sticks: list[Stick]
    watch: Watch
    reading: Voltage | Exception | None = None
    asked: int = 0

    @property
    def clock(self) -> ManualClock:
        return self.desk.clock

    @property
    def undervoltage(self) -> bool | None:
        return self.sticks[0].told.undervoltage

    async def supply(self) -> Voltage | None:
        self.asked += 1
        if isinstance(self.reading, Exception):
            raise self.reading
        return self.reading

    async def after(self, seconds: float) -> None:
        """So much later, when everybody was told."""
        self.clock.forward(seconds)
        times = self.sticks[0].times
        await self.until(lambda: self.sticks[0].times > times + 1)

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(5):
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(0.001)


@asynccontextmanager
async def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, book: Book | None = None) -> AsyncIterator[Lab]:
    monkeypatch.setattr(room, "TICK", 0.001)
    sticks = [Stick(ModemStatus(view.name, iccid=view.iccid)) for view in (STICK, OTHER)]
    async with open_desk(tmp_path) as desk:
        if book is not None:
            await desk.journal.write(lambda tx: tx.set_meta("self_test", book.dumps()))
        tests = SelfTests(desk.journal, desk.service.submit, clock=desk.clock, members=list)
        await tests.start()
        made: list[Lab] = []
        watch = Watch(
            desk.journal,
            tests,
            desk.clock,
            SilenceSettings(unreported=2, report_time=600.0),
            modems=lambda: sticks,
            supply=lambda: made[0].supply(),
        )
        made.append(Lab(desk, sticks, watch))
        task = asyncio.create_task(watch.run())
        try:
            yield made[0]
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_a_computer_that_says_nothing_of_its_supply_is_asked_rarely(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with lab(tmp_path, monkeypatch) as it:
        for _ in range(10):
            await it.after(60)
        assert (it.undervoltage, it.asked) == (None, 1)
        await it.after(HOUR)
        assert it.asked == 2


async def test_a_voltage_that_fell_is_held_against_the_supply_for_a_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with lab(tmp_path, monkeypatch) as it:
        await it.after(0)
        it.reading = Reading()
        await it.after(HOUR)
        assert it.undervoltage is False
        it.reading = Reading(now=True, since_boot=True)
        await it.after(60)
        assert it.undervoltage is True
        it.reading = Reading(now=False, since_boot=True)  # remembered until the next boot, and no news
        await it.after(23 * HOUR)
        assert it.undervoltage is True
        await it.after(2 * HOUR)
        assert it.undervoltage is False
        it.reading = Reading()
        await it.after(60)
        it.reading = Reading(since_boot=True)  # between two looks
        await it.after(60)
        assert it.undervoltage is True


async def test_one_part_that_fails_costs_the_others_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    book = Book("key", [Trial(str(n), STICK.name, OTHER.name, n, Outcome.REFUSED) for n in range(2)])
    async with lab(tmp_path, monkeypatch, book) as it:
        it.reading = OSError("no such device")
        await it.after(HOUR)
        assert "the power supply could not be looked at" in caplog.text
        assert [stick.told.self_test for stick in it.sticks] == [Blame.SENDS, None]
        assert it.undervoltage is None


async def test_missing_reports_follow_the_sim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with lab(tmp_path, monkeypatch) as it:
        for number in range(2):
            to = f"+3630123456{number}"
            for modem in (STICK, OTHER):
                await it.desk.order(f"{modem.name}-{number}", to=(to,), modem=modem.name)
                await it.desk.send(sent(number), modem=modem)
            await it.desk.report(number, number=to, modem=OTHER)
        await it.after(300)
        assert [stick.told.unreported for stick in it.sticks] == [None, False], "they are too young"
        await it.after(600)
        assert [stick.told.unreported for stick in it.sticks] == [True, False]
        for stick, view in zip(it.sticks, (OTHER, STICK), strict=True):
            stick.status.iccid = view.iccid
        await it.after(1)
        assert [stick.told.unreported for stick in it.sticks] == [False, True]
