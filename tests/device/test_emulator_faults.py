"""Every fault by name, on the wire and in the ledger."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import serial

from hardware.emulator.faults import NAMES, Faults
from tests.support.at_client import AtClient, Bench, bench, parts, submit

STRANGER = "+36301234567"


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Bench]:
    with bench(tmp_path) as running:
        yield running


@pytest.fixture
def client(one: Bench) -> Iterator[AtClient]:
    with one.client() as opened:
        yield opened.init()


def send(client: AtClient) -> None:
    """A dialogue up to Ctrl-Z; what comes of it is read by the test."""
    ((pdu, length),) = parts(submit(STRANGER, "x"))
    client.prompt(length)
    client.write(pdu + "\x1a")


def test_lost_result(one: Bench, client: AtClient) -> None:
    one.do("fault", modem=0, name="lost_result")
    send(client)
    assert client.quiet() == b""
    assert len(one.ledger("submit")) == 1
    assert client.send(STRANGER, "y") == [1]


def test_late_result(one: Bench, client: AtClient) -> None:
    one.do("fault", modem=0, name="late_result", delay=0.5)
    send(client)
    began = time.monotonic()
    time.sleep(0.1)
    assert len(one.ledger("submit")) == 1, "the network has it long before the host knows"
    client.until(rb"^\r\n\+CMGS: 0\r\n\r\nOK\r\n$")
    assert time.monotonic() - began >= 0.4


def test_half_a_result_line(one: Bench, client: AtClient) -> None:
    one.do("fault", modem=0, name="half_line")
    client.ok("AT+CSQ")
    send(client)
    assert client.quiet() == b"\r\n+CM"
    assert len(one.ledger("submit")) == 1
    one.do("fault", modem=0, name="half_line", on="+CSQ")
    client.ok("AT+CREG?")
    client.write("AT+CSQ\r")
    said = client.quiet()
    assert said
    assert b"\r\n+CSQ: 23,0\r\n\r\nOK\r\n".startswith(said)
    client.ok("AT+CSQ")


def test_urcs_between_and_inside_answers(one: Bench, client: AtClient) -> None:
    one.do("fault", modem=0, name="urc_in_middle")
    send(client)
    client.until(rb"^\r\nRING\r\n\r\n\+CMGS: 0\r\n\r\nRING\r\n\r\nOK\r\n$")
    one.do("fault", modem=0, name="urc_in_middle", urc="^RSSI: 12")
    client.write("AT+CSQ;+CREG?\r")
    client.until(
        rb"^\r\n\^RSSI: 12\r\n\r\n\+CSQ: 23,0\r\n\r\n\^RSSI: 12\r\n\r\n\+CREG: 0,1\r\n\r\n\^RSSI: 12\r\n\r\nOK\r\n$"
    )


def test_no_prompt_and_no_answer(one: Bench, client: AtClient) -> None:
    one.do("fault", modem=0, name="no_prompt")
    client.write("AT+CMGS=18\r")
    assert client.quiet() == b""
    one.do("fault", modem=0, name="no_answer", on="+CSQ")
    client.ok("AT")
    client.write("AT+CSQ\r")
    assert client.quiet() == b""
    client.ok("AT+CSQ")


@pytest.mark.parametrize("code", [1, 38, 41, 208, 304, 310, 332, 500, 512])
@pytest.mark.parametrize("stage", ["before", "after"])
def test_cms_errors_of_any_code_and_stage(one: Bench, client: AtClient, code: int, stage: str) -> None:
    one.do("fault", modem=0, name="cms_error", code=code, stage=stage)
    if stage == "before":
        assert client.command("AT+CMGS=18") == [f"+CMS ERROR: {code}"]
        assert one.ledger() == []
    else:
        ((pdu, length),) = parts(submit(STRANGER, "x"))
        assert client.send_pdu(pdu, length) == [f"+CMS ERROR: {code}"]
        assert [(entry["accepted"], entry["cause"]) for entry in one.ledger()] == [(False, code)]
    assert client.send(STRANGER, "y")


def test_an_error_for_what_the_network_has_taken(one: Bench, client: AtClient) -> None:
    one.do("fault", modem=0, name="cms_error", code=332, accepted=True)
    ((pdu, length),) = parts(submit(STRANGER, "x"))
    assert client.send_pdu(pdu, length) == ["+CMS ERROR: 332"]
    assert [entry["accepted"] for entry in one.ledger("submit")] == [True]


def test_cme_error_and_sim_busy(one: Bench, client: AtClient) -> None:
    one.do("fault", modem=0, name="cme_error", code=100, on="+CPIN")
    client.ok("AT+CSQ")
    assert client.command("AT+CPIN?") == ["+CME ERROR: 100"]
    one.do("fault", modem=0, name="sim_busy", count=3)
    client.ok("AT+CSQ")
    assert client.command("AT+CIMI") == ["+CME ERROR: 14"]
    assert client.command("AT+CPIN?") == ["+CME ERROR: 14"]
    assert client.command("AT+CMGL=4") == ["+CMS ERROR: 314"]
    assert client.ok("AT+CPIN?") == ["+CPIN: READY"]


def test_wedged_until_cleared(one: Bench, client: AtClient) -> None:
    one.do("fault", modem=0, name="wedge")
    client.write("AT\r")
    one.do("deliver", modem=0, **{"from": STRANGER, "text": "later"})
    assert client.quiet() == b""
    assert one.do("clear", modem=0) == {"ok": True, "cleared": ["wedge"]}
    client.until(rb'\+CMTI: "SM",1\r\n')
    client.ok("AT")


def test_wedged_for_a_while(one: Bench, client: AtClient) -> None:
    one.do("fault", modem=0, name="wedge", duration=0.4)
    one.do("deliver", modem=0, **{"from": STRANGER, "text": "later"})
    assert client.quiet(0.1) == b""
    client.until(rb'\+CMTI: "SM",1\r\n')


def test_echo_comes_back(one: Bench, client: AtClient) -> None:
    one.do("fault", modem=0, name="echo_on")
    client.write("AT\r")
    client.until(rb"^AT\r\r\nOK\r\n$")


def test_text_mode_comes_back(one: Bench, client: AtClient) -> None:
    one.do("fault", modem=0, name="text_mode")
    assert client.command("AT+CMGS=18") == ["+CMS ERROR: 305"]
    assert client.command("AT+CMGL=4") == ["+CMS ERROR: 305"]
    client.ok("AT+CMGF=0")
    assert client.ok("AT+CMGL=4") == []


def test_storage_full_of_old_messages(one: Bench, client: AtClient) -> None:
    one.do("fault", modem=0, name="storage_full")
    assert client.ok("AT+CPMS?")[0].startswith('+CPMS: "SM",20,20')
    one.do("deliver", modem=0, **{"from": STRANGER, "text": "new"})
    assert client.quiet() == b""
    client.ok("AT+CMGD=7")
    client.until(rb'\+CMTI: "SM",7\r\n')
    assert len([entry for entry in one.ledger("deliver") if entry["accepted"]]) == 21


def test_storage_that_takes_nothing(one: Bench, client: AtClient) -> None:
    one.do("fault", modem=0, name="storage_full", hard=True)
    one.do("deliver", modem=0, **{"from": STRANGER, "text": "new"})
    assert client.quiet() == b""
    assert client.ok("AT+CMGL=4") == []
    one.do("clear", modem=0, name="storage_full")
    client.until(rb'\+CMTI: "SM",1\r\n')


def test_a_message_that_nobody_tells_of(one: Bench, client: AtClient) -> None:
    one.do("fault", modem=0, name="no_urc")
    one.do("deliver", modem=0, **{"from": STRANGER, "text": "quiet"})
    assert client.quiet() == b""
    assert len(client.ok("AT+CMGL=4")) == 2
    one.do("deliver", modem=0, **{"from": STRANGER, "text": "told"})
    client.until(rb'\+CMTI: "SM",2\r\n')


def test_pin_and_its_attempts(one: Bench, client: AtClient) -> None:
    client.ok("AT+CREG=1")
    one.do("fault", modem=0, name="pin_required", pin="4321", attempts=3)
    client.until(rb"\+CREG: 0\r\n")
    assert client.ok("AT+CPIN?") == ["+CPIN: SIM PIN"]
    assert client.command("AT+CIMI") == ["+CME ERROR: 11"]
    assert client.command("AT+CMGS=18") == ["+CMS ERROR: 311"]
    assert client.command('AT+CPIN="0000"') == ["+CME ERROR: 16"]
    assert client.ok("AT+SPIC") == ["+SPIC: 2,10,3,10"]
    assert client.ok('AT+CSIM=10,"0020000100"') == ['+CSIM: 4,"63C2"']
    client.ok('AT+CPIN="4321"')
    client.until(rb"\+CPIN: READY\r\n.*\+CREG: 1\r\n")
    assert client.ok("AT+SPIC") == ["+SPIC: 3,10,3,10"]
    one.do("reboot", modem=0)
    client.until(rb"SMS Ready")
    client.ok("ATE0+CMEE=1")
    assert client.ok("AT+CPIN?") == ["+CPIN: SIM PIN"], "asked for again after power-up"
    for expected in (16, 16, 12):
        assert client.command('AT+CPIN="9999"') == [f"+CME ERROR: {expected}"]
    assert client.ok("AT+CPIN?") == ["+CPIN: SIM PUK"]
    assert client.command('AT+CPIN="4321"') == ["+CME ERROR: 12"]
    one.do("clear", modem=0)
    assert client.ok("AT+CPIN?") == ["+CPIN: READY"]


def test_no_sim(one: Bench, client: AtClient) -> None:
    one.do("fault", modem=0, name="sim_absent")
    for command, error in [
        ("AT+CPIN?", "+CME ERROR: 10"),
        ("AT+CCID", "+CME ERROR: 10"),
        ("AT+CIMI", "+CME ERROR: 10"),
        ("AT+CMGS=18", "+CMS ERROR: 310"),
        ("AT+CPMS?", "+CMS ERROR: 310"),
    ]:
        assert client.command(command) == [error], command
    assert client.ok("AT+CREG?") == ["+CREG: 0,0"]


def test_registration_and_signal(one: Bench, client: AtClient) -> None:
    client.ok("AT+CREG=2")
    one.do("fault", modem=0, name="registration", stat=3)
    client.until(rb"\+CREG: 3\r\n")
    assert client.ok("AT+CREG?") == ["+CREG: 2,3"]
    assert client.ok("AT+COPS?") == ["+COPS: 0"]
    ((pdu, length),) = parts(submit(STRANGER, "x"))
    assert client.send_pdu(pdu, length) == ["+CMS ERROR: 331"]
    assert one.ledger() == []
    one.do("deliver", modem=0, **{"from": STRANGER, "text": "waits"})
    one.do("clear", modem=0)
    client.until(rb'\+CREG: 1,"00A1","0000C3D2"\r\n.*\+CMTI: "SM",1\r\n')
    one.do("fault", modem=0, name="signal", csq=3)
    assert client.ok("AT+CSQ") == ["+CSQ: 3,0"]


def test_a_brown_out(one: Bench, client: AtClient) -> None:
    one.do("fault", modem=0, name="reboot")
    client.until(rb"RDY\r\n.*\+CFUN: 1\r\n.*\+CPIN: READY\r\n.*Call Ready\r\n.*SMS Ready\r\n")
    client.write("AT+CNMI?\r")
    client.until(rb"^AT\+CNMI\?\r\r\n\+CNMI: 2,1,0,0,0\r\n\r\nOK\r\n$")
    assert one.stats()["boots"] == 1


@pytest.mark.parametrize("moment", ["command", "cmgs", "prompt", "ctrl_z", "accepted"])
def test_unplugged_at_a_moment(one: Bench, client: AtClient, moment: str) -> None:
    ((pdu, length),) = parts(submit(STRANGER, "x"))
    one.do("fault", modem=0, name="unplug", on=moment)
    with pytest.raises((serial.SerialException, OSError, AssertionError)):
        client.send_pdu(pdu, length, deadline=2)
    assert one.do("list")["modems"][0]["plugged"] is False
    assert len(one.ledger("submit")) == (moment == "accepted")


def test_dies_after_ctrl_z_and_comes_back(one: Bench, client: AtClient) -> None:
    one.do("fault", modem=0, name="die_after_ctrl_z")
    ((pdu, length),) = parts(submit(STRANGER, "x", status_report=True))
    with pytest.raises((serial.SerialException, OSError)):
        client.send_pdu(pdu, length)
    assert len(one.ledger("submit")) == 1
    one.do("fault", modem=0, name="plug")
    with one.client() as again:
        again.until(rb"SMS Ready")
        assert len(one.ledger("submit")) == 1


def test_a_message_that_makes_no_sense(one: Bench, client: AtClient) -> None:
    for index, pdu in enumerate(["07916303000000F0040B9163", "00", "FF" * 20], 1):
        one.do("deliver_pdu", modem=0, pdu=pdu)
        client.until(rb'\+CMTI: "SM",%d\r\n' % index)
        assert client.ok(f"AT+CMGR={index}")[1] == pdu
    assert [entry["text"] for entry in one.ledger("deliver")] == [None, None, None]


def test_a_fault_that_does_not_exist(one: Bench) -> None:
    reply = one.ask(b'{"do":"fault","modem":0,"name":"gremlins"}')
    assert reply["ok"] is False
    for name in NAMES:
        assert name in reply["error"]


@pytest.mark.parametrize(
    "params", [{"code": "many"}, {"delay": -1}, {"delay": "nan"}, {"count": []}, {"duration": "x"}]
)
def test_a_parameter_that_cannot_be(one: Bench, params: dict[str, object]) -> None:
    reply = one.ask(json.dumps({"do": "fault", "modem": 0, "name": "late_result", **params}).encode())
    assert reply["ok"] is False
    assert next(iter(params)) in reply["error"]


def test_faults_are_used_up_expire_and_match() -> None:
    now = [0.0]
    faults = Faults(lambda: now[0])
    faults.arm("sim_busy", count=2)
    faults.arm("cms_error", stage="before", code=1)
    faults.arm("wedge", duration=5.0)
    assert faults.take("cms_error", stage="after") is None
    assert [bool(faults.take("sim_busy")) for _ in range(3)] == [True, True, False]
    assert faults.active("wedge")
    now[0] = 6.0
    assert faults.active("wedge") is None
    assert faults.armed() == ["cms_error"]
    faults.arm("cme_error", on="+CSQ", code=5)
    assert faults.take_on("cme_error", "+CREG?") is None
    found = faults.take_on("cme_error", "+csq")
    assert found is not None
    assert found.params["code"] == 5
    assert faults.clear() == ["cms_error"]
