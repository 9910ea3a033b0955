"""Commands by SMS: who may, with which PIN or code, how often, into which payload; and what hostile texts do."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sms_bridge.automation.commands import Commands
from sms_bridge.automation.dispatch import Outgoing
from sms_bridge.automation.totp import STEP, code_at, step_of
from sms_bridge.automation.wording import arguments, filled, masked, spoken
from sms_bridge.core.commandplan import Argument, CommandPlan
from sms_bridge.core.settings import CoreSettings
from tests.support.desk import ANNA, START, ManualClock, deliver, open_desk, sent
from tests.support.examples import examples

STRANGER = "+36209999999"
ROUTE_SECRET = b"12345678901234567890"
ACTION = Argument("action", ("open", "close"))
MINUTES = Argument("minutes", low=1, high=60)
GATE = CommandPlan("gate", "gate {action}", ("@anna",), "home/gate/set", (ACTION,), '{"state": "{action}"}')
PINNED = CommandPlan("door", "door open", ("#family",), "home/door/set", pin="4711", payload="OPEN", denied="no")
CODED = CommandPlan("safe", "safe open", ("@anna",), "home/safe/set", totp=ROUTE_SECRET, payload="OPEN")
HEAT = CommandPlan("heat", "heat {minutes} {room}", (ANNA,), "home/heat", (MINUTES, Argument("room")))
ASKED = CommandPlan("alarm", "alarm {action}", ("@anna",), "home/alarm", (ACTION,), "{action}", confirm=120.0)
PLANS = (GATE, PINNED, CODED, HEAT, ASKED)
SETTINGS = CoreSettings(default_region="HU", contacts={"anna": "06301234567"}, groups={"family": ("@anna",)})


@pytest.fixture
async def desk(tmp_path):
    async with open_desk(tmp_path, SETTINGS, listener=Commands(PLANS)) as opened:
        yield opened


async def say(desk, text, sender=ANNA, **fields):
    """A received message as it is published."""
    desk.clock.forward(1)
    await desk.receive(*deliver(text, sender, at=fields.pop("at", desk.clock.datetime), **fields))
    return desk.published("in")[-1]


async def waiting(desk):
    """(topic, payload) of the commands that are to be published."""
    found = await desk.journal.read(lambda reader: reader.dispatches(100))
    return [(each.topic, each.payload) for each in found]


def events(desk, kind="command"):
    return [event for event in desk.published("event") if event["event_type"] == kind]


def reasons(desk):
    return [event["reason"] for event in events(desk, "command_denied")]


def code(desk, seconds=0):
    return code_at(ROUTE_SECRET, int(desk.clock.datetime.timestamp() + seconds) // STEP)


@pytest.mark.parametrize(
    ("at", "expected"),
    [(59, "287082"), (1111111109, "081804"), (1234567890, "005924"), (2000000000, "279037")],
)
def test_codes_are_those_of_rfc_6238(at, expected):
    assert code_at(ROUTE_SECRET, at // STEP) == expected
    assert step_of(ROUTE_SECRET, expected, (at + STEP) * 1000) == at // STEP
    assert step_of(ROUTE_SECRET, expected, (at + 2 * STEP) * 1000) is None


async def test_a_command_is_published_on_its_topic_and_told_without_its_text(desk):
    message = await say(desk, "Gate OPEN")
    assert await waiting(desk) == [("home/gate/set", '{"state": "open"}')]
    (event,) = events(desk)
    assert (event["command"], event["contact"], event["id"]) == ("gate", "anna", message["id"])
    assert ANNA not in json.dumps(event)
    assert (message["text"], message["in_reply_to"]) == ("Gate OPEN", None)


async def test_without_a_payload_all_there_is_is_published(desk):
    message = await say(desk, "heat 30 kitchen")
    ((topic, payload),) = await waiting(desk)
    assert topic == "home/heat"
    assert json.loads(payload) == {
        "command": "heat", "contact": "anna", "id": message["id"], "arguments": {"minutes": 30, "room": "kitchen"},
    }  # fmt: skip


@pytest.mark.parametrize("sender", [STRANGER, "anna", "4711", "1234567"])
async def test_nobody_else_may(desk, sender):
    message = await say(desk, "gate open", sender)
    assert await waiting(desk) == []
    assert reasons(desk) == ["sender"]
    assert message["text"] == "gate open"


async def test_a_message_that_is_no_command_is_only_published(desk):
    for text in ("Hello", "gateway open", "please gate open", ""):
        await say(desk, text)
    assert (await waiting(desk), desk.published("event")) == ([], [])


@pytest.mark.parametrize(
    "text",
    [
        "gate", "gate opens", "gate open now", 'gate open","x":"y', "gate ../../other/topic", "gate home/#", "gate +",
        "gate \u202eopen evil", "gate open\x00close", 'gate {"a":1}', "gate $(reboot)", "heat 0 kitchen",
        "heat 61 kitchen",
        "heat 1e1 kitchen", "heat 10 kit/chen", 'heat 10 k"', "heat 99999999999 kitchen", "heat 10 " + "x" * 21,
    ],
)  # fmt: skip
async def test_arguments_are_what_the_configuration_allows_or_nothing(desk, text):
    await say(desk, text)
    assert await waiting(desk) == []
    assert reasons(desk) == ["arguments"]


async def test_ten_thousand_characters_are_no_command_and_published_whole(desk):
    text = "gate open " + "x" * 9_990
    for piece in range(0, len(text), 1_500):
        await say(desk, text[piece : piece + 1_500])
    parts = deliver(text, ANNA, at=desk.clock.datetime)
    await desk.receive(*parts)
    assert desk.published("in")[-1]["text"] == text
    assert await waiting(desk) == []


@settings(max_examples=examples(100), deadline=None)
@given(st.text(max_size=60), st.text(max_size=20))
def test_no_text_gets_into_a_payload_but_checked_arguments(text, word):
    for said in (text, f"gate {text}", f"heat 10 {word}", f"heat {word} x"):
        for plan in PLANS:
            found = spoken(plan, said)
            if found is None or not found.fits or (given_ := arguments(plan, found.words)) is None:
                continue
            assert all(isinstance(v, int) or v in ("open", "close") or v.isascii() for v in given_.values())
            if plan is GATE:
                assert json.loads(filled(GATE.payload, given_))["state"] in ("open", "close")
        masked(PINNED, said)


@given(st.text())
def test_what_is_put_into_a_payload_stays_one_json_text(text):
    assert json.loads(filled('{"a": "{x}", "b": {"c": 1}}', {"x": text})) == {"a": text, "b": {"c": 1}}


async def test_the_pin_opens_and_is_published_nowhere(desk):
    message = await say(desk, "door open 4711")
    assert await waiting(desk) == [("home/door/set", "OPEN")]
    assert message["text"] == "door open ****"
    inbox = (await desk.service.inbox()).messages
    assert "4711" not in json.dumps([inbox, desk.published("event")])


async def test_a_wrong_pin_is_denied_masked_and_locks_out_after_three(desk):
    for text in ("door open 4712", "Door open ４７１３", "door open"):
        message = await say(desk, text)
        assert not any(character.isdigit() for character in message["text"])
    assert reasons(desk) == ["pin", "pin", "arguments"]
    await say(desk, "door open 0000")
    await say(desk, "door open 4711")
    assert reasons(desk)[3:] == ["pin", "locked"]
    desk.clock.forward(3600)
    await say(desk, "door open 4711")
    assert await waiting(desk) == [("home/door/set", "OPEN")]


async def test_a_stranger_with_the_pin_opens_nothing_and_locks_nobody_out(desk):
    for _ in range(4):
        assert (await say(desk, "door open 1111", STRANGER))["text"] == "door open ****"
    await say(desk, "door open 4711", STRANGER)
    assert set(reasons(desk)) == {"sender"}
    await say(desk, "door open 4711")
    assert len(await waiting(desk)) == 1


async def test_a_lock_outlives_a_restart_and_no_clock_prolongs_it(tmp_path):
    clock = ManualClock()
    async with open_desk(tmp_path, SETTINGS, clock, listener=Commands(PLANS)) as desk:
        for _ in range(3):
            await say(desk, "door open 0000")
    async with open_desk(tmp_path, SETTINGS, clock, listener=Commands(PLANS)) as desk:
        await say(desk, "door open 4711")
        assert reasons(desk) == ["locked"]
        clock.learn(START - timedelta(days=100))
        await desk.tick()
        await say(desk, "door open 4711")
        clock.forward(3600)
        await say(desk, "door open 4711")
        assert reasons(desk) == ["locked"] * 3  # from the look after the jump it is an hour
        assert await waiting(desk) == []


async def test_a_code_is_good_once(desk):
    first = code(desk)
    await say(desk, f"safe open {first}")
    assert await waiting(desk) == [("home/safe/set", "OPEN")]
    await say(desk, f"safe open {first}")
    assert reasons(desk) == ["replayed"]
    desk.clock.forward(2 * STEP)
    await say(desk, f"safe open {code(desk)}")
    assert len(await waiting(desk)) == 2
    await say(desk, f"safe open {code(desk, -2 * STEP - 2)}")
    assert reasons(desk)[1] in ("totp", "replayed")


async def test_codes_near_the_time_are_taken_and_others_are_not(desk):
    await say(desk, f"safe open {code(desk, 3 * STEP)}")
    assert reasons(desk) == ["totp"]
    await say(desk, f"safe open {code(desk, STEP)}")
    assert len(await waiting(desk)) == 1
    await say(desk, f"safe open {code(desk)}")  # older than the one that was used
    assert reasons(desk) == ["totp", "replayed"]


async def test_without_the_time_there_is_no_code(tmp_path):
    clock = ManualClock(datetime(1970, 1, 2, tzinfo=UTC))
    async with open_desk(tmp_path, SETTINGS, clock, listener=Commands(PLANS)) as desk:
        await say(desk, f"safe open {code(desk)}", at=START)
        assert reasons(desk) == ["clock"]


async def test_so_often_and_no_oftener(desk):
    for _ in range(11):
        await say(desk, "gate open")
    assert reasons(desk) == ["rate"]
    desk.clock.forward(3600)
    await say(desk, "gate open")
    assert len(await waiting(desk)) == 11


async def test_what_was_under_way_for_too_long_is_not_done(desk):
    await say(desk, "gate open", at=desk.clock.datetime - timedelta(minutes=6))
    assert (reasons(desk), await waiting(desk)) == (["late"], [])


async def test_the_sender_is_asked_and_says_yes(desk):
    await say(desk, "alarm close")
    assert await waiting(desk) == []
    job = await desk.send(sent())
    assert job.order.text == "alarm close? Reply YES within 2 min"
    assert job.order.to == ANNA
    answer = await say(desk, "Yes!")
    assert answer["reply"]["value"] == "yes"
    assert await waiting(desk) == [("home/alarm", "close")]
    await say(desk, "yes")
    assert len(await waiting(desk)) == 1


@pytest.mark.parametrize(("text", "after", "reason"), [("no", 1, "refused"), ("yes", 130, None)])
async def test_no_and_too_late_are_no_yes(desk, text, after, reason):
    await say(desk, "alarm close")
    await desk.send(sent())
    await desk.tick()
    desk.clock.forward(after)
    await desk.tick()
    await say(desk, text)
    assert await waiting(desk) == []
    assert reasons(desk) == ([reason] if reason else [])


async def test_somebody_elses_yes_is_none(desk):
    await say(desk, "alarm close")
    await desk.send(sent())
    await say(desk, "yes", STRANGER)
    assert await waiting(desk) == []


async def test_answers_obey_the_brake(desk):
    for _ in range(3):
        await say(desk, "door open 0000")
    answers = {status["id"] for status in desk.statuses() if status["id"].startswith("answer-")}
    assert len(answers) == 1


async def test_a_message_in_pieces_keeps_its_pin_to_itself_each_time(desk):
    first, second = deliver("door open 4711 " + "x" * 150, ANNA, at=desk.clock.datetime)
    await desk.receive(first)
    desk.clock.forward(3601)
    await desk.tick()
    await desk.receive(second)
    partial, whole = desk.published("in")
    assert "4711" not in partial["text"] + whole["text"]
    assert await waiting(desk) == []


async def test_a_command_is_published_until_the_broker_has_it(desk):
    taken: list[tuple[str, str]] = []
    there = False

    async def publish(topic, payload, expires):
        assert 0 < expires <= 60
        if there:
            taken.append((topic, payload))
        return there

    outgoing = Outgoing(desk.journal, desk.clock, publish)
    await say(desk, "gate open")
    assert await outgoing.look()
    there = True
    assert not await outgoing.look()
    assert not await outgoing.look()
    assert taken == [("home/gate/set", '{"state": "open"}')]


async def test_what_the_broker_did_not_take_in_time_is_never_done(desk):
    async def publish(topic, payload, expires):
        raise AssertionError("too late")

    await say(desk, "gate open")
    desk.clock.learn(START + timedelta(days=9))
    await desk.tick()
    assert len(await waiting(desk)) == 1  # a jump of the clock is no time that passes
    desk.clock.forward(61)
    await Outgoing(desk.journal, desk.clock, publish).look()
    await desk.tick()
    assert (await waiting(desk), reasons(desk)) == ([], ["expired"])


async def test_a_command_does_not_outlive_the_machine(tmp_path):
    clock = ManualClock()
    async with open_desk(tmp_path, SETTINGS, clock, listener=Commands(PLANS)) as desk:
        await say(desk, "gate open")
    clock.reboot(START)  # it says that no time has passed
    async with open_desk(tmp_path, SETTINGS, clock, listener=Commands(PLANS)) as desk:
        (dispatch,) = await desk.journal.read(lambda reader: reader.dispatches(1))
        assert dispatch.expires_at == 0


async def test_what_a_killed_process_left_is_published_by_the_next_one(tmp_path):
    clock = ManualClock()
    async with open_desk(tmp_path, SETTINGS, clock, listener=Commands(PLANS)) as desk:
        await say(desk, "gate open")
    taken = asyncio.Event()

    async def publish(topic, payload, expires):
        taken.set()
        return True

    async with open_desk(tmp_path, SETTINGS, clock, listener=Commands(PLANS)) as desk:
        outgoing = Outgoing(desk.journal, clock, publish)
        outgoing.start()
        task = asyncio.create_task(outgoing.run())
        async with asyncio.timeout(5):
            await taken.wait()
        taken.clear()
        await say(desk, "gate close")
        async with asyncio.timeout(5):
            await taken.wait()
        assert len(await waiting(desk)) <= 1  # the first one is over
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_defect_in_a_command_keeps_no_message_from_being_published(tmp_path):
    class Broken(Commands):
        def heard(self, talk, heard):
            raise RuntimeError("a defect")

    async with open_desk(tmp_path, SETTINGS, listener=Broken(PLANS)) as desk:
        assert (await say(desk, "gate open"))["text"] == "gate open"
        assert desk.published("raw") == []
