"""What a profile changes in a modem's life, on the emulated device that needs it (domain A2)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hardware.at import timeouts
from hardware.emulator.personality import FOLDER
from hardware.modem import MemoryPinLedger
from hardware.modem import profile as profiles
from hardware.types import SendOutcome
from tests.support.modem_rig import rig

STRANGER = "+36301112222"


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a lost question and a missing OK cost is not what is shown here."""
    monkeypatch.setattr(timeouts, "MARKER", 0.3)
    monkeypatch.setattr(timeouts, "OK_GRACE", 0.2)


@pytest.mark.parametrize("personality", ["fastrack", "mc7455", "mf190", "bg96"])
async def test_the_right_pin_opens_the_sim_whoever_counts_the_attempts(personality: str, tmp_path: Path) -> None:
    async with rig(tmp_path, personality, start=False, pin="1234", pins=MemoryPinLedger()) as it:
        it.emulator.fault(0, "pin_required", pin="1234")
        await it.modem.start()
        await it.ready()
        assert it.modem.status.iccid == it.phone.iccid
        assert it.modem.status.sim.state == "ready"


async def test_a_modem_that_does_not_list_is_never_asked_to(tmp_path: Path) -> None:
    async with rig(tmp_path, "ep06", start=False) as it:
        it.emulator.fault(0, "no_answer", on="+CMGL")
        it.emulator.deliver(0, STRANGER, "found slot by slot")
        await it.modem.start()
        await it.until(lambda: it.sink.texts == ["found slot by slot"], 5.0)
        assert it.emulator.modems[0].faults.active("no_answer"), "+CMGL was asked"


@pytest.mark.parametrize(("personality", "outcome"), [("bg96", SendOutcome.SENT), ("ec25", SendOutcome.UNKNOWN)])
async def test_a_slow_network_has_more_time_for_its_answer(
    personality: str, outcome: SendOutcome, tmp_path: Path
) -> None:
    async with rig(tmp_path, personality, result_timeout=0.2) as it:
        await it.ready()
        it.emulator.fault(0, "late_result", delay=0.6)
        (result,) = await it.send()
        assert result.outcome is outcome


async def test_a_code_has_the_meaning_that_its_maker_gave_it(tmp_path: Path) -> None:
    async with rig(tmp_path, "fastrack") as it:
        await it.ready()
        it.emulator.fault(0, "cms_error", code=527, stage="before")
        (result,) = await it.send()
        assert result.error is not None
        assert (result.error.code, result.error.text) == ("cms_527", "the radio is busy")
        assert result.outcome is SendOutcome.NOT_SENT


async def test_a_full_storage_is_heard_of_in_the_makers_words(tmp_path: Path) -> None:
    async with rig(tmp_path, "le910", delete_after_read=False) as it:
        await it.ready()
        it.emulator.fault(0, "storage_full")
        it.emulator.deliver(0, STRANGER, "no room")
        await it.until(lambda: "storage_full" in it.listener.names)
        assert it.phone.settings.more["#SMOV"] == "1"


async def test_zte_is_silenced_by_its_first_question(tmp_path: Path) -> None:
    async with rig(tmp_path, "mf190") as it:
        await it.ready()
        assert "AT+CPMS?" in it.phone.settings.silenced
        assert it.phone.settings.more["+ZOPRT"] == "5"


async def test_a_modem_is_added_with_a_data_file_and_a_transcript(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A make that nobody knows, slow to prompt, particular about its storages, that a question crashes."""
    transcript = (FOLDER / "sara.toml").read_text(encoding="utf-8")
    transcript = transcript.replace('["u-blox"]', '["Acme"]').replace("prompt_delay = 0.2", "prompt_delay = 0.6")
    phone = tmp_path / "acme.toml"
    phone.write_text(transcript.replace("first_index = 1", "first_index = 1\ncpms_arguments = [2]"), encoding="utf-8")
    data = {
        "title": "Acme",
        "manufacturer": ["acme"],
        "init": ["AT+UPSV=0"],
        "skip": ["AT+CNUM"],
        "cpms_arguments": [2],
        "cnmi": [[1, 1, 0, 2, 0]],
        "prompt_timeout": 5,
        "attempts": "+UPINCNT",
        "iccid": "+CCID",
    }
    file = tmp_path / "acme.json"
    file.write_text(json.dumps(data), encoding="utf-8")
    families = (profiles.load(file), *profiles.shipped())
    monkeypatch.setattr(profiles, "shipped", lambda: families)
    async with rig(tmp_path, str(phone), prompt_timeout=0.2) as it:
        await it.ready()
        assert it.modem.status.capabilities["profile"] == "acme"
        assert it.modem.status.capabilities["cnmi"] == [1, 1, 0, 2, 0]
        assert it.phone.settings.more["+UPSV"] == "0"
        assert (await it.send())[0].outcome is SendOutcome.SENT, "the prompt had its time"
        await it.until(lambda: "encodings" in it.modem.status.capabilities)
        assert it.modem.status.number is None, "+CNUM was asked"
        it.emulator.deliver(0, STRANGER, "hello")
        await it.until(lambda: it.sink.texts == ["hello"])
