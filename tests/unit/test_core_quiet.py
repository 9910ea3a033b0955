"""Hours in which nobody is written to: their ends, daylight saving, who has them, and what an order does in them."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sms_bridge.core import quiet
from sms_bridge.core.guarding import Guard
from sms_bridge.core.guards import GuardSettings
from sms_bridge.core.holds import Holds
from sms_bridge.core.numbers import DictContactBook
from sms_bridge.core.people import Contact, Group
from tests.support.desk import ANNA, STICK, ManualClock, open_desk, sent

HOME = ZoneInfo("Europe/Budapest")
BELA = "+36209876543"
NIGHT = "22:00-07:00"


def ms(text: str, fold: int = 0, zone: ZoneInfo = HOME) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold).timestamp() * 1000)


def end(at: str, *texts: str, fold: int = 0) -> str | None:
    found = quiet.until(quiet.windows(texts), HOME, ms(at, fold))
    return None if found is None else datetime.fromtimestamp(found / 1000, HOME).isoformat()


@pytest.mark.parametrize(
    ("at", "hours", "until"),
    [
        ("2026-11-22T21:59", NIGHT, None),
        ("2026-11-22T22:00", NIGHT, "2026-11-23T07:00:00+01:00"),
        ("2026-11-22T06:59", NIGHT, "2026-11-22T07:00:00+01:00"),
        ("2026-11-22T07:00", NIGHT, None),
        ("2026-11-22T12:30", "12:00-13:00", "2026-11-22T13:00:00+01:00"),
        # The 28th of November 2026 is a Saturday: the day is that on which the hours begin.
        ("2026-11-28T23:00", "sat 22:00-09:00", "2026-11-29T09:00:00+01:00"),
        ("2026-11-29T08:00", "sat 22:00-09:00", "2026-11-29T09:00:00+01:00"),
        ("2026-11-28T08:00", "sat 22:00-09:00", None),
        ("2026-11-30T08:00", "fri-mon 00:00-12:00", "2026-11-30T12:00:00+01:00"),
        ("2026-11-28T08:00", "mon,sat 00:00-24:00", "2026-11-29T00:00:00+01:00"),
        # Clocks go from 02:00 to 03:00 in the night to the 29th of March, and from 03:00 back to 02:00 in that to
        # the 25th of October.
        ("2026-03-28T23:00", NIGHT, "2026-03-29T07:00:00+02:00"),
        ("2026-10-24T23:00", NIGHT, "2026-10-25T07:00:00+01:00"),
        ("2026-03-28T23:00", "22:00-02:30", "2026-03-29T03:00:00+02:00"),
        ("2026-10-24T23:00", "22:00-02:30", "2026-10-25T02:30:00+01:00"),
        ("2026-03-29T03:00", "02:30-06:00", "2026-03-29T06:00:00+02:00"),
        ("2026-03-29T01:59", "02:30-06:00", None),
        ("2026-10-25T02:15", "02:30-06:00", None),
        ("2026-10-25T02:45", "02:30-06:00", "2026-10-25T06:00:00+01:00"),
    ],
)
def test_hours_end_where_the_clock_on_the_wall_says(at, hours, until):
    assert end(at, hours) == until


def test_the_hour_that_comes_twice_belongs_to_the_hours_that_it_began_in():
    assert end("2026-10-25T02:15", "02:30-06:00", fold=1) == "2026-10-25T06:00:00+01:00"


def test_hours_that_follow_each_other_have_one_end():
    assert end("2026-11-28T12:00", "sat-sun 00:00-24:00", "mon 00:00-08:00") == "2026-11-30T08:00:00+01:00"


@given(st.integers(ms("2026-01-01T00:00"), ms("2027-01-01T00:00")), st.integers(0, 1439), st.integers(1, 1439))
def test_the_end_is_outside_and_all_before_it_is_within(at, begin, length):
    stop = (begin + length) % 1440
    hours = quiet.windows((f"{begin // 60}:{begin % 60:02}-{stop // 60}:{stop % 60:02}",))
    until = quiet.until(hours, HOME, at)
    if until is not None:
        assert at < until <= at + (length + 60) * 60_000
        assert quiet.until(hours, HOME, until) is None
        assert quiet.until(hours, HOME, until - 1) == until


@pytest.mark.parametrize(
    "texts",
    [("late",), ("22:00",), ("25:00-07:00",), ("22:60-07:00",), ("07:00-07:00",), ("sam 22:00-07:00",),
     ("00:00-24:00",), ("00:00-12:00", "12:00-24:00"), ("mon-sun-mon 1:00-2:00",)],
)  # fmt: skip
def test_hours_that_are_none_are_refused_with_a_sentence(texts):
    with pytest.raises(quiet.QuietError, match=r"[a-z]{4}"):
        quiet.windows(texts)


@pytest.mark.parametrize("name", ["Mars/Base", "../etc/passwd", "", "/etc/passwd"])
def test_a_zone_that_nobody_knows_is_refused(name):
    with pytest.raises(quiet.QuietError, match="time zone"):
        quiet.zone(name)


BOOK = {
    "anna": Contact(ANNA, quiet_hours=(NIGHT,), priority_breaks_quiet=50),
    "bela": Contact(BELA),
    "owl": Contact("+36201111111", quiet_hours=()),
    "joe": Contact("+12125551234", quiet_hours=(NIGHT,), time_zone="America/New_York"),
}
GROUPS = {
    "family": Group(("@bela", "@anna")),
    "office": Group(("@bela", "@owl"), quiet_hours=("00:00-08:00", "18:00-24:00"), priority_breaks_quiet=80),
    "desk": Group(("@bela",), quiet_hours=("21:00-23:00",)),
}


@asynccontextmanager
async def opened(path, at="2026-11-22T23:00", **settings):
    clock = ManualClock(datetime.fromtimestamp(ms(at) / 1000, UTC))
    book = DictContactBook(BOOK, GROUPS, "HU")
    guard = Guard(GuardSettings(**settings), book, local=HOME)
    async with open_desk(path, clock=clock, contacts=book, guard=guard) as desk:
        holds = Holds(desk.journal, desk.dispatcher, clock)
        holds.adopt(settings.get("urgent"), guard.held if guard.quiet else None)
        yield desk


def last(desk, id):
    return [(s["to"], s["state"], (s["error"] or {}).get("code")) for s in desk.statuses(id)]


async def test_an_order_waits_for_the_end_of_the_hours_and_is_sent_then(tmp_path):
    async with opened(tmp_path) as desk:
        await desk.order("a", to=("@anna",))
        (status,) = desk.statuses("a")
        assert (status["state"], status["error"]["code"]) == ("scheduled", "quiet_hours")
        assert status["error"]["text"] == "the quiet hours of @anna last until 2026-11-23T06:00:00.000+00:00"
        desk.clock.forward(8 * 3600 - 2)
        await desk.tick()
        assert desk.dispatcher.try_claim(STICK) is None
        desk.clock.forward(3)
        await desk.tick()
        assert desk.states("a") == ["scheduled", "queued"]
        assert desk.statuses("a")[-1]["error"] is None
        await desk.send(sent())
        assert desk.states("a")[-1] == "sent"


async def test_it_waits_over_a_restart_and_can_be_cancelled(tmp_path):
    async with opened(tmp_path) as desk:
        await desk.order("a", to=(ANNA,))
        await desk.order("b", to=(ANNA,))
    async with opened(tmp_path) as desk:
        assert (await desk.service.cancel("a"))[1] == 1
        desk.clock.forward(8 * 3600 + 1)
        await desk.tick()
        assert (await desk.send(sent())).order.id == "b"


async def test_a_deadline_within_the_hours_is_told_at_once(tmp_path):
    async with opened(tmp_path) as desk:
        await desk.order("a", to=("@anna",), expires_in=3600)
        assert last(desk, "a") == [(ANNA, "expired", "quiet_hours")]
        await desk.order("b", to=("@anna",), deadline=desk.clock.datetime + timedelta(hours=9))
        assert desk.states("b") == ["scheduled"]


async def test_a_schedule_within_the_hours_is_put_off_to_their_end(tmp_path):
    async with opened(tmp_path, "2026-11-22T12:00") as desk:
        await desk.order("a", to=("@anna",), send_at=desk.clock.datetime + timedelta(hours=11))
        await desk.order("b", to=("@anna",), send_at=desk.clock.datetime + timedelta(hours=1))
        assert [last(desk, id)[0][2] for id in "ab"] == ["quiet_hours", None]
        desk.clock.forward(12 * 3600)
        await desk.tick()
        assert (desk.states("a"), desk.states("b")) == (["scheduled"], ["scheduled", "queued"])


@pytest.mark.parametrize(
    ("to", "fields", "state"),
    [
        ("@anna", {"priority": 49}, "scheduled"),
        ("@anna", {"priority": 50}, "queued"),
        ("@bela", {}, "scheduled"),
        ("@bela", {"priority": 99}, "scheduled"),
        ("@bela", {"priority": 100}, "queued"),
        ("@owl", {}, "queued"),
        ("@joe", {}, "queued"),  # five in the afternoon
        ("1755", {"source": "balance"}, "queued"),
        ("@anna", {"source": "answer"}, "queued"),
    ],
)
async def test_whose_hours_they_are_and_what_breaks_them(tmp_path, to, fields, state):
    async with opened(tmp_path, quiet_hours=("22:30-05:00",), urgent=100) as desk:
        await desk.order("a", to=(to,), **fields)
        assert desk.states("a") == [state]


async def test_a_group_has_hours_of_its_own_that_do_not_bind_those_who_are_named(tmp_path):
    async with opened(tmp_path, "2026-11-22T20:00") as desk:
        await desk.order("a", to=("#office",))
        await desk.order("b", to=("#office", "@bela"))
        await desk.order("c", to=("@office",), priority=80)
        assert [s[1] for s in last(desk, "a")] == ["scheduled", "scheduled"]
        assert [s[1] for s in last(desk, "b")] == ["queued", "scheduled"]
        assert [s[1] for s in last(desk, "c")] == ["queued", "queued"]


async def test_who_is_in_two_groups_gets_one_message_when_one_of_them_may_be_written_to(tmp_path):
    async with opened(tmp_path, "2026-11-22T21:30") as desk:
        await desk.order("a", to=("#office", "#desk"))
        (bela,) = [s for s in desk.statuses("a") if s["to"] == BELA]
        assert bela["error"]["text"].startswith("the quiet hours of #desk last until 2026-11-22T22:00")
        await desk.order("b", to=("#office", "#desk", "#family"))
        assert sorted(last(desk, "b")) == [
            ("+36201111111", "scheduled", "quiet_hours"),
            (BELA, "queued", None),
            (ANNA, "queued", None),
        ]


async def test_an_order_that_waits_for_a_modem_is_not_sent_in_hours_that_have_begun_since(tmp_path):
    async with opened(tmp_path, "2026-11-22T21:59") as desk:
        await desk.order("a", to=("@anna",))
        await desk.order("b", to=("@bela",))
        job = await asyncio.wait_for(desk.dispatcher.claim(STICK), 2)
        assert job.order.id == "a"
        desk.clock.forward(120)
        assert not await desk.dispatcher.begin(job, 0)
        assert (await desk.send(sent())).order.id == "b"
        assert desk.dispatcher.try_claim(STICK) is None
        assert desk.states("a") == ["queued"]


async def test_a_clock_that_was_never_set_keeps_nothing_back(tmp_path):
    async with opened(tmp_path, "1970-01-02T23:00", quiet_hours=(NIGHT,)) as desk:
        await desk.order("a", to=("@anna",))
        await desk.send(sent())
        assert desk.states("a")[-1] == "sent"


async def test_a_contact_s_own_wishes_go_with_each_order(tmp_path):
    book = DictContactBook({"anna": Contact(ANNA, transliterate=True, modem="other"), "bela": BELA}, {}, "HU")
    guard = Guard(GuardSettings(), book, local=HOME)
    async with open_desk(tmp_path, contacts=book, guard=guard, knows_modem=lambda name: name != "gone") as desk:
        await desk.order("a", "ő" * 80, to=("@anna", "@bela"))
        await desk.order("b", to=("@anna",), modem="stick")
        parts = {s["to"]: (s["parts"], s["encoding"]) for s in desk.statuses("a")}
        assert parts == {ANNA: (1, "gsm7"), BELA: (2, "ucs2")}
        jobs = [await asyncio.wait_for(desk.dispatcher.claim(STICK), 2) for _ in range(2)]
        assert sorted((job.order.id, job.order.to) for job in jobs) == [("a", BELA), ("b", ANNA)]
        assert desk.dispatcher.try_claim(STICK) is None
