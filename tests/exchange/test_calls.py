"""Ring 3: incoming calls over a loopback, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import pytest

from hardware.at.channel import AtChannel
from hardware.modem import timeouts
from hardware.modem.calls import CALL_EVENTS, MOVES, Calls, CallState
from hardware.modem.life import Life
from hardware.pdu import SubmitRequest, encode
from hardware.transport import loopback
from hardware.types import ModemStatus, SendOutcome, SendResult
from tests.support.modem_rig import Listener, allowed
from tests.support.scripted_modem import OK, Answer, ScriptedModem

pytestmark = pytest.mark.looptime

ANNA, BELA = "+36301234567", "+36209876543"
PART = encode(SubmitRequest("+36301234567", text="hello"))


class Bench:
    """One `Calls` on a scripted modem."""

    def __init__(self, *, hang_up: bool = False, answers: dict[str, Answer] | None = None) -> None:
        near, far = loopback()
        self.modem = ScriptedModem(far, {"AT+CHUP": OK, **(answers or {})})
        far.attach(self.modem)
        self.channel = AtChannel.attach(near)
        self.listener = Listener()
        self.life = Life(ModemStatus("stick"), self.listener)
        self.calls = Calls(self.channel, self.life, hang_up=hang_up)
        for prefix in ("RING", "+CRING:"):
            self.channel.on_urc(prefix, self.calls.rang)
        self.channel.on_urc("+CLIP:", self.calls.identified)
        for prefix in ("NO CARRIER", "MISSED_CALL:", "^CEND:"):
            self.channel.on_urc(prefix, self.calls.ended)
        self.runner = asyncio.create_task(self.calls.run())

    def say(self, *lines: str) -> None:
        for line in lines:
            self.modem.say(f"\r\n{line}\r\n".encode())

    def ring(self, number: str | None = ANNA) -> None:
        clip = f'+CLIP: "{number}",145,"",0,"",0' if number else '+CLIP: "",128,"",0,"",1'
        self.say("RING", clip)

    def call(self, rings: int, number: str | None = ANNA, interval: float = 5.0) -> None:
        for count in range(rings):
            asyncio.get_running_loop().call_later(count * interval, self.ring, number)

    async def send(self) -> SendResult:
        return await self.channel.send_pdu(PART.lengths[0], PART.pdus[0], allowed)

    @property
    def told(self) -> list[tuple[str, object]]:
        return [(name, data["number"]) for name, data in self.listener.events]

    async def close(self) -> None:
        self.runner.cancel()
        with suppress(asyncio.CancelledError):
            await self.runner
        self.calls.finish()
        self.life.close()
        await self.channel.close()
        self.modem.check()


Make = Callable[..., Bench]


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    made: list[Bench] = []

    def build(**options: object) -> Bench:
        made.append(Bench(**options))  # type: ignore[arg-type]
        return made[-1]

    yield build
    for one in made:
        await one.close()


async def test_a_call_is_told_at_once_and_once(make: Make) -> None:
    it = make()
    it.call(6)
    await asyncio.sleep(0.01)
    assert it.told == [("call", ANNA)]
    await asyncio.sleep(29)
    assert it.told == [("call", ANNA)]
    await asyncio.sleep(timeouts.CALL_GAP)
    assert it.listener.events[1:] == [("missed_call", {"number": ANNA, "rings": 6, "seconds": 25})]
    assert {name for name, _ in it.told} <= CALL_EVENTS


@pytest.mark.parametrize("end", ["NO CARRIER", "MISSED_CALL: 02:12AM +36301234567", "^CEND:1,0,104,29"])
async def test_the_modems_own_word_ends_a_call(make: Make, end: str) -> None:
    it = make()
    it.call(2)
    await asyncio.sleep(7)
    it.say(end)
    await asyncio.sleep(0.01)
    assert it.told == [("call", ANNA), ("missed_call", ANNA)]
    it.say("NO CARRIER", "MISSED_CALL: 02:12AM +36301234567")  # said twice, in other words
    await asyncio.sleep(60)
    assert it.told == [("call", ANNA), ("missed_call", ANNA)]


async def test_a_withheld_number_is_null(make: Make) -> None:
    it = make()
    it.call(2, None)
    await asyncio.sleep(30)
    assert it.told == [("call", None), ("missed_call", None)]


async def test_a_call_without_caller_id_is_told_without_it(make: Make) -> None:
    it = make()
    it.say("RING")
    await asyncio.sleep(timeouts.CALLER - 0.1)
    assert it.told == []
    await asyncio.sleep(0.2)
    assert it.told == [("call", None)]


async def test_cring_is_a_ring(make: Make) -> None:
    it = make()
    it.say("+CRING: VOICE", f'+CLIP: "{ANNA}",145')
    await asyncio.sleep(0.01)
    assert it.told == [("call", ANNA)]


async def test_one_ring_and_gone_is_still_two_events(make: Make) -> None:
    it = make()
    it.say("RING", "NO CARRIER")
    await asyncio.sleep(0.01)
    assert it.told == [("call", None), ("missed_call", None)]


async def test_two_calls_one_after_the_other(make: Make) -> None:
    it = make()
    it.ring(ANNA)
    await asyncio.sleep(4)
    it.ring(BELA)
    await asyncio.sleep(20)
    assert it.told == [("call", ANNA), ("missed_call", ANNA), ("call", BELA), ("missed_call", BELA)]
    it.ring(ANNA)
    await asyncio.sleep(0.01)
    assert it.told[-1] == ("call", ANNA)


async def test_a_missed_call_that_nobody_heard_ring_is_told(make: Make) -> None:
    it = make()
    it.say("MISSED_CALL: 10:33AM +36301234567")
    await asyncio.sleep(0.01)
    assert it.told == [("missed_call", ANNA)]
    it.say("NO CARRIER", "^CEND:1,0,104,29")
    await asyncio.sleep(60)
    assert it.told == [("missed_call", ANNA)]


async def test_a_call_ends_with_the_connection(make: Make) -> None:
    it = make()
    it.ring()
    await asyncio.sleep(1)
    it.calls.finish()
    it.calls.finish()
    assert it.told == [("call", ANNA), ("missed_call", ANNA)]
    assert it.calls.state is CallState.QUIET


async def test_nobody_is_hung_up_on_unless_that_is_wanted(make: Make) -> None:
    it = make()
    it.call(3)
    await asyncio.sleep(30)
    assert it.modem.commands == []


async def test_an_unwanted_call_is_hung_up(make: Make) -> None:
    it = make(hang_up=True)
    it.call(1)
    await asyncio.sleep(1)
    assert it.told == [("call", ANNA), ("rejected_call", ANNA)]
    assert it.modem.commands == ["AT+CHUP"]
    it.say("RING", "NO CARRIER")  # they were on their way
    await asyncio.sleep(60)
    assert it.told == [("call", ANNA), ("rejected_call", ANNA)]
    it.ring(BELA)
    await asyncio.sleep(1)
    assert it.told[2:] == [("call", BELA), ("rejected_call", BELA)]


@pytest.mark.parametrize("answer", [OK, b"\r\nNO CARRIER\r\n" + OK, b"\r\nNO CARRIER\r\n", OK + b"\r\nNO CARRIER\r\n"])
async def test_hanging_up_the_old_way_however_the_modem_says_it(make: Make, answer: bytes) -> None:
    it = make(hang_up=True, answers={"AT+CHUP": b"\r\nERROR\r\n", "ATH": answer})
    it.ring()
    await asyncio.sleep(10)
    assert it.told == [("call", ANNA), ("rejected_call", ANNA)]
    assert it.modem.commands[:2] == ["AT+CHUP", "ATH"]


async def test_a_modem_that_cannot_hang_up_is_asked_three_times_and_left_alone(make: Make) -> None:
    it = make(hang_up=True, answers={"AT+CHUP": b"\r\nERROR\r\n", "ATH": b"\r\nERROR\r\n"})
    it.call(8)
    await asyncio.sleep(60)
    assert it.modem.commands == ["AT+CHUP", "ATH"] * 3
    assert it.told == [("call", ANNA), ("missed_call", ANNA)]


async def test_nothing_is_written_while_a_send_waits_for_its_result(make: Make) -> None:
    """Domain A3.3: hanging up would end the send; and the end of a call is not the end of the send."""
    it = make(hang_up=True)
    it.modem.pdu_answer = lambda: it.modem.say_later(20.0, b"\r\n+CMGS: 9\r\n" + OK)
    send = asyncio.create_task(it.send())
    await asyncio.sleep(1)
    it.call(8)
    await asyncio.sleep(15)
    it.say("NO CARRIER")
    await asyncio.sleep(1)
    assert it.told[:2] == [("call", ANNA), ("missed_call", ANNA)]
    assert "AT+CHUP" not in it.modem.commands
    result = await send
    assert (result.outcome, result.mr) == (SendOutcome.SENT, 9)
    await asyncio.sleep(60)


async def test_a_call_that_rings_on_is_hung_up_when_the_send_is_over(make: Make) -> None:
    it = make(hang_up=True)
    it.modem.pdu_answer = lambda: it.modem.say_later(8.0, b"\r\n+CMGS: 9\r\n" + OK)
    send = asyncio.create_task(it.send())
    await asyncio.sleep(1)
    it.call(2)
    assert (await send).outcome is SendOutcome.SENT
    await asyncio.sleep(1)
    assert it.modem.commands[-1] == "AT+CHUP"
    assert it.told == [("call", ANNA), ("rejected_call", ANNA)]


async def test_a_call_that_ended_meanwhile_is_not_hung_up(make: Make) -> None:
    it = make(hang_up=True)
    it.modem.pdu_answer = lambda: it.modem.say_later(20.0, b"\r\n+CMGS: 9\r\n" + OK)
    send = asyncio.create_task(it.send())
    await asyncio.sleep(1)
    it.call(1)
    assert (await send).outcome is SendOutcome.SENT
    await asyncio.sleep(1)
    assert "AT+CHUP" not in it.modem.commands


async def test_a_caller_id_that_makes_no_sense_is_no_caller(make: Make) -> None:
    it = make()
    it.say("RING", '+CLIP: "Anna",145')
    await asyncio.sleep(3)
    assert it.told == [("call", None)]


def test_every_call_state_has_its_moves() -> None:
    assert set(MOVES) == set(CallState)
