"""A route that fails again and again is left alone, and tried with one order at a time."""

from __future__ import annotations

import pytest

from sms_bridge.core.breaker import Breaker, BreakerSettings, BreakerState

SETTINGS = BreakerSettings(in_a_row=3, window=10, share=0.5, back_off=5.0, cap=20.0, successes=2, calm=60.0)


@pytest.fixture
def breaker() -> Breaker:
    return Breaker(SETTINGS)


def trip(breaker: Breaker, now: float) -> None:
    for _ in range(SETTINGS.in_a_row):
        breaker.failed(now, "0x45")


def test_so_many_failures_in_a_row_open_it_and_say_why(breaker: Breaker) -> None:
    assert [breaker.failed(100.0, reason) for reason in ("a", "b", "c", "d")] == [False, False, True, False]
    assert (breaker.state(100.0), breaker.reason) == (BreakerState.OPEN, "c")


def test_a_success_between_begins_the_row_anew(breaker: Breaker) -> None:
    for _ in range(4):
        breaker.failed(0.0, "x")
        breaker.failed(0.0, "x")
        breaker.worked(0.0, 9)
    assert breaker.state(0.0) is BreakerState.CLOSED


def test_half_of_the_latest_opens_it_too(breaker: Breaker) -> None:
    opened = []
    for _ in range(5):
        breaker.worked(0.0)
        opened.append(breaker.failed(0.0, "x"))
    assert opened == [False, False, False, False, True]


def test_after_its_back_off_one_order_at_a_time_shows_whether_it_works(breaker: Breaker) -> None:
    trip(breaker, 0.0)
    assert not breaker.may_probe(4.9)
    assert breaker.may_probe(5.0)
    breaker.probe(5.0)
    assert not breaker.may_probe(5.1)
    assert not breaker.worked(6.0)  # once may be luck
    assert breaker.may_probe(6.0)
    breaker.probe(6.0)
    assert breaker.worked(7.0)
    assert breaker.state(7.0) is BreakerState.CLOSED


def test_each_try_that_fails_doubles_the_back_off_up_to_its_cap(breaker: Breaker) -> None:
    trip(breaker, 0.0)
    now = 0.0
    for back_off in (5.0, 10.0, 20.0, 20.0):
        assert not breaker.may_probe(now + back_off - 0.1)
        now += back_off
        assert breaker.may_probe(now)
        breaker.probe(now)
        breaker.failed(now, "again")


def test_one_that_opens_again_soon_has_not_recovered(breaker: Breaker) -> None:
    trip(breaker, 0.0)
    breaker.worked(5.0, 2)
    trip(breaker, 10.0)
    assert not breaker.may_probe(15.0)
    assert breaker.may_probe(20.0)
    breaker.worked(20.0, 2)
    trip(breaker, 100.0)  # after a calm minute it begins anew
    assert breaker.may_probe(105.0)


def test_an_order_that_says_nothing_of_the_route_lets_another_one_try(breaker: Breaker) -> None:
    trip(breaker, 0.0)
    breaker.probe(5.0)
    breaker.said_nothing()
    assert breaker.may_probe(5.0)


def test_an_order_of_which_nothing_is_heard_does_not_close_the_way_for_good(breaker: Breaker) -> None:
    trip(breaker, 0.0)
    breaker.probe(5.0)
    assert not breaker.may_probe(5.0 + SETTINGS.patience - 1)
    assert breaker.may_probe(5.0 + SETTINGS.patience)


def test_what_was_under_way_when_it_opened_changes_nothing(breaker: Breaker) -> None:
    trip(breaker, 0.0)
    assert not breaker.worked(1.0, 50)
    assert not breaker.failed(1.0, "late")
    assert breaker.state(1.0) is BreakerState.OPEN
    assert breaker.may_probe(5.0)
