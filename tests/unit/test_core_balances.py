"""Balances on a real journal, with a clock and a network that the test owns."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hardware.pdu import DeliverRequest, encode_deliver
from hardware.types import ModemState, ModemStatus
from sms_bridge.core.balances import FIRST, RETRY, BalanceError, BalancePlan, Balances, balance_dict, judged
from sms_bridge.core.errors import CoreError
from sms_bridge.core.model import Balance, ClaimantView
from sms_bridge.core.settings import DAY, CoreSettings
from tests.support.desk import START, Desk, ManualClock, open_desk

ICCID = "8936200000000000142"
PATTERN = r"(?P<amount>-?[0-9., ]*[0-9]) ?(?P<currency>Ft|EUR)(?:.*?(?P<expires>[0-9]{4}\.[0-9]{2}\.[0-9]{2}))?"
BY_CODE = BalancePlan(PATTERN, ussd="*102#", low=500.0, expires_soon=14 * DAY)
BY_MESSAGE = replace(BY_CODE, ussd=None).by_sms("1755", "EGYENLEG", ("Telekom", "06301234567"), 3)


class House:
    """The keeper and its world: `network` answers codes, `asked` are those that were sent."""

    def __init__(self, desk: Desk, plans: Sequence[BalancePlan]) -> None:
        self.desk = desk
        self.status = ModemStatus("stick", ModemState.READY, iccid=ICCID)
        self.idle = True
        self.network: dict[str, str | None] = {"*102#": "Egyenlege: 1.234,50 Ft, lejár: 2027.01.31."}
        self.asked: list[tuple[str, tuple[str, ...]]] = []
        self.told: list[str] = []
        self.keeper = Balances(
            desk.journal,
            desk.clock,
            plans,
            modems=lambda: [self.status],
            idle=lambda _name: self.idle,
            ask=self._ask,
            submit=desk.service.submit,
            changed=self.told.append,
            region="HU",
        )

    async def _ask(self, name: str, code: str, replies: Sequence[str]) -> str | None:
        assert name == "stick"
        self.asked.append((code, tuple(replies)))
        answer = self.network[code]
        if answer is None:
            raise CoreError("the network did not answer")
        return answer

    async def later(self, seconds: float) -> None:
        """So much later it looks once."""
        self.desk.clock.forward(seconds)
        await self.desk.told(self.keeper.look())

    @property
    def balance(self) -> dict[str, Any]:
        return self.keeper.of(self.status)

    def events(self, name: str) -> list[dict[str, Any]]:
        return [event for event in self.desk.published("event") if event["event_type"] == name]

    async def receive(self, text: str, sender: str) -> None:
        raws = encode_deliver(DeliverRequest(sender, self.desk.clock.datetime, text=text))
        await self.desk.receive(*raws, modem=ClaimantView("stick", ICCID))
        await self.quiet()

    async def quiet(self) -> None:
        """What was received has been read."""
        async with asyncio.timeout(10):
            while self.keeper._tasks:  # noqa: ASYNC110
                await asyncio.sleep(0.005)


Make = Callable[..., Any]


@asynccontextmanager
async def house(
    directory: Path, *plans: BalancePlan, clock: ManualClock | None = None, first_look: bool = True
) -> AsyncIterator[House]:
    async with open_desk(directory, CoreSettings(default_region="HU"), clock) as desk:
        it = House(desk, plans)
        await it.keeper.start()
        if first_look:
            await it.later(0)
        try:
            yield it
        finally:
            await it.keeper.stop()


async def test_it_is_asked_for_after_the_start_and_then_once_a_day(tmp_path: Path) -> None:
    async with house(tmp_path, BY_CODE) as it:
        assert it.balance == {"amount": None, "currency": None, "expires": None, "checked_at": None}
        await it.later(FIRST[0] - 1)
        assert it.asked == [], "not at the start: the clock may not know the time yet"
        await it.later(FIRST[1])
        assert it.asked == [("*102#", ())]
        assert it.balance == {
            "amount": 1234.5, "currency": "HUF", "expires": "2027-01-31", "checked_at": "2026-11-22T19:05:59.000+00:00",
        }  # fmt: skip
        assert it.told == ["stick"]
        await it.later(DAY - 600)
        assert len(it.asked) == 1
        await it.later(0.11 * DAY)
        assert len(it.asked) == 2


async def test_a_modem_that_sends_or_is_out_of_service_is_not_asked(tmp_path: Path) -> None:
    async with house(tmp_path, BY_CODE) as it:
        it.idle = False
        await it.later(DAY)
        assert it.asked == []
        it.idle = True
        await it.later(15)
        assert len(it.asked) == 1


async def test_a_code_that_fails_is_tried_again_an_hour_later(tmp_path: Path) -> None:
    async with house(tmp_path, BY_CODE) as it:
        it.network["*102#"] = None
        await it.later(FIRST[1])
        await it.later(RETRY - 60)
        assert len(it.asked) == 1
        it.network["*102#"] = "no balance today"
        await it.later(61)
        assert len(it.asked) == 2
        assert it.balance["amount"] is None


async def test_what_is_known_outlives_a_restart_and_is_not_asked_again(tmp_path: Path) -> None:
    clock = ManualClock()
    async with house(tmp_path, BY_CODE, clock=clock) as it:
        await it.later(FIRST[1])
        known = it.balance
    async with house(tmp_path, BY_CODE, clock=clock) as it:
        assert it.balance == known
        await it.later(DAY / 2)
        assert it.asked == []
        it.status.iccid = "8936200000000000267"
        assert it.balance["amount"] is None, "another SIM"
        it.status.iccid = ICCID
        assert it.balance == known
        await it.later(DAY)
        assert len(it.asked) == 1


async def test_a_clock_that_was_ahead_does_not_stop_the_questions(tmp_path: Path) -> None:
    clock = ManualClock(datetime(2036, 1, 1, tzinfo=UTC))
    async with house(tmp_path, BY_CODE, clock=clock) as it:
        await it.later(FIRST[1])
        assert len(it.asked) == 1
        clock.learn(START)
        await it.desk.tick()
        await it.later(60)
        assert len(it.asked) == 2


async def test_each_fall_is_told_once(tmp_path: Path) -> None:
    async with house(tmp_path, BY_CODE) as it:
        for text, told in (
            ("600 Ft", 0), ("499,99 Ft", 1), ("100 Ft", 1), ("500 Ft", 1), ("480 Ft", 1), ("560 Ft", 1), ("490 Ft", 2),
            ("-5 Ft", 2),
        ):  # fmt: skip
            it.network["*102#"] = text
            await it.desk.told(it.keeper.check("stick"))
            assert len(it.events("balance_low")) == told, text
        first = it.events("balance_low")[0]
        assert {key: first[key] for key in ("modem", "iccid", "amount", "currency", "threshold")} == {
            "modem": "stick", "iccid": ICCID, "amount": 499.99, "currency": "HUF", "threshold": 500.0,
        }  # fmt: skip


async def test_a_fall_is_not_told_again_after_a_restart(tmp_path: Path) -> None:
    clock = ManualClock()
    for expected in (1, 0):
        async with house(tmp_path, BY_CODE, clock=clock) as it:
            it.network["*102#"] = "20 Ft"
            await it.desk.told(it.keeper.check("stick"))
            assert len(it.events("balance_low")) == expected


async def test_a_date_is_warned_of_once_though_nobody_asks_again(tmp_path: Path) -> None:
    async with house(tmp_path, replace(BY_CODE, every=60 * DAY)) as it:
        it.network["*102#"] = "1500 Ft 2026.12.24"
        await it.desk.told(it.keeper.check("stick"))
        await it.later(10 * DAY)
        assert it.events("sim_expires_soon") == []
        for _ in range(3):
            await it.later(10 * DAY)
        (warning,) = it.events("sim_expires_soon")
        assert (warning["expires"], warning["days"], warning["modem"]) == ("2026-12-24", 12, "stick")
        it.network["*102#"] = "1500 Ft 2027.02.01"
        await it.desk.told(it.keeper.check("stick"))
        await it.later(40 * DAY)
        assert [event["expires"] for event in it.events("sim_expires_soon")] == ["2026-12-24", "2027-02-01"]


async def test_an_answer_without_a_date_keeps_the_one_that_is_known(tmp_path: Path) -> None:
    async with house(tmp_path, BY_CODE) as it:
        await it.keeper.check("stick")
        it.network["*102#"] = "900 Ft"
        assert (await it.keeper.check("stick"))["expires"] == "2027-01-31"


def test_without_the_time_of_day_no_date_is_near() -> None:
    row = Balance("s", amount="5", currency="HUF", expires="2026-12-24")
    plan = replace(BY_CODE, low=None)
    assert judged(row, plan, 0)[1] == []
    assert len(judged(row, plan, int(START.timestamp() * 1000) + 30 * 86_400_000)[1]) == 1


async def test_a_message_asks_within_its_budget_and_its_answer_is_published_too(tmp_path: Path) -> None:
    async with house(tmp_path, BY_MESSAGE) as it:
        await it.later(FIRST[1])
        (order,) = it.desk.statuses()
        assert (order["to"], order["state"]) == ("1755", "queued")
        job = await it.desk.dispatcher.claim(ClaimantView("stick", ICCID))
        assert job.order.text == "EGYENLEG"
        assert not job.order.delivery_report
        it.desk.dispatcher.release(job)
        await it.receive("Reklám: nyerjen 1.000.000 Ft-ot!", "+36709999999")
        assert it.balance["amount"] is None, "from somebody else"
        await it.receive("Köszönjük!", "Telekom")
        assert it.balance["amount"] is None, "something else"
        await it.receive("Egyenlege: 320 Ft", "telekom")
        assert (it.balance["amount"], it.balance["currency"]) == (320, "HUF")
        assert len(it.events("balance_low")) == 1
        assert [message["from"] for message in it.desk.published("in")] == ["+36709999999", "Telekom", "telekom"]
        await it.receive("Egyenlege: 900 Ft", "+36301234567")
        assert it.balance["amount"] == 900
        assert (await it.keeper.check("stick"))["asked"] is True
        await it.keeper.check("stick")
        with pytest.raises(BalanceError, match="3 messages were spent"):
            await it.keeper.check("stick")
        await it.later(31 * DAY)
        assert len({order["id"] for order in it.desk.statuses()}) == 4


async def test_the_budget_outlives_restarts_and_clocks_that_jump(tmp_path: Path) -> None:
    clock = ManualClock()
    for _ in range(5):
        async with house(tmp_path, BY_MESSAGE, clock=clock) as it:
            clock.learn(datetime(2020, 1, 1, tzinfo=UTC))
            await it.desk.tick()
            await it.later(600)
            clock.learn(START)
            await it.desk.tick()
            await it.later(600)
            orders = {order["id"] for order in it.desk.statuses() if order["state"] == "queued"}
            rows = await it.desk.journal.read(lambda reader: reader.balances())
    assert len(rows[0].sms_times) <= 3
    assert not orders


async def test_a_partial_answer_in_many_parts_is_read_when_it_is_whole(tmp_path: Path) -> None:
    async with house(tmp_path, BY_MESSAGE) as it:
        await it.receive("x" * 300 + " 777 Ft", "Telekom")
        assert it.balance["amount"] == 777


async def test_an_answer_is_never_another_sims(tmp_path: Path) -> None:
    async with house(tmp_path, BY_CODE) as it:
        asking = asyncio.create_task(it.keeper.check("stick"))
        await asyncio.sleep(0)
        it.status.iccid = "8936200000000000267"
        with pytest.raises(BalanceError, match="the SIM was changed"):
            await asking
        assert it.balance["amount"] is None


async def test_menus_are_gone_through(tmp_path: Path) -> None:
    async with house(tmp_path, replace(BY_CODE, replies=("1", "2"))) as it:
        await it.keeper.check("stick")
        assert it.asked == [("*102#", ("1", "2"))]


async def test_the_same_code_asked_by_hand_counts(tmp_path: Path) -> None:
    async with house(tmp_path, BY_CODE) as it:
        it.keeper.heard("stick", "*100#", "5 Ft")
        it.keeper.heard("other", "*102#", "6 Ft")
        it.keeper.heard("stick", "*102#", None)
        it.keeper.heard("stick", "*102#", "7 Ft")
        await it.quiet()
        assert it.balance["amount"] == 7


async def test_what_does_not_fit_is_shown_to_who_asked_and_not_to_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with house(tmp_path, BY_CODE) as it:
        it.network["*102#"] = "Szia! Nincs adat."
        with pytest.raises(BalanceError, match="does not fit") as caught:
            await it.keeper.check("stick")
        assert "Nincs adat" in caught.value.hint
        await it.later(FIRST[1])
        assert "the pattern does not fit" in caplog.text
        assert "Nincs" not in caplog.text


async def test_without_a_plan_there_is_nothing_to_ask(tmp_path: Path) -> None:
    async with house(tmp_path, replace(BY_CODE, modem="cabinet"), replace(BY_CODE, sim="8949")) as it:
        for name in ("stick", "nobody"):
            with pytest.raises(BalanceError, match="no balance is configured"):
                await it.keeper.check(name)
        await it.later(10 * DAY)
        assert it.asked == []


async def test_the_first_plan_that_fits_is_taken(tmp_path: Path) -> None:
    other = replace(BY_CODE, ussd="*1#", sim="8936")
    async with house(tmp_path, replace(BY_CODE, modem="cabinet"), other, BY_CODE) as it:
        it.network["*1#"] = "8 EUR"
        assert await it.keeper.check("stick") == {**it.balance, "amount": 8, "currency": "EUR"}


def test_whole_amounts_are_whole_numbers() -> None:
    assert balance_dict(Balance("s", amount="1500.00"))["amount"] == 1500
    assert isinstance(balance_dict(Balance("s", amount="1500.00"))["amount"], int)
    assert balance_dict(None) == {"amount": None, "currency": None, "expires": None, "checked_at": None}
