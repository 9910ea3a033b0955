"""USSD and calls of a real `Modem` on every emulated device."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from hardware.emulator import names
from hardware.emulator.ussd import Page
from hardware.errors import ModemError
from hardware.modem import UssdAnswer, UssdError
from hardware.modem import profile as profiles
from hardware.types import SendOutcome
from tests.support.modem_rig import Rig, rig

STRANGER = "+36301112222"
PAGES = {
    "*100#": Page("Balance: 1500.00 HUF", delay=0.01),
    "*111#": Page(
        "My account\r\n1 Balance\r\n2 More",
        1,
        {"1": Page("Egyenlege: 1.234,50 Ft, lejár: ő", delay=0.01), "2": Page("9", 1, delay=0.01)},
        delay=0.01,
    ),
    "*150#": Page("Balance: 20", delay=0.3),
}


def with_pages(it: Rig) -> None:
    it.emulator.modems[0].ussd_service.pages.update(PAGES)


@pytest.mark.parametrize("personality", names())
async def test_codes_and_menus_on_every_device(personality: str, tmp_path: Path) -> None:
    async with rig(tmp_path, personality) as it:
        await it.ready()
        with_pages(it)
        assert await it.modem.ussd("*100#") == UssdAnswer("Balance: 1500.00 HUF", False)
        assert await it.modem.ussd("*111#") == UssdAnswer("My account\n1 Balance\n2 More", True)
        assert await it.modem.ussd_reply("2") == UssdAnswer("9", True)
        assert await it.modem.ussd_cancel()
        assert (await it.modem.ussd("*111#")).open
        assert await it.modem.ussd_reply("1") == UssdAnswer("Egyenlege: 1.234,50 Ft, lejár: ő", False)
        with pytest.raises(UssdError, match="does not know this USSD code"):
            await it.modem.ussd("*999#")
        await it.until(lambda: not it.emulator.modems[0].ussd_service.under_way)
        assert not [line for line in it.phone.counters.unknown if "CUSD" in line or "CSCS" in line]
        assert (await it.send())[0].outcome is SendOutcome.SENT


@pytest.mark.parametrize("personality", names())
async def test_a_message_never_waits_for_a_ussd(personality: str, tmp_path: Path) -> None:
    """Where both go together the answer comes too; a SIM800 gives the code up, and says so."""
    async with rig(tmp_path, personality) as it:
        await it.ready()
        with_pages(it)
        alone = profiles.find(it.modem.status.manufacturer, it.modem.status.model).ussd_alone
        asking = asyncio.create_task(it.modem.ussd("*150#"))
        await it.until(lambda: it.emulator.modems[0].ussd_service.under_way)
        began = time.monotonic()
        (result,) = await it.send()
        assert result.outcome is SendOutcome.SENT
        assert time.monotonic() - began < 2.0, "not a figure: a machine that is busy"
        if alone:
            with pytest.raises(UssdError, match="given up for a message"):
                await asking
        else:
            assert (await asking).text == "Balance: 20"
        assert it.phone.counters.bytes_while_busy == 0


async def test_a_ussd_waits_for_the_result_of_a_send(tmp_path: Path) -> None:
    async with rig(tmp_path, "ec25", latency=0.3) as it:
        await it.ready()
        with_pages(it)
        send = asyncio.create_task(it.send())
        await it.until(lambda: it.emulator.modems[0].sending)
        asking = asyncio.create_task(it.modem.ussd("*100#"))
        assert (await send)[0].outcome is SendOutcome.SENT
        assert (await asking).text == "Balance: 1500.00 HUF"
        assert it.phone.counters.bytes_while_busy == 0


async def test_a_modem_that_restarts_owes_no_answer(tmp_path: Path) -> None:
    async with rig(tmp_path, "ec25") as it:
        await it.ready()
        with_pages(it)
        it.emulator.modems[0].ussd_service.pages["*150#"] = Page(None)
        asking = asyncio.create_task(it.modem.ussd("*150#"))
        await asyncio.sleep(0.1)
        it.emulator.fault(0, "reboot")
        with pytest.raises(UssdError, match="no answer to the USSD: the modem restarted"):
            await asking
        await it.until(lambda: not it.modem.can_send)
        with pytest.raises(ModemError, match="not in service"):
            await it.modem.ussd("*100#")
        await it.ready()
        assert (await it.modem.ussd("*100#")).text == "Balance: 1500.00 HUF"


async def test_a_modem_that_is_unplugged_owes_no_answer(tmp_path: Path) -> None:
    async with rig(tmp_path, "ec25") as it:
        await it.ready()
        it.emulator.modems[0].ussd_service.pages["*150#"] = Page(None)
        asking = asyncio.create_task(it.modem.ussd("*150#"))
        await asyncio.sleep(0.05)
        it.emulator.fault(0, "unplug")
        with pytest.raises(ModemError):
            await asking


async def test_what_the_network_says_unasked_is_an_event(tmp_path: Path) -> None:
    async with rig(tmp_path, "e173") as it:
        await it.ready()
        it.emulator.modems[0].ussd_service.push(Page("Last call: 10 Ft", delay=0))
        await it.until(lambda: ("ussd_received", {"text": "Last call: 10 Ft"}) in it.listener.events)


async def test_without_service_there_is_no_ussd(tmp_path: Path) -> None:
    async with rig(tmp_path, start=False) as it:
        with pytest.raises(ModemError, match="not in service: not started"):
            await it.modem.ussd("*100#")


@pytest.mark.parametrize("personality", names())
async def test_a_call_is_one_event_and_its_end_another(personality: str, tmp_path: Path) -> None:
    async with rig(tmp_path, personality) as it:
        await it.ready()
        it.emulator.modems[0].call(STRANGER, 3, 0.05)
        await it.until(lambda: "missed_call" in it.listener.names)
        await asyncio.sleep(0.05)
        calls = [(name, data) for name, data in it.listener.events if "call" in name]
        assert calls == [
            ("call", {"number": STRANGER}),
            ("missed_call", {"number": STRANGER, "rings": 3, "seconds": 0}),
        ]


async def test_a_withheld_number_is_null(tmp_path: Path) -> None:
    async with rig(tmp_path) as it:
        await it.ready()
        it.emulator.modems[0].call("", 2, 0.05)
        await it.until(lambda: ("call", {"number": None}) in it.listener.events)


@pytest.mark.parametrize("personality", names())
async def test_a_call_is_hung_up_after_the_send_and_never_within_it(personality: str, tmp_path: Path) -> None:
    async with rig(tmp_path, personality, hang_up=True, latency=0.3) as it:
        await it.ready()
        send = asyncio.create_task(it.send())
        await it.until(lambda: it.emulator.modems[0].sending)
        it.emulator.modems[0].call(STRANGER, 100, 0.05)
        await it.until(lambda: "call" in it.listener.names)
        assert not send.done()
        assert (await send)[0].outcome is SendOutcome.SENT
        await it.until(lambda: "rejected_call" in it.listener.names)
        assert it.phone.counters.hung_up == 1
        assert it.phone.counters.bytes_while_busy == 0
        assert it.listener.names.count("call") == 1
