"""Ring 4: the AT channel on a real tty (a pty), with a modem's side that only knows what these tests need."""

from __future__ import annotations

import asyncio
import os
import time
import tty
from collections.abc import AsyncIterator, Callable

import pytest

from hardware.at.channel import AtChannel
from hardware.at.types import Command
from hardware.errors import PortBusy, PortLost
from hardware.types import SendOutcome

SIGNAL = Command("AT+CSQ", prefix="+CSQ:")
PDU = "0011000B916407281553F80000AA0AE8329BFD4697D9EC37"
LENGTH = 23
CPU_BUDGET = 0.001  # seconds per part; measured 0.0003 on an idle machine


class PtyModem:
    """Answers on the same loop, from the pty's other side."""

    def __init__(self) -> None:
        self.master, slave = os.openpty()
        tty.setraw(slave)
        self.path = os.ttyname(slave)
        os.close(slave)
        os.set_blocking(self.master, False)
        self.at_prompt = False
        self.pdus: list[bytes] = []
        self.on_command: Callable[[bytes], bool] = lambda line: False
        self._buffer = b""
        self._plugged = True

    def plug(self) -> None:
        asyncio.get_running_loop().add_reader(self.master, self._readable)

    def unplug(self) -> None:
        if self._plugged:
            self._plugged = False
            asyncio.get_running_loop().remove_reader(self.master)
            os.close(self.master)

    def say(self, data: bytes) -> None:
        if self._plugged:
            os.write(self.master, data)

    def _readable(self) -> None:
        try:
            self._buffer += os.read(self.master, 4096)
        except OSError:  # nobody has the port open
            asyncio.get_running_loop().remove_reader(self.master)
            if self._plugged:
                asyncio.get_running_loop().call_later(0.02, self.plug)
            return
        while self._plugged and self._step():
            pass

    def _step(self) -> bool:
        ends = b"\x1a\x1b" if self.at_prompt else b"\r"
        found = [at for at in (self._buffer.find(bytes([end])) for end in ends) if at >= 0]
        if not found:
            return False
        line, end, self._buffer = self._buffer[: min(found)], self._buffer[min(found)], self._buffer[min(found) + 1 :]
        if self.at_prompt:
            self.at_prompt = False
            if end == 0x1A:
                self.pdus.append(line)
            if not self.on_command(bytes([end])):
                self.say(b"\r\n+CMGS: 17\r\n\r\nOK\r\n" if end == 0x1A else b"\r\nOK\r\n")
        elif not self.on_command(line):
            self._answer(line.strip(b"\x1b"))
        return True

    def _answer(self, line: bytes) -> None:
        if line.startswith(b"AT+CMGS="):
            self.at_prompt = True
            self.say(b"\r\n> ")
        elif line:
            info = {b"AT+CSQ": b"\r\n+CSQ: 20,99\r\n", b"AT+CMEE?": b"\r\n+CMEE: 1\r\n"}.get(line, b"")
            self.say(info + b"\r\nOK\r\n")


@pytest.fixture
async def modem() -> AsyncIterator[PtyModem]:
    made = PtyModem()
    made.plug()
    yield made
    made.unplug()


async def yes() -> bool:
    return True


async def test_a_dialogue_on_a_tty(modem: PtyModem) -> None:
    channel = await AtChannel.open(modem.path)
    await channel.resync()
    assert (await channel.command(SIGNAL)).lines == ["+CSQ: 20,99"]
    result = await channel.send_pdu(LENGTH, PDU, yes)
    assert (result.outcome, result.mr, modem.pdus) == (SendOutcome.SENT, 17, [PDU.encode()])
    assert channel.port == modem.path
    assert await channel.close()


async def test_a_prompt_that_a_killed_process_left_is_cleared_and_nothing_is_sent(modem: PtyModem) -> None:
    modem.at_prompt = True
    channel = await AtChannel.open(modem.path)
    await channel.resync()
    assert (modem.at_prompt, modem.pdus) == (False, [])
    assert (await channel.send_pdu(LENGTH, PDU, yes)).outcome is SendOutcome.SENT
    await channel.close()


@pytest.mark.parametrize(
    ("when", "outcome"), [(b"AT+CMGS=23", SendOutcome.NOT_SENT), (b"\x1a", SendOutcome.UNKNOWN), (b"AT+CSQ", None)]
)
async def test_unplugged_in_the_middle(modem: PtyModem, when: bytes, outcome: SendOutcome | None) -> None:
    def unplug(line: bytes) -> bool:
        if line == when:
            modem.unplug()
        return line == when

    modem.on_command = unplug
    channel = await AtChannel.open(modem.path)
    await channel.resync()
    if outcome is None:
        with pytest.raises(PortLost):
            await channel.command(SIGNAL)
    else:
        result = await channel.send_pdu(LENGTH, PDU, yes)
        assert result.outcome is outcome
        assert result.error is not None
        assert result.error.code == "port_lost"
    assert isinstance(await channel.wait_lost(), PortLost)
    assert await channel.close()


async def test_a_closed_channel_gives_the_port_back(modem: PtyModem) -> None:
    for _ in range(10):
        channel = await AtChannel.open(modem.path)
        with pytest.raises(PortBusy):
            await AtChannel.open(modem.path)
        await channel.resync()
        assert await channel.close()


async def test_the_engine_costs_little_for_a_part(modem: PtyModem) -> None:
    """The modem's side runs on this loop too and is in the figure."""
    channel = await AtChannel.open(modem.path)
    await channel.resync()
    best = 1.0
    for _ in range(3):  # the best of three: other tests share the machine's caches
        started = time.thread_time()
        for _ in range(200):
            await channel.send_pdu(LENGTH, PDU, yes)
        best = min(best, (time.thread_time() - started) / 200)
    await channel.close()
    assert best < CPU_BUDGET
