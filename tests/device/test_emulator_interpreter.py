"""The phone's side of the language without a port: any bytes, cut in any way."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.emulator import wire
from hardware.emulator.commands import Commands
from hardware.emulator.faults import Faults
from hardware.emulator.identity import identity
from hardware.emulator.interpreter import Interpreter, Verdict
from hardware.emulator.language import CommandError, Token, arguments, tokenise
from hardware.emulator.personality import Personality, load
from hardware.emulator.phone import Phone
from hardware.pdu import Deliver, StatusReport, Submit, SubmitRequest, decode, encode

PERSONALITY = load("sim800l")
PDU = encode(SubmitRequest(number="+36301234567", text="x"))


class Desk:
    """Takes what the interpreter says and wants; the network answers at once."""

    def __init__(self, personality: Personality = PERSONALITY) -> None:
        self.said = b""
        self.sent: list[bytes] = []
        self.phone = Phone(0, personality, identity(personality.tac, 0, 0), Faults())
        self.commands = Commands(self.phone, self)
        self.interpreter = Interpreter(self.phone, self.commands, self)

    def write(self, data: bytes) -> None:
        self.said += data

    def later(self, delay: float, action: Callable[[], None]) -> None:
        action()

    def submit(self, pdu: bytes, cause: int | None, done: Callable[[Verdict], None]) -> None:
        self.sent.append(pdu)
        done(Verdict(len(self.sent), cause))

    def moment(self, name: str) -> bool:
        return False

    def mark(self, event: str) -> None: ...
    def acknowledge(self, ok: bool) -> bool:
        return False

    def ussd(self, code: str) -> None: ...
    def reboot(self) -> None: ...
    def hang_up(self) -> None: ...
    def urc(self, *lines: str) -> None: ...
    def room(self) -> None: ...


PIECES = st.sampled_from(
    [
        b"AT\r", b"ATE0\r", b"ATE1\r", b"ATZ\r", b"at\r", b"\r\n", b"\x1a", b"\x1b", b"AT+CMGS=15\r",
        f"AT+CMGS={PDU.lengths[0]}\r".encode(), PDU.pdus[0].encode(), PDU.pdus[0].encode() + b"\x1a",
        b"AT+CMGL=4\r", b"AT+CMGR=1\r", b"AT+CMGD=1,4\r", b"AT+CPMS=\"ME\",\"SM\"\r", b"AT+CNMI=2,1\r",
        b"AT+CNMI=,,,9\r", b"AT+CMGW=15\r",
        b"AT+CSCA=\"12\"\r", b"AT+CRSM=1,2,3\r", b"AT+CUSD=1,\"*1#\"\r", b"AT+CMEE=2;+CSQ;;+CREG=2\r", b"AT+COPS=?\r",
        b"ATD123;\r", b"AT+CLIP=\"\r", b"AT+CPIN=\r", b"ATS0=1\r", b"AT&F&C1X4\r", b"ATV0\r", b"ATQ1\r", b"AT+CSIM=\r",
    ]
)  # fmt: skip
STREAM = st.lists(st.one_of(PIECES, st.binary(max_size=20)), max_size=25).map(b"".join)


@given(STREAM)
def test_any_bytes_are_taken_without_a_complaint(stream: bytes) -> None:
    Desk().interpreter.feed(stream)


@given(STREAM, st.lists(st.integers(0, 2000), max_size=12))
def test_how_the_bytes_are_cut_makes_no_difference(stream: bytes, cuts: list[int]) -> None:
    whole, pieces, single = Desk(), Desk(), Desk()
    whole.interpreter.feed(stream)
    edges = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    for start, end in pairwise(edges):
        pieces.interpreter.feed(stream[start:end])
    for octet in stream:
        single.interpreter.feed(bytes((octet,)))
    assert whole.said == pieces.said == single.said
    assert whole.sent == pieces.sent == single.sent


def test_thousands_of_commands_at_once_do_not_run_out_of_stack() -> None:
    desk = Desk()
    desk.interpreter.feed(b"ATE0\r" + b"AT\r" * 20_000)
    assert desk.said.count(b"OK") == 20_001


@given(st.text(max_size=60))
def test_a_line_is_cut_into_commands_or_is_an_error(text: str) -> None:
    try:
        tokens = tokenise(text)
    except CommandError:
        return
    assert all(token.name for token in tokens)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", []),
        ("E0V1", [Token("E", "", "0"), Token("V", "", "1")]),
        ("&FE0+CMEE=1", [Token("&F"), Token("E", "", "0"), Token("+CMEE", "=", "1")]),
        ('+CPMS="SM;x","ME";+CREG?', [Token("+CPMS", "=", '"SM;x","ME"'), Token("+CREG", "?")]),
        ("+cnmi=?", [Token("+CNMI", "=?")]),
        ("S0=1", [Token("S0", "=", "1")]),
        ("D+36;", [Token("D", "", "+36;")]),
        ("^CURC=0", [Token("^CURC", "=", "0")]),
    ],
)
def test_lines_as_v250_cuts_them(line: str, expected: list[Token]) -> None:
    assert tokenise(line) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", [""]), ("1", ["1"]), ("1,,3", ["1", "", "3"]), ("1,", ["1", ""]), ('"a,b", 2', ["a,b", "2"])],
)
def test_arguments(text: str, expected: list[str]) -> None:
    assert arguments(text) == expected


@given(st.binary(max_size=200))
def test_the_network_refuses_octets_with_its_own_error_only(octets: bytes) -> None:
    wire.without_smsc(octets)
    try:
        wire.parse_submit(octets)
    except wire.WireError:
        return


NUMBERS = st.from_regex(r"\+?[0-9]{3,15}", fullmatch=True)


@given(NUMBERS, st.text(min_size=1, max_size=60), st.booleans(), st.sampled_from([None, 5, 5000, 500_000]))
def test_what_the_network_carries_on_is_what_was_sent(
    number: str, text: str, report: bool, validity: int | None
) -> None:
    text = text.encode("utf-16", "replace").decode("utf-16")
    request = SubmitRequest(number=number, text=text, status_report=report, validity_minutes=validity)
    when = datetime(2026, 11, 22, 19, 0, 7, tzinfo=timezone(-timedelta(hours=3, minutes=30)))
    for pdu, length in zip(encode(request).pdus, encode(request).lengths, strict=True):
        tpdu = wire.split_smsc(bytes.fromhex(pdu))[1]
        assert len(tpdu) == length
        submit = wire.parse_submit(tpdu)
        assert (submit.number, submit.status_report) == (number, report)
        carried = decode(wire.deliver_of(submit, "+36205550000", when), has_smsc=False)
        original = decode(pdu, direction="mo")
        assert isinstance(carried, Deliver)
        assert isinstance(original, Submit)
        assert (carried.text, carried.concat, carried.encoding) == (original.text, original.concat, original.encoding)
        assert (carried.number, carried.timestamp) == ("+36205550000", when)
        found = decode(wire.status_report(9, submit.address, when, when, 0x41), has_smsc=False)
        assert isinstance(found, StatusReport)
        assert (found.mr, found.number, found.status, found.discharge) == (9, number, 0x41, when)


def test_a_time_in_utc() -> None:
    assert wire.timestamp(datetime(2026, 11, 22, 19, 0, 7, tzinfo=UTC)).hex() == "62112291007000"


@given(st.text("ABCxyz 0129*#+,.:", max_size=30))
def test_packed_septets_there_and_back(text: str) -> None:
    packed = wire.pack_septets(text)
    assert wire.unpack_septets(packed)[: len(text)] == text


def test_a_command_right_behind_an_answer_is_lost_on_some() -> None:
    desk = Desk(dataclasses.replace(load("le910"), min_gap=60.0))
    desk.interpreter.feed(b"ATE0\r")
    assert desk.said.endswith(b"\r\nOK\r\n")
    desk.said = b""
    desk.interpreter.feed(b"AT\r")
    assert desk.said == b""
    patient = Desk(dataclasses.replace(load("le910"), min_gap=0.0))
    patient.interpreter.feed(b"ATE0\r")
    patient.said = b""
    patient.interpreter.feed(b"AT\r")
    assert patient.said == b"\r\nOK\r\n"
