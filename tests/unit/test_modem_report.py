"""The report of a modem that nobody has listed: all that helps to add it, nothing that says whose it is."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.modem.profile import load
from hardware.modem.report import QUESTIONS, anonymous, report
from hardware.modem.roles import examine
from hardware.types import Access, ModemState, ModemStatus, SimStatus
from tests.unit.test_modem_roles import device, option

IMEI, ICCID, IMSI, NUMBER, SMSC = (
    "861475030123456",
    "8936200000123456789",
    "216301234567890",
    "+36301234567",
    "+36209300099",
)
STATUS = ModemStatus(
    "stick-1", state=ModemState.READY, imei=IMEI, iccid=ICCID, imsi=IMSI, number=NUMBER, smsc=SMSC,
    manufacturer="ACME", model="X100", firmware="21.318.01.00.00", access=Access.LTE, sim=SimStatus("ready", 3),
    capabilities={"profile": "generic", "storages": ["SM", "ME"]},
)  # fmt: skip
ANSWERS = {
    "AT+CGSN": [IMEI],
    "ATI": ["Manufacturer: ACME", "Revision: 21.318.01.00.00", f"IMEI: {IMEI}", "SN: 86-147503-012345-6"],
    "AT+CSCA?": [f'+CSCA: "{SMSC}",145', '+CSCA: "002B00330036003200300039",145'],
    "AT+CRSM=176,12258,0,0,10": ['+CRSM: 144,0,"98630200001032547698"'],
    "AT^ICCID?": [f"^ICCID: {ICCID}F"],
    "AT+CPMS?": ['+CPMS: "SM",3,20,"SM",3,20,"SM",3,20'],
    "AT+CREG?": ['+CREG: 2,1,"00A1","0000C3D2",7'],
}


def test_it_has_what_a_maintainer_needs(tmp_path: Path) -> None:
    seen = device("9999:0001", [*option(0, triplet="ff/ff/30"), *option(2, 3)], product="X100")
    examined = examine(seen)
    found = report(seen, examined, STATUS, answered=examined.candidates[:1], answers=ANSWERS)
    assert json.loads(json.dumps(found)) == found
    assert found["usb"]["interfaces"][1] == {
        "number": "02", "class": "ff/00/00", "driver": "option", "port": True, "answers": True,
    }  # fmt: skip
    assert found["examined"]["candidates"] == ["02", "03"]
    assert found["examined"]["left_alone"] == {"00": "diag"}
    assert found["modem"]["imei"] == "86147503xxxxxxx", "the model's digits stay"
    assert found["modem"]["firmware"] == "21.318.01.00.00"
    assert found["answers"]["AT+CPMS?"] == ANSWERS["AT+CPMS?"]
    assert found["answers"]["AT+CREG?"] == ANSWERS["AT+CREG?"]
    draft = {"name": "X100", "usb": ["9999:0001"], "ports": {"00": "diag", "02": "at"}, "radio": ["lte"]}
    assert found["draft"] == draft
    file = tmp_path / "acme.json"
    file.write_text(json.dumps({"title": "ACME", "manufacturer": ["acme"], "models": [draft]}))
    assert load(file).models[0].name == "X100", "the draft is a row of a profile as it stands"


def test_it_says_nothing_of_whose_it_is() -> None:
    seen = device("9999:0001", option(2), product=f"Stick {IMEI}")
    text = json.dumps(report(seen, examine(seen), STATUS, answers=ANSWERS))
    for secret in (IMEI, ICCID, IMSI, NUMBER, SMSC, NUMBER[3:], SMSC[3:], IMEI[8:], "012345-6", "98630200001032547698"):
        assert secret not in text
    assert "002B0033" not in text


@pytest.mark.parametrize(
    ("serial", "shape"),
    [(None, None), ("0000", "4 characters, all alike"), ("LF81234567", "10 characters")],
)
def test_a_serial_number_is_told_by_its_shape(serial: str | None, shape: str | None) -> None:
    seen = replace(device("9999:0001", option(2)), serial=serial)
    assert report(seen, examine(seen))["usb"]["serial"] == shape


def test_a_device_without_a_modem_has_a_report_too() -> None:
    seen = device("12d1:14dc", [(0, "02/06/00", "cdc_ether")])
    found = report(seen, examine(seen))
    assert found["modem"] is None
    assert found["examined"]["kind"] == "hilink"
    assert found["draft"]["radio"] == []


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("+CNUM: \"\",\"+36301234567\",145", "+CNUM: \"\",\"+363xxxxxxxx\",145"),
        ("IMEI: 861475030123456", "IMEI: 86147503xxxxxxx"),
        ("0861475030123456", "086147503xxxxxxx"),
        ("86-147503-012345-6", "86-xxxxxxxxxxxxxxx"),
        ("EC25EFAR06A04M4G", "EC25EFAR06A04M4G"),
        ("+CESQ: 99,99,255,255,19,47", "+CESQ: 99,99,255,255,19,47"),
        ("evil\x1b[2J\r\nline", "evil?[2J??line"),
        ("FSN: LF6N0123AB", "FSN: <serial>"),
        ("SN: E8H7", "SN: <serial>"),
    ],
)  # fmt: skip
def test_what_is_masked_and_what_stays(text: str, shown: str) -> None:
    assert anonymous(text, IMEI) == shown


@given(st.text(max_size=300), st.text(alphabet="0123456789", min_size=7, max_size=15))
def test_no_long_number_survives(text: str, number: str) -> None:
    shown = anonymous(f"{text}{number}{text}", IMEI)
    assert not [run for run in re.findall(r"[0-9]{7,}", shown) if run != IMEI[:8]]


def test_the_questions_change_nothing() -> None:
    reads = ("AT+CSIM=10,", "AT+CRSM=176,", "AT+QPINC=", "AT^SPIC=")
    for text in (command.text for command in QUESTIONS):
        assert "=" not in text or text.endswith("=?") or text.startswith(reads)
        assert "CMG" not in text, "no message is read"
