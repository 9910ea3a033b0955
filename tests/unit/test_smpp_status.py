"""What is done about each command_status (domain C3)."""

from __future__ import annotations

import pytest

from sms_bridge.routes.smpp.status import OnBind, OnSubmit, code_of, describe, row_of


@pytest.mark.parametrize(
    ("status", "action"),
    [
        (0x00, OnSubmit.SENT),
        *((status, OnSubmit.FAIL) for status in (0x01, 0x02, 0x0B, 0x33, 0x34, 0x40, 0x44, 0x63, 0x65, 0x66, 0xFE)),
        *((status, OnSubmit.FAIL_ROUTE) for status in (0x03, 0x0A, 0x15, 0x48, 0x49, 0x50, 0x51, 0x53)),
        (0x04, OnSubmit.REBIND),
        *((status, OnSubmit.RETRY) for status in (0x08, 0x45, 0x64, 0xFF, 0x0400, 0x04FF)),
        *((status, OnSubmit.THROTTLED) for status in (0x14, 0x58)),
        *((status, OnSubmit.WITHOUT_TIMES) for status in (0x61, 0x62)),
        *((status, OnSubmit.WITHOUT_TLVS) for status in (0xC0, 0xC1, 0xC4)),
        *((status, OnSubmit.RETRY) for status in (0x09, 0x99, 0x0500, 0xFFFFFFFF)),  # nobody lists them
    ],
)
def test_submits(status: int, action: OnSubmit) -> None:
    assert row_of(status).submit is action


@pytest.mark.parametrize(
    ("status", "what"),
    [(0x05, OnBind.WAIT), (0x0D, OnBind.BACKOFF), (0x08, OnBind.BACKOFF), (0x58, OnBind.BACKOFF)]
    + [(status, OnBind.STOP) for status in (0x0E, 0x0F, 0x53)],
)
def test_binds(status: int, what: OnBind) -> None:
    assert row_of(status).bind is what


def test_delays_and_tries() -> None:
    assert (row_of(0x08).delay, row_of(0x08).tries) == (30, 3)
    assert (row_of(0x64).delay, row_of(0x64).tries) == (60, 5)
    assert (row_of(0x45).delay, row_of(0x45).tries) == (60, 2)
    assert row_of(0x14).slower
    assert row_of(0x02).reconnect


def test_an_account_may_say_what_its_own_statuses_mean() -> None:
    vendor = {0x0410: OnSubmit.FAIL}
    assert row_of(0x0410, vendor).submit is OnSubmit.FAIL
    assert row_of(0x0411, vendor).submit is OnSubmit.RETRY


def test_words_for_a_person() -> None:
    assert code_of(0x58) == "smpp_0x58"
    assert describe(0x0E) == "ESME_RINVPASWD (0x0E): the password is wrong"
    assert "vendor_errors" in describe(0x0400)
