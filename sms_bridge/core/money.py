"""Amounts, currencies and dates as operators write them, in whichever country."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

MAX_TEXT = 64  # characters of one amount or date; no operator writes a longer one

_SIGNS = "-\u2212\u2013"
_GROUPING = "'\u2019_\u066c"  # besides any space
_AMOUNT = re.compile(r"[0-9.,]*[0-9][0-9.,]*\Z")
_THREE_DECIMALS = frozenset({"BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"})
_CURRENCIES = {
    "ft": "HUF", "forint": "HUF", "€": "EUR", "euro": "EUR", "euros": "EUR", "£": "GBP", "kč": "CZK", "kc": "CZK",
    "zł": "PLN", "zl": "PLN", "lei": "RON", "leu": "RON", "₽": "RUB", "руб": "RUB", "р": "RUB", "₴": "UAH",
    "грн": "UAH", "₹": "INR", "₺": "TRY", "tl": "TRY", "us$": "USD", "din": "RSD", "kn": "HRK", "лв": "BGN",
    "₪": "ILS", "¥": "JPY",
}  # fmt: skip
# The first letters of months without accents: English, German, Hungarian, French, Spanish, Italian, Polish, Romanian.
_MONTHS = {
    "jan": 1, "ene": 1, "gen": 1, "sty": 1, "ian": 1, "feb": 2, "fev": 2, "lut": 2, "mar": 3, "mae": 3, "apr": 4,
    "avr": 4, "abr": 4, "kwi": 4, "may": 5, "mai": 5, "maj": 5, "mag": 5, "jun": 6, "juin": 6, "giu": 6, "cze": 6,
    "iun": 6, "jul": 7, "juil": 7, "lug": 7, "lip": 7, "iul": 7, "aug": 8, "aou": 8, "ago": 8, "sie": 8, "sep": 9,
    "sze": 9, "set": 9, "wrz": 9, "oct": 10, "okt": 10, "ott": 10, "paz": 10, "nov": 11, "lis": 11, "noi": 11,
    "dec": 12, "dez": 12, "dic": 12, "gru": 12,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reading:
    """What an answer says of a SIM's account."""

    amount: Decimal
    currency: str | None = None
    expires: date | None = None


def reading(
    groups: Mapping[str, str | None], *, currency: str | None = None, month_first: bool = False
) -> Reading | None:
    """From the named groups of a pattern; `currency` is meant where the text names none. None: no amount in it."""
    named = currency_of(groups.get("currency")) or currency
    amount = parse_amount(groups.get("amount") or "", named)
    if amount is None:
        return None
    return Reading(amount, named, parse_date(groups.get("expires") or "", month_first=month_first))


def parse_amount(text: str, currency: str | None = None) -> Decimal | None:
    """`1.234,50`, `1,234.50`, `1 234,5`, `-12`; None for what is none.

    One point before three digits groups them, unless the currency has three decimals or a zero stands in front.
    """
    text = _ascii_digits(text[:MAX_TEXT]).replace("\u066b", ".").strip()
    negative = text[:1] in _SIGNS or text[-1:] in _SIGNS
    text = "".join(c for c in text.strip(_SIGNS) if not c.isspace() and c not in _GROUPING).rstrip(".,")
    if not text or not _AMOUNT.match(text):
        return None
    last = max(text.rfind("."), text.rfind(","))
    mark = text[last] if last >= 0 else ""
    if mark and not _is_decimal(text, last, currency):
        mark = ""
    whole, decimals = (text[:last], text[last + 1 :]) if mark else (text, "")
    first, *groups = re.split("[.,]", whole)
    if any(len(group) not in (2, 3) for group in groups):  # two in India
        return None
    digits = f"{first or '0'}{''.join(groups)}.{decimals or '0'}" if mark else first + "".join(groups)
    value = Decimal(digits)
    return -value if negative else value


def currency_of(text: str | None) -> str | None:
    """The ISO 4217 code where it is known, else what the operator writes; None for nothing."""
    word = (text or "").strip().strip(".:;, ")
    if not word or not word.isprintable():
        return None
    known = _CURRENCIES.get(word.lower())
    return known or (word.upper() if re.fullmatch("[A-Za-z]{3}", word) else word[:8])


def parse_date(text: str, *, month_first: bool = False) -> date | None:
    """`2031-01-31`, `31.01.2031`, `31/1/31`, `31 Jan 2031`, `2031. január 31.`, `20310131`; None for what is none."""
    text = _ascii_digits(text[:MAX_TEXT]).lower()
    numbers = re.findall("[0-9]+", text)
    month = _month(text)
    if month is not None and len(numbers) >= 2:
        first, second = numbers[:2]
        day, year = (second, first) if len(first) == 4 else (first, second)
        return _date(year, month, int(day))
    if numbers and len(numbers[0]) == 8:
        joined = numbers[0]
        numbers = (
            [joined[:4], joined[4:6], joined[6:]]
            if joined[:2] in ("19", "20")
            else [joined[:2], joined[2:4], joined[4:]]
        )
    if len(numbers) < 3:
        return None
    one, two, three = numbers[:3]
    if len(one) == 4:
        return _date(one, int(two), int(three))
    day, number = (int(two), int(one)) if month_first else (int(one), int(two))
    if number > 12 >= day:
        day, number = number, day
    return _date(three, number, day)


def _is_decimal(text: str, last: int, currency: str | None) -> bool:
    """The last point or comma stands before decimals."""
    mark = text[last]
    whole, decimals = text[:last], text[last + 1 :]
    if "." in whole or "," in whole:
        return mark not in whole  # 1.234,50 against 1.234.500
    grouped = len(decimals) == 3 and 1 <= len(whole) <= 3 and not whole.startswith("0")
    return not grouped or currency in _THREE_DECIMALS


def _month(text: str) -> int | None:
    for word in re.findall(r"[^\W\d_]{3,}", text):
        plain = unicodedata.normalize("NFKD", word).encode("ascii", "ignore").decode()
        found = _MONTHS.get(plain[:4]) or _MONTHS.get(plain[:3])
        if found is not None:
            return found
    return None


def _date(year: str, month: int, day: int) -> date | None:
    if len(year) not in (2, 4):
        return None
    try:
        return date(int(year) + (2000 if len(year) == 2 else 0), month, day)
    except ValueError:
        return None


def _ascii_digits(text: str) -> str:
    """Digits of any script as 0 to 9."""
    return "".join(str(unicodedata.decimal(c)) if c.isdecimal() else c for c in text)
