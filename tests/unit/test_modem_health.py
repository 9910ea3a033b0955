"""From facts to a verdict, and from cells to service: tables, with time that the test owns (domain A10, A12, B4)."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.at import parsers
from hardware.modem import timeouts
from hardware.modem.coverage import Coverage, Standing
from hardware.modem.health import CHECKS, Check, Facts, Monitor, worst
from hardware.types import Access, Blame, Finding, Health, Registration, Told

PAGE = Path(__file__).parents[2] / "docs" / "technician.md"
BY_NAME = {check.name: check for check in CHECKS}
GOOD = Facts(
    in_service=True,
    registration=Registration.HOME,
    operator="Telekom",
    names_operators=True,
    signal_dbm=-77,
    storage_used=0,
    storage_total=20,
    has_smsc=True,
    silent_for=1.0,
    country="216",
    told=Told(undervoltage=False, unreported=False),
)

# name, facts that are bad, facts that say nothing either way (None: there are none), facts that are good again
ROWS: list[tuple[str, dict[str, Any], dict[str, Any] | None, dict[str, Any]]] = [
    ("denied", {"registration": Registration.DENIED, "in_service": False}, None, {}),
    ("no_network", {"registration": Registration.SEARCHING, "in_service": False}, None, {}),
    ("no_network", {"registration": Registration.UNKNOWN, "in_service": False}, None, {}),
    ("no_answer", {"silent_for": 601.0}, {"silent_for": None}, {"silent_for": 599.0}),
    ("storage_full", {"storage_used": 20}, {"storage_used": None}, {"storage_used": 19}),
    ("failed_sends", {"failed_sends": 5}, None, {"failed_sends": 4}),
    ("self_test_sends", {"told": Told(self_test=Blame.SENDS)}, None, {}),
    ("self_test_receives", {"told": Told(self_test=Blame.RECEIVES)}, None, {}),
    ("self_test_either", {"told": Told(self_test=Blame.EITHER)}, None, {}),
    ("unreported", {"told": Told(unreported=True)}, {"told": Told()}, {}),
    ("undervoltage", {"told": Told(undervoltage=True)}, {"told": Told()}, {}),
    ("weak_signal", {"signal_dbm": -107}, {"signal_dbm": -103}, {"signal_dbm": -101}),
    ("weak_signal", {"signal_dbm": -107}, {"signal_dbm": None}, {"signal_dbm": -77}),
    (
        "weak_signal",
        {"signal_dbm": -117, "reference_signal": True},
        {"signal_dbm": -113, "reference_signal": True},
        {"signal_dbm": -107, "reference_signal": True},
    ),
    ("unsteady", {"losses": 5}, {"losses": 3}, {"losses": 2}),
    ("roaming", {"registration": Registration.ROAMING}, None, {}),
    (
        "roaming",
        {"registration": Registration.ROAMING},
        None,
        {"registration": Registration.ROAMING, "roams_by_design": True},
    ),
    ("no_operator", {"operator": None}, None, {}),
    ("storage_filling", {"storage_used": 16}, {"storage_used": 15}, {"storage_used": 14}),
    ("no_smsc", {"has_smsc": False}, {"has_smsc": None}, {}),
    ("polling_only", {"polling_only": True}, None, {}),
    ("networks_closed", {"old_networks_only": True, "country": "228"}, None, {}),
    ("networks_closing", {"old_networks_only": True}, None, {}),
]


def names(monitor: Monitor, facts: Facts, now: float) -> list[str]:
    return [finding.check for finding in monitor.judge(facts, now)]


def test_every_check_has_a_row() -> None:
    assert {row[0] for row in ROWS} == BY_NAME.keys()
    assert len(BY_NAME) == len(CHECKS)


@pytest.mark.parametrize(
    ("name", "bad", "silent", "good"), ROWS, ids=[f"{number}-{row[0]}" for number, row in enumerate(ROWS)]
)
def test_a_check_comes_after_its_time_and_goes_after_its_time(
    name: str, bad: dict[str, Any], silent: dict[str, Any] | None, good: dict[str, Any]
) -> None:
    check = BY_NAME[name]
    monitor = Monitor([check])
    is_bad, is_good = replace(GOOD, **bad), replace(GOOD, **good)
    assert names(monitor, is_good, 0.0) == []
    if check.hold:
        assert name not in names(monitor, is_bad, 10.0)
        assert name not in names(monitor, is_bad, 10.0 + check.hold - 0.1)
    assert names(monitor, is_bad, 10.0 + check.hold) == [name]
    if silent is not None:
        assert names(monitor, replace(GOOD, **silent), 5000.0) == [name], "what is not known changes nothing"
    if check.clear:
        assert names(monitor, is_good, 9000.0) == [name]
        assert names(monitor, is_good, 9000.0 + check.clear - 0.1) == [name]
    assert names(monitor, is_good, 9000.0 + check.clear) == []
    if silent is not None:
        assert names(monitor, replace(GOOD, **silent), 20_000.0) == [], "what is not known is no reason to warn"


def test_a_modem_of_which_nothing_is_known_is_not_warned_of() -> None:
    monitor = Monitor()
    for now in (0.0, 100.0, 10_000.0):
        assert monitor.judge(Facts(in_service=True), now) == ()


def test_what_is_bad_for_too_short_a_time_begins_anew() -> None:
    monitor, weak = Monitor(), replace(GOOD, signal_dbm=-109)
    hold = BY_NAME["weak_signal"].hold
    assert names(monitor, weak, 0.0) == []
    assert names(monitor, GOOD, hold - 1) == []
    assert names(monitor, weak, hold) == []
    assert names(monitor, weak, hold * 2 - 1) == []
    assert names(monitor, weak, hold * 2) == ["weak_signal"]


def test_a_reading_that_is_missing_now_and_then_does_not_stop_the_clock() -> None:
    """A modem between two cells answers 99."""
    monitor, hold = Monitor(), BY_NAME["weak_signal"].hold
    for now in range(0, int(hold), 30):
        dbm = -109 if now % 60 == 0 else None
        assert names(monitor, replace(GOOD, signal_dbm=dbm), float(now)) == []
    assert names(monitor, replace(GOOD, signal_dbm=-109), hold) == ["weak_signal"]


def test_several_stand_in_the_order_of_the_table_and_the_worst_is_the_verdict() -> None:
    monitor = Monitor()
    facts = replace(GOOD, polling_only=True, storage_used=20, old_networks_only=True, failed_sends=9)
    monitor.judge(facts, 0.0)
    findings = monitor.judge(facts, 1000.0)
    assert [finding.check for finding in findings] == [
        "storage_full",
        "failed_sends",
        "storage_filling",
        "polling_only",
        "networks_closing",
    ]
    assert [worst(findings[n:]) for n in range(6)] == ["fail", "warn", "warn", "warn", "pass", "pass"]
    order = [Health.FAIL, Health.WARN, Health.PASS]
    assert sorted(CHECKS, key=lambda check: order.index(check.health)) == list(CHECKS)
    monitor.forget()
    assert [finding.check for finding in monitor.judge(GOOD, 1001.0)] == []


@given(
    st.lists(st.tuples(st.sampled_from([True, False, None]), st.floats(0.1, 40)), max_size=80),
    st.floats(0, 100),
    st.floats(0, 100),
)
def test_a_verdict_is_no_storm(steps: list[tuple[bool | None, float]], hold: float, clear: float) -> None:
    said: list[bool | None] = [None]
    check = Check("x", Health.WARN, lambda _: said[0], hold, clear, "text", "fix")
    monitor, now, stood, changes = Monitor([check]), 0.0, False, []
    for value, pause in steps:
        said[0] = value
        stands = monitor.judge(Facts(), now) != ()
        assert stands is stood or value is stands, "it changes to what was found, never by itself"
        if stands is not stood:
            changes.append(now)
        stood, now = stands, now + pause
    for number, (first, second) in enumerate(pairwise(changes)):
        assert second - first >= (clear if number % 2 == 0 else hold) - 1e-6


def test_every_sentence_is_in_the_technicians_page() -> None:
    text = PAGE.read_text(encoding="utf-8")
    rows = {cells[1].strip(): cells for line in text.splitlines() if len(cells := line.split("|")) == 6}
    for check in CHECKS:
        assert check.text in rows, check.name
        assert rows[check.text][2].strip() == f"`{check.health}`", check.name
    for check in CHECKS:
        finding: Finding = check.finding
        for sentence in (finding.text, finding.fix):
            assert re.fullmatch(r"[^\n\"]{10,200}", sentence), check.name
            assert not sentence.endswith("."), "they stand in the middle of others"


# Registration.

LONG = timeouts.FLAP + 0.1


def standing(coverage: Coverage, now: float, *lines: str) -> Standing:
    for line in lines:
        cell = parsers.creg(line)
        assert cell is not None, line
        coverage.told(cell)
    return coverage.judge(now)


def coverage(*domains: str) -> Coverage:
    made = Coverage()
    made.begin(domains or ("CREG", "CEREG"))
    return made


@pytest.mark.parametrize(
    ("lines", "registration", "serves", "access"),
    [
        (["+CREG: 0,1"], "home", True, None),
        (['+CREG: 2,5,"00C8","E4B1",2'], "roaming", True, Access.UMTS),
        (["+CREG: 6"], "sms_only", True, None),
        (["+CREG: 7"], "sms_only", True, None),
        # An LTE modem may keep CREG at 0 or 2 while SMS over SGs or IMS works (domain A10).
        (["+CREG: 0,0", "+CEREG: 0,1"], "home", True, None),
        (["+CREG: 0,2", '+CEREG: 2,5,"0001","01A2D001",7'], "roaming", True, Access.LTE),
        (["+CREG: 0,3", "+CEREG: 0,1"], "home", True, None),
        (["+CREG: 0,2", "+C5GREG: 0,1"], "home", True, None),
        (["+CREG: 0,0"], "not_registered", False, None),
        (["+CREG: 0,2"], "searching", False, None),
        (["+CREG: 0,3"], "denied", False, None),
        (["+CREG: 0,4"], "unknown", False, None),
        (["+CREG: 0,8"], "not_registered", False, None),  # emergency calls only
        (["+CREG: 0,9"], "home", False, None),  # CSFB not preferred: its EPS registration decides
        (["+CREG: 0,10"], "roaming", False, None),
        (["+CREG: 0,9", "+CEREG: 0,1"], "home", True, None),
        (["+CREG: 0,11"], "not_registered", False, None),
        (["+CREG: 0,2", "+CEREG: 0,6"], "searching", False, None),  # 6 means nothing there (TS 27.007 10.1.22)
        (["+CREG: 0,2", "+CEREG: 0,3"], "denied", False, None),
        (["+CREG: 0,0", "+CEREG: 0,2"], "searching", False, None),
        (["+CREG: 0,0", "+CGREG: 0,1"], "not_registered", False, None),  # packets say nothing of messages
        (["+CGREG: 0,1"], "home", False, None),
        (["+CGREG: 3"], "denied", False, None),
    ],
)
def test_who_can_send(lines: list[str], registration: str, serves: bool, access: Access | None) -> None:
    found = standing(coverage(), 0.0, *lines)
    assert (found.registration, found.serves, found.access) == (registration, serves, access)
    assert found.reason.startswith("registered: " if serves else "not registered: ")


def test_a_short_gap_changes_nothing() -> None:
    it = coverage("CREG")
    assert standing(it, 0.0, "+CREG: 1").serves
    gap = standing(it, 100.0, "+CREG: 2")
    assert (gap.serves, gap.pauses, gap.registration) == (True, False, "home")
    assert it.in_doubt
    assert gap.due == 100.0 + timeouts.GAP_SENDS
    back = standing(it, 101.0, "+CREG: 1")
    assert (back.serves, back.pauses, back.due) == (True, False, None)
    assert it.losses(101.0) == 0


def test_a_longer_gap_pauses_and_the_longest_ends_service_once() -> None:
    it = coverage("CREG")
    standing(it, 0.0, "+CREG: 1")
    standing(it, 100.0, "+CREG: 2")
    paused = it.judge(100.0 + timeouts.GAP_SENDS)
    assert (paused.serves, paused.pauses, paused.due) == (True, True, 100.0 + timeouts.FLAP)
    assert standing(it, 110.0, "+CREG: 3").registration == "home", "what is said within the gap is not shown"
    lost = it.judge(100.0 + timeouts.FLAP)
    assert (lost.serves, lost.pauses, lost.due, lost.registration) == (False, False, None, "denied")
    assert lost.reason == "not registered: denied"
    assert it.losses(131.0) == 1
    assert standing(it, 140.0, "+CREG: 5").serves, "better is believed at once"
    assert it.losses(130.0 + 3600.0) == 0, "an hour later nobody speaks of it"


def test_a_modem_that_was_never_in_service_has_no_gap() -> None:
    it = coverage("CREG")
    found = standing(it, 0.0, "+CREG: 2")
    assert (found.serves, found.due, found.registration) == (False, None, "searching")
    assert not it.in_doubt
    assert it.losses(1.0) == 0


def test_flapping_ends_no_service_however_long_it_lasts() -> None:
    """Two seconds without network in each five."""
    it = coverage("CREG")
    standing(it, 0.0, "+CREG: 1")
    for start in range(5, 3600, 5):
        assert standing(it, float(start), "+CREG: 2").serves
        assert standing(it, start + 2.0, "+CREG: 1").serves
    assert it.losses(3600.0) == 0


def test_a_send_without_service_is_believed_at_once_and_longer_each_time() -> None:
    it = coverage("CREG")
    now, pauses = 0.0, []
    for _ in range(8):
        assert standing(it, now, "+CREG: 1").serves
        it.refused("no service: CMS 331", now)
        out = it.judge(now)
        assert (out.serves, out.registration, out.reason) == (False, "home", "no service: CMS 331")
        began = now
        while not it.judge(now).serves:
            now += 1.0
        pauses.append(now - began)
    assert pauses == [2, 4, 8, 16, 32, 60, 60, 60]
    it.sent(now)
    it.refused("again", now)
    assert it.judge(now + timeouts.NO_SERVICE).serves, "a send that went through ends that"


def test_a_send_that_goes_through_in_a_gap_is_a_sign_of_life() -> None:
    it = coverage("CREG")
    standing(it, 0.0, "+CREG: 1")
    standing(it, 10.0, "+CREG: 2")
    it.sent(30.0)
    assert it.judge(10.0 + LONG).serves
    assert not it.judge(30.0 + LONG).serves


def test_a_modem_that_never_says_where_it_is_may_send() -> None:
    mute = Coverage()
    mute.begin(())
    assert mute.judge(0.0).serves
    shy = coverage("CREG")
    for _ in range(6):
        assert not shy.judge(0.0).serves
        shy.asked()
    found = shy.judge(0.0)
    assert (found.serves, found.registration) == (True, "unknown")


def test_packet_registration_is_asked_for_where_there_is_no_other() -> None:
    assert coverage("CREG", "CGREG", "CEREG").domains == ("CREG", "CEREG")
    assert coverage("CGREG").domains == ("CGREG",)


def test_set_up_anew_it_begins_anew() -> None:
    it = coverage("CREG")
    standing(it, 0.0, "+CREG: 1")
    it.begin(("CREG",))
    found = it.judge(1.0)
    assert (found.serves, found.registration) == (False, "unknown")
    assert it.losses(1.0) == 0


@given(st.lists(st.tuples(st.sampled_from([0, 1, 2, 3, 5]), st.floats(0.01, 45)), min_size=1, max_size=60))
def test_service_changes_at_most_twice_in_a_gap(steps: list[tuple[int, float]]) -> None:
    """Service is never lost twice within FLAP seconds, and each gap that ended it lasted that long."""
    it, now, lost, served = coverage("CREG"), 0.0, [], False
    for stat, pause in steps:
        found = standing(it, now, f"+CREG: {stat}")
        carries = stat in (1, 5)
        assert found.serves or not carries
        assert not (found.pauses and not found.serves)
        if served and not found.serves:
            lost.append(now)
        served, now = found.serves, now + pause
    assert all(later - earlier >= timeouts.FLAP for earlier, later in pairwise(lost))
