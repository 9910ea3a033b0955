"""The control socket, and `sms-bridge emulate` as a process."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hardware.emulator.control import parse_latency
from tests.support.at_client import AtClient, Bench, bench

STRANGER = "+36301234567"
START = 10.0  # seconds; it takes a quarter of one


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Bench]:
    with bench(tmp_path, ["sim800l", "ec25"]) as running:
        yield running


BAD = [
    (b"nonsense", "not JSON"),
    (b"[1]", "JSON object"),
    (b'"do"', "JSON object"),
    (b"\xff\xfe", "not JSON"),
    (b"[" * 100_000, "not JSON"),
    (b"{}", "no such request"),
    (b'{"do":["list"]}', "no such request"),
    (b'{"do":"dance"}', "deliver"),
    (b'{"do":"deliver","modem":0,"text":"x"}', "'from' is missing"),
    (b'{"do":"deliver","modem":0,"from":"+361"}', "text"),
    (b'{"do":"deliver","modem":0,"from":"+361","text":5}', "string"),
    (b'{"do":"deliver","modem":0,"from":"+361","text":"x","dcs":"y"}', ""),
    (b'{"do":"deliver","modem":9,"from":"+361","text":"x"}', "0 to 1"),
    (b'{"do":"deliver","modem":true,"from":"+361","text":"x"}', "0 to 1"),
    (b'{"do":"deliver","to":"+1","from":"+361","text":"x"}', "no emulated SIM"),
    (b'{"do":"deliver_pdu","modem":0,"pdu":"xyz"}', "hex"),
    (b'{"do":"fault","modem":0}', "lost_result"),
    (b'{"do":"fault","modem":0,"name":"unplug","on":"sunday"}', "ctrl_z"),
    (b'{"do":"set_latency","latency":"soon"}', "2-6"),
    (b'{"do":"set_latency"}', "missing"),
    (b'{"do":"outside","status":999}', "TP-ST"),
    (b'{"do":"ussd","modem":0,"code":"*1#","answer":1}', "string"),
    (b'{"do":"ussd","modem":0,"code":"*1#","answer":"x","mode":6}', "0 to 5"),
    (b'{"do":"ussd","modem":0,"code":"*1#","answer":"x","menu":[1]}', "object"),
    (b'{"do":"ussd","modem":0,"code":"*1#","answer":"x","menu":{"1":2}}', "a page is"),
    (b'{"do":"ussd","modem":0,"answer":"x"}', "'code' is missing"),
    (b'{"do":"ussd","modem":0,"code":"*1#","answer":"x","delay":-1}', "600 seconds"),
    (b'{"do":"call","modem":0,"rings":"many"}', ""),
    (b'{"do":"hangup","modem":9}', "0 to 1"),
]


@pytest.mark.parametrize(("line", "words"), BAD, ids=[line[:40].decode("latin-1") for line, _ in BAD])
def test_a_bad_request_is_answered_and_the_connection_stays(two: Bench, line: bytes, words: str) -> None:
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(5)
        link.connect(str(two.directory / "control"))
        with link.makefile("rb") as answers:
            link.sendall(line + b"\n")
            reply = json.loads(answers.readline())
            assert reply["ok"] is False
            assert words in reply["error"]
            assert len(reply["error"]) > 3
            link.sendall(b'\n{"do":"list"}\n')
            assert json.loads(answers.readline())["ok"] is True


def test_a_request_without_end_is_answered(two: Bench) -> None:
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(10)
        link.connect(str(two.directory / "control"))
        link.sendall(b"x" * (3 << 20))
        assert b"at most" in link.recv(1000)
    two.do("list")


def test_several_requests_at_once_are_answered_in_order(two: Bench) -> None:
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(5)
        link.connect(str(two.directory / "control"))
        link.sendall(b'{"do":"list"}\n{"do":"nope"}\n{"do":"stats","modem":1}\n')
        with link.makefile("rb") as answers:
            replies = [json.loads(answers.readline()) for _ in range(3)]
    assert [reply["ok"] for reply in replies] == [True, False, True]
    assert replies[2]["modem"] == 1


def test_what_is_there_and_what_is_stored(two: Bench) -> None:
    cards = two.do("list")["modems"]
    assert [card["personality"] for card in cards] == ["sim800l", "ec25"]
    assert [card["port"] for card in cards] == two.ports
    for card in cards:
        assert os.path.realpath(card["port"]) == card["slave"]
    two.do("deliver", to=cards[1]["number"], **{"from": "Info", "text": "to its number"})
    (message,) = two.do("inbox", modem=1)["messages"]
    assert (message["storage"], message["index"], message["stat"]) == ("ME", 0, 0)
    assert (message["from"], message["text"]) == ("Info", "to its number")
    assert [stats["received"] for stats in two.do("stats")["modems"]] == [0, 1]


def test_fields_of_a_delivery(two: Bench) -> None:
    two.do("deliver", modem=0, **{"from": STRANGER, "data": "00ff", "port": 16000})
    two.do("deliver", modem=0, **{"from": STRANGER, "text": "silent", "pid": 64})
    two.do("deliver", modem=0, **{"from": STRANGER, "text": "é" * 200, "ref": 513, "ref_bits": 16, "encoding": "ucs2"})
    entries = two.ledger("deliver")
    assert entries[0]["text"] is None
    assert [entry["concat"] and entry["concat"]["ref"] for entry in entries] == [None, None, 513, 513, 513, 513]
    assert "".join(entry["text"] for entry in entries[2:]) == "é" * 200


def test_wait_idle_waits_for_what_is_on_its_way(tmp_path: Path) -> None:
    with bench(tmp_path, ["sim800l"], (0.3, 0.3)) as it, it.client() as client:
        client.init()
        it.do("wait_idle")
        number = it.do("list")["modems"][0]["number"]
        client.send(number, "to myself", status_report=True)
        it.do("wait_idle")
        assert [entry["kind"] for entry in it.ledger()] == ["submit", "deliver", "report"]
        client.prompt(18)
        client.write(b"\x1b")
        assert it.ask(b'{"do":"wait_idle","quiet":2,"timeout":0.1}')["ok"] is False


@pytest.mark.parametrize(
    ("value", "expected"), [(0, (0, 0)), ("0.5", (0.5, 0.5)), ("2-6", (2, 6)), ([1, 2], (1, 2)), (3.5, (3.5, 3.5))]
)
def test_latencies(value: object, expected: tuple[float, float]) -> None:
    assert parse_latency(value) == expected


@pytest.mark.parametrize("value", ["", "x", "-1", "6-2", "1-2-3", [1, 2, 3], [], None, "nan", {}, "99999"])
def test_latencies_that_cannot_be(value: object) -> None:
    with pytest.raises(ValueError, match="latency"):
        parse_latency(value)


def emulate(directory: Path, *options: str, **popen: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "sms_bridge", "emulate", "--dir", str(directory), *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **popen)


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=START)
    return process.returncode, out, err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_the_command_starts_serves_and_leaves_only_the_ledger(tmp_path: Path, number: signal.Signals) -> None:
    directory = tmp_path / "new" / "phones"
    process = emulate(directory, "--modems", "3", "--json", "--latency", "0", "--trace", str(tmp_path / "trace"))
    assert process.stdout is not None
    ready = json.loads(process.stdout.readline())
    assert ready["ports"] == [str(directory / f"modem{i}") for i in range(3)]
    assert ready["control"] == str(directory / "control")
    assert ready["ledger"] == str(directory / "ledger.jsonl")
    with AtClient(ready["ports"][2]) as client:
        client.init()
        client.send(STRANGER, "x")
    process.send_signal(number)
    assert finish(process) == (0, "", "")
    assert sorted(path.name for path in directory.iterdir()) == ["ledger.jsonl"]
    events = [json.loads(line) for line in (tmp_path / "trace").read_text().splitlines()]
    assert [event["event"] for event in events] == ["cmgs", "prompt", "ctrl_z", "decided", "result"]
    assert {event["modem"] for event in events} == {2}


def test_a_person_sees_a_table_and_how_to_go_on(tmp_path: Path) -> None:
    process = emulate(tmp_path, "--personality", "ec25", "--personality", "e173", "--modems", "3")
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(10)]
    process.terminate()
    finish(process)
    text = "".join(lines)
    assert text.count("Quectel EC25") == 2
    assert text.count("Huawei E173") == 1
    for words in ("modem2", "+36205550002", "ledger.jsonl", "socat", "lost_result", "2 to 6 s"):
        assert words in text, words


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--personality", "nokia"], "sim800l"),
        (["--modems", "0"], "1<=x<=256"),
        (["--latency", "soon"], "0.5"),
    ],
)
def test_wrong_usage_is_told_and_is_2(tmp_path: Path, options: list[str], words: str) -> None:
    code, out, err = finish(emulate(tmp_path, *options))
    assert (code, out) == (2, "")
    assert words in err
    assert "Traceback" not in err


def test_a_directory_that_is_taken_or_no_directory(tmp_path: Path) -> None:
    with bench(tmp_path):
        code, _, err = finish(emulate(tmp_path))
        assert code == 1
        assert "another emulator" in err
        assert (tmp_path / "modem0").is_symlink(), "the first one's ports stay"
    (tmp_path / "file").write_text("")
    code, _, err = finish(emulate(tmp_path / "file" / "below"))
    assert code == 1
    assert "Traceback" not in err


def test_after_a_kill_it_starts_again_in_the_same_directory(tmp_path: Path) -> None:
    first = emulate(tmp_path, "--json")
    assert first.stdout is not None
    first.stdout.readline()
    first.kill()
    finish(first)
    with bench(tmp_path) as it, it.client() as client:
        client.ok("AT")


def gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state == "Z"


@pytest.mark.parametrize("stdin", ["PIPE", "DEVNULL"])
def test_it_does_not_outlive_a_parent_that_was_killed(tmp_path: Path, stdin: str) -> None:
    parent_code = (
        "import subprocess, sys, time\n"
        f"p = subprocess.Popen([sys.executable, '-m', 'sms_bridge', 'emulate', '--dir', {str(tmp_path)!r}, '--json',"
        f" '--parent-watch'], stdin=subprocess.{stdin}, stdout=subprocess.PIPE)\n"
        "p.stdout.readline()\n"
        "print(p.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", parent_code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert not gone(child)
    parent.kill()
    parent.communicate()
    end = time.monotonic() + START
    while not gone(child) and time.monotonic() < end:
        time.sleep(0.02)
    assert gone(child)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ledger.jsonl"]
