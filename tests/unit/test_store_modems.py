"""Modems in the journal: what is known of them, and the orders that wait for one by name."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from hardware.types import Action, KnownModem
from sms_bridge.core.model import ClaimantView
from sms_bridge.core.states import OrderState
from sms_bridge.store.modems import ModemTable
from tests.support.desk import FAST as SETTINGS
from tests.support.desk import OTHER, STICK, open_desk, refused, sent

NOON = datetime(2026, 11, 22, 12, 0, 0, 250_000, tzinfo=UTC)
IMEI = "866125036190005"
MODEM = KnownModem(IMEI, "stick", IMEI, "8936010001", "8936010002", "EC25", "1-1.2", NOON, NOON, "k", "8936010001")
ALARM = ClaimantView("alarm", STICK.iccid)


async def nothing_for(desk, modem) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(desk.dispatcher.claim(modem), 0.1)


async def test_what_is_known_outlives_a_restart(tmp_path):
    async with open_desk(tmp_path) as desk:
        table = ModemTable(desk.journal)
        assert await table.load() == []
        await table.save(MODEM)
        other = KnownModem("plug:1-3", None, None, None, None, None, None, NOON, NOON)
        await table.save(other)
    async with open_desk(tmp_path) as desk:
        table = ModemTable(desk.journal)
        assert sorted(await table.load(), key=lambda modem: modem.key) == [MODEM, other]
        await table.forget("plug:1-3")
        await table.forget("plug:1-3")
        assert await table.load() == [MODEM]


async def test_orders_that_wait_for_a_modem_follow_its_new_name(tmp_path):
    async with open_desk(tmp_path) as desk:
        await desk.order("waiting", modem="stick")
        await desk.order("later", modem="stick", send_at=desk.clock.datetime.replace(year=2027))
        await desk.order("another", modem="other")
        await nothing_for(desk, ALARM)  # a lane that is in memory already
        await ModemTable(desk.journal).rename(MODEM_AS_ALARM, "stick")
        desk.dispatcher.renamed("stick", "alarm")
        await nothing_for(desk, ClaimantView("stick", "8936999"))
        job = await desk.send(sent(), modem=ALARM)
        assert job.order.id == "waiting"
        assert desk.statuses("waiting")[-1]["modem"] == "alarm"
        assert (await desk.dispatcher.claim(OTHER)).order.id == "another"
        desk.clock.forward(400 * 86_400)
        await desk.tick()
        assert (await asyncio.wait_for(desk.dispatcher.claim(ALARM), 2)).order.id == "later"


async def test_an_order_that_waits_for_its_second_try_follows_too(tmp_path):
    async with open_desk(tmp_path, SETTINGS) as desk:
        await desk.order("again", modem="stick")
        await desk.send(refused(Action.RETRY_SAME, retry_after=0.05))
        await ModemTable(desk.journal).rename(MODEM_AS_ALARM, "stick")
        desk.dispatcher.renamed("stick", "alarm")
        desk.clock.forward(1.0)
        job = await asyncio.wait_for(desk.dispatcher.claim(ALARM), 2)
        assert (job.order.id, job.order.attempt) == ("again", 2)


async def test_what_it_leaves_to_others_it_leaves_under_its_new_name_too(tmp_path):
    async with open_desk(tmp_path, SETTINGS) as desk:
        await desk.order("elsewhere")
        await desk.journal.write(lambda tx: tx.avoid(1, "stick", desk.clock.now() + 60_000))
        await ModemTable(desk.journal).rename(MODEM_AS_ALARM, "stick")
        assert list(await desk.journal.read(lambda reader: reader.avoided(1))) == ["alarm"]


async def test_the_rest_of_a_message_follows_where_the_sim_has_no_name_but_the_modems(tmp_path):
    nameless, renamed = ClaimantView("stick"), ClaimantView("alarm")
    async with open_desk(tmp_path, SETTINGS) as desk:
        await desk.order("long", text="x" * 400, modem="stick")
        job = await desk.dispatcher.claim(nameless)
        assert await desk.dispatcher.begin(job, 0)
        desk.dispatcher.release(job)  # the modem was lost in the middle
        await asyncio.sleep(0.05)
        await ModemTable(desk.journal).rename(MODEM_AS_ALARM, "stick")
        desk.dispatcher.renamed("stick", "alarm")
        job = await asyncio.wait_for(desk.dispatcher.claim(renamed), 2)
        assert [part.index for part in job.parts] == [1, 2]


async def test_orders_of_a_modem_that_is_removed_end(tmp_path):
    async with open_desk(tmp_path) as desk:
        await desk.order("waiting", modem="stick")
        await desk.order("later", modem="stick", send_at=desk.clock.datetime.replace(year=2027))
        await desk.order("anybodys")
        assert await desk.service.remove_modem("stick") == 2
        for id in ("waiting", "later"):
            status = desk.statuses(id)[-1]
            assert (status["state"], status["error"]["code"]) == (OrderState.FAILED, "modem_removed")
        assert (await desk.dispatcher.claim(STICK)).order.id == "anybodys"
        assert await desk.service.remove_modem("stick") == 0


MODEM_AS_ALARM = KnownModem(IMEI, "alarm", IMEI, None, None, None, None, NOON, NOON)
