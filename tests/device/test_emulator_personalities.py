"""Each shipped device: who it says it is, and the quirks it is there for."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from hardware.emulator import DEFAULT, Emulator, names
from hardware.emulator.identity import identity, luhn
from hardware.emulator.personality import PersonalityError, load
from hardware.pdu import decode
from tests.support.at_client import bench

STRANGER = "+36301234567"
ICCID = {
    "sim800l": ("AT+CCID", r"^(\d{19})f$"),
    "sim7600": ("AT+CICCID", r"^\+ICCID: (\d{19})F$"),
    "e173": ("AT^ICCID?", r"^\^ICCID: (\d{19})F$"),
    "e3372": ("AT^ICCID?", r"^\^ICCID: (\d{19})F$"),
    "ec25": ("AT+QCCID", r"^\+QCCID: (\d{19})F$"),
    "ep06": ("AT+QCCID", r"^\+QCCID: (\d{19})F$"),
    "sara": ("AT+CCID", r"^\+CCID: (\d{19})$"),
    "lara": ("AT+CCID", r"^\+CCID: (\d{19})$"),
    "e3531": ("AT^ICCID?", r"^\^ICCID: (\d{19})F$"),
    "mf190": ("AT+ZGETICCID", r"^\+ZGETICCID: (\d{19})F$"),
    "le910": ("AT#CCID", r"^#CCID: (\d{19})$"),
    "sim7070": ("AT+CCID", r"^(\d{19})$"),
    "fastrack": ("AT+CCID", r'^\+CCID: "(\d{19})"$'),
    "mc7455": ("AT!ICCID?", r"^!ICCID: (\d{19})F$"),
    "bg96": ("AT+QCCID", r"^\+QCCID: (\d{19})F$"),
    "eg91": ("AT+QCCID", r"^\+QCCID: (\d{19})F$"),
}
PIN_COUNTER = {
    "sim800l": ("AT+SPIC", "+SPIC: 3,10,3,10"),
    "sim7600": ("AT+SPIC", "+SPIC: 3,10,3,10"),
    "e173": ("AT^CPIN?", "^CPIN: READY,3,10,3,10,3"),
    "e3372": ("AT^CPIN?", "^CPIN: READY,3,10,3,10,3"),
    "ec25": ('AT+QPINC="SC"', '+QPINC: "SC",3,10'),
    "ep06": ('AT+QPINC="SC"', '+QPINC: "SC",3,10'),
    "sara": ("AT+UPINCNT", "+UPINCNT: 3,3,10,10"),
    "lara": ("AT+UPINCNT", "+UPINCNT: 3,3,10,10"),
    "e3531": ("AT^CPIN?", "^CPIN: READY,3,10,3,10,3"),
    "mf190": ('AT+CSIM=10,"0020000100"', '+CSIM: 4,"63C3"'),
    "le910": ("AT#PCT", "#PCT: 3"),
    "sim7070": ("AT+SPIC", "+SPIC: 3,10,3,10"),
    "fastrack": ("AT+CPINC?", "+CPINC: 3,3,10,10"),
    "mc7455": ("AT+CPINC?", "+CPINC: 3,3,10,10"),
    "bg96": ('AT+QPINC="SC"', '+QPINC: "SC",3,10'),
    "eg91": ('AT+QPINC="SC"', '+QPINC: "SC",3,10'),
}


def test_the_devices_that_must_be_there() -> None:
    assert set(names()) == ICCID.keys() == PIN_COUNTER.keys()
    assert DEFAULT in names()


@pytest.mark.parametrize("name", names())
def test_identity_and_messages_on_every_device(tmp_path: Path, name: str) -> None:
    with bench(tmp_path, [name, name]) as it, it.client(0) as client, it.client(1) as other:
        client.init("2,1,0,0,0")
        other.init("2,1,0,0,0")
        assert client.ok("AT+CGMI")
        assert client.ok("AT+CGMM")
        assert client.ok("AT+CGMR")
        assert client.ok("ATI")
        imei = re.search(r"\d{15}", client.ok("AT+CGSN")[0])
        assert imei
        assert imei[0].startswith(load(name).tac)
        assert luhn(imei[0][:14]) == imei[0][14]
        command, pattern = ICCID[name]
        iccid = re.match(pattern, client.ok(command)[0])
        assert iccid
        assert luhn(iccid[1][:18]) == iccid[1][18]
        assert client.ok(command) != other.ok(command)
        assert client.ok(PIN_COUNTER[name][0]) == [PIN_COUNTER[name][1]]
        number = it.do("list")["modems"][1]["number"]
        assert client.send(number, "between két equals 👍") == [0]
        storage, index = other.until(rb'\+CMTI: "([A-Z]{2})",(\d+)\r\n').groups()
        assert int(index) == load(name).first_index
        assert storage.decode() == (load(name).cmti_storage or load(name).storage)
        message = decode(other.ok(f"AT+CMGR={index.decode()}")[1])
        assert message.text == "between két equals 👍"
        other.ok(f"AT+CMGD={index.decode()}")
        lte = "+CEREG" in load(name).registration
        assert (client.command("AT+CEREG?")[-1] == "OK") == lte


@pytest.mark.parametrize("name", names())
def test_power_up_says_what_the_device_says(tmp_path: Path, name: str) -> None:
    with bench(tmp_path, [name]) as it, it.client() as client:
        client.init("2,1,0,0,0")
        it.do("reboot", modem=0)
        client.write("AT+CMGL=4\r")  # the SIM is not read yet
        steps = [step.urc for step in load(name).boot if step.urc]
        last = re.escape(steps[-1].split("{")[0]).encode() if steps else b""
        said = client.until(rb"^.*\+CMS ERROR: (?:314|SIM busy)\r\n.*" + last)[0].decode()
        positions = [said.find(step.split("{")[0]) for step in steps]
        assert -1 not in positions
        assert positions == sorted(positions)
        client.command("ATE0")
        answer = b"+CPIN: READY\r\n" if load(name).without_ok else b"+CPIN: READY\r\n\r\nOK\r\n"
        heard = b""
        for _ in range(20):  # one that says nothing at boot is asked until it is ready
            client.write("AT+CPIN?\r")
            if (heard := client.quiet()).endswith(answer):
                break
        assert heard.endswith(answer)


def test_sim800_hears_capitals_only(tmp_path: Path) -> None:
    with bench(tmp_path, ["sim800l"]) as it, it.client() as client:
        client.ok("ATE0")
        client.write("at\r")
        assert client.quiet() == b""
        client.ok("AT")


def test_sim800_adds_words_to_the_urc_of_an_mms(tmp_path: Path) -> None:
    with bench(tmp_path, ["sim800l"]) as it, it.client() as client:
        client.init()
        it.do("deliver", modem=0, **{"from": STRANGER, "data": "0006246170706c", "port": 2948})
        client.until(rb'\+CMTI: "SM",1,"MMS PUSH",2,1\r\n')


@pytest.mark.parametrize("name", ["e173", "e3372"])
def test_huawei_refuses_ds_1_and_talks_until_told_not_to(tmp_path: Path, name: str) -> None:
    with bench(tmp_path, [name]) as it, it.client() as client:
        client.ok("ATE0+CMEE=1")
        assert client.command("AT+CNMI=2,1,0,1,0") == ["+CMS ERROR: 303"]
        client.ok("AT+CNMI=2,1,0,2,0")
        client.until(rb"\^(RSSI|HCSQ):", deadline=6)
        client.ok("AT^CURC=0")
        assert client.quiet(3.2) == b"", "silent for longer than its longest pause but one"


@pytest.mark.parametrize(("name", "memory", "size"), [("e173", "ME", 100), ("e3372", "SM", 50)])
def test_huawei_tells_of_a_full_storage_instead_of_the_message(
    tmp_path: Path, name: str, memory: str, size: int
) -> None:
    with bench(tmp_path, [name]) as it, it.client() as client:
        client.ok("ATE0")
        client.ok("AT^CURC=0")
        client.ok("AT+CNMI=2,1,0,0,0")
        it.do("fault", modem=0, name="storage_full")
        assert client.ok("AT+CPMS?")[0].startswith(f'+CPMS: "{memory}",{size},{size}')
        it.do("deliver", modem=0, **{"from": STRANGER, "text": "new"})
        it.do("deliver", modem=0, **{"from": STRANGER, "text": "newer"})
        client.until(b'^\r\n\\^SMMEMFULL: "%s"\r\n$' % memory.encode())
        assert client.quiet() == b"", "told once"
        client.ok("AT+CMGD=0")
        client.until(rb'\+CMTI: "SM",0\r\n')


def test_e173_has_its_own_word_for_no(tmp_path: Path) -> None:
    with bench(tmp_path, ["e173"]) as it, it.client() as client:
        client.ok("ATE0")
        assert client.command("AT+CEREG?") == ["COMMAND NOT SUPPORT"]
        assert client.ok("AT+CMGR=5") == ["+CMGR: 0,,0"]


def test_e173_speaks_ussd_in_packed_septets(tmp_path: Path) -> None:
    with bench(tmp_path, ["e173"]) as it, it.client() as client:
        client.ok("ATE0^CURC=0")
        client.ok('AT+CUSD=1,"AA180C3602",15')
        text = client.until(rb'\+CUSD: 0,"([0-9A-F]+)",15\r\n')[1]
        assert bytes.fromhex(text.decode())[:4] == bytes.fromhex("C2303BEC")
        client.ok('AT+CUSD=1,"*100#",15')
        client.until(rb"\+CUSD: 4\r\n")


def test_e3372_wants_all_three_storages(tmp_path: Path) -> None:
    with bench(tmp_path, ["e3372"]) as it, it.client() as client:
        client.ok("ATE0+CMEE=1")
        assert client.command('AT+CPMS="SM"') == ["+CMS ERROR: 302"]
        assert client.command('AT+CPMS="SM","SM"') == ["+CMS ERROR: 302"]
        assert client.ok('AT+CPMS="SM","SM","ME"') == ["+CPMS: 0,50,0,50,0,100"]


def test_ec25_tells_of_a_full_storage_only_when_asked(tmp_path: Path) -> None:
    with bench(tmp_path, ["ec25"]) as it, it.client() as client:
        client.init()
        it.do("fault", modem=0, name="storage_full")
        it.do("deliver", modem=0, **{"from": STRANGER, "text": "new"})
        assert client.quiet() == b""
        client.ok('AT+QINDCFG="smsfull",1,1')
        it.do("clear", modem=0)
        client.until(rb'\+QIND: "smsfull","ME"\r\n')


def test_ep06_lists_nothing_in_pdu_mode(tmp_path: Path) -> None:
    with bench(tmp_path, ["ep06"]) as it, it.client() as client:
        client.init()
        it.do("deliver", modem=0, **{"from": STRANGER, "text": "found by scanning"})
        client.until(rb'\+CMTI: "ME",0\r\n')
        assert client.command("AT+CMGL=4") == ["+CMS ERROR: 303"]
        assert len(client.ok("AT+CMGR=0")) == 2


def test_sara_takes_its_time(tmp_path: Path) -> None:
    with bench(tmp_path, ["sara"]) as it, it.client() as client:
        client.init()
        began = time.monotonic()
        client.send(STRANGER, "x")
        assert time.monotonic() - began >= 0.2


def test_e3531_counts_a_new_message_late(tmp_path: Path) -> None:
    with bench(tmp_path, ["e3531"]) as it, it.client() as client:
        client.init("2,1,0,2,0")
        it.do("deliver", modem=0, **{"from": STRANGER, "text": "uncounted"})
        client.until(rb'\+CMTI: "ME",0\r\n')
        assert client.ok("AT+CPMS?")[0].startswith('+CPMS: "ME",0,500')
        time.sleep(load("e3531").count_lag)
        assert client.ok("AT+CPMS?")[0].startswith('+CPMS: "ME",1,500')


def test_mf190_nags_until_it_is_asked_for_its_storage(tmp_path: Path) -> None:
    with bench(tmp_path, ["mf190"]) as it, it.client() as client:
        client.until(rb"\+ZUSIMR:2\r\n", deadline=4)
        client.ok("AT+CPMS?")
        assert client.quiet(2.2) == b"", "silent for longer than its pause"


def test_le910_tells_of_a_full_storage_when_asked(tmp_path: Path) -> None:
    with bench(tmp_path, ["le910"]) as it, it.client() as client:
        client.init()
        client.ok("AT#SMOV=1")
        it.do("fault", modem=0, name="storage_full")
        it.do("deliver", modem=0, **{"from": STRANGER, "text": "new"})
        client.until(rb'#SMOV: "SM"\r\n')


def test_fastrack_has_no_ok_behind_its_pin_state(tmp_path: Path) -> None:
    with bench(tmp_path, ["fastrack"]) as it, it.client() as client:
        client.ok("ATE0")
        client.write("AT+CPIN?\r")
        assert client.quiet() == b"\r\n+CPIN: READY\r\n"
        it.do("fault", modem=0, name="sim_absent")
        assert client.command("AT+CPIN?") == ["ERROR"]


def test_numbers_follow_seed_and_index(tmp_path: Path) -> None:
    cards = [identity("86671704", seed, index) for seed in (0, 1, 2) for index in range(50)]
    for field in ("imei", "iccid", "imsi", "number"):
        assert len({getattr(card, field) for card in cards}) == len(cards), field
    assert {(len(c.imei), len(c.iccid), len(c.imsi), len(c.number)) for c in cards} == {(15, 19, 15, 12)}
    assert identity("86671704", 7, 3) == identity("86671704", 7, 3)
    emulator = Emulator(["ec25"], tmp_path, seed=7)
    assert emulator.modems[0].phone.imei == identity(load("ec25").tac, 7, 0).imei


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("title = 'x'\ntac = '12'\n[answers]", "tac"),
        ("colour = 'red'\n[answers]", "colour"),
        ("title = 'x'\ntac = '12345678'\n[answers]\nI = ['x']", r"\+CGMI"),
        ("title = 'x'\ntac = '12345678'\nstorage = 'XX'\n[answers]", "XX"),
        ("title = [", "mine"),
        ("title = 'x'\ntac = '12345678'", "answers"),
    ],
)
def test_a_wrong_personality_says_what_is_wrong(tmp_path: Path, text: str, reason: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(text)
    with pytest.raises(PersonalityError, match=reason):
        load(str(file))


def test_an_unknown_personality_names_the_others() -> None:
    with pytest.raises(PersonalityError, match="sim800l"):
        load("nokia3310")
