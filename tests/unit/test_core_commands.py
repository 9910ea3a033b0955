"""What a person may type into a modem, and what not."""

from __future__ import annotations

import pytest

from hardware.at.commands import raw
from sms_bridge.core.commands import refusal

ALLOWED = [
    "AT", "ATI", "ati3", "AT+CSQ", "AT+COPS?", "AT+COPS=?", "AT+CPMS?", "AT+CMGF?", "AT^SYSINFOEX", 'AT+QCFG="usbnet"',
    "AT#FWSWITCH?", 'AT+CGDCONT=1,"IP","internet"', "AT+CUSD?",
]  # fmt: skip
REFUSED = [
    "", "CSQ", "AT+CSQ;+CMGD=1", "AT+CSQ;D123;", "ATD+36301234567;", "ATA", "ATH", "ATE1", "ATS0=1", "A/",
    "+++", "AT+CMGS=20", "at+cmgs=20", "AT+CMGD=1,4", "AT+CMGW", "AT+CMSS=1", "AT+CPIN=1234", "AT+CPIN?", "ATE0D123;",
    'AT+CLCK="SC",1', 'AT+CPWD="SC","1","2"', "AT+CMGF=1", "AT+CNMI=0", "AT+CFUN=0", "AT+CFUN=1,1", "AT+CCFC=0,3",
    'AT+CUSD=1,"*100#"', 'AT+CSIM=10,"00"', "AT+CRSM=214,28482", "AT+EGMR=1,7", 'AT^SETPORT="A1"', "AT^RESET",
    "AT+CSQ\rAT+CMGD=1", "AT+CSQ\x1a", 'AT+X="', "AT+X=" + "1" * 300, "AT+CSQ\n", "ATZ", "AT&F", "AT#REBOOT",
]  # fmt: skip


@pytest.mark.parametrize("command", ALLOWED)
def test_questions_are_allowed(command: str) -> None:
    assert refusal(command) is None
    assert raw(command).text == command, "the hardware takes it too"


@pytest.mark.parametrize("command", REFUSED)
def test_what_sends_deletes_unlocks_dials_or_disturbs_is_refused(command: str) -> None:
    assert refusal(command)
