"""What is done about a modem that fails, and the words that a technician reads meanwhile (domain A9, A10, A13)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from hardware.at import timeouts as at_timeouts
from hardware.emulator.device import VirtualModem
from hardware.errors import ModemError
from hardware.modem import Outlets, RecoveryTools, timeouts
from hardware.modem.backoff import Backoff
from hardware.modem.ladder import LADDER, NETWORK, SIM, Ladder, Rung
from hardware.modem.outlets import Said
from hardware.types import Health, ModemState, SendOutcome
from hardware.usb.ports import UsbPort
from tests.support.modem_rig import Rig, rig

PLUG = "1-1.3"
SHORT: dict[str, Any] = {"result_timeout": 0.3, "prompt_timeout": 0.3}
QUICK: tuple[Rung, ...] = tuple(replace(rung, cooldown=0.0, settle=min(0.2, rung.settle)) for rung in LADDER)


@dataclass
class Bench:
    """The plug that the emulated stick is in, and a switch outside: what is done to them, and what of it helps."""

    helps: set[str] = field(default_factory=set)
    fails: dict[str, str] = field(default_factory=dict)
    switches: bool = True  # the hub can switch this port alone
    leaves_for_good: set[str] = field(default_factory=set)
    lost_orders: int = 0  # to the switch outside
    off_seconds: float = 0.05
    done: list[str] = field(default_factory=list)
    modem: VirtualModem | None = None

    async def reset(self, path: str) -> Said:
        return await self._step("reset", path)

    async def reauthorise(self, path: str) -> Said:
        return await self._step("reauthorise", path)

    async def cycle(self, path: str) -> Said:
        if not self.switches:
            return Said("not_supported", "the hub cannot switch the current of 1-1.3; use another hub")
        return await self._step("cycle", path)

    async def power(self, modem: str, on: bool) -> bool:
        assert modem == "stick"
        assert self.modem is not None
        self.done.append("on" if on else "off")
        if self.lost_orders:
            self.lost_orders -= 1
            return False
        if not on:
            self.modem.unplug()
        elif "power" in self.helps:
            self.modem.plug()
        return True

    async def _step(self, name: str, path: str) -> Said:
        assert path == PLUG
        assert self.modem is not None
        self.done.append(name)
        if name in self.fails:
            return Said("failed", self.fails[name])
        if name in self.helps | self.leaves_for_good:
            self.modem.unplug()
            await asyncio.sleep(self.off_seconds)
        if name in self.helps:
            self.modem.plug()
            self.modem.phone.sim_ready = self.modem.phone.network_ready = True
        return Said("done", f"{name} was done")


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits that are right for hardware, short."""
    monkeypatch.setattr(at_timeouts, "PROBES", (0.02,) * 3)
    monkeypatch.setattr(at_timeouts, "QUIET", 0.02)
    for name, seconds in {
        "RESTART_PAUSE": 0.02,
        "RESTART_SETTLE": 0.3,
        "POWER_SETTLE": 0.3,
        "POWER_BACK": 0.02,
        "PATH_POLL": 0.01,
        "PATH_SETTLE": 0.01,
        "BLOCKED_RETRY": 0.05,
        "RECONNECT_CAP": 0.05,
        "SIM_RETRY": 0.02,
    }.items():
        monkeypatch.setattr(timeouts, name, seconds)
    monkeypatch.setattr(Backoff, "delay", lambda _self: 0.02)


@pytest.fixture
def on_usb(monkeypatch: pytest.MonkeyPatch) -> None:
    """The emulated port hangs on a USB plug."""
    port = UsbPort("/dev/ttyUSB2", PLUG, 0x12D1, 0x1001, 2, (255, 1, 2), None, None, None)
    monkeypatch.setattr("hardware.modem.modem._usb_port", lambda _device: port)


def tools(bench: Bench, **more: Any) -> RecoveryTools:
    return RecoveryTools(usb=bench, rungs=QUICK, **more)


def told(it: Rig, name: str = "recovery") -> list[dict[str, Any]]:
    return [dict(data) for event, data in it.listener.events if event == name]


def steps(it: Rig) -> list[tuple[Any, Any]]:
    return [(event.get("step"), event.get("result")) for event in told(it)]


async def reasons(it: Rig, wanted: Callable[[str], bool], seconds: float = 10.0) -> str:
    """The first `health_reason` that is as wanted."""
    await it.until(lambda: wanted(it.modem.status.health_reason or ""), seconds)
    return it.modem.status.health_reason or ""


async def fall_silent(it: Rig, bench: Bench) -> None:
    """It was in service, and answers nothing any more."""
    bench.modem = it.emulator.modems[0]
    await it.ready()
    it.emulator.fault(0, "wedge")
    await it.modem.interview()


async def test_a_silent_modem_is_reset_on_its_plug_after_the_gentler_steps(tmp_path: Path, on_usb: None) -> None:
    bench = Bench(helps={"reset"})
    async with rig(tmp_path, tools=tools(bench)) as it:
        await fall_silent(it, bench)
        await reasons(it, lambda reason: "trying: a restart by command" in reason)
        assert it.modem.status.state is ModemState.RECOVERING
        assert it.modem.status.health is Health.FAIL
        await it.ready()
        assert bench.done == ["reset"]
        assert steps(it) == [("reopen", "done")] * 3 + [("cfun", "failed"), ("usb_reset", "done")]
        last = told(it)[-1]
        assert "no answer to AT" in last["reason"]
        assert last["sentence"] == "reset was done"
        assert [(one["step"], one["result"]) for one in last["tried"]] == steps(it)
        assert all(one["at"].endswith("+00:00") for one in last["tried"])
        assert (await it.send())[0].outcome is SendOutcome.SENT


async def test_what_helped_is_told_once_it_has_lasted(
    tmp_path: Path, on_usb: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timeouts, "STABLE_SERVICE", 0.2)
    bench = Bench(helps={"reset"})
    async with rig(tmp_path, tools=tools(bench)) as it:
        await fall_silent(it, bench)
        await it.until(lambda: ("usb_reset", "recovered") in steps(it))
        assert it.modem.status.state is ModemState.READY


async def test_a_modem_that_nothing_helps_is_a_persons_and_says_what_was_tried(tmp_path: Path, on_usb: None) -> None:
    bench = Bench(switches=False, fails={"reauthorise": "this user may not do that"})
    async with rig(tmp_path, tools=tools(bench)) as it:
        await fall_silent(it, bench)
        await it.state(ModemState.BLOCKED)
        reason = it.modem.status.health_reason or ""
        assert "no answer to AT" in reason
        assert (
            "tried: opening its port anew, a restart by command, a USB reset, logging it off and on at the USB port"
            in reason
        )
        assert "unplug the modem for ten seconds" in reason
        end = told(it)[-1]
        assert (end["step"], end["result"]) == (None, "blocked")
        assert "unplug the modem" in end["sentence"]
        sentences = {one["step"]: one["sentence"] for one in end["tried"] if one["result"] != "done"}
        assert sentences["hub_power"] == "the hub cannot switch the current of 1-1.3; use another hub"
        assert sentences["power_switch"] == "no power switch is configured for it"
        assert sentences["authorize"] == "this user may not do that"
        count, states = len(it.listener.events), list(it.listener.states)
        await asyncio.sleep(0.4)  # it is tried again and again meanwhile
        assert it.listener.states == states, "blocked stands until it is over"
        assert len(it.listener.events) == count
        it.emulator.clear(0)
        await it.ready()


async def test_a_modem_that_is_on_no_usb_has_fewer_steps(tmp_path: Path) -> None:
    bench = Bench(helps={"reset"})
    async with rig(tmp_path, tools=tools(bench)) as it:
        await fall_silent(it, bench)
        await it.state(ModemState.BLOCKED)
        assert bench.done == []
        tried = told(it)[-1]["tried"]
        assert {one["sentence"] for one in tried if one["result"] == "skipped"} == {
            "its port is not a USB port that is known",
            "no power switch is configured for it",
        }


async def test_a_modem_that_does_not_come_back_from_a_reset_loses_its_power(tmp_path: Path, on_usb: None) -> None:
    bench = Bench(leaves_for_good={"reset"}, helps={"cycle"})
    async with rig(tmp_path, tools=tools(bench)) as it:
        await fall_silent(it, bench)
        reason = await reasons(it, lambda reason: "waiting for it to come back" in reason)
        assert "plug the modem in" not in reason, "nobody has pulled it"
        await it.ready()
        assert bench.done == ["reset", "reauthorise", "cycle"]
        assert "did not come back" in told(it)[-1]["reason"]


async def test_a_modem_that_never_comes_back_is_offline_with_what_was_tried(tmp_path: Path, on_usb: None) -> None:
    bench = Bench(leaves_for_good={"reset"})
    async with rig(tmp_path, tools=tools(bench)) as it:
        await fall_silent(it, bench)
        reason = await reasons(it, lambda reason: "and look at the hub's power" in reason)
        assert it.modem.status.state is ModemState.OFFLINE
        assert "tried: " in reason
        assert (told(it)[-1]["step"], told(it)[-1]["result"]) == (None, "blocked")
        it.emulator.fault(0, "plug")
        await it.ready()


async def test_a_modem_that_a_person_pulls_is_not_recovered(tmp_path: Path, on_usb: None) -> None:
    bench = Bench(helps={"cycle"})
    async with rig(tmp_path, tools=tools(bench)) as it:
        bench.modem = it.emulator.modems[0]
        await it.ready()
        it.emulator.fault(0, "unplug")
        await it.state(ModemState.OFFLINE)
        await asyncio.sleep(0.5)
        assert bench.done == []
        assert told(it) == []
        assert "lug the modem in" in (it.modem.status.health_reason or "")


async def test_a_modem_that_refuses_to_send_is_set_up_again_and_then_restarted(tmp_path: Path) -> None:
    async with rig(tmp_path, tools=RecoveryTools(rungs=QUICK), **SHORT) as it:
        await it.ready()
        it.emulator.fault(0, "stuck")
        for _ in range(2):
            for _ in range(3):
                await it.ready()
                (result,) = await it.send()
                assert result.outcome is SendOutcome.NOT_SENT
            await it.until(lambda: it.modem.status.state is not ModemState.READY)
        await it.ready()
        (result,) = await it.send()
        assert result.outcome is SendOutcome.SENT
        assert steps(it)[:3] == [("resync", "done"), ("resync", "set_up"), ("cfun", "done")]
        assert "does not send" in told(it)[2]["reason"]
        assert "AT+CFUN=1,1" in told(it)[2]["sentence"]
        assert it.phone.counters.boots == 1
        assert len(it.submits()) == 1


async def test_a_modem_that_refuses_to_restart_gets_the_next_step(tmp_path: Path, on_usb: None) -> None:
    bench = Bench(helps={"reset"})
    async with rig(tmp_path, tools=tools(bench), **SHORT) as it:
        bench.modem = it.emulator.modems[0]
        await it.ready()
        it.emulator.fault(0, "no_restart")
        assert await it.modem.reset("auto") == {
            "step": "usb_reset",
            "result": "done",
            "sentence": "reset was done",
        }
        assert steps(it) == [("cfun", "failed"), ("usb_reset", "done")]
        assert told(it)[0]["sentence"] == "the modem refuses to restart by command"
        await it.ready()


# What a person asks for


async def test_a_person_may_have_any_step_done(tmp_path: Path, on_usb: None) -> None:
    bench = Bench(helps={"reset", "reauthorise", "cycle"})
    async with rig(tmp_path, tools=tools(bench)) as it:
        bench.modem = it.emulator.modems[0]
        for step, answer in (
            ("resync", "resync"),
            ("reopen", "reopen"),
            ("cfun", "cfun"),
            ("usb_reset", "usb_reset"),
            ("authorize", "authorize"),
            ("power", "hub_power"),
            ("auto", "cfun"),
        ):
            await it.ready()
            said = await it.modem.reset(step)
            assert (said["step"], said["result"]) == (answer, "done")
        await it.ready()
        assert bench.done == ["reset", "reauthorise", "cycle"]
        with pytest.raises(ModemError) as refused:
            await it.modem.reset("power")
        assert "a port of its hub was switched a minute ago" in str(refused.value)
        assert "no power switch is configured" in str(refused.value)
        await it.ready()
        assert (await it.send())[0].outcome is SendOutcome.SENT


async def test_a_step_that_is_none_and_one_too_many_are_refused_in_words(tmp_path: Path) -> None:
    async with rig(tmp_path, tools=RecoveryTools(rungs=QUICK), latency=0.3) as it:
        with pytest.raises(ModemError, match="no step 'kick'") as wrong:
            await it.modem.reset("kick")
        assert "usb_reset" in wrong.value.hint
        with pytest.raises(ModemError, match="not a USB port"):
            await it.modem.reset("usb_reset")
        await it.ready()
        sending = asyncio.create_task(it.send())
        await it.until(lambda: it.modem.sending)
        with pytest.raises(ModemError, match="not a USB port"):
            await it.modem.reset("usb_reset")
        assert it.modem.sending, "nothing was touched for it"
        first = asyncio.create_task(it.modem.reset("cfun"))
        await asyncio.sleep(0)
        with pytest.raises(ModemError, match="another step"):
            await it.modem.reset("cfun")
        assert not first.done(), "it waits for the send"
        assert (await sending)[0].outcome is SendOutcome.SENT
        assert (await first)["result"] == "done"
        assert it.phone.counters.bytes_while_busy == 0


async def test_a_send_that_does_not_end_is_not_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeouts, "SEND_PATIENCE", 0.1)
    async with rig(tmp_path, latency=0.6) as it:
        await it.ready()
        sending = asyncio.create_task(it.send())
        await it.until(lambda: it.modem.sending)
        with pytest.raises(ModemError, match="a send waits for its result"):
            await it.modem.reset("cfun")
        assert (await sending)[0].outcome is SendOutcome.SENT
        assert it.modem.can_send


async def test_a_modem_that_is_not_there_can_still_lose_its_power(tmp_path: Path, on_usb: None) -> None:
    bench = Bench(helps={"cycle"})
    async with rig(tmp_path, tools=tools(bench)) as it:
        bench.modem = it.emulator.modems[0]
        await it.ready()
        it.emulator.fault(0, "unplug")
        await it.state(ModemState.OFFLINE)
        assert (await it.modem.reset("power"))["step"] == "hub_power"
        await it.ready()


# Power


async def test_a_hub_waits_for_the_neighbours_send(
    tmp_path: Path, on_usb: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Neighbour:
        usb_path = "1-1.2"
        sending = True
        can_send = True

    monkeypatch.setattr(timeouts, "POSTPONED", 0.05)
    outlets = Outlets()
    outlets.join("stick-2", (neighbour := Neighbour()), None)
    bench = Bench(helps={"cycle"}, fails={"reset": "no", "reauthorise": "no"})
    async with rig(tmp_path, tools=tools(bench, outlets=outlets)) as it:
        await fall_silent(it, bench)
        await it.until(lambda: "reauthorise" in bench.done)
        await asyncio.sleep(0.3)
        assert "cycle" not in bench.done
        neighbour.sending = False
        await it.ready()
        assert bench.done == ["reset", "reauthorise", "cycle"]


async def test_a_switch_outside_takes_the_power_and_gives_it_back(tmp_path: Path) -> None:
    bench = Bench(helps={"power"})
    async with rig(tmp_path, tools=tools(bench, switch=bench, outlet="plug-1", off_time=0.1)) as it:
        await fall_silent(it, bench)
        await reasons(it, lambda reason: "trying: its power switch off and on" in reason)
        await it.ready()
        assert bench.done == ["off", "on"]
        last = next(event for event in reversed(told(it)) if event["step"] == "power_switch")
        assert (last["result"], last["sentence"]) == ("done", "its power was switched off for 0.1 s")


async def test_a_power_that_is_off_is_switched_on_however_often_it_takes(tmp_path: Path) -> None:
    bench = Bench(helps={"power"})
    async with rig(tmp_path, tools=tools(bench, switch=bench, outlet="plug-1", off_time=0.05)) as it:
        await fall_silent(it, bench)
        await it.until(lambda: "off" in bench.done)
        bench.lost_orders = 3
        await reasons(it, lambda reason: "is the broker there?" in reason)
        await it.ready()
        assert bench.done == ["off", "on", "on", "on", "on"]


async def test_the_end_of_the_bridge_does_not_leave_the_power_off(tmp_path: Path) -> None:
    bench = Bench(helps={"power"})
    async with rig(tmp_path, tools=tools(bench, switch=bench, outlet="plug-1", off_time=60.0)) as it:
        await fall_silent(it, bench)
        await it.until(lambda: "off" in bench.done)
        await it.modem.stop(0.1)
        assert bench.done == ["off", "on"]


async def test_a_modem_that_restarts_again_and_again_has_a_power_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timeouts, "RESTART_BURST", 0.5)
    async with rig(tmp_path, "sim800l") as it:
        for count in range(3):
            await it.ready()
            assert "power supply" not in (it.modem.status.health_reason or "")
            it.emulator.fault(0, "reboot")
            await it.until(lambda: it.phone.counters.boots > count)  # noqa: B023
            await it.until(lambda: not it.modem.can_send)
            await asyncio.sleep(0.5)
        await it.state(ModemState.DEGRADED)
        reason = it.modem.status.health_reason or ""
        assert "restarted 3 times within 10 minutes" in reason
        assert "powered hub" in reason
        assert [one["result"] for one in told(it)].count("power") == 1
        assert (await it.send())[0].outcome is SendOutcome.SENT, "between two restarts it works"


async def test_a_plug_that_is_loose_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeouts, "RESTART_BURST", 0.01)
    async with rig(tmp_path, "sim800l") as it:
        for _ in range(5):
            await it.ready()
            assert it.modem.status.health is Health.PASS
            it.emulator.fault(0, "unplug")
            await it.state(ModemState.OFFLINE)
            it.emulator.fault(0, "plug")
            it.phone.sim_ready = it.phone.network_ready = True
        await it.ready()
        assert (it.modem.status.state, it.modem.status.health) == (ModemState.READY, Health.WARN)
        assert "left and came back 5 times within 10 minutes" in (it.modem.status.health_reason or "")
        assert [one["result"] for one in told(it)].count("power") == 1


async def test_a_modem_that_does_nothing_but_restart_is_said_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(at_timeouts, "REBOOT_GRACE", 0.05)
    monkeypatch.setattr(timeouts, "RESTART_BURST", 0.1)
    async with rig(tmp_path, "sim800l", start=False, tools=RecoveryTools(rungs=QUICK)) as it:
        it.emulator.fault(0, "brown_out", every=0.2)
        await it.modem.start()
        reason = await reasons(it, lambda reason: "powered hub" in reason)
        assert not it.modem.can_send
        assert "2 A" in reason
        assert [one["result"] for one in told(it)].count("power") == 1
        it.emulator.clear(0)
        await it.ready()


# The SIM and the network


async def test_a_sim_that_does_not_work_costs_one_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hardware.modem.recovery.SIM", tuple(replace(rung, settle=0.1) for rung in SIM))
    async with rig(tmp_path, start=False) as it:
        it.emulator.fault(0, "sim_failure")
        await it.modem.start()
        await it.ready()
        assert steps(it)[0] == ("cfun", "done")
        assert "the SIM does not work" in told(it)[0]["reason"]


async def test_a_sim_that_is_broken_is_a_persons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hardware.modem.recovery.SIM", tuple(replace(rung, settle=0.1) for rung in SIM))
    async with rig(tmp_path, start=False) as it:
        it.emulator.fault(0, "sim_failure", lasting=True)
        await it.modem.start()
        await it.until(lambda: ("cfun", "done") in steps(it))
        await asyncio.sleep(0.5)
        assert it.modem.status.state is ModemState.BLOCKED
        assert it.modem.status.health_reason == "the SIM does not work; clean its contacts, try it in a telephone"
        assert steps(it) == [("cfun", "done")], "once an hour"


@pytest.fixture
def short_absence(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in {
        "FLAP": 0.05,
        "GAP_SENDS": 0.02,
        "LOST_NETWORK": 0.3,
        "REFUSED_GAP": 0.2,
        "REGISTRATION_POLL": 0.05,
        "HEALTH_POLL": 0.1,
        "RADIO_PAUSE": 0.05,
    }.items():
        monkeypatch.setattr(timeouts, name, seconds)


async def test_a_network_that_is_lost_for_long_is_looked_for_anew(tmp_path: Path, short_absence: None) -> None:
    async with rig(tmp_path) as it:
        await it.ready()
        it.emulator.fault(0, "lost_network")
        await it.state(ModemState.REGISTERING)
        await reasons(it, lambda reason: "no network takes this modem; trying: its radio off and on" in reason)
        await it.ready()
        assert ("radio", "done") in steps(it)
        assert it.phone.settings.fun == 1
        assert it.phone.counters.boots == 0
        assert (await it.send())[0].outcome is SendOutcome.SENT


async def test_a_network_that_no_radio_finds_is_a_restart(tmp_path: Path, short_absence: None) -> None:
    async with rig(tmp_path) as it:
        await it.ready()
        absence = it.modem._recovery.absence
        absence.ladder = Ladder(replace(rung, cooldown=0.1, per_hour=9, settle=0.1) for rung in NETWORK)
        it.emulator.fault(0, "registration", stat=2)
        await it.until(lambda: ("cfun", "done") in steps(it))
        assert steps(it)[:1] == [("radio", "done")]
        assert it.modem.status.state is not ModemState.BLOCKED
        it.emulator.clear(0)
        await it.ready()


async def test_a_sim_that_the_network_refuses_is_no_fault_of_the_modem(tmp_path: Path, short_absence: None) -> None:
    async with rig(tmp_path) as it:
        await it.ready()
        it.emulator.fault(0, "registration", stat=3)
        await it.state(ModemState.REGISTERING)
        await asyncio.sleep(0.8)
        assert it.modem.status.state is ModemState.REGISTERING
        assert (it.phone.counters.boots, told(it)) == (0, [])
        it.emulator.clear(0)
        await it.ready()


async def test_a_modem_that_was_left_off_the_air_is_switched_on(tmp_path: Path) -> None:
    async with rig(tmp_path, start=False) as it:
        it.phone.settings.fun = 4
        await it.modem.start()
        await it.ready()
        assert it.phone.settings.fun == 1


# A service centre that knows no validity period (domain A9, CMS 198 and 199)


@pytest.mark.parametrize("code", [198, 199])
async def test_a_validity_that_is_not_known_is_left_out_once(code: int, tmp_path: Path) -> None:
    from hardware.pdu import SubmitRequest, encode

    asked = 0

    async def allow() -> bool:
        nonlocal asked
        asked += 1
        return True

    async with rig(tmp_path) as it:
        await it.ready()
        limited = encode(SubmitRequest("+36301234567", text="soon", validity_minutes=60))
        it.emulator.fault(0, "cms_error", code=code)
        result = await it.modem.send_part(limited.pdus[0], limited.lengths[0], allow)
        assert result.outcome is SendOutcome.SENT
        assert asked == 1
        assert [(row["cause"], row["accepted"]) for row in it.submits()] == [(code, False), (None, True)]
        it.emulator.fault(0, "cms_error", code=code, count=2)
        result = await it.modem.send_part(limited.pdus[0], limited.lengths[0], allow)
        assert result.outcome is SendOutcome.NOT_SENT
        assert result.error is not None
        assert (result.error.code, str(result.error.action)) == (f"cms_{code}", "retry_same")
        plain = encode(SubmitRequest("+36301234567", text="whenever"))
        it.emulator.fault(0, "cms_error", code=code)
        result = await it.modem.send_part(plain.pdus[0], plain.lengths[0], allow)
        assert result.outcome is SendOutcome.NOT_SENT, "there is nothing to leave out: the queue tries again"
