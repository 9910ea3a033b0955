"""Ring 3: what a delicate modem is spared: a rest between commands, and commands that crash it. In virtual time."""

from __future__ import annotations

import asyncio

import pytest

from hardware.at import timeouts
from hardware.at.channel import AtChannel
from hardware.at.types import AtCommandError, Command, WritePacing
from hardware.errors import PortLost
from hardware.transport import loopback
from hardware.types import SendOutcome
from tests.support.scripted_modem import OK, Answer, ScriptedModem

pytestmark = pytest.mark.looptime

PDU = "0001000B916303214365F700000161"


class Delicate(ScriptedModem):
    """Notes when each command came."""

    at: list[float]

    def data_received(self, data: bytes) -> None:
        self.at = [*getattr(self, "at", []), asyncio.get_running_loop().time()]
        super().data_received(data)


def pair(answers: dict[str, Answer] | None = None) -> tuple[AtChannel, Delicate]:
    near, far = loopback()
    modem = Delicate(far, answers)
    far.attach(modem)
    return AtChannel.attach(near), modem


async def allowed() -> bool:
    return True


async def test_a_rest_between_an_answer_and_the_next_command() -> None:
    channel, modem = pair()
    channel.pacing = WritePacing(gap=0.02)
    for _ in range(3):
        await channel.command(Command("AT+CSQ", prefix="+CSQ:"))
    first, second, third = modem.at
    assert second - first == pytest.approx(0.02)
    assert third - second == pytest.approx(0.02)
    await asyncio.sleep(1.0)
    before = asyncio.get_running_loop().time()
    await channel.command(Command("AT+CSQ", prefix="+CSQ:"))
    assert modem.at[-1] == before, "it has had its rest"
    await channel.close()


async def test_a_send_rests_too() -> None:
    channel, modem = pair()
    channel.pacing = WritePacing(gap=0.02)
    await channel.command(Command("AT+CSQ", prefix="+CSQ:"))
    result = await channel.send_pdu(len(PDU) // 2 - 1, PDU, allowed)
    assert result.outcome is SendOutcome.SENT
    assert modem.at[1] - modem.at[0] == pytest.approx(0.02)
    await channel.close()


async def test_without_a_gap_there_is_no_rest() -> None:
    channel, modem = pair()
    for _ in range(2):
        await channel.command(Command("AT+CSQ", prefix="+CSQ:"))
    assert modem.at[1] == modem.at[0]
    await channel.close()


async def test_a_port_that_is_lost_in_the_rest() -> None:
    channel, modem = pair()
    channel.pacing = WritePacing(gap=0.02)
    await channel.command(Command("AT+CSQ", prefix="+CSQ:"))
    second = asyncio.create_task(channel.command(Command("AT+CSQ", prefix="+CSQ:")))
    await asyncio.sleep(0.01)
    modem.end.abort()
    with pytest.raises(PortLost):
        await second
    assert len(modem.at) == 1
    await channel.close()


async def test_a_question_that_is_lost_behind_an_answer_teaches_the_channel_to_rest() -> None:
    """Nobody knows yet that it is a Telit (domain A2.2)."""
    lost: list[str] = []

    def answer_late() -> None:
        lost.append("AT+CMEE?")

    channel, modem = pair({"AT+CMEE?": answer_late})
    await channel.resync()
    assert lost == ["AT+CMEE?"]
    assert channel.pacing.gap == timeouts.GAP
    begun = len(modem.at)
    await channel.command(Command("AT+CSQ", prefix="+CSQ:"))
    assert modem.at[begun] - modem.at[begun - 1] >= timeouts.GAP - 1e-9
    await channel.close()


async def test_a_command_that_crashes_the_modem_is_refused_as_it_would() -> None:
    channel, modem = pair({"AT+CGMI": b"\r\nhuawei\r\n" + OK})
    channel.skip = ("AT^GETPORTMODE",)
    for text in ("AT^GETPORTMODE", "at^getportmode", "AT^GETPORTMODE?"):
        with pytest.raises(AtCommandError, match="not written: this command is known to crash the modem") as refused:
            await channel.command(Command(text))
        assert (refused.value.space, refused.value.code, refused.value.name) == (None, None, "error")
    assert (await channel.command(Command("AT+CGMI"))).lines == ["huawei"]
    assert modem.commands == ["AT+CGMI"]
    await channel.close()
