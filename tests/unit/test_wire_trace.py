"""Ring 1: what a trace may show."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.transport import WireTrace, redact


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("OK", "OK"),
        ("+CSQ: 20,99", "+CSQ: 20,99"),
        ('+CMTI: "SM",3', '+CMTI: "SM",3'),
        ("AT+CMGS=23", "AT+CMGS=23"),
        ("07913306091000F0040B916407281553F80000", "<hex 38>"),
        ('AT+CPIN="1234"', "AT+CPIN=***"),
        ('at+cpin="1234","5678"', "at+cpin=***"),
        ('AT+CLCK="SC",1,"1234"', "AT+CLCK=***"),
        ('AT+CPWD="SC","1234","4321"', "AT+CPWD=***"),
        ('+CLIP: "+36301234567",145', '+CLIP: "+363******67",145'),
        ("862636055891234", "862**********34"),
        ('+CUSD: 0,"Your balance is 100",15', '+CUSD: 0,"***",15'),
        ('AT+CUSD=1,"*100#",15', 'AT+CUSD=1,"***",15'),
    ],
)
def test_what_is_shown(line: str, shown: str) -> None:
    assert redact(line) == shown


def test_the_ring_keeps_the_last_lines_in_order() -> None:
    trace = WireTrace()
    for i in range(500):
        trace.sent(f"AT+N{i}")
    assert [line.text for line in trace.lines()] == [f"AT+N{i}" for i in range(300, 500)]
    assert {line.direction for line in trace.lines()} == {">"}


@given(st.text(alphabet="0123456789", min_size=7, max_size=18))
def test_no_whole_number_is_shown(number: str) -> None:
    assert number not in redact(f'+CLIP: "{number}",129')
