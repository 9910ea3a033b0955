"""Which order a message answers: questions with options and marks, times that are over, and nobody's question."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.types import Action
from sms_bridge.core import talking
from sms_bridge.core.answers import GAP
from sms_bridge.core.asking import Expect, Option, choose, fold, take_token, token_of, with_token
from sms_bridge.core.model import InboundMessage
from sms_bridge.core.settings import CoreSettings, ReplySettings
from tests.support.desk import ANNA, START, STICK, ManualClock, deliver, open_desk, refused, sent, unknown

BOB = "+36209999999"
GATE = (Option.of("1", "open"), Option.of("2|no|nem", "ignore"))
SETTINGS = CoreSettings(default_region="HU", contacts={"anna": "06301234567"})


@pytest.fixture
async def desk(tmp_path):
    async with open_desk(tmp_path, SETTINGS) as opened:
        yield opened


async def ask(desk, id="q", expect=None, **fields):
    """An order that asks, sent, its time begun."""
    expect = expect or Expect(600, GATE)
    await desk.order(id, "Open the gate?", expect=expect, priority=9, **fields)
    await desk.send(sent())
    await desk.tick()


async def say(desk, text="1", sender=ANNA, **fields):
    """A received message as it is published."""
    desk.clock.forward(1)
    await desk.receive(*deliver(text, sender, at=desk.clock.datetime, **fields))
    return desk.published("in")[-1]


@pytest.mark.parametrize(
    ("text", "option"),
    [
        ("1", "1"), (" 1 ", "1"), ("1.", "1"), ("1 please", "1"), ("１", "1"), ("1️⃣", "1"), ("١", "1"),
        ("\u200f1\u200f", "1"),
        ("No", "2"), ("NEM!", "2"), ("nem, köszi", "2"), ("ném", "2"), ("12", None), ("please 1", None), ("", None),
        ("not", None), ("1" * 10_000, None),
    ],
)  # fmt: skip
def test_options_are_found_however_they_are_written(text, option):
    found = choose(GATE, text)
    assert (found.name if found else None) == option


def test_the_whole_text_goes_before_how_it_begins_and_the_longer_word_before_the_shorter():
    options = (Option.of("opt", "a"), Option.of("opt in", "b"), Option.of("👍", "c"))
    assert choose(options, "Opt in!").value == "b"
    assert choose(options, "opt in now").value == "b"
    assert choose(options, "opt out").value == "a"
    assert choose(options, "👍🏽").value == "c"


@given(st.text(max_size=200))
def test_any_text_can_be_looked_at(text):
    assert fold(fold(text)) == fold(text)
    choose(GATE, text)
    take_token(text)


@given(st.text(min_size=1, max_size=40))
def test_a_mark_is_found_again(id):
    token = token_of(id)
    text = with_token("Gate?", token)
    assert with_token(text, token) == text
    assert take_token(f"1 #{token.upper()}")[0] == token
    assert take_token(text)[0] == token


async def test_a_reply_names_the_order_and_the_option(desk):
    await ask(desk)
    message = await say(desk, "1")
    assert message["in_reply_to"] == "q"
    assert message["reply"] == {"option": "1", "value": "open", "late": False, "step": None}
    (order,) = await desk.service.get("q")
    assert order["reply"]["state"] == "answered"


async def test_a_number_in_national_form_is_the_same_person(tmp_path):
    async with open_desk(tmp_path, CoreSettings()) as desk:  # no region to complete it with
        await ask(desk)
        assert (await say(desk, "1", "06301234567"))["reply"]["value"] == "open"


async def test_two_people_whose_numbers_end_alike_are_not_mistaken_for_each_other(tmp_path):
    async with open_desk(tmp_path, CoreSettings()) as desk:
        await ask(desk, "q1")
        await ask(desk, "q2", to=("+43660" + ANNA[-7:],))
        assert (await say(desk, "1", "06301234567"))["in_reply_to"] is None


@pytest.mark.parametrize("sender", [BOB, "Bank", "1234567", "1755"])
async def test_an_answer_of_somebody_else_is_none(desk, sender):
    await ask(desk)
    assert (await say(desk, "1", sender))["reply"] is None
    assert (await say(desk, "1"))["reply"]["value"] == "open"


async def test_a_text_that_fits_no_option_names_the_order_and_leaves_the_question_open(desk):
    await ask(desk)
    assert (await say(desk, "who is this?"))["reply"] == {"option": None, "value": None, "late": False, "step": None}
    assert (await say(desk, "1"))["reply"]["value"] == "open"


async def test_any_text_is_the_answer_where_it_may_be(desk):
    await ask(desk, expect=Expect(600, GATE, any=True))
    assert (await say(desk, "later"))["reply"]["option"] is None
    assert (await say(desk, "1"))["reply"] is None


async def test_a_second_answer_does_nothing_twice(desk):
    await ask(desk)
    await say(desk, "1")
    second = await say(desk, "1")
    assert (second["in_reply_to"], second["reply"]) == ("q", None)


async def test_of_several_questions_the_one_that_fits_is_answered_else_the_newest(desk):
    await ask(desk, "old", Expect(600, (Option.of("a", "x"),)))
    await ask(desk, "new", Expect(600, (Option.of("b", "y"),)))
    assert (await say(desk, "a"))["in_reply_to"] == "old"
    assert (await say(desk, "hm"))["in_reply_to"] == "new"
    assert (await say(desk, "b"))["reply"]["value"] == "y"


async def test_a_mark_makes_it_sure(desk):
    expect = Expect(600, GATE, token=True)
    await ask(desk, "first", expect)
    await ask(desk, "second", expect)
    mark = token_of("first")
    assert desk.published("status")[0]["parts"] == 1
    assert (await say(desk, f"1 #{mark}"))["in_reply_to"] == "first"
    assert (await say(desk, "1"))["in_reply_to"] == "second"


async def test_the_mark_stands_in_the_message(desk):
    await desk.order("q", "Open?", expect=Expect(600, GATE, token=True))
    job = await desk.dispatcher.claim(STICK)
    assert job.order.text == f"Open? #{token_of('q')}"


async def test_the_time_begins_when_the_message_has_gone_out(desk):
    await desk.order("q", "Open?", expect=Expect(600, GATE))
    for _ in range(3):
        desk.clock.forward(500)
        await desk.tick()
    assert desk.published("event") == []
    await desk.send(sent())
    await desk.tick()
    desk.clock.forward(599)
    await desk.tick()
    assert desk.published("event") == []
    assert (await say(desk, "1"))["reply"]["late"] is True  # the 600th second is over


async def test_a_time_out_is_an_event_and_a_late_answer_says_so_and_opens_nothing(desk):
    await ask(desk, transaction={"room": 7})
    desk.clock.forward(600)
    await desk.tick()
    await desk.tick()
    (event,) = desk.published("event")
    assert event["event_type"] == "reply_timeout"
    assert (event["id"], event["contact"], event["transaction"]) == ("q", "anna", {"room": 7})
    assert (event["state"], event["step"]) == ("sent", None)
    assert ANNA not in str(event)
    late = await say(desk, "1")
    assert late["reply"] == {"option": "1", "value": None, "late": True, "step": None}
    assert (await say(desk, "1"))["reply"] is None


async def test_after_a_day_nobody_answers_any_more(desk):
    await ask(desk)
    for _ in range(2):
        desk.clock.forward(86_400)
        await desk.tick()
    assert (await say(desk, "1"))["reply"] is None


async def test_an_open_question_is_not_hidden_by_many_that_are_answered(desk):
    await ask(desk, "first", Expect(6000, (Option.of("a", "x"),)))
    for n in range(25):
        await ask(desk, f"q{n}")
        await say(desk, "1")
    assert (await say(desk, "a"))["in_reply_to"] == "first"


async def test_a_reply_that_comes_before_the_tick_is_late_all_the_same_and_the_event_comes_first(desk):
    await ask(desk)
    desk.clock.forward(601)
    assert (await say(desk, "1"))["reply"]["late"] is True
    await desk.tick()
    assert [event["event_type"] for event in desk.published("event")] == ["reply_timeout"]


async def test_questions_of_tomorrow_do_not_hold_up_those_of_today(desk, monkeypatch):
    monkeypatch.setattr(talking, "LIMIT", 2)
    for n in range(3):
        later = START + timedelta(days=1)
        await desk.order(f"later{n}", "Open?", expect=Expect(600, GATE), send_at=later)
    await ask(desk)
    desk.clock.forward(600)
    await desk.tick()
    assert [event["id"] for event in desk.published("event")] == ["q"]


async def test_nobody_answers_what_was_never_sent(desk):
    await desk.order("q", "Open?", expect=Expect(600, GATE))
    assert (await say(desk, "1"))["in_reply_to"] is None
    await desk.send(refused(Action.FAIL))
    await desk.tick()
    (event,) = desk.published("event")
    assert (event["event_type"], event["state"]) == ("reply_timeout", "failed")


async def test_a_cancelled_question_is_over_without_a_word(desk):
    await desk.order("q", "Open?", expect=Expect(600, GATE))
    await desk.service.cancel("q")
    await desk.tick()
    assert desk.published("event") == []


async def test_what_may_have_been_sent_may_be_answered(desk):
    await desk.order("q", "Open?", expect=Expect(600, GATE))
    await desk.send(unknown())
    assert (await say(desk, "1"))["reply"]["value"] == "open"


async def test_each_recipient_of_a_group_has_an_answer_of_his_own(desk):
    await desk.order("vote", "Pizza?", (ANNA, BOB), expect=Expect(600, GATE))
    await desk.send(sent(1))
    await desk.send(sent(2))
    assert (await say(desk, "1"))["reply"]["value"] == "open"
    assert (await say(desk, "nem", BOB))["reply"]["value"] == "ignore"


async def test_a_clock_that_jumps_neither_ends_nor_prolongs_a_question(desk):
    await ask(desk)
    desk.clock.learn(START + timedelta(days=200))
    await desk.tick()
    desk.clock.forward(590)
    await desk.tick()
    assert not [event for event in desk.published("event") if event["event_type"] == "reply_timeout"]
    desk.clock.learn(START - timedelta(days=3))
    await desk.tick()
    desk.clock.forward(15)
    await desk.tick()
    assert [event["event_type"] for event in desk.published("event")].count("reply_timeout") == 1


async def test_a_restart_forgets_no_question(tmp_path):
    clock = ManualClock()
    async with open_desk(tmp_path, SETTINGS, clock) as desk:
        await desk.order("q", "Open?", expect=Expect(600, GATE))
        await desk.send(sent())
    async with open_desk(tmp_path, SETTINGS, clock) as desk:
        await desk.tick()
        desk.clock.forward(10)
        assert (await say(desk, "1"))["reply"]["value"] == "open"


async def test_a_message_of_somebody_who_was_written_to_names_the_last_order(desk):
    await desk.order("a")
    await desk.send(sent())
    await desk.order("b")
    await desk.send(sent())
    await desk.order("waits")
    assert (await say(desk, "thanks"))["in_reply_to"] == "b"
    assert (await say(desk, "thanks", BOB))["in_reply_to"] is None
    desk.clock.forward(86_400)
    assert (await say(desk, "thanks"))["in_reply_to"] is None


async def test_the_window_can_be_closed(tmp_path):
    async with open_desk(tmp_path, CoreSettings(replies=ReplySettings(window=0))) as desk:
        await desk.order("a")
        await desk.send(sent())
        assert (await say(desk, "thanks"))["in_reply_to"] is None


async def test_a_long_reply_that_comes_in_pieces_is_one_answer(desk):
    await ask(desk)
    first, second = deliver("1 " + "and so on " * 20, ANNA, at=desk.clock.datetime)
    await desk.receive(first)
    desk.clock.forward(3601)
    await desk.tick()
    partial = desk.published("in")[-1]
    await desk.receive(second)
    whole = desk.published("in")[-1]
    assert (partial["partial"], whole["partial"]) == (True, False)
    assert whole["in_reply_to"] == partial["in_reply_to"] == "q"
    assert whole["reply"] == partial["reply"]


async def test_help_is_sent_once_and_answers_are_braked(desk):
    help_text = "Reply 1 to open, 2 to leave it"
    await ask(desk, "a", Expect(600, GATE, help=help_text))
    await say(desk, "what?")
    await say(desk, "what?")
    answers = [status for status in desk.published("status") if status["id"].startswith("answer-")]
    assert [status["state"] for status in answers] == ["queued"]
    assert (await desk.send(sent())).order.text == help_text
    await ask(desk, "b", Expect(600, GATE, help=help_text))
    await say(desk, "what?")  # within five minutes
    desk.clock.forward(GAP / 1000)
    await ask(desk, "c", Expect(600, GATE, help=help_text))
    await say(desk, "what?")
    answers = [status for status in desk.published("status") if status["id"].startswith("answer-")]
    assert [status["state"] for status in answers].count("queued") == 2


async def test_no_more_than_five_answers_a_day(desk):
    for n in range(8):
        await ask(desk, f"q{n}", Expect(600, GATE, help="?"))
        await say(desk, "what?")
        desk.clock.forward(GAP / 1000)
    answers = {status["id"] for status in desk.published("status") if status["id"].startswith("answer-")}
    assert len(answers) == 5


async def test_our_own_sims_get_no_automatic_answer(tmp_path):
    async with open_desk(tmp_path, SETTINGS, own_numbers=lambda: ["06301234567"]) as desk:
        await ask(desk, "a", Expect(600, GATE, help="?"))
        await say(desk, "what?")
        assert not [status for status in desk.published("status") if status["id"].startswith("answer-")]


async def test_what_a_route_receives_answers_too(desk):
    await ask(desk)
    message = InboundMessage("smpp:backup", ANNA, None, "1", None, "gsm7", desk.clock.now())
    await desk.told(desk.service.receive_messages([message]))
    published = desk.published("in")[-1]
    assert (published["route"], published["in_reply_to"], published["reply"]["value"]) == ("smpp:backup", "q", "open")
