"""The emulated phone as a program sees it that knows only a serial port and TS 27.005."""

from __future__ import annotations

import fcntl
import os
import pathlib
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import serial

from hardware.pdu import Deliver, StatusReport, decode, join
from tests.support.at_client import AtClient, Bench, bench, parts, submit

STRANGER = "+36301234567"
TEXT = "árvíztűrő tükörfúrógép 👍"
LONG = "Öt hűtőházból kértünk színhúst. " * 12 + "👍"


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Bench]:
    with bench(tmp_path) as running:
        yield running


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Bench]:
    with bench(tmp_path, ["sim800l", "sim7600"]) as running:
        yield running


def read_all(client: AtClient) -> list[Deliver]:
    lines = client.ok("AT+CMGL=4")
    found = [decode(pdu) for pdu in lines[1::2]]
    assert all(isinstance(message, Deliver) for message in found)
    return found  # type: ignore[return-value]


def test_a_message_out_is_in_the_ledger_before_its_result(one: Bench) -> None:
    with one.client() as client:
        client.init()
        assert client.send(STRANGER, TEXT) == [0]
        entry = one.ledger("submit")[0]
    assert entry["text"] == TEXT
    assert (entry["to"], entry["from"]) == (STRANGER, "+36205550000")
    assert entry["accepted"] is True
    assert entry["cause"] is None
    assert entry["concat"] is None
    assert entry["status_report"] is False
    assert entry["mr"] == 0


def test_the_modem_numbers_its_messages_whatever_the_pdu_says(one: Bench) -> None:
    with one.client() as client:
        client.init()
        assert [client.send(STRANGER, "x", mr=200)[0] for _ in range(3)] == [0, 1, 2]
    assert [decode(entry["pdu"], direction="mo").mr for entry in one.ledger("submit")] == [0, 1, 2]  # type: ignore[union-attr]


def test_a_long_text_crosses_in_parts(one: Bench) -> None:
    with one.client() as client:
        client.init()
        references = client.send(STRANGER, LONG, ref=77)
    entries = one.ledger("submit")
    assert len(references) == len(entries) > 3
    assert [entry["concat"]["seq"] for entry in entries] == list(range(1, len(entries) + 1))
    assert {(entry["concat"]["ref"], entry["concat"]["total"]) for entry in entries} == {(77, len(entries))}
    assert "".join(entry["text"] for entry in entries) == LONG


def test_a_message_in_is_stored_told_read_and_deleted(one: Bench) -> None:
    with one.client() as client:
        client.init()
        one.do("deliver", modem=0, **{"from": STRANGER, "text": TEXT})
        client.until(rb'\r\n\+CMTI: "SM",1\r\n')
        head, pdu = client.ok("AT+CMGR=1")
        message = decode(pdu)
        assert isinstance(message, Deliver)
        assert (message.number, message.text, message.smsc) == (STRANGER, TEXT, "+36209300099")
        assert head == f"+CMGR: 0,,{len(pdu) // 2 - 8}"
        assert client.ok("AT+CMGR=1")[0].startswith("+CMGR: 1,,"), "read now"
        assert client.ok("AT+CPMS?") == ['+CPMS: "SM",1,20,"SM",1,20,"SM",1,20']
        client.ok("AT+CMGD=1")
        assert client.ok("AT+CMGL=4") == []
    assert [entry["text"] for entry in one.ledger("deliver")] == [TEXT]


def test_a_long_message_in_comes_in_parts_that_join(one: Bench) -> None:
    with one.client() as client:
        client.init()
        count = one.do("deliver", modem=0, **{"from": "Bank 24", "text": LONG})["parts"]
        for index in range(1, count + 1):
            client.until(rb'\+CMTI: "SM",%d\r\n' % index)
        messages = read_all(client)
    assert count > 3
    assert {message.number for message in messages} == {"Bank 24"}
    assert join(messages).text == LONG


def test_one_sim_texts_the_other_and_hears_that_it_arrived(two: Bench) -> None:
    with two.client(0) as sender, two.client(1) as receiver:
        sender.init("2,1,0,1,0")
        receiver.init()
        number = two.do("list")["modems"][1]["number"]
        (mr,) = sender.send(number, TEXT, status_report=True)
        receiver.until(rb"\+CMTI: \"SM\",0\r\n")
        (message,) = read_all(receiver)
        assert (message.number, message.text) == ("+36205550000", TEXT)
        report = decode(sender.until(rb"\+CDS: \d+\r\n([0-9A-F]+)\r\n")[1].decode())
    assert isinstance(report, StatusReport)
    assert (report.mr, report.number, report.status) == (mr, number, 0)
    assert report.timestamp is not None
    assert report.discharge is not None
    assert [entry["kind"] for entry in two.ledger()] == ["submit", "deliver", "report"]


def test_a_report_is_stored_where_cnmi_wants_it(two: Bench) -> None:
    with two.client(1) as client:
        client.init("2,1,0,2,0")
        client.send(STRANGER, "x", status_report=True)
        client.until(rb'\+CDSI: "SR",0\r\n')
        client.ok('AT+CPMS="SR"')
        assert isinstance(decode(client.ok("AT+CMGR=0")[1]), StatusReport)
    with two.client(0) as client:
        client.init("2,1,0,2,0")
        client.send(STRANGER, "x", status_report=True)
        client.until(rb'\+CDSI: "SM",1\r\n')


@pytest.mark.parametrize("dialled", ["+36205550000", "0036205550000", "06205550000", "36205550000"])
def test_a_sim_is_found_however_it_is_dialled(two: Bench, dialled: str) -> None:
    with two.client(0) as receiver, two.client(1) as sender:
        receiver.init()
        sender.init()
        sender.send(dialled, "ring ring")
        receiver.until(rb'\+CMTI: "SM",1\r\n')


def test_a_report_that_nobody_asked_to_be_told_of_is_stored(one: Bench) -> None:
    with one.client() as client:
        client.init("2,1,0,0,0")
        client.send(STRANGER, "x", status_report=True)
        assert client.quiet() == b""
        assert isinstance(decode(client.ok("AT+CMGL=4")[1]), StatusReport)


def test_what_becomes_of_a_message_to_the_outside_can_be_chosen(one: Bench) -> None:
    one.do("outside", number=STRANGER, status=0x46)
    one.do("outside", number="+36309999999", status=None)
    with one.client() as client:
        client.init()
        client.send("+36309999999", "never", status_report=True)
        client.send(STRANGER, "refused", status_report=True)
        report = decode(client.until(rb"\+CDS: \d+\r\n([0-9A-F]+)\r\n")[1].decode())
        assert isinstance(report, StatusReport)
        assert (report.mr, report.status) == (1, 0x46)
        assert client.quiet() == b""


def test_direct_routing_waits_for_the_acknowledgement(one: Bench) -> None:
    with one.client() as client:
        client.init("2,2,0,1,0")
        client.ok("AT+CSMS=1")
        for text in ("first", "second"):
            one.do("deliver", modem=0, **{"from": STRANGER, "text": text})
        first = client.until(rb"\+CMT: ,\d+\r\n([0-9A-F]+)\r\n")[1]
        assert decode(first.decode()).text == "first"
        assert client.quiet() == b"", "the second must wait"
        assert one.ledger("deliver") == []
        client.ok("AT+CNMA=0")
        assert decode(client.until(rb"\+CMT: ,\d+\r\n([0-9A-F]+)\r\n")[1].decode()).text == "second"
        client.ok("AT+CNMA")
        assert client.command("AT+CNMA") == ["+CMS ERROR: 340"]
    assert [entry["text"] for entry in one.ledger("deliver")] == ["first", "second"]


def test_flash_goes_past_the_storage(one: Bench) -> None:
    with one.client() as client:
        client.init()
        one.do("deliver", modem=0, **{"from": STRANGER, "text": "now!", "class": 0})
        message = decode(client.until(rb"\+CMT: ,\d+\r\n([0-9A-F]+)\r\n")[1].decode())
        assert (message.text, message.kind) == ("now!", "flash")  # type: ignore[union-attr]
        assert client.ok("AT+CMGL=4") == []


def test_urcs_are_held_when_cnmi_says_so(one: Bench) -> None:
    with one.client() as client:
        client.init("0,1,0,0,0")
        one.do("deliver", modem=0, **{"from": STRANGER, "text": "held"})
        assert client.quiet() == b""
        client.ok("AT+CNMI=2,1,0,0,0")
        client.until(rb'\+CMTI: "SM",1\r\n')


def test_nothing_is_said_between_prompt_and_pdu(one: Bench) -> None:
    with one.client() as client:
        client.init()
        ((pdu, length),) = parts(submit(STRANGER, "x"))
        client.prompt(length)
        one.do("deliver", modem=0, **{"from": STRANGER, "text": "held"})
        assert client.quiet() == b""
        client.write(pdu + "\x1a")
        client.until(rb'\+CMGS: 0\r\n\r\nOK\r\n.*\+CMTI: "SM",1\r\n')


def test_a_full_sim_keeps_messages_in_the_network(one: Bench) -> None:
    with one.client() as client:
        client.init()
        for number in range(22):
            one.do("deliver", modem=0, **{"from": STRANGER, "text": f"message {number}"})
        client.until(rb'\+CMTI: "SM",20\r\n')
        assert one.do("inbox", modem=0)["waiting"] == 2
        refused = [entry for entry in one.ledger("deliver") if not entry["accepted"]]
        assert [entry["cause"] for entry in refused] == ["memory_full"]
        client.ok("AT+CMGD=3")
        client.until(rb'\+CMTI: "SM",3\r\n')
        client.ok("AT+CMGD=4")
        client.until(rb'\+CMTI: "SM",4\r\n')
    accepted = [entry["text"] for entry in one.ledger("deliver") if entry["accepted"]]
    assert accepted == [f"message {number}" for number in range(22)]


def test_two_storages_as_one(one: Bench) -> None:
    with one.client() as client:
        client.init()
        assert client.ok('AT+CPMS="MT","MT","MT"') == ["+CPMS: 0,70,0,70,0,70"]
        for number in range(52):
            one.do("deliver", modem=0, **{"from": STRANGER, "text": f"message {number}"})
        client.until(rb'\+CMTI: "MT",52\r\n')
        assert decode(client.ok("AT+CMGR=52")[1]).text == "message 51"
        assert [message.text for message in read_all(client)] == [f"message {number}" for number in range(52)]
        client.ok("AT+CMGD=52")
        assert client.ok("AT+CPMS?")[0].startswith('+CPMS: "MT",51,70')
        assert client.ok('AT+CPMS="SM"')[0].startswith("+CPMS: 1,20")


def test_commands_can_be_chained_and_the_first_error_ends_them(one: Bench) -> None:
    with one.client() as client:
        assert client.ok("ATE0V1+CMEE=1;+CREG=2;+CREG?") == ['+CREG: 2,1,"00A1","0000C3D2"']
        assert client.command('AT+CMEE?;+CPIN="1234";+CSQ') == ["+CMEE: 1", "+CME ERROR: 3"]
        client.ok("AT+CMEE=2")
        assert client.command('AT+CPIN="1"') == ["+CME ERROR: operation not allowed"]
        client.ok("AT+CMEE=0")
        assert client.command('AT+CPIN="1"') == ["ERROR"]


def test_what_it_does_not_know_is_an_error_and_noted(one: Bench) -> None:
    with one.client() as client:
        client.ok("ATE0")
        assert client.command("AT+NOSUCH=1") == ["ERROR"]
        assert client.command("AT,") == ["ERROR"]
    assert one.stats()["unknown_commands"] == ["AT+NOSUCH=1"]


def test_echo_is_on_until_it_is_switched_off(one: Bench) -> None:
    with one.client() as client:
        client.write("AT\r")
        client.until(rb"^AT\r\r\nOK\r\n$")
        client.write("ATE0\r")
        client.until(rb"^ATE0\r\r\nOK\r\n$")
        client.write("AT\r")
        client.until(rb"^\r\nOK\r\n$")
        client.ok("ATE1")
        ((pdu, length),) = parts(submit(STRANGER, "x"))
        client.prompt(length)
        client.write(pdu + "\x1a")
        client.until(rb"^" + pdu.encode() + rb"\x1a\r\n\+CMGS: 0\r\n\r\nOK\r\n")


BAD_PDUS = [
    ("a wrong length", lambda pdu, length: (pdu, length + 1)),
    ("no hex", lambda pdu, length: ("Hello there", length)),
    ("half an octet", lambda pdu, length: (pdu[:-1], length)),
    ("nothing", lambda pdu, length: ("", length)),
    ("a DELIVER", lambda pdu, length: (pdu[:2] + "00" + pdu[4:], length)),
    ("a page of zeros", lambda pdu, length: ("0" * 5000, length)),
]


@pytest.mark.parametrize(("what", "spoil"), BAD_PDUS, ids=[what for what, _ in BAD_PDUS])
def test_a_bad_pdu_is_cms_304_and_never_crosses(one: Bench, what: str, spoil: object) -> None:
    with one.client() as client:
        client.init()
        assert callable(spoil)
        pdu, length = spoil(*parts(submit(STRANGER, "x"))[0])
        assert client.send_pdu(pdu, length) == ["+CMS ERROR: 304"]
        client.ok("AT")
    assert one.ledger() == []


def test_lengths_that_cannot_be(one: Bench) -> None:
    with one.client() as client:
        client.init()
        for length in ("", "0", "999", "-1", "x", '"+36301234567"'):
            assert client.command(f"AT+CMGS={length}") == ["+CMS ERROR: 304"]


def test_escape_leaves_the_prompt_and_nothing_is_sent(one: Bench) -> None:
    with one.client() as client:
        client.init()
        client.prompt(18)
        client.write("0011\x1b")
        client.until(rb"^\r\nOK\r\n")
        client.write("\x1b\r")
        assert client.quiet() == b"", "outside of a prompt it means nothing"
        client.ok("AT")
    assert one.ledger() == []


def test_rubbish_does_no_harm(one: Bench) -> None:
    with one.client() as client:
        client.init()
        client.write("0001000B916303214365F7\x1a")
        assert client.quiet() == b""
        client.ok("AT")
        client.write(b"\x00\xff\xfe garbage \x1b\x1a\r")
        client.ok("AT")
        client.port.write_timeout = 5
        client.write(b"x" * (1 << 20) + b"\r")
        client.until(rb"\r\nERROR\r\n")
        client.ok("AT")


def test_bytes_while_a_send_waits_are_counted_and_done_later(tmp_path: Path) -> None:
    with bench(tmp_path, latency=(0.3, 0.3)) as slow, slow.client() as client:
        client.init()
        ((pdu, length),) = parts(submit(STRANGER, "x"))
        client.prompt(length)
        client.write(pdu + "\x1a")
        time.sleep(0.1)
        client.write("AT+CSQ\r")
        client.until(rb"^\r\n\+CMGS: 0\r\n\r\nOK\r\n\r\n\+CSQ: 23,0\r\n\r\nOK\r\n$")
        assert slow.stats()["bytes_while_busy"] == 7


def test_a_send_takes_as_long_as_the_network_and_is_counted(tmp_path: Path) -> None:
    with bench(tmp_path, latency=(0.2, 0.3)) as slow, slow.client() as client:
        client.init()
        began = time.monotonic()
        client.send(STRANGER, "one")
        client.send(STRANGER, "two")
        assert 0.4 <= time.monotonic() - began < 2
        stats = slow.stats()
        assert stats["sends"] == 2
        assert 0.4 <= stats["busy_seconds"] <= 0.8
        assert slow.do("set_latency", latency="0")["latency"] == [0, 0]
        client.send(STRANGER, "three")
        assert slow.stats()["busy_seconds"] - stats["busy_seconds"] < 0.1
        events = [item["event"] for item in slow.do("trace", modem=0)["events"]]
        assert events[:5] == ["cmgs", "prompt", "ctrl_z", "decided", "result"]
        times = [item["ns"] for item in slow.do("trace", modem=0)["events"]]
        assert times == sorted(times)


def test_the_port_can_be_closed_and_opened_again(one: Bench) -> None:
    for _ in range(3):
        with one.client() as client:
            client.ok("AT")
            # As gammu and ModemManager do; nobody else may open it now, and somebody may afterwards.
            fcntl.ioctl(client.port.fileno(), termios.TIOCEXCL)
            with pytest.raises(serial.SerialException):
                one.client()
    slave = os.path.realpath(one.ports[0])
    time.sleep(0.1)
    fd = os.open(slave, os.O_RDWR | os.O_NOCTTY)
    try:
        assert not fcntl.ioctl(fd, 0x80045440, b"\0\0\0\0")[0], "TIOCGEXCL: the lock outlived its owner"
        mode = termios.tcgetattr(fd)
        assert not mode[3] & (termios.ECHO | termios.ICANON)
        assert not mode[1] & termios.OPOST
    finally:
        os.close(fd)


def test_what_is_said_to_nobody_is_lost(one: Bench) -> None:
    with one.client() as client:
        client.init()
    time.sleep(0.1)
    for number in range(3):
        one.do("deliver", modem=0, **{"from": STRANGER, "text": f"unheard {number}"})
    assert one.stats()["lost_bytes"] > 0
    with one.client() as client:
        assert client.quiet() == b""
        assert len(read_all(client)) == 3


def test_a_host_that_does_not_read_costs_no_memory_without_bound(one: Bench) -> None:
    with one.client() as client:
        client.ok("AT")
        client.port.write_timeout = 20
        for _ in range(300):
            client.write(b"ATE0+CSQ;+COPS?;+CGMI;+CGMM;+CPMS=?;+CPMS=?;+CPMS=?;+CPMS=?;+CPMS=?\r" * 20)
        one.do("stats")
        assert one.stats()["lost_bytes"] > 0
        client.quiet()
        client.ok("AT")


def test_unplugged_the_port_hangs_up_and_plugged_it_is_another(one: Bench) -> None:
    link = pathlib.Path(one.ports[0])
    with one.client() as client:
        client.init()
        one.do("deliver", modem=0, **{"from": STRANGER, "text": "kept"})
        before = link.readlink()
        one.do("unplug", modem=0)
        with pytest.raises((serial.SerialException, OSError)):
            client.until(b"nothing will come any more")
        assert not link.is_symlink()
        assert one.do("list")["modems"][0]["plugged"] is False
        one.do("deliver", modem=0, **{"from": STRANGER, "text": "meanwhile"})
        one.do("unplug", modem=0)
        one.do("plug", modem=0)
        assert link.readlink() != before
    with one.client() as client:
        client.until(rb"RDY\r\n.*SMS Ready\r\n")
        assert client.ok("ATE0") == []
        assert client.ok("AT+CNMI?") == ["+CNMI: 2,1,0,0,0"], "power-up settings"
        assert [message.text for message in read_all(client)] == ["kept", "meanwhile"]


def test_settings_and_vendor_settings_can_be_read_back(one: Bench) -> None:
    with one.client() as client:
        client.init()
        for command, answer in [
            ("AT+CSCS=?", '+CSCS: ("IRA","GSM","UCS2","HEX","PCCP936")'),
            ("AT+CNMI?", "+CNMI: 2,1,0,1,0"),
            ("AT+CNMI=?", "+CNMI: (0,1,2),(0,1,2,3),(0,2),(0,1,2),(0,1)"),
            ("AT+CSMS?", "+CSMS: 0,1,1,1"),
            ("AT+CMGD=?", "+CMGD: (),(0-4)"),
            ("AT+CNUM", '+CNUM: "","+36205550000",145'),
            ("AT+CESQ", "+CESQ: 46,0,255,255,255,255"),
            ("AT+CRSM=176,12258,0,0,10", '+CRSM: 144,0,"986310005055050000F8"'),
            ('AT+CSIM=10,"0020000100"', '+CSIM: 4,"63C3"'),
            ("AT+COPS=3,2;+COPS?", '+COPS: 0,2,"00101"'),
        ]:
            assert client.ok(command)[0].startswith(answer[:5]), command
            if "CRSM" not in command:
                assert client.ok(command) == [answer], command
        client.ok('AT+CSCS="UCS2"')
        assert client.ok("AT+CSCA?") == ['+CSCA: "002B00330036003200300039003300300030003000390039",145']
        assert client.command('AT+CSCS="KLINGON"') == ["+CME ERROR: 50"]


def test_messages_can_be_written_to_memory_and_sent_from_there(one: Bench) -> None:
    with one.client() as client:
        client.init()
        ((pdu, length),) = parts(submit(STRANGER, "from memory"))
        client.write(f"AT+CMGW={length}\r")
        client.until(rb"> ")
        client.write(pdu + "\x1a")
        client.until(rb"\r\n\+CMGW: 1\r\n\r\nOK\r\n")
        assert client.ok("AT+CMGL=2") == [f"+CMGL: 1,2,,{length}", pdu]
        assert client.ok("AT+CMSS=1") == ["+CMSS: 0"]
        assert client.command("AT+CMSS=7") == ["+CMS ERROR: 321"]
    assert [entry["text"] for entry in one.ledger("submit")] == ["from memory"]


def test_ussd_and_calls(one: Bench) -> None:
    with one.client() as client:
        client.init()
        client.ok('AT+CUSD=1,"*100#",15')
        client.until(rb'\+CUSD: 0,"Balance: 1500.00 HUF, valid until 2031-01-31",15\r\n')
        one.do("ussd", modem=0, code="*101#", answer="Egyenleg: 5 Ft, ő", mode=1)
        client.ok('AT+CUSD=1,"*101#",15')
        text = client.until(rb'\+CUSD: 1,"([0-9A-F]+)",72\r\n')[1].decode()
        assert bytes.fromhex(text).decode("utf-16-be") == "Egyenleg: 5 Ft, ő"
        client.ok("AT+CUSD=2")
        client.ok('AT+CUSD=1,"*999#",15')
        client.until(rb"\+CUSD: 4\r\n")
        client.ok("AT+CLIP=1")
        one.do("call", modem=0, **{"from": STRANGER, "rings": 2, "interval": 0.1})
        client.until(rb'RING\r\n\r\n\+CLIP: "\+36301234567",145,.*RING\r\n.*MISSED_CALL: [^\r]*\+36301234567\r\n')
        one.do("call", modem=0, **{"from": "", "rings": 3, "interval": 5})
        client.until(rb'\+CLIP: "",128,"",0,"",1\r\n')
        client.ok("ATH")
        assert client.quiet() == b""
        assert one.stats()["hung_up"] == 1
        one.do("call", modem=0, **{"from": STRANGER, "rings": 9, "interval": 5})
        client.until(rb"\+CLIP: ")
        one.do("hangup", modem=0)
        client.until(rb"MISSED_CALL: [^\r]*\r\n")
        one.do("hangup", modem=0)
        assert client.quiet() == b""


def test_ussd_menus(one: Bench) -> None:
    with one.client() as client:
        client.init()
        client.ok('AT+CUSD=1,"*111#",15')
        client.until(rb'\+CUSD: 1,"My account\n1 Balance\n2 Data\n0 Exit",15\r\n')
        client.ok('AT+CUSD=1,"2",15')
        client.until(rb'\+CUSD: 1,"Data\n1 1 GB\n2 5 GB",15\r\n')
        client.ok('AT+CUSD=1,"9",15')
        client.until(rb"\+CUSD: 2\r\n")
        client.ok('AT+CUSD=1,"2",15')
        client.until(rb"\+CUSD: 4\r\n")  # no menu is open: it is a code
        page = {"answer": "Sure?", "menu": {"1": {"answer": "Done", "delay": 0}}, "delay": 0}
        one.do("ussd", modem=0, code="*7#", **page)
        client.ok('AT+CUSD=1,"*7#",15')
        client.until(rb'\+CUSD: 1,"Sure\?",15\r\n')
        client.ok("AT+CUSD=2")
        client.ok('AT+CUSD=1,"1",15')
        client.until(rb"\+CUSD: 4\r\n")
        one.do("ussd", modem=0, push=True, answer="You have a voice mail", delay=0)
        client.until(rb'\+CUSD: 0,"You have a voice mail",15\r\n')
        one.do("ussd", modem=0, code="*8#", answer=None)
        client.ok('AT+CUSD=1,"*8#",15')
        assert client.quiet() == b""


def test_a_sim800_sends_nothing_while_a_ussd_is_under_way(one: Bench) -> None:
    with one.client() as client:
        client.init()
        client.ok('AT+CUSD=1,"*111#",15')
        client.until(rb'\+CUSD: 1,"[^"]*",15\r\n')
        assert client.command("AT+CMGS=15") == ["+CMS ERROR: 302"]
        client.ok("AT+CUSD=2")
        assert client.send(STRANGER, "now") == [0]
