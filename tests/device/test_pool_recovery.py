"""A stick that leaves the USB in the middle of its recovery, and one that hangs before anybody knows it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from hardware.at import timeouts as at_timeouts
from hardware.modem import RecoveryTools
from hardware.modem import timeouts as modem_timeouts
from hardware.modem.backoff import Backoff
from hardware.modem.ladder import LADDER
from hardware.modem.outlets import Said
from hardware.pool import MemoryRegister
from hardware.pool import timeouts as pool_timeouts
from hardware.types import ModemState, SendOutcome
from tests.support.plug_rig import PlugRig, Sticks, plug_rig

PLUG = "1-1.3"
QUICK = tuple(replace(rung, cooldown=0.0, settle=min(0.3, rung.settle)) for rung in LADDER)


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(at_timeouts, "PROBES", (0.02,) * 3)
    monkeypatch.setattr(at_timeouts, "QUIET", 0.02)
    monkeypatch.setattr(pool_timeouts, "LISTEN", 0.01)
    monkeypatch.setattr(pool_timeouts, "ANSWER", 0.05)
    monkeypatch.setattr(Backoff, "delay", lambda _self: 0.05)
    for name in ("RESTART_SETTLE", "POWER_SETTLE"):
        monkeypatch.setattr(modem_timeouts, name, 0.5)
    monkeypatch.setattr(modem_timeouts, "RESTART_PAUSE", 0.02)


@dataclass
class Hands:
    """What is done to plugs; `mends`: what has the stick answer again."""

    mends: str
    sticks: Sticks | None = None
    done: list[str] = field(default_factory=list)

    async def reset(self, path: str) -> Said:
        return await self._step("reset", path)

    async def reauthorise(self, path: str) -> Said:
        return await self._step("reauthorise", path)

    async def cycle(self, path: str) -> Said:
        return await self._step("cycle", path)

    async def _step(self, name: str, path: str) -> Said:
        assert path == PLUG
        assert self.sticks is not None
        self.done.append(name)
        index = self.sticks.pull(path)  # it leaves the USB
        await asyncio.sleep(0.15)
        self.sticks.put(index, path)
        if name != self.mends:
            self.sticks.emulator.fault(index, "wedge")
        return Said("done", f"{name} was done")


def steps(it: PlugRig) -> list[tuple[object, object]]:
    return [(event["step"], event["result"]) for event in it.ears.of("recovery")]


async def test_a_stick_that_is_reset_in_its_plug_comes_back_under_its_name(tmp_path: Path) -> None:
    hands = Hands("reauthorise")
    async with plug_rig(tmp_path, tools=lambda _name: RecoveryTools(usb=hands, rungs=QUICK)) as it:
        hands.sticks = it.sticks
        it.sticks.put(0, PLUG)
        await it.until(lambda: it.ears.added)
        (name,) = it.ears.added
        modem = await it.ready(name)
        it.emulator.fault(0, "wedge")
        await modem.interview()
        await it.until(lambda: "reset" in hands.done)
        await it.until(lambda: "waiting for it to come back" in (modem.status.health_reason or ""))
        await it.ready(name)
        assert hands.done == ["reset", "reauthorise"], "the first one did not help"
        assert it.ears.added == [name]
        assert (await it.send(name)).outcome is SendOutcome.SENT


async def test_a_known_stick_that_hangs_when_the_bridge_starts_is_mended(tmp_path: Path) -> None:
    register = MemoryRegister()
    async with plug_rig(tmp_path, register=register) as first:
        first.sticks.put(0, PLUG)
        await first.until(lambda: first.ears.added)
        (name,) = first.ears.added
        await first.ready(name)
        first.emulator.fault(0, "wedge")
        await first.pool.stop(0)
        hands = Hands("cycle", first.sticks)

        def tools(_name: str) -> RecoveryTools:
            return RecoveryTools(usb=hands, rungs=QUICK)

        async with plug_rig(tmp_path, register=register, sticks=first.sticks, tools=tools) as it:
            await it.ready(name)
            assert hands.done == ["reset", "reauthorise", "cycle"]
            assert steps(it) == [("usb_reset", "done"), ("authorize", "done"), ("hub_power", "done")]
            assert "does not answer AT" in str(it.ears.of("recovery")[0]["reason"])


async def test_a_stick_that_nobody_knows_is_left_alone(tmp_path: Path) -> None:
    """It may serve something else: only what has answered here before is mended."""
    hands = Hands("reset")
    async with plug_rig(tmp_path, tools=lambda _name: RecoveryTools(usb=hands, rungs=QUICK)) as it:
        hands.sticks = it.sticks
        it.sticks.put(0, PLUG)
        it.emulator.fault(0, "wedge")
        await it.view(PLUG, ModemState.BLOCKED, "does not answer AT")
        await asyncio.sleep(0.8)
        assert hands.done == []
        assert it.ears.added == []


async def test_the_end_of_the_pool_in_the_middle_of_a_step(tmp_path: Path) -> None:
    hands = Hands("reset")
    async with plug_rig(tmp_path, tools=lambda _name: RecoveryTools(usb=hands, rungs=QUICK)) as it:
        hands.sticks = it.sticks
        it.sticks.put(0, PLUG)
        await it.until(lambda: it.ears.added)
        modem = await it.ready(it.ears.added[0])
        it.emulator.fault(0, "wedge")
        await modem.interview()
        await it.until(lambda: "reset" in hands.done)
        await it.pool.stop(0)
        assert modem.status.state is ModemState.OFFLINE
