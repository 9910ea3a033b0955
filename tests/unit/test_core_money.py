"""Amounts, currencies and dates as operators write them."""

from __future__ import annotations

import asyncio
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sms_bridge.core import patterns
from sms_bridge.core.money import Reading, currency_of, parse_amount, parse_date, reading
from sms_bridge.core.patterns import PatternError


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("1.234,50", "1234.50"),  # Hungary, Germany
        ("1,234.50", "1234.50"),  # United Kingdom
        ("12,5", "12.5"),
        ("12.50", "12.50"),
        ("1500", "1500"),
        ("1 234,5", "1234.5"),  # France, with a no-break space
        ("1 234", "1234"),
        ("1\u202f234,56", "1234.56"),
        ("1'234.50", "1234.50"),  # Switzerland
        ("1’234.50", "1234.50"),
        ("1,23,456.70", "123456.70"),  # India
        ("1.234", "1234"),
        ("1,234", "1234"),
        ("1.234.567", "1234567"),
        ("12.3456", "12.3456"),
        ("0.500", "0.500"),
        ("0,5", "0.5"),
        (".5", "0.5"),
        ("1500.", "1500"),  # the end of a sentence
        ("-12,50", "-12.50"),
        ("−12.50", "-12.50"),
        ("12.50-", "-12.50"),
        ("١٢٣٫٥", "123.5"),  # Arabic digits and decimal separator
        ("", None),
        ("-", None),
        (".", None),
        ("abc", None),
        ("12a", None),
        ("1.2,3.4", None),
        ("9" * 65, "9" * 64),
    ],
)
def test_amounts(text: str, amount: str | None) -> None:
    found = parse_amount(text)
    assert (str(found) if found is not None else None) == amount


def test_three_decimals_where_the_currency_has_them() -> None:
    assert parse_amount("12.345", "KWD") == Decimal("12.345")
    assert parse_amount("12.345", "EUR") == Decimal("12345")


@pytest.mark.parametrize(
    ("text", "code"),
    [("Ft", "HUF"), ("ft.", "HUF"), ("€", "EUR"), ("eur", "EUR"), ("Kč", "CZK"), ("$", "$"), ("kr", "kr"), ("", None),
     (None, None), ("credits!!", "credits!"), ("\x00", None)],
)  # fmt: skip
def test_currencies(text: str | None, code: str | None) -> None:
    assert currency_of(text) == code


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("2031-01-31", date(2031, 1, 31)),
        ("2031.01.31.", date(2031, 1, 31)),  # Hungary
        ("2031. 01. 31. 23:59", date(2031, 1, 31)),
        ("31.01.2031", date(2031, 1, 31)),
        ("31/1/2031", date(2031, 1, 31)),
        ("31-01-31", date(2031, 1, 31)),
        ("01/31/2031", date(2031, 1, 31)),  # nothing else is possible
        ("1/2/2031", date(2031, 2, 1)),
        ("31 Jan 2031", date(2031, 1, 31)),
        ("Jan 31, 2031", date(2031, 1, 31)),
        ("31st January 2031", date(2031, 1, 31)),
        ("31-JAN-31", date(2031, 1, 31)),
        ("2031. január 31.", date(2031, 1, 31)),
        ("31. März 2031", date(2031, 3, 31)),
        ("31 août 2031", date(2031, 8, 31)),
        ("10 juillet 2031", date(2031, 7, 10)),
        ("10 juin 2031", date(2031, 6, 10)),
        ("20310131", date(2031, 1, 31)),
        ("31012031", date(2031, 1, 31)),
        ("30.02.2031", None),
        ("", None),
        ("soon", None),
        ("12:30", None),
        ("Jan", None),
    ],
)
def test_dates(text: str, found: date | None) -> None:
    assert parse_date(text) == found


def test_months_first_where_that_is_the_custom() -> None:
    assert parse_date("1/2/2031", month_first=True) == date(2031, 1, 2)
    assert parse_date("31/1/2031", month_first=True) == date(2031, 1, 31)


@given(st.text(max_size=80))
def test_whatever_an_operator_writes_is_read_or_not(text: str) -> None:
    parse_amount(text)
    parse_date(text)
    currency_of(text)


@given(st.decimals(0, 10**9, allow_nan=False, places=2))
def test_all_customs_mean_the_same(value: Decimal) -> None:
    for written in (f"{value:,}", f"{value:,}".replace(",", " "), f"{value:,}".translate(str.maketrans(",.", ".,"))):
        assert parse_amount(written) == value


async def test_an_answer_becomes_a_reading() -> None:
    text = "Kedves Ügyfelünk!\nEgyenlege: 1.234,50 Ft, felhasználható: 2031.01.31-ig."
    found = await patterns.find(r"egyenlege: (?P<amount>[0-9., ]+)(?P<currency>Ft).*?(?P<expires>[0-9.]{10})", text)
    assert found == {"amount": "1.234,50 ", "currency": "Ft", "expires": "2031.01.31"}
    assert reading(found) == Reading(Decimal("1234.50"), "HUF", date(2031, 1, 31))
    assert reading({"amount": "12"}, currency="EUR") == Reading(Decimal("12"), "EUR")
    assert reading({"amount": None}) is None
    assert await patterns.find("no such thing (?P<amount>.)", text) is None


@pytest.mark.parametrize("pattern", ["(?P<amount>(a+)+)b", "(?P<amount>a*a*a*a*a*a*)b"])
async def test_a_pattern_that_takes_for_ever_is_ended_and_the_loop_goes_on(pattern: str) -> None:
    ticks = 0

    async def count() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.02)
            ticks += 1

    counting = asyncio.create_task(count())
    with pytest.raises(PatternError, match="takes too long"):
        await patterns.find(pattern, "a" * 900)
    counting.cancel()
    assert ticks > 5


async def test_a_pattern_that_is_none_is_said() -> None:
    with pytest.raises(PatternError, match="no regular expression"):
        await patterns.find("(", "x")
