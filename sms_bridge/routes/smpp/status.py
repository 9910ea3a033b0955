"""What a command_status means and what is done about it: one table as data (domain C3, `status_actions.csv`)."""

from __future__ import annotations

import csv
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib import resources
from types import MappingProxyType
from typing import Final

VENDOR: Final = range(0x0400, 0x0500)


class OnBind(StrEnum):
    """What follows when a bind is refused."""

    BACKOFF = "backoff"  # as after a connection that failed
    WAIT = "wait"  # the old session still stands at the centre: a minute at least
    STOP = "stop"  # a person must act: told once, tried again rarely, or the account is locked


class OnSubmit(StrEnum):
    """What follows when a message is refused; all of these say that it was surely not sent."""

    SENT = "sent"
    FAIL = "fail"  # nobody would take this message
    FAIL_ROUTE = "fail_route"  # this account does not take it; another route may
    RETRY = "retry"  # here, after `delay`, at most `tries` times, then FAIL_ROUTE
    THROTTLED = "throttled"  # here, slower; no attempt is used up
    REBIND = "rebind"  # here, after a new bind
    WITHOUT_TIMES = "without_times"  # here once more, without schedule and validity
    WITHOUT_TLVS = "without_tlvs"  # here once more, without optional parameters


@dataclass(frozen=True, slots=True)
class Row:
    """One status, or a range of them."""

    first: int
    last: int
    name: str
    bind: OnBind
    submit: OnSubmit
    delay: float  # seconds before it is tried here again
    tries: int
    reconnect: bool  # the two sides do not understand each other any more
    slower: bool  # the window is halved
    text: str  # for a person: what it means and what helps

    def __contains__(self, status: int) -> bool:
        return self.first <= status <= self.last


def row_of(status: int, vendor: Mapping[int, OnSubmit] = MappingProxyType({})) -> Row:
    """The row of a status; one that nobody lists is like a vendor's. `vendor`: what an account says of its own."""
    for row in _table():
        if status in row:
            found = row
            break
    else:
        found = _table()[-1]
    own = vendor.get(status)
    if own is None:
        return found
    return Row(status, status, found.name, found.bind, own, found.delay, found.tries, False, found.slower, found.text)


def code_of(status: int) -> str:
    """The stable name of a refusal in statuses: `smpp_0x58`."""
    return f"smpp_0x{status:02x}"


def describe(status: int) -> str:
    """Name, number and meaning, for a person."""
    row = row_of(status)
    return f"{row.name} (0x{status:02X}): {row.text}"


@functools.cache
def _table() -> tuple[Row, ...]:
    source = resources.files("sms_bridge.routes.smpp").joinpath("status_actions.csv").read_text(encoding="utf-8")
    return tuple(_row(record) for record in csv.DictReader(source.splitlines()))


def _row(record: dict[str, str]) -> Row:
    first, _, last = record["status"].partition("-")
    return Row(
        int(first, 16),
        int(last or first, 16),
        record["name"],
        OnBind(record["bind"]),
        OnSubmit(record["submit"]),
        float(record["delay_s"] or 0),
        int(record["tries"] or 0),
        "reconnect" in record["also"],
        "slower" in record["also"],
        record["text"],
    )
