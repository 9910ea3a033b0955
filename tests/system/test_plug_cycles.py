"""Sticks that are pulled in every state, orders and messages under way: nothing lost, nothing doubled, nothing left.

`PLUG_CYCLES=500` (`make test-plug`) is the long form.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from hardware.at import timeouts as at_timeouts
from hardware.modem import timeouts as modem_timeouts
from hardware.pool import timeouts
from hardware.types import ModemState
from sms_bridge.core.model import SendRequest
from tests.support.house_rig import House, house

CYCLES = int(os.environ.get("PLUG_CYCLES", "40"))
PLUGS = ("1-1", "1-2.1", "1-2.4", "2-1")
FINAL = {"sent", "delivered", "unknown"}
MOST_OPEN = 8  # orders at a time
MOMENTS = itertools.cycle(("cmgs", "prompt", "ctrl_z", "accepted"))


@pytest.fixture(autouse=True)
def swift(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(at_timeouts, "QUIET", 0.02)
    monkeypatch.setattr(timeouts, "LISTEN", 0.01)
    monkeypatch.setattr(timeouts, "STRAY_PAUSE", 0.1)
    monkeypatch.setattr(modem_timeouts, "REGISTRATION_POLL", 0.1)


class Traffic:
    """Orders and messages from outside, for as long as the sticks come and go."""

    def __init__(self, it: House) -> None:
        self.it = it
        self.ordered: list[str] = []
        self.written: list[str] = []
        self.stopped = False

    async def order(self, modem: str) -> None:
        """One message, to somebody new: nobody's conversation binds it to a SIM."""
        text = f"order {len(self.ordered)}"
        self.ordered.append(text)
        to = f"+3630{1_000_000 + len(self.ordered)}"
        await self.it.service.submit([SendRequest(id=text, to=(to,), text=text, modem=modem)])

    async def run(self) -> None:
        for number in itertools.count():
            if self.stopped:
                return
            if sum(self.it.states.get(text) not in FINAL for text in self.ordered[-100:]) < MOST_OPEN:
                await self.order("auto")
            if number % 5 == 0:
                text = f"message {number}"
                self.written.append(text)
                self.it.emulator.deliver(number % 3, "+36301112222", text)
            await asyncio.sleep(0.03)


async def until_detected(it: House, traffic: Traffic, index: int, path: str) -> None:
    """Pulled before it has settled, or while it is looked at."""
    it.sticks.put(index, path)
    await asyncio.sleep(index * 0.01)


async def until_interviewing(it: House, traffic: Traffic, index: int, path: str) -> None:
    it.sticks.put(index, path)
    await it.until(lambda: it.state_in(path) is ModemState.INTERVIEWING)


async def until_asked_by_its_modem(it: House, traffic: Traffic, index: int, path: str) -> None:
    it.sticks.put(index, path)
    await it.until(lambda: (modem := it.modem_in(path)) is not None and modem.status.state != "offline")


async def until_registering(it: House, traffic: Traffic, index: int, path: str) -> None:
    it.sticks.put(index, path)
    it.emulator.fault(index, "registration", stat=2)
    await it.until(lambda: it.state_in(path) is ModemState.REGISTERING)


async def until_ready(it: House, traffic: Traffic, index: int, path: str) -> None:
    it.sticks.put(index, path)
    await it.until(lambda: it.state_in(path) is ModemState.READY)


async def until_sending(it: House, traffic: Traffic, index: int, path: str) -> None:
    """Line and device go in the middle of a dialogue."""
    await until_ready(it, traffic, index, path)
    stick, modem = it.emulator.modems[index], it.modem_in(path)
    assert modem is not None
    it.emulator.fault(index, "unplug", on=next(MOMENTS))
    await traffic.order(modem.config.name)
    await it.until(lambda: not stick.phone.powered)


async def until_recovering(it: House, traffic: Traffic, index: int, path: str) -> None:
    await until_ready(it, traffic, index, path)
    it.emulator.fault(index, "reboot")
    await it.until(lambda: it.state_in(path) in (ModemState.RECOVERING, ModemState.INTERVIEWING))


async def until_blocked(it: House, traffic: Traffic, index: int, path: str) -> None:
    it.emulator.fault(index, "pin_required", pin="1234")
    it.sticks.put(index, path)
    await it.until(lambda: it.state_in(path) is ModemState.BLOCKED)


STATES = (
    until_detected,
    until_interviewing,
    until_asked_by_its_modem,
    until_registering,
    until_ready,
    until_sending,
    until_recovering,
    until_blocked,
)


def count() -> tuple[int, int, int]:
    """File descriptors but the journal's, which opens its readers when they are wanted; tasks; threads."""
    gc.collect()
    names = (os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd"))
    threads = [thread for thread in threading.enumerate() if not thread.name.startswith(("asyncio_", "journal"))]
    return sum("journal.db" not in name for name in names), len(asyncio.all_tasks()), len(threads)


@pytest.mark.slow
@pytest.mark.timeout(0 if CYCLES > 100 else 180)
async def test_sticks_are_pulled_in_every_state(tmp_path: Path) -> None:
    async with house(tmp_path, ("ec25",) * 3, latency=0.02) as it:
        traffic = Traffic(it)
        for index in range(3):  # the third stays where it is, and works
            await until_ready(it, traffic, index, f"3-{index + 1}")
        await asyncio.sleep(0.5)  # what a modem is asked once it is in service
        before = count()
        flow = asyncio.create_task(traffic.run())
        gone = []
        for index in range(2):
            it.sticks.pull(f"3-{index + 1}")
        for cycle in range(CYCLES):
            index, path = cycle % 2, PLUGS[cycle * 7 % len(PLUGS)]
            await STATES[cycle // 2 % len(STATES)](it, traffic, index, path)
            modem = it.modem_in(path)
            began = time.monotonic()
            it.sticks.pull(path)
            if modem is not None:
                await it.until(lambda modem=modem: modem.status.state is ModemState.OFFLINE, 1.0)  # type: ignore[misc]
                gone.append(time.monotonic() - began)
            await it.until(lambda path=path: path not in it.pool._plugged)  # type: ignore[misc]
            it.emulator.clear(index)
        traffic.stopped = True
        await flow
        for index in range(2):
            await until_ready(it, traffic, index, f"3-{index + 1}")
        _judge(it, traffic, await _settled(it, traffic))
        await it.until(lambda: all(now <= then for now, then in zip(count(), before, strict=True)), 10.0)
        assert it.modems.names() == ("quectel-1", "quectel-2", "quectel-3")
        print(f"offline after {max(gone) * 1000:.0f} ms at most; fds, tasks, threads {before} -> {count()}")


async def _settled(it: House, traffic: Traffic) -> dict[str, str]:
    """The final state of each order, once all of them have one and all messages have come in."""
    await it.until(lambda: all(it.states.get(text) in FINAL for text in traffic.ordered), 60.0)
    await it.until(lambda: len(it.published("in")) >= len(traffic.written), 30.0)
    return it.states


def _judge(it: House, traffic: Traffic, states: dict[str, str]) -> None:
    sent = Counter(it.accepted())
    assert max(sent.values()) == 1, "the ledger has a message twice"
    assert not [text for text in traffic.ordered if states[text] in ("sent", "delivered") and not sent[text]]
    unknown = [text for text in traffic.ordered if states[text] == "unknown"]
    assert len(unknown) <= CYCLES
    assert Counter(message["text"] for message in it.published("in")) == Counter(traffic.written)
    of_unknown = sum(sent[text] for text in unknown)
    print(
        f"{CYCLES} cycles: {len(traffic.ordered)} orders, {len(unknown)} of them unknown ({of_unknown} in the ledger), "
        f"{len(traffic.written)} messages in"
    )
