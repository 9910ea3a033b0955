"""Which step is next when a modem fails, and what stands between two of them. All of it without a clock."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.modem import timeouts
from hardware.modem.absence import Absence, Due
from hardware.modem.ladder import HOUR, LADDER, MOST_POSTPONED, NETWORK, SIM, Ladder, Result, Rung, Step, Verdict
from hardware.modem.outlets import Outlets, hub_of
from hardware.modem.recovery import PLANS, Trouble
from hardware.types import Registration

ORDER = [rung.step for rung in LADDER]
STABLE, REST = timeouts.STABLE_SERVICE, timeouts.REST


def climb(ladder: Ladder, now: float, steps: frozenset[Step] | None = None, until: float = 1e6) -> list[Step]:
    """The steps that a modem which nothing helps gets until it is given up; each fails at once."""
    done = []
    while now < until:
        advice = ladder.advise(now, steps)
        if advice.verdict is Verdict.GIVE_UP:
            break
        if advice.step is None:
            now += advice.seconds
            continue
        done.append(advice.step)
        ladder.note(advice.step, Result.DONE, "", now)
    return done


def test_the_gentlest_step_is_first_and_a_person_is_last() -> None:
    ladder = Ladder()
    reopened = [Step.REOPEN] * 3
    assert climb(ladder, 0.0) == [Step.RESYNC, *reopened, *ORDER[2:]]
    assert ladder.given_up
    assert [one.step for one in ladder.tried] == [Step.RESYNC, *reopened, *ORDER[2:]]


def test_a_step_that_is_not_possible_is_passed_over_and_remembered() -> None:
    ladder = Ladder()
    for step in ORDER[:2]:
        ladder.note(step, Result.SKIPPED, "not here", 0.0)
    assert ladder.advise(0.0).step is Step.CFUN
    assert [(one.step, one.sentence) for one in ladder.tried] == [(step, "not here") for step in ORDER[:2]]


def test_a_step_that_was_carried_out_gets_its_time_and_one_that_failed_none() -> None:
    ladder = Ladder([Rung(Step.CFUN, settle=60.0), Rung(Step.USB_RESET)])
    ladder.note(Step.CFUN, Result.DONE, "", 100.0)
    assert ladder.advise(130.0) == ladder.advise(130.0)
    assert (ladder.advise(130.0).verdict, ladder.advise(130.0).seconds) == (Verdict.WAIT, 30.0)
    assert ladder.advise(160.0).step is Step.USB_RESET
    other = Ladder([Rung(Step.CFUN, settle=60.0), Rung(Step.USB_RESET)])
    other.note(Step.CFUN, Result.FAILED, "", 100.0)
    assert other.advise(100.0).step is Step.USB_RESET


def test_a_step_that_cools_down_is_passed_over_while_there_is_a_stronger_one_and_waited_for_when_there_is_none() -> (
    None
):
    rungs = [Rung(Step.CFUN, tries=2, cooldown=60.0), Rung(Step.USB_RESET, tries=2, cooldown=300.0)]
    ladder = Ladder(rungs)
    ladder.note(Step.CFUN, Result.DONE, "", 0.0)
    assert ladder.advise(10.0).step is Step.USB_RESET
    ladder.note(Step.USB_RESET, Result.DONE, "", 10.0)
    advice = ladder.advise(20.0)
    assert (advice.verdict, advice.seconds) == (Verdict.WAIT, 290.0), "the gentler one is not gone back to"


def test_a_relapse_goes_on_where_the_last_step_helped_and_long_service_takes_it_down() -> None:
    ladder = Ladder()
    for step in (Step.RESYNC, Step.REOPEN, Step.REOPEN, Step.REOPEN, Step.CFUN):
        assert ladder.advise(1000.0).step is step
        ladder.note(step, Result.DONE, "", 1000.0)
    ladder.failed(STABLE / 2)
    assert ladder.advise(2000.0).step is Step.USB_RESET, "a restart kept it for minutes only"
    ladder.failed(STABLE)
    assert ladder.advise(2000.0).step is Step.REOPEN, "one less than what helped last"
    ladder.failed(10 * STABLE)
    assert ladder.advise(3000.0).step is Step.RESYNC
    assert ladder.tried == []


def test_after_everything_there_is_a_rest_that_grows_and_then_a_new_climb() -> None:
    ladder = Ladder([Rung(Step.CFUN)])
    now = 0.0
    rests = []
    for _ in range(5):
        assert climb(ladder, now) == [Step.CFUN]
        rests.append(ladder.advise(now).seconds)
        now += rests[-1]
    assert rests == [REST, 2 * REST, 4 * REST, timeouts.LONGEST_REST, timeouts.LONGEST_REST]
    climb(ladder, now)
    ladder.failed(STABLE)
    assert ladder.advise(now).step is Step.CFUN, "it served meanwhile"


def test_a_step_that_others_are_in_the_way_of_is_asked_again_and_not_for_ever() -> None:
    ladder = Ladder([Rung(Step.HUB_POWER)])
    now = 0.0
    for _ in range(MOST_POSTPONED):
        assert ladder.advise(now).step is Step.HUB_POWER
        ladder.postpone(Step.HUB_POWER, "stick-2 is sending", now + 20.0, now)
        if ladder.advise(now).verdict is Verdict.WAIT:
            assert ladder.advise(now).seconds == 20.0
        now += 20.0
    assert ladder.advise(now).verdict is Verdict.GIVE_UP
    assert [(one.result, one.sentence) for one in ladder.tried] == [(Result.SKIPPED, "stick-2 is sending")]


def test_a_modem_that_a_person_had_in_hand_gets_all_steps_once_more_but_not_sooner() -> None:
    ladder = Ladder([Rung(Step.CFUN, settle=60.0), Rung(Step.HUB_POWER, cooldown=900.0, settle=90.0)])
    assert climb(ladder, 0.0) == [Step.CFUN, Step.HUB_POWER]
    assert ladder.given_up
    ladder.begin_anew()
    assert ladder.tried == []
    assert ladder.advise(200.0).step is Step.CFUN
    ladder.note(Step.CFUN, Result.FAILED, "", 200.0)
    assert ladder.advise(200.0).seconds == pytest.approx(760.0), "the hub was switched at 60 s"


def test_what_a_person_had_done_counts() -> None:
    ladder = Ladder()
    ladder.note(Step.HUB_POWER, Result.DONE, "", 0.0)
    assert ladder.due(Step.HUB_POWER) == 900.0
    ladder.note(Step.RADIO, Result.DONE, "", 0.0)  # none of this ladder's
    assert len(ladder.tried) == 2


@given(st.data())
def test_no_history_breaks_the_limits(data: st.DataObject) -> None:
    """Whatever happens and whenever: no step before its cool-down, none above its cap, none that is not possible."""
    table = data.draw(st.sampled_from([LADDER, NETWORK, SIM]))
    ladder = Ladder(table)
    done: dict[Step, list[float]] = {rung.step: [] for rung in table}
    skipped: set[Step] = set()
    now = 0.0
    for _ in range(data.draw(st.integers(1, 60))):
        now += data.draw(st.sampled_from([0.0, 0.5, 5.0, 30.0, 61.0, 901.0, 3601.0]))
        if data.draw(st.booleans()):
            served = data.draw(st.sampled_from([0.0, 10.0, STABLE, 5 * STABLE]))
            ladder.failed(served)
            skipped = set() if served >= STABLE else skipped
        steps = data.draw(st.sampled_from([None, *PLANS.values()]))
        before = ladder.given_up
        advice = ladder.advise(now, steps)
        if before and not ladder.given_up:
            skipped = set()
        if advice.step is None:
            assert advice.seconds > 0
            continue
        step, rung = advice.step, next(rung for rung in table if rung.step is advice.step)
        assert advice.verdict is Verdict.STEP
        assert steps is None or step in steps
        assert step not in skipped
        assert not done[step] or now - done[step][-1] >= rung.cooldown
        assert sum(now - at < HOUR for at in done[step]) < rung.per_hour
        result = data.draw(st.sampled_from(list(Result)))
        ladder.note(step, result, "", now)
        if result is Result.SKIPPED:
            skipped.add(step)
        else:
            done[step].append(now)


@given(st.lists(st.sampled_from([trouble for trouble in Trouble if trouble in PLANS]), min_size=1, max_size=40))
def test_a_modem_that_nothing_helps_is_given_up_in_the_end(troubles: list[Trouble]) -> None:
    ladder, now, steps = Ladder(), 0.0, 0
    for trouble in [*troubles, *[troubles[-1]] * 100]:
        ladder.failed(0.0)
        advice = ladder.advise(now, PLANS[trouble])
        if advice.verdict is Verdict.GIVE_UP:
            break
        if advice.step is not None:
            steps += 1
            ladder.note(advice.step, Result.DONE, "", now)
        now += max(1.0, advice.seconds)
    assert ladder.given_up
    assert steps <= sum(rung.tries for rung in LADDER)


# Without a network (domain A10)

LOST = timeouts.LOST_NETWORK


def test_a_short_absence_is_nobodys_business() -> None:
    absence = Absence()
    for now in (0.0, 2.0, LOST - 1):
        assert absence.look(Registration.SEARCHING, now, None) is Due.NOTHING


def test_a_long_one_is_the_radio_twice_an_hour_at_most_and_a_restart_a_few_times_a_day() -> None:
    absence = Absence()
    done: list[tuple[Due, float]] = []
    now = 0.0
    while now < 24 * HOUR:
        due = absence.look(Registration.SEARCHING, now, None)
        if due is not Due.NOTHING:
            step = Step.RADIO if due is Due.RADIO else Step.CFUN
            absence.ladder.note(step, Result.DONE, "", now)
            done.append((due, now))
        now += 10.0
    assert done[0] == (Due.RADIO, LOST)
    assert [due for due, _ in done][:3] == [Due.RADIO, Due.RADIO, Due.RESTART]
    gaps = [after - before for (_, before), (_, after) in itertools.pairwise(done)]
    assert min(gaps) >= 1800
    assert sum(due is Due.RESTART for due, _ in done) <= 4


def test_a_network_in_between_begins_anew() -> None:
    absence = Absence()
    absence.look(Registration.SEARCHING, 0.0, None)
    assert absence.look(Registration.SEARCHING, LOST + 10, LOST) is Due.NOTHING
    assert absence.look(Registration.HOME, 2 * LOST, LOST) is Due.NOTHING
    assert absence.look(Registration.SEARCHING, 2 * LOST, LOST) is Due.RADIO


def test_a_sim_that_the_network_refuses_is_helped_by_no_radio_and_no_restart() -> None:
    absence = Absence()
    for now in range(0, 10 * int(LOST), 30):  # it searches in between, as they do
        registration = Registration.SEARCHING if now % 60 else Registration.DENIED
        assert absence.look(registration, float(now), None) is Due.NOTHING
    assert absence.look(Registration.SEARCHING, 10 * LOST + 100, None) is Due.RADIO, (
        "refused no more, and still without"
    )


# Who hangs on what (domain A13)


class Modem:
    def __init__(self, usb_path: str | None, *, sending: bool = False, can_send: bool = False) -> None:
        self.usb_path = usb_path
        self.sending = sending
        self.can_send = can_send


@pytest.mark.parametrize(
    ("path", "hub"), [("1-1", "usb1"), ("1-1.3", "1-1"), ("1-1.3.2", "1-1.3"), ("12-2.10", "12-2"), ("3-12", "usb3")]
)
def test_the_hub_of_a_plug(path: str, hub: str) -> None:
    assert hub_of(path) == hub


@pytest.mark.parametrize(
    ("other", "shared"),
    [("1-1.2", True), ("1-1.2.4", True), ("1-2", False), ("1-11.2", False), ("2-1.2", False), (None, False)],
)
def test_a_hub_is_left_alone_while_another_modem_on_it_sends(other: str | None, shared: bool) -> None:
    outlets = Outlets()
    outlets.join("stick-1", Modem("1-1.3", sending=True), None)
    outlets.join("stick-2", (neighbour := Modem(other, sending=True)), None)
    refusal = outlets.hub_refusal("stick-1", "1-1.3", 1000.0)
    if shared:
        assert refusal is not None
        assert refusal.outcome == "refused", "not just now"
        assert refusal.sentence == "stick-2 on the same hub is sending"
    else:
        assert refusal is None
    neighbour.sending = False
    assert outlets.hub_refusal("stick-1", "1-1.3", 1000.0) is None


def test_who_works_does_not_lose_its_current() -> None:
    outlets = Outlets()
    outlets.join("stick-1", Modem("1-1.1", can_send=True), None)
    outlets.join("stick-2", Modem("1-1.2", can_send=True), None)
    outlets.join("stick-3", Modem("1-1.3", sending=True), None)
    outlets.join("stick-4", Modem("1-1.4"), None)
    outlets.join("stick-5", Modem(None, can_send=True), None)
    assert outlets.busy() == {"1-1.1", "1-1.2", "1-1.3"}


def test_a_hub_is_switched_once_in_a_quarter_of_an_hour_whoever_asks() -> None:
    outlets = Outlets()
    for name, path in (("stick-1", "1-1.3"), ("stick-2", "1-1.2"), ("stick-3", "1-2.1")):
        outlets.join(name, Modem(path), None)
    outlets.switched("stick-1", Step.HUB_POWER, "1-1.3", 1000.0)
    refusal = outlets.hub_refusal("stick-2", "1-1.2", 1300.0)
    assert refusal is not None
    assert refusal.sentence == "a port of its hub was switched 5 minutes ago"
    assert outlets.hub_refusal("stick-3", "1-2.1", 1300.0) is None
    assert outlets.hub_refusal("stick-2", "1-1.2", 1900.0) is None


def test_a_switch_that_feeds_a_modem_which_works_is_not_touched() -> None:
    outlets = Outlets()
    outlets.join("stick-1", Modem("1-1.3"), "plug-1")
    outlets.join("stick-2", (other := Modem("1-1.2", can_send=True)), "plug-1")
    outlets.join("stick-3", Modem("1-1.1", can_send=True, sending=True), "plug-2")
    refusal = outlets.switch_refusal("stick-1", 0.0)
    assert refusal is not None
    assert refusal.sentence == "the switch feeds stick-2 too, which works"
    other.can_send = False
    assert outlets.switch_refusal("stick-1", 0.0) is None
    outlets.switched("stick-1", Step.POWER_SWITCH, None, 0.0)
    assert outlets.switch_refusal("stick-2", 60.0) is not None, "it is the same switch"
    outlets.leave("stick-2")
    unknown = outlets.switch_refusal("stick-2", 60.0)
    assert unknown is not None
    assert unknown.outcome == "not_supported"
