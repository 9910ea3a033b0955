"""Window, rate and back-off (domain C3, C4)."""

from __future__ import annotations

import pytest

from sms_bridge.routes.smpp.pace import Backoff, Rate, Window
from sms_bridge.routes.smpp.status import OnBind


def test_a_window_is_halved_once_a_burst_of_complaints_and_grows_again() -> None:
    window = Window(50)
    for _ in range(50):
        window.complaint(10.0)
    assert window.size == 25
    window.complaint(11.0)
    assert window.size == 12
    window.accepted(12)
    assert window.size == 13
    for _ in range(100):
        window.accepted(50)
    assert window.size == 50
    for second in range(20, 40):
        window.complaint(float(second))
    assert window.size == 1


def test_a_rate_lets_out_what_it_says() -> None:
    rate = Rate(20.0)
    sent, now = 0, 100.0
    while now < 110.0:
        room = rate.room(now)
        assert room is not None
        if room:
            rate.spend(room, now)
            sent += room
        now = max(rate.next_at(now), now + 0.001)
    assert 200 <= sent <= 203


def test_no_rate_no_limit() -> None:
    rate = Rate(None)
    assert rate.room(1.0) is None
    rate.spend(10_000, 1.0)
    assert rate.room(1.0) is None


def test_a_complaint_halves_the_rate_and_time_brings_it_back() -> None:
    rate = Rate(100.0)
    rate.complaint(10.0, 1.0)
    rate.complaint(10.1, 1.0)  # the answer to what was sent before the first
    assert rate.current == 50.0
    assert rate.room(10.5) == 0
    assert rate.next_at(10.5) == 11.1
    rate.room(41.1)
    assert rate.current == pytest.approx(55.0)
    rate.room(41.1 + 30 * 20)
    assert rate.current == 100.0


def test_without_a_limit_a_complaint_takes_what_was_sent_as_the_limit() -> None:
    rate = Rate(None)
    rate.room(10.0)
    rate.spend(300, 9.5)
    rate.complaint(10.0, 1.0)
    assert rate.current == 150.0
    for step in range(1, 60):
        rate.room(10.0 + 30 * step)
    assert rate.current is None


def test_reconnecting_takes_longer_each_time_up_to_a_minute_and_starts_anew_after_a_minute_bound() -> None:
    backoff = Backoff(lambda: 0.5)
    assert [backoff.lost(0.0) for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert backoff.lost(59.0) == 60
    assert backoff.lost(60.0) == 1
    assert backoff.unbound(100.0) == 10


def test_jitter_is_a_fifth() -> None:
    assert Backoff(lambda: 0.0).lost(0.0) == pytest.approx(0.8)
    assert Backoff(lambda: 1.0).lost(0.0) == pytest.approx(1.2)


@pytest.mark.parametrize(("what", "least"), [(OnBind.WAIT, 60.0), (OnBind.STOP, 300.0), (OnBind.BACKOFF, 0.8)])
def test_refusals(what: OnBind, least: float) -> None:
    assert Backoff(lambda: 0.0).refused(what) == pytest.approx(least)
    assert Backoff(lambda: 1.0).refused(what) >= least
