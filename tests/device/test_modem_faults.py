"""What goes wrong in the field, by name, and the certainty that is left of a send (domain A3, E3, G)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from hardware.at import commands
from hardware.at import timeouts as at_timeouts
from hardware.at.errors import classify
from hardware.modem import timeouts
from hardware.types import Action, ModemState, SendOutcome, SendResult
from tests.support.modem_rig import NUMBER, allowed, rig

SHORT: dict[str, Any] = {"result_timeout": 0.3, "prompt_timeout": 0.3}


async def test_a_lost_result_is_unknown_and_the_next_send_is_not_confused(tmp_path: Path) -> None:
    async with rig(tmp_path, **SHORT) as it:
        await it.ready()
        it.emulator.fault(0, "lost_result")
        (lost,) = await it.send("one")
        assert lost.outcome is SendOutcome.UNKNOWN
        assert lost.error is not None
        assert (lost.error.code, lost.error.action) == ("timeout", Action.UNKNOWN)
        (sent,) = await it.send("two")
        assert sent.outcome is SendOutcome.SENT
        assert [row["text"] for row in it.submits()] == ["one", "two"]
        assert sent.mr == it.submits()[1]["mr"]
        assert (it.modem.status.sent, it.modem.status.failures) == (1, 1)


async def test_a_late_result_resolves_the_send_it_belongs_to(tmp_path: Path) -> None:
    late: list[tuple[object, SendResult]] = []
    async with rig(tmp_path, late=lambda token, result: late.append((token, result)), **SHORT) as it:
        await it.ready()
        it.emulator.fault(0, "late_result", delay=0.6)
        from hardware.pdu import SubmitRequest, encode

        part = encode(SubmitRequest(NUMBER, text="slow"))
        result = await it.modem.send_part(part.pdus[0], part.lengths[0], allowed, token="part-1")
        assert result.outcome is SendOutcome.UNKNOWN
        await it.until(lambda: late)
        assert late[0][0] == "part-1"
        assert late[0][1].outcome is SendOutcome.SENT
        assert late[0][1].mr == it.submits()[0]["mr"]
        assert it.modem.status.sent == 1
        assert (await it.send("next"))[0].outcome is SendOutcome.SENT
        assert len(it.submits()) == 2


async def test_a_modem_that_dies_after_ctrl_z_leaves_an_unknown(tmp_path: Path) -> None:
    async with rig(tmp_path) as it:
        await it.ready()
        it.emulator.fault(0, "die_after_ctrl_z")
        (result,) = await it.send()
        assert result.outcome is SendOutcome.UNKNOWN
        assert len(it.submits()) == 1
        await it.state(ModemState.OFFLINE, 1.0)
        it.emulator.fault(0, "plug")
        await it.ready()
        assert len(it.submits()) == 1, "nobody sent it again"


CODES = [1, 8, 10, 17, 21, 22, 27, 28, 38, 41, 42, 47, 50, 69, 95, 96, 111, 127, 128, 145, 192, 193, 194, 195, 255]
CODES += [300, 302, 304, 320, 322, 330, 332, 350, 500, 512, 513, 514, 515, 531]


@pytest.mark.parametrize("stage", ["before", "after"])
async def test_every_refusal_has_the_certainty_of_the_table(stage: str, tmp_path: Path) -> None:
    async with rig(tmp_path) as it:
        for code in CODES:
            await it.ready()
            it.emulator.fault(0, "cms_error", code=code, stage=stage)
            (result,) = await it.send(str(code))
            verdict = classify("CMS", code, after_pdu=stage == "after")
            assert result.outcome is verdict.outcome, code
            assert result.error is not None
            assert result.error.code == f"cms_{code}"
            assert result.error.action is verdict.error.action
        await it.ready()
        assert (await it.send())[0].outcome is SendOutcome.SENT


async def test_a_refusal_by_the_network_is_not_the_modems_fault(tmp_path: Path) -> None:
    async with rig(tmp_path) as it:
        await it.ready()
        it.emulator.fault(0, "cms_error", code=38)
        (result,) = await it.send()
        assert result.outcome is SendOutcome.NOT_SENT
        assert result.error is not None
        assert result.error.action is Action.RETRY_OTHER
        assert it.modem.status.state is ModemState.READY


async def test_no_service_takes_the_modem_out_until_it_is_registered(tmp_path: Path) -> None:
    async with rig(tmp_path) as it:
        await it.ready()
        it.emulator.fault(0, "cms_error", code=331)
        await it.send()
        assert it.modem.status.state is ModemState.REGISTERING
        await it.state(ModemState.READY, 3.0)


async def test_an_error_of_the_sim_has_it_looked_at(tmp_path: Path) -> None:
    async with rig(tmp_path) as it:
        await it.ready()
        it.emulator.fault(0, "cms_error", code=310)
        await it.send()
        assert it.modem.status.state is ModemState.RECOVERING
        await it.state(ModemState.READY)


async def test_text_mode_that_came_back_is_left_again(tmp_path: Path) -> None:
    async with rig(tmp_path) as it:
        await it.ready()
        it.phone.settings.text_mode = True
        (result,) = await it.send()
        assert result.outcome is SendOutcome.NOT_SENT
        assert result.error is not None
        assert result.error.action is Action.RETRY_SAME, "the part is right, the modem's mode was not"
        assert not it.phone.settings.text_mode
        assert (await it.send())[0].outcome is SendOutcome.SENT


async def test_three_wordless_refusals_in_a_row_mean_a_new_start(tmp_path: Path) -> None:
    async with rig(tmp_path, **SHORT) as it:
        await it.ready()
        it.emulator.fault(0, "no_prompt", count=3)
        for _ in range(3):
            (result,) = await it.send()
            assert result.outcome is SendOutcome.NOT_SENT
        await it.until(lambda: it.modem.status.state is not ModemState.READY, 2.0)
        await it.ready()
        assert (await it.send())[0].outcome is SendOutcome.SENT


async def test_no_prompt_means_not_sent(tmp_path: Path) -> None:
    async with rig(tmp_path, **SHORT) as it:
        await it.ready()
        it.emulator.fault(0, "no_prompt")
        (result,) = await it.send("one")
        assert result.outcome is SendOutcome.NOT_SENT
        assert (await it.send("two"))[0].outcome is SendOutcome.SENT
        assert [row["text"] for row in it.submits()] == ["two"]


@pytest.mark.parametrize("personality", ["sim800l", "ec25", "sara"])
async def test_a_reboot_is_seen_and_the_modem_set_up_again(personality: str, tmp_path: Path) -> None:
    async with rig(tmp_path, personality) as it:
        await it.ready()
        it.emulator.fault(0, "reboot")
        await it.until(lambda: ModemState.RECOVERING in it.listener.states)
        await it.until(lambda: it.phone.settings.cnmi[:2] == (2, 1) and it.modem.can_send)
        it.emulator.deliver(0, NUMBER, "after the reboot")
        await it.until(lambda: "after the reboot" in it.sink.texts)
        assert (await it.send())[0].outcome is SendOutcome.SENT


async def test_a_reboot_between_ctrl_z_and_the_result_is_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(at_timeouts, "REBOOT_GRACE", 0.3)
    async with rig(tmp_path, **SHORT) as it:
        await it.ready()
        it.emulator.fault(0, "reboot", on="accepted")
        (result,) = await it.send()
        assert result.outcome is SendOutcome.UNKNOWN
        await it.ready()
        assert len(it.submits()) == 1


async def test_urcs_in_the_middle_of_anything(tmp_path: Path) -> None:
    async with rig(tmp_path) as it:
        await it.ready()
        for number in range(5):
            it.emulator.fault(0, "urc_in_middle", count=3)
            it.emulator.deliver(0, NUMBER, f"in {number}")
            assert (await it.send(f"out {number}"))[0].outcome is SendOutcome.SENT
        await it.until(lambda: len(it.sink.received) == 5)
        await it.until(lambda: it.stored() == 0)
        assert len(it.submits()) == 5


async def test_an_echo_that_came_back_does_no_harm(tmp_path: Path) -> None:
    async with rig(tmp_path) as it:
        await it.ready()
        it.emulator.fault(0, "echo_on")
        assert (await it.send("é" * 150))[0].outcome is SendOutcome.SENT
        it.emulator.deliver(0, NUMBER, "hello")
        await it.until(lambda: it.sink.texts == ["hello"])
        await it.until(lambda: it.stored() == 0)


async def test_half_a_result_is_unknown(tmp_path: Path) -> None:
    async with rig(tmp_path, **SHORT) as it:
        await it.ready()
        it.emulator.fault(0, "half_line")
        (result,) = await it.send("one")
        assert result.outcome in (SendOutcome.UNKNOWN, SendOutcome.SENT)
        assert (await it.send("two"))[0].outcome is SendOutcome.SENT
        assert [row["text"] for row in it.submits()] == ["one", "two"]


async def test_a_busy_sim_is_no_reason_to_give_up(tmp_path: Path) -> None:
    async with rig(tmp_path, start=False) as it:
        it.emulator.fault(0, "sim_busy", count=2)
        await it.modem.start()
        await it.ready()
        it.emulator.fault(0, "sim_busy")
        (result,) = await it.send()
        if result.outcome is not SendOutcome.SENT:
            assert result.error is not None
            assert (result.outcome, result.error.action) == (SendOutcome.NOT_SENT, Action.RETRY_SAME)
        assert (await it.send())[0].outcome is SendOutcome.SENT


async def test_a_command_without_an_answer_costs_one_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "SIM", 0.2)
    async with rig(tmp_path) as it:
        await it.ready()
        it.emulator.fault(0, "no_answer", on="+CMGR")
        it.emulator.deliver(0, NUMBER, "second try")
        await it.until(lambda: it.sink.texts == ["second try"])
        await it.until(lambda: it.stored() == 0)
        assert it.modem.status.state is ModemState.READY


async def test_a_wedged_modem_is_noticed_and_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("COMMAND", "SIM", "NETWORK", "STORAGE"):
        monkeypatch.setattr(commands, name, 0.1)
    monkeypatch.setattr(at_timeouts, "PROBES", (0.05,) * 3)
    monkeypatch.setattr(timeouts, "HEALTH_POLL", 0.1)
    async with rig(tmp_path) as it:
        await it.ready()
        it.emulator.fault(0, "wedge")
        await it.state(ModemState.RECOVERING)
        assert not it.modem.can_send
        it.emulator.clear(0)
        await it.ready()
        assert (await it.send())[0].outcome is SendOutcome.SENT


async def test_settings_that_the_modem_forgot_are_set_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeouts, "HEALTH_POLL", 0.1)
    monkeypatch.setattr(timeouts, "CNMI_CHECK", 0.2)
    async with rig(tmp_path) as it:
        await it.ready()
        it.phone.settings.cnmi = (0, 0, 0, 0, 0)
        await it.until(lambda: it.phone.settings.cnmi[:2] == (2, 1))
        await it.ready()


async def test_an_idle_modem_is_asked_and_a_sending_one_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timeouts, "HEALTH_POLL", 0.05)
    monkeypatch.setattr(timeouts, "SEND_QUIET", 0.1)
    async with rig(tmp_path, latency=0.5) as it:
        await it.ready()
        await asyncio.sleep(0.2)
        asked = it.phone.counters.commands
        await asyncio.sleep(0.3)
        assert it.phone.counters.commands > asked
        assert (await it.send())[0].outcome is SendOutcome.SENT
        assert it.phone.counters.bytes_while_busy == 0
        it.emulator.fault(0, "signal", csq=10)
        await it.until(lambda: it.modem.status.signal_dbm == -93)


async def test_a_sim_that_never_sends_is_taken_out(tmp_path: Path) -> None:
    async with rig(tmp_path) as it:
        for _ in range(3):
            await it.ready()
            it.emulator.fault(0, "cms_error", code=313)
            await it.send()
        await it.state(ModemState.BLOCKED)
        assert it.modem.status.health_reason is not None
        assert "SIM does not send" in it.modem.status.health_reason


async def test_a_barred_sim_is_said_and_forgiven(tmp_path: Path) -> None:
    async with rig(tmp_path) as it:
        await it.ready()
        it.emulator.fault(0, "cms_error", code=8, count=3)
        for _ in range(3):
            await it.send()
        assert it.modem.status.state is ModemState.READY
        assert "refuses" in (it.modem.status.health_reason or "")
        await it.send()
        assert it.modem.status.health_reason is None


async def test_a_restart_in_the_middle_of_a_question_does_not_wait_for_its_deadline(tmp_path: Path) -> None:
    async with rig(tmp_path) as it:
        await it.ready()
        await asyncio.sleep(0.1)
        it.emulator.fault(0, "reboot", on="command")
        it.emulator.deliver(0, NUMBER, "hello")
        await it.until(lambda: it.sink.texts == ["hello"], 5.0)
