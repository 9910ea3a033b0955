"""USSD and calls: one line per real device, and whole notices through the router."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.at.routing import UrcRouter
from hardware.at.supplementary import Call, Ussd, clip, cusd, missed_call
from hardware.at.types import Urc
from hardware.at.urc import opens_text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('+CUSD: 0,"Egyenleg: 1200 Ft\r\nuntil",15', Ussd(0, "Egyenleg: 1200 Ft\r\nuntil", 15)),
        ('+CUSD: 0, "Your balance is 5.00", 15', Ussd(0, "Your balance is 5.00", 15)),  # SIM800
        ('+CUSD: 1,"31D98C56B3DD70",15', Ussd(1, "31D98C56B3DD70", 15)),  # Huawei
        ('+CUSD: 1,"0031",72', Ussd(1, "0031", 72)),  # EC25
        ('+CUSD:0,"x"', Ussd(0, "x", None)),  # ZTE, no scheme
        ('+CUSD: 0,"He said "no"\nand went",15', Ussd(0, 'He said "no"\nand went', 15)),
        ('+CUSD: 2,"",0', Ussd(2, None, 0)),
        ("+CUSD: 4", Ussd(4, None, None)),
        ("+CUSD: 5", Ussd(5, None, None)),
        ("+CUSD: 0,0031003200330034,72", Ussd(0, "0031003200330034", 72)),  # without quotes
        ('+CUSD: 0,"its end is lo', Ussd(0, "its end is lo", None)),
        ('+CUSD: 0,"x",999', Ussd(0, "x", None)),
        ("+CUSD: 0,x,²", Ussd(0, "x", None)),
        ("+CUSD: 6", None),
        ("+CUSD: x", None),
        ("+CUSD", None),
        ('+CUSDX: 0,"x",15', None),
    ],
)
def test_ussd_notices(text: str, expected: Ussd | None) -> None:
    assert cusd(text) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('+CLIP: "+36301234567",145,"",0,"",0', Call("+36301234567", 0)),  # SIM800
        ('+CLIP: "36301234567",145,,,,0', Call("+36301234567", 0)),  # Huawei, the plus left out
        ('+CLIP: "06301234567",129,,,"Anna",0', Call("06301234567", 0)),
        ('+CLIP: "",128,,,,1', Call(None, 1)),  # withheld
        ('+CLIP: "",128,"",0,"",2', Call(None, 2)),  # not available
        ('+CLIP: "Anna\x1a",145', None),
        ("+CLIP", None),
    ],
)
def test_callers(line: str, expected: Call | None) -> None:
    assert clip(line) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("MISSED_CALL: 02:12AM +36301234567", Call("+36301234567", None)),  # SIM800
        ("MISSED_CALL: 10:33AM 10086", Call("10086", None)),  # SIM7600
        ("MISSED_CALL: 10:33AM", Call(None, None)),
        ("MISSED_CALL:", Call(None, None)),
        ("NO CARRIER", None),
    ],
)
def test_missed_calls(line: str, expected: Call | None) -> None:
    assert missed_call(line) == expected


@given(st.text(max_size=80), st.sampled_from(["", "+CUSD: ", '+CUSD: 0,"', "+CLIP: ", "MISSED_CALL: "]))
def test_no_text_breaks_them(text: str, prefix: str) -> None:
    for parser in (cusd, clip, missed_call):
        parser(prefix + text)
    opens_text(prefix + text)


def heard(*lines: str, seconds: float = 0.0) -> tuple[list[Urc], list[str]]:
    """The notices that come out of the router, and the lines that were none of theirs."""
    router, notices, others = UrcRouter(), list[Urc](), list[str]()
    router.add("+CUSD:", notices.append, 0)
    for number, line in enumerate(lines):
        now = number * seconds
        if not router.take_body(line, now) and not router.dispatch(line, now):
            others.append(line)
    return notices, others


def test_a_menu_is_one_notice_whatever_its_lines_look_like() -> None:
    notices, others = heard('+CUSD: 1,"Menu', "1 Balance", "OK", "RING 2", "AT", '2 "Data"', '0 Back",15', "OK")
    assert notices == [Urc('+CUSD: 1,"Menu', ("1 Balance", "OK", "RING 2", "AT", '2 "Data"'))]
    assert others == ['0 Back",15', "OK"]
    notices, others = heard('+CUSD: 1,"Menu', "1 Balance", "OK", '0 Back",15', "OK")
    assert notices == [Urc('+CUSD: 1,"Menu', ("1 Balance", "OK", '0 Back",15'))]
    assert others == ["OK"]


@pytest.mark.parametrize("line", ["+CMGS: 17", "+CMS ERROR: 38", "+CME ERROR: 30", '+CMTI: "SM",3', "^RSSI: 20"])
def test_a_quote_that_is_never_closed_swallows_no_answer(line: str) -> None:
    notices, others = heard('+CUSD: 0,"lost', "its end", line)
    assert notices == [Urc('+CUSD: 0,"lost', ("its end",))]
    assert others == ([] if line[1:5] in ("CMTI", "RSSI", "CMGS") else [line])  # the router knows those as URCs


def test_a_quote_that_is_never_closed_ends_after_a_while() -> None:
    notices, others = heard('+CUSD: 0,"lost', "2 s later", seconds=3.0)
    assert notices == [Urc('+CUSD: 0,"lost')]
    assert others == ["2 s later"]
    notices, others = heard('+CUSD: 0,"endless', *("x" for _ in range(60)))
    assert len(notices) == 1
    assert len(notices[0].body) == 50
    assert len(others) == 10
