"""`modems --dump` of an emulated modem is a personality of the emulator again, and tells nobody's identity."""

from __future__ import annotations

from pathlib import Path

import pytest
from click import ClickException

from hardware.emulator.personality import load
from sms_bridge.cli.dump import dump_port, personality
from tests.support.at_client import bench

PROC = Path("/proc")


@pytest.mark.parametrize("name", ["ec25", "e173", "sim800l"])
def test_a_dump_can_be_read_again_and_says_the_same(tmp_path: Path, name: str) -> None:
    (tmp_path / "proc").mkdir()
    with bench(tmp_path / "a", (name,)) as lab:
        phone = lab.emulator.modems[0].phone
        text = dump_port(str(lab.emulator.modems[0].line.link), None, proc=tmp_path / "proc")
        for secret in (phone.imei, phone.iccid, phone.imsi):
            assert secret not in text
    file = tmp_path / "again.toml"
    file.write_text(text)
    before, again = load(name), load(str(file))
    assert again.tac == before.tac
    spoken = {command: tuple(filter(None, lines)) for command, lines in before.answers.items()}
    assert again.answers.items() <= spoken.items()
    assert again.iccid.items() <= before.iccid.items()
    assert again.iccid
    assert again.cnmi == before.cnmi
    assert (again.charsets, again.charset) == (before.charsets, before.charset)
    assert again.storage == before.storage
    assert again.storages.items() <= before.storages.items()
    assert again.registration == before.registration
    with bench(tmp_path / "b", (str(file),)) as lab:
        second = dump_port(str(lab.emulator.modems[0].line.link), None, proc=tmp_path / "proc")
    replayed = tmp_path / "replayed.toml"
    replayed.write_text(second)
    assert load(str(replayed)).answers == again.answers
    assert load(str(replayed)).iccid == again.iccid


def test_serial_numbers_of_other_kinds_are_masked() -> None:
    text = personality({"ATI": ["Model: X", "FSN: LF6N4900ABC", "MEID: 35922", "SN: E8H7", "IMEI: 861475030123456"]})
    for secret in ("LF6N4900ABC", "35922", "E8H7", "861475030123456"):
        assert secret not in text
    assert 'tac = "86147503"' in text


def test_what_a_modem_may_say_is_still_a_file_that_can_be_read(tmp_path: Path) -> None:
    text = personality({"AT+CGMM": ['X"1\\', "\x00\x1b\u202e"], "AT+CNMI=?": ["+CNMI: (0-2),(9"], "AT+CGSN": ["ERROR"]})
    (tmp_path / "x.toml").write_text(text)
    it = load(str(tmp_path / "x.toml"))
    assert it.answers["+CGMM"][0] == 'X"1\\'
    assert it.tac == "00000000"


def test_a_port_that_is_not_there_or_is_held_is_left_alone(tmp_path: Path) -> None:
    with pytest.raises(ClickException, match="there is no port"):
        dump_port(str(tmp_path / "nowhere"), None, proc=PROC)
    node = tmp_path / "ttyUSB0"
    node.touch()
    holder = tmp_path / "proc" / "812"
    (holder / "fd").mkdir(parents=True)
    (holder / "comm").write_text("minicom\n")
    (holder / "fd" / "7").symlink_to(node)
    with pytest.raises(ClickException, match=r"is held by minicom \(pid 812\); it is a terminal"):
        dump_port(str(node), None, proc=tmp_path / "proc")
