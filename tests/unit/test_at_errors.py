"""Ring 1: what a refusal means (domain A9)."""

from __future__ import annotations

import csv
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.at.errors import classify, code_of, failure
from hardware.at.finals import begins_final, parse_final
from hardware.types import Action, SendOutcome

NOT_SENT, UNKNOWN = SendOutcome.NOT_SENT, SendOutcome.UNKNOWN


def table() -> list[dict[str, str]]:
    source = resources.files("hardware.at").joinpath("cms_cme_actions.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(source.splitlines()))


@pytest.mark.parametrize(
    "row", [row for row in table() if row["code"].isdigit()], ids=lambda row: row["code_space"] + row["code"]
)
def test_every_row_of_the_table(row: dict[str, str]) -> None:
    space, code = row["code_space"], int(row["code"])
    before = classify(space, code, after_pdu=False)
    after = classify(space, code, after_pdu=True)
    assert before.outcome is NOT_SENT  # the stage rule
    assert before.error.action is not Action.UNKNOWN
    assert after.error.code == before.error.code == f"{space.lower()}_{code}"
    assert after.error.text == row["meaning"]
    if row["certainly_not_sent"].startswith("yes"):
        assert after.outcome is NOT_SENT
    elif row["certainly_not_sent"] == "no":
        assert after.outcome is UNKNOWN
        assert after.error.action is Action.UNKNOWN
    for text in filter(None, row["verbose"].split("|")):
        assert code_of(space, text) == code_of(space, text.upper()) == code


@pytest.mark.parametrize("code", [332, 350, 500, 512, 513, 514, 127, 300, 521, 600, 771, 9999, 0, 400])
def test_after_ctrl_z_these_may_have_been_sent(code: int) -> None:
    verdict = classify("CMS", code, after_pdu=True)
    assert (verdict.outcome, verdict.error.action) == (UNKNOWN, Action.UNKNOWN)
    assert classify("CMS", code, after_pdu=False).outcome is NOT_SENT


@pytest.mark.parametrize(
    ("code", "action"),
    [
        (1, Action.FAIL), (8, Action.FAIL_ROUTE), (17, Action.RETRY_OTHER), (38, Action.RETRY_OTHER),
        (41, Action.RETRY_SAME), (50, Action.FAIL_ROUTE), (95, Action.BUG), (128, Action.FAIL), (195, Action.FAIL),
        (197, Action.TREAT_AS_SENT), (208, Action.STORAGE), (304, Action.BUG), (310, Action.SIM_FAULT),
        (311, Action.SIM_PIN), (322, Action.STORAGE), (330, Action.SIM_CFG), (331, Action.RETRY_OTHER),
        (515, Action.RETRY_SAME), (2, Action.RETRY_OTHER), (200, Action.RETRY_OTHER),
    ],
)  # fmt: skip
def test_after_ctrl_z_these_are_refusals(code: int, action: Action) -> None:
    verdict = classify("CMS", code, after_pdu=True)
    assert (verdict.outcome, verdict.error.action) == (NOT_SENT, action)


def test_a_protocol_error_that_came_after_tr1m_is_no_refusal() -> None:
    assert classify("CMS", 111, after_pdu=True, seconds=3).outcome is NOT_SENT
    assert classify("CMS", 111, after_pdu=True, seconds=46).outcome is UNKNOWN


def test_the_delay_and_the_healths_come_along() -> None:
    verdict = classify("CMS", 38, after_pdu=True)
    assert verdict.error.retry_after == 300.0
    assert classify("CMS", 8, after_pdu=True).sim_health == "suspect"
    assert classify("CME", 0, after_pdu=False).modem_health == "fault"
    assert classify("CME", 0, after_pdu=False).error.action is Action.MODEM_RESET


@pytest.mark.parametrize(
    ("line", "space", "code"),
    [
        ("+CMS ERROR: 38", "CMS", 38),
        ("+CMS ERROR:38", "CMS", 38),
        ("+CMS ERROR 38", "CMS", 38),
        ("+CMS ERROR: Unknown error", "CMS", 500),
        ("+CMS ERROR: UNKNOWN ERROR", "CMS", 500),
        ("+CMS ERROR: SIM busy", "CMS", 314),
        ("+CMS ERROR: (U)SIM busy", "CMS", 314),
        ("+CMS ERROR: network timeout", "CMS", 332),
        ("+CMS ERROR: Network out of order", "CMS", 38),
        ("+CME ERROR: SIM busy", "CME", 14),
        ("+CME ERROR: SIM not inserted", "CME", 10),
        ("+CME ERROR: incorrect password", "CME", 16),
        ("+CME ERROR: operation not allowed", "CME", 3),
        ("+CME ERROR: 100", "CME", 100),
        ("+CME ERROR: unknown", "CME", 100),
        ("+CMS ERROR: something of the vendor's", "CMS", None),
        ("+CME ERROR:", "CME", None),
        ("ERROR", None, None),
        ("COMMAND NOT SUPPORT", None, None),
        ("NA", None, None),
        ("MODEM ERROR: 3", None, None),
        ("NO CARRIER", None, None),
        ("NO DIALTONE", None, None),
        ("BUSY", None, None),
        ("NO ANSWER", None, None),
    ],
)
def test_final_results_that_refuse(line: str, space: str | None, code: int | None) -> None:
    final = parse_final(line)
    assert final is not None
    assert not final.ok
    assert (final.space, final.code) == (space, code)


@pytest.mark.parametrize("line", ["OK", "CONNECT", "CONNECT 9600"])
def test_final_results_that_agree(line: str) -> None:
    final = parse_final(line)
    assert final is not None
    assert final.ok


@pytest.mark.parametrize(
    "line",
    [
        "",
        "OKAY",
        "OK 1",
        "ERROR: 3",
        "+CMTI: ERROR",
        "+CMSS: 3",
        "+CMEE: 1",
        "NATIONAL",
        "BUSY LINE",
        "CONNECTED",
        "NOKIA",
        "MODEM",
    ],
)
def test_lines_that_only_look_final(line: str) -> None:
    assert parse_final(line) is None


def test_the_first_piece_of_a_final_result() -> None:
    assert all(begins_final(piece) for piece in ("O", "E", "ERR", "+", "+CM", "+CMS ERR"))
    assert not any(begins_final(piece) for piece in ("K", "+CSQ", "0", "OKAY"))


def test_a_text_that_nobody_knows_is_uncertain_after_ctrl_z_and_keeps_its_words() -> None:
    verdict = classify("CMS", "of the vendor's", after_pdu=True)
    assert verdict.outcome is UNKNOWN
    assert (verdict.error.code, verdict.error.text) == ("cms_unknown", "of the vendor's")


@pytest.mark.parametrize(
    ("code", "before", "after"),
    [
        ("error", Action.RETRY_SAME, Action.UNKNOWN),
        ("port_lost", Action.RETRY_OTHER, Action.UNKNOWN),
        ("timeout", Action.RETRY_SAME, Action.UNKNOWN),
        ("reboot", Action.RETRY_SAME, Action.UNKNOWN),
        ("no_reference", Action.RETRY_SAME, Action.UNKNOWN),
        ("prompt_timeout", Action.RETRY_SAME, Action.UNKNOWN),
        ("not_authorised", Action.IGNORE, Action.UNKNOWN),
    ],
)
def test_ends_without_an_answer(code: str, before: Action, after: Action) -> None:
    assert (failure(code, after_pdu=False).outcome, failure(code, after_pdu=False).error.action) == (NOT_SENT, before)
    assert (failure(code, after_pdu=True).outcome, failure(code, after_pdu=True).error.action) == (UNKNOWN, after)
    assert failure(code, after_pdu=True).error.code == code


def test_a_bare_error_is_the_error_without_an_answer() -> None:
    assert classify(None, None, after_pdu=True) == failure("error", after_pdu=True)


@given(st.sampled_from(["CMS", "CME", None]), st.text(max_size=40) | st.integers(-5, 100000), st.booleans())
def test_any_refusal_gets_a_verdict(space: str | None, value: str | int, after: bool) -> None:
    verdict = classify(space, value, after_pdu=after)
    assert after or verdict.outcome is NOT_SENT
    assert (verdict.outcome is UNKNOWN) == (verdict.error.action is Action.UNKNOWN)


@given(st.text(max_size=60))
def test_any_line_may_be_asked_whether_it_is_final(line: str) -> None:
    parse_final(line)
    parse_final("+CMS ERROR: " + line)
