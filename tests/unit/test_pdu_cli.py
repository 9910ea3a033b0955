"""`sms-bridge pdu`: one argument, or a line for a line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from hardware.pdu import decode
from sms_bridge.cli import pdu as module
from sms_bridge.cli.pdu import command

HELLO = "07912143658709F1040B918100551512F20000111010214365000AE8329BFD4697D9EC37"
PART_1 = "07919730071111F1400B919746121611F10000811170021222230E06080412340201C8329BFD6601"
PART_2 = "07919730071111F1400B919746121611F10000811170021232230F06080412340202A0FB5BCE268700"
REPORT = "07914356060013F1065A098136397339F7219011700463802190117004638030"


def run(*arguments: str, given: str | bytes | None = None) -> Result:
    return CliRunner().invoke(command, arguments, input=given)


def answers(*lines: str, mode: str = "decode", options: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    result = run(mode, "-", *options, given="".join(line + "\n" for line in lines))
    assert result.exit_code == 0
    assert result.stderr == ""
    found = [json.loads(line) for line in result.stdout.split("\n")[:-1]]
    assert len(found) == len(lines)
    return found


# -- one argument --------------------------------------------------------------------------------------------


def test_decode_one() -> None:
    result = run("decode", HELLO)
    assert result.exit_code == 0
    assert json.loads(result.stdout)["text"] == "hellohello"
    assert result.stdout.count("\n") > 10
    assert run("decode", "--json", HELLO.lower()).stdout.count("\n") == 1
    assert json.loads(run("decode", *(HELLO[at : at + 2] for at in range(0, len(HELLO), 2))).stdout)["smsc"]
    assert json.loads(run("decode", "--no-smsc", HELLO[16:]).stdout)["smsc"] is None


def test_a_failure_is_a_sentence() -> None:
    result = run("decode", HELLO[:-2])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "This is no PDU: the user data is shorter than its length says (octet 35).\n"
    result = run("decode", "--direction", "mo", HELLO)
    assert (result.exit_code, result.stdout) == (1, "")
    result = run("encode", "--to", "12x", "--text", "a")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("This cannot be sent: ")


def test_encode_one() -> None:
    result = run("encode", "--to", "+18005551212", "--text", "hellohello")
    assert json.loads(result.stdout) == {
        "encoding": "gsm7",
        "segments": 1,
        "pdus": ["0001000B918100551512F200000AE8329BFD4697D9EC37"],
        "lengths": [22],
    }
    options = ("--flash", "--report", "--validity", "60", "--smsc", "+361", "--port", "7", "--ref", "3", "--json")
    result = run("encode", "--to", "123", "--text", "ж", *options)
    assert result.stdout.count("\n") == 1
    message = decode(json.loads(result.stdout)["pdus"][0])
    assert (message.smsc, message.text, message.dcs) == ("+361", "ж", 0x18)
    data = json.loads(run("encode", "--to", "123", "--data", "00ff").stdout)
    assert data["pdus"] == ["000100038121F300040200FF"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("encode",),
        ("encode", "--to", "1"),
        ("encode", "--text", "a"),
        ("encode", "--to", "1", "--text", "a", "--data", "00"),
        ("encode", "x"),
        ("encode", "--to", "1", "--data", "0"),
        ("decode", "--direction", "up", HELLO),
    ],
)
def test_wrong_usage(arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")


def test_nothing_to_decode_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal:
        @staticmethod
        def isatty() -> bool:
            return True

    monkeypatch.setattr(module.sys, "stdin", Terminal)
    with pytest.raises(click.UsageError, match="give a PDU"):
        module.decode_command.main([], standalone_mode=False)


# -- lines ---------------------------------------------------------------------------------------------------


def test_lines_of_all_forms() -> None:
    plain, spaced, wrapped, bare, sent, report, joined = answers(
        HELLO,
        f"  {HELLO[:6]} {HELLO[6:]}  ",
        json.dumps({"pdu": HELLO}),
        json.dumps({"pdu": HELLO[16:], "has_smsc": False}),
        json.dumps({"pdu": "0011000B916407281553F80000AA0AE8329BFD4697D9EC37", "direction": "mo"}),
        REPORT,
        json.dumps({"pdus": [PART_2, PART_1], "direction": None}),
    )
    assert plain == spaced == wrapped
    assert plain["timestamp"] == "2011-01-01T12:34:56+00:00"
    assert (plain["type"], plain["encoding"], plain["class"], plain["concat"]) == ("deliver", "gsm7", None, None)
    assert (bare["smsc"], bare["text"]) == (None, "hellohello")
    assert (sent["type"], sent["mr"], sent["vpf"], sent["vp"], sent["validity_s"]) == (
        "submit",
        0,
        "relative",
        170,
        345600,
    )
    assert (report["type"], report["mr"], report["status"]) == ("status_report", 90, 48)
    assert report["discharge"] == "2012-09-11T07:40:36+02:00"
    assert (joined["text"], joined["parts"], joined["complete"], joined["missing"]) == ("Hello, world!", 2, True, [])
    assert joined["concat"] == {"ref": 0x1234, "total": 2, "seq": 1, "bits": 16}
    assert joined["udh"] == [{"iei": 8, "data": "12340201"}]


def test_extras() -> None:
    ported, national, waiting, report = answers(
        "0791361907002004440C9136093631073200F58050826182902311060504D903FDE80000000B3C746578743E",
        json.dumps({"pdu": "40049121430000621122020000000803180101369C06", "has_smsc": False}),
        "07912180958750F84401800500C07020027160112B06040102000000",
        "00" + "06010B916303214365F7" + "62112202000000" * 2 + "00" + "0403" + "61F118",
    )
    assert ported["ports"] == {"destination": 55555, "source": 65000, "bits": 16}
    assert (ported["data"], ported["text"], ported["kind"]) == ("0000000B3C746578743E", None, "data")
    assert (national["language"], national["locking_table"], national["single_table"]) == (1, 0, 1)
    assert waiting["mwi"] == {"kind": "voicemail", "active": False, "discard": True, "waiting": 0}
    assert report["text"] == "abc"


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("", "the PDU ends early"),
        ("zz", "not hexadecimal"),
        ('"07"', "not hexadecimal"),
        ("[1]", "not hexadecimal"),
        ("{", "no JSON"),
        ('{"a":' + "[" * 100000, "nested too deeply"),
        ("{}", "one of pdu and pdus"),
        ('{"pdu": "00", "pdus": []}', "one of pdu and pdus"),
        ('{"pdu": "00", "pfu": 1, "b": 2}', "unknown: b, pfu"),
        ('{"pdu": "00", "\\ud800": 1}', "unknown: ?"),
        ('{"pdu": 7}', "pdu has the wrong type"),
        ('{"pdu": "00", "has_smsc": 1}', "has_smsc has the wrong type"),
        ('{"pdu": "00", "direction": "up"}', "direction is"),
        ('{"pdus": [1]}', "pdus is a list of strings"),
        ('{"pdus": []}', "no part"),
        (json.dumps({"pdus": [REPORT]}), "status report"),
        (json.dumps({"pdus": [PART_1, HELLO]}), "another one has"),
    ],
)
def test_a_bad_line_is_an_error_and_the_next_goes_on(line: str, error: str) -> None:
    bad, good = answers(line, HELLO)
    assert bad.keys() == {"error", "offset"}
    assert error in bad["error"]
    assert good["text"] == "hellohello"


def test_options_are_the_defaults_of_the_lines() -> None:
    (message,) = answers(HELLO[16:], options=("--no-smsc",))
    assert message["text"] == "hellohello"
    (message,) = answers(HELLO, options=("--direction", "mo"))
    assert "error" in message


def test_garbage_and_huge_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LINE_LIMIT", 1000)
    given = b"\xff\x00\xfe\n" + b"A" * 5000 + b"\n" + HELLO.encode() + b"\r\n" + b"F" * 1000 + b"\n" + HELLO.encode()
    result = run("decode", "-", given=given)
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line.get("error", line.get("text")) for line in found] == [
        "the line is not UTF-8",
        "the line is longer than 1 MiB",
        "hellohello",
        "the line is longer than 1 MiB",
        "hellohello",
    ]


def test_each_answer_is_one_line_for_anyone() -> None:
    text = "a\u2028b\x85c\u2029d\re"
    octets = text.encode("utf-16-be")
    (line,) = run(
        "decode", "-", given=f"00000B916303214365F7000862112202000000{len(octets):02X}{octets.hex()}"
    ).stdout.splitlines()
    assert json.loads(line)["text"] == text


@given(st.binary(max_size=300))
def test_any_input_has_its_answers(given: bytes) -> None:
    for mode in ("decode", "encode"):
        result = run(mode, "-", given=given)
        assert result.exit_code == 0
        lines = given.split(b"\n")
        assert result.stdout.count("\n") == len(lines) - (not lines[-1])
        for line in result.stdout.split("\n")[:-1]:
            json.loads(line)


# -- encode --------------------------------------------------------------------------------------------------


def test_encode_lines() -> None:
    first, long, data, timed = answers(
        json.dumps({"number": "+46708251358", "text": "hellohello", "validity_minutes": 5760.0, "smsc": None}),
        json.dumps({"number": "1", "text": "árvíztűrő " * 20, "ref": 300, "ref_bits": 16, "mr": 9}),
        json.dumps({"number": "1", "data": "00FF", "port": 7, "encoding": "auto"}),
        json.dumps({"number": "1", "text": "ğ", "national": ["turkish"], "valid_until": "2026-11-22T20:00:00+01:00"}),
        mode="encode",
    )
    assert first == {
        "encoding": "gsm7",
        "segments": 1,
        "pdus": ["0011000B916407281553F80000AA0AE8329BFD4697D9EC37"],
        "lengths": [23],
    }
    assert (long["encoding"], long["segments"], len(long["lengths"])) == ("ucs2", 4, 4)
    back = answers(json.dumps({"pdus": long["pdus"], "direction": "mo"}))[0]
    assert (back["text"], back["concat"]["ref"], back["mr"]) == ("árvíztűrő " * 20, 300, 9)
    assert data["encoding"] == "8bit"
    assert timed["encoding"] == "gsm7"


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("", "no JSON"),
        ("[]", "a JSON object"),
        ("{}", "there is no number"),
        ('{"number": "1"}', "neither text nor data"),
        ('{"number": 36301234567, "text": "a"}', "number has the wrong type"),
        ('{"number": "1", "text": "a", "mr": true}', "mr has the wrong type"),
        ('{"number": "1", "text": "a", "flash": 1}', "flash has the wrong type"),
        ('{"number": "1", "text": "a", "colour": 1}', "unknown: colour"),
        ('{"number": "1;", "text": "a"}', "the number is not"),
        ('{"number": "1", "text": "a", "data": "00"}', "text and data"),
        ('{"number": "1", "data": "0"}', "data is not hexadecimal"),
        ('{"number": "1", "text": "\\ud83d"}', "lone surrogate"),
        ('{"number": "1", "text": "a", "valid_until": "soon"}', "valid_until"),
        ('{"number": "1", "text": "a", "valid_until": "2026-01-01"}', "needs its zone"),
        ('{"number": "1", "text": "a", "national": [true]}', "national is a list"),
        ('{"number": "1", "text": "a", "validity_minutes": NaN}', "positive"),
        ('{"number": "1", "text": "a", "encoding": "utf8"}', "the encoding is"),
        (json.dumps({"number": "1", "text": "a" * 40000}), "more than 255 parts"),
    ],
)
def test_a_bad_request_is_an_error_and_the_next_goes_on(line: str, error: str) -> None:
    bad, good = answers(line, '{"number": "1", "text": "a"}', mode="encode")
    assert bad.keys() == {"error", "offset"}
    assert error in bad["error"]
    assert good["segments"] == 1


# -- as a program --------------------------------------------------------------------------------------------


def test_answers_come_while_the_input_is_open() -> None:
    script = "from sms_bridge.cli.pdu import command; command()"
    with subprocess.Popen(
        [sys.executable, "-c", script, "decode", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin
        assert process.stdout
        for _ in range(2):
            process.stdin.write(HELLO.encode() + b"\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["text"] == "hellohello"
        process.stdin.close()
        assert process.wait(10) == 0


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    script = "from sms_bridge.cli.pdu import command; command()"
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as closed:
        result = subprocess.run(
            [sys.executable, "-c", script, "decode", "-"],
            input=(HELLO + "\n").encode() * 100,
            stdout=closed,
            stderr=subprocess.PIPE,
            timeout=10,
            check=False,
        )
    assert result.stderr == b""
