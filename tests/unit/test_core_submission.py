"""Orders in: what is refused, what is the same order again, what is durable."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.pdu import estimate
from sms_bridge.core.events import status_json
from sms_bridge.core.model import Accepted, Rejected, Rejection, SendRequest, StatusError, StatusEvent
from sms_bridge.core.numbers import DictContactBook
from sms_bridge.core.settings import CoreSettings
from sms_bridge.core.states import OrderState
from sms_bridge.core.submission import MAX_TRANSACTION, prepare
from tests.support.desk import ANNA, FAST, STICK, open_desk, sent

BOB = "+36209999999"

CONTRACT_STATUS = [
    "event_type", "id", "to", "state", "route", "modem", "sim", "parts", "parts_sent", "encoding", "attempt", "ts",
    "error", "transaction",
]  # fmt: skip


@pytest.fixture
async def desk(tmp_path):
    async with open_desk(tmp_path, knows_modem=lambda name: name in ("stick", "other")) as opened:
        yield opened


async def test_an_accepted_order_is_queued_in_the_outbox(desk):
    result = await desk.order("door-1", "Front door open", transaction=23)
    assert result == Accepted("door-1", 1)
    (row,) = await desk.journal.outbox_after(0, 10)
    assert json.loads(row.payload) == {
        "event_type": "queued", "id": "door-1", "to": ANNA, "state": "queued", "route": None, "modem": None,
        "sim": None, "parts": 1, "parts_sent": 0, "encoding": "gsm7", "attempt": 1,
        "ts": "2026-11-22T19:00:00.000+00:00", "error": None, "transaction": 23,
    }  # fmt: skip
    assert list(json.loads(row.payload)) == CONTRACT_STATUS


async def test_an_order_without_id_gets_a_ulid(desk):
    (result,) = await desk.submit(SendRequest(to=(ANNA,), text="x"))
    assert len(result.id) == 26


async def test_one_recipient_named_twice_gets_one_message(desk):
    result = await desk.order("a", to=(ANNA, "+36 30 123 4567", BOB))
    assert result.orders == 2


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"text": ""}, "empty_text"),
        ({"text": None}, "empty_text"),
        ({"text": None, "data": b""}, "empty_text"),
        ({"text": "x" * 256 * 1024}, "too_long"),
        ({"text": "ű" * 67 * 256}, "too_long"),
        ({"text": None, "data": b"x" * 140 * 300}, "too_long"),
        ({"text": "half \ud83d"}, "invalid_text"),
        ({"text": "👍", "encoding": "gsm7"}, "not_encodable"),
        ({"text": "x", "encoding": "utf-8"}, "not_encodable"),
        ({"to": ()}, "no_recipient"),
        ({"to": ("+1",)}, "invalid_number"),
        ({"to": ("\ud800",)}, "invalid_number"),
        ({"to": ("@carl",)}, "unknown_contact"),
        ({"to": tuple(f"+3630{n:07}" for n in range(1001))}, "too_many_recipients"),
        ({"modem": "none"}, "unknown_modem"),
        ({"route": "pigeon"}, "unknown_route"),
        ({"id": ""}, "invalid_id"),
        ({"id": "x" * 201}, "invalid_id"),
        ({"id": "\ud800"}, "invalid_id"),
        ({"transaction": float("nan")}, "invalid_transaction"),
        ({"transaction": "x" * (MAX_TRANSACTION - 1)}, "invalid_transaction"),
    ],
)
async def test_bad_input_is_rejected_with_code_and_sentence_and_the_next_goes_through(desk, fields, code):
    bad = SendRequest(**{"to": (ANNA,), "text": "x", "id": "bad", **fields})
    good = SendRequest(to=(ANNA,), text="y", id="good")
    results = await desk.submit(bad, good)
    assert isinstance(results[0], Rejected)
    assert results[1] == Accepted("good", 1)
    rejected, queued = desk.statuses()
    assert (rejected["state"], rejected["error"]["code"]) == ("rejected", code)
    assert len(rejected["error"]["text"]) > 10
    assert list(rejected) == CONTRACT_STATUS
    assert queued["state"] == "queued"


@pytest.mark.parametrize("character", ["x", "ű"])
async def test_the_longest_transaction_comes_back(desk, character):
    longest = character * (MAX_TRANSACTION - 2)  # and its quotes
    assert await desk.order("a", transaction=longest) == Accepted("a", 1)
    assert desk.statuses("a")[0]["transaction"] == longest


async def test_one_bad_recipient_does_not_stop_the_others(desk):
    result = await desk.order("a", to=(ANNA, "nonsense", BOB))
    assert (result.orders, [r.to for r in result.rejections]) == (2, ["nonsense"])
    assert [(s["to"], s["state"]) for s in desk.statuses("a")] == [
        (ANNA, "queued"),
        (BOB, "queued"),
        ("nonsense", "rejected"),
    ]


async def test_the_same_order_again_sends_once_and_repeats_the_status(desk):
    await desk.order("a", transaction=1)
    await desk.send(sent())
    before = desk.statuses("a")
    again = await desk.order("a", transaction=2, priority=5, deadline=desk.clock.datetime + timedelta(hours=1))
    assert again == Accepted("a", 0, repeated=True)
    assert desk.statuses("a")[len(before) :] == [before[-1]]
    assert desk.dispatcher.try_claim(STICK) is None


async def test_the_same_order_twice_in_one_batch_is_one_order(desk):
    request = SendRequest(to=(ANNA,), text="x", id="a")
    first, second = await desk.submit(request, request)
    assert (first.repeated, second.repeated) == (False, True)
    assert desk.states("a") == ["queued", "queued"]
    assert (await desk.journal.read(lambda r: r.counts()))["ready"] == 1


async def test_a_repeated_order_rejects_its_bad_recipient_again(desk):
    for _ in range(2):
        await desk.order("a", to=(ANNA, "nonsense"))
    assert [s["state"] for s in desk.statuses("a")] == ["queued", "rejected", "queued", "rejected"]


@pytest.mark.parametrize(
    "other", [{"text": "other"}, {"to": (BOB,)}, {"to": (ANNA, BOB)}, {"flash": True}, {"text": None, "data": b"hello"}]
)
async def test_an_id_used_again_for_another_message_is_a_conflict(desk, other):
    await desk.order("a", "hello")
    result = (await desk.submit(SendRequest(**{"id": "a", "to": (ANNA,), "text": "hello", **other})))[0]
    assert isinstance(result, Rejected)
    assert desk.statuses("a")[-1]["error"]["code"] == "conflict"
    assert (await desk.journal.read(lambda r: r.counts()))["ready"] == 1


async def test_what_was_rejected_may_come_again_with_the_same_id(desk):
    await desk.order("a", "")
    assert isinstance(await desk.order("a", "now with text"), Accepted)


def delivery(key="epoch-1/17/abcd", redelivered=False, text="x", **fields):
    return SendRequest(to=(ANNA,), text=text, delivery_key=key, redelivered=redelivered, **fields)


async def test_a_redelivery_without_id_is_recognised_by_its_delivery(desk):
    (first,) = await desk.submit(delivery())
    (again,) = await desk.submit(delivery(redelivered=True))
    assert again == Accepted(first.id, 0, repeated=True)
    assert desk.states(first.id) == ["queued", "queued"]


async def test_an_equal_order_that_is_no_redelivery_is_a_new_one(desk):
    results = [(await desk.submit(delivery(redelivered=False)))[0] for _ in range(2)]
    assert [r.repeated for r in results] == [False, False]


async def test_a_redelivery_that_was_never_committed_is_accepted(desk):
    (result,) = await desk.submit(delivery(redelivered=True))
    assert (result.repeated, result.orders) == (False, 1)


async def test_deliveries_are_remembered_across_a_restart(tmp_path):
    async with open_desk(tmp_path) as desk:
        (first,) = await desk.submit(delivery())
    async with open_desk(tmp_path) as desk:
        (again,) = await desk.submit(delivery(redelivered=True))
        assert again == Accepted(first.id, 0, repeated=True)


async def test_an_order_past_its_deadline_is_expired_at_once_and_stays_so(desk):
    late = {"deadline": desk.clock.datetime - timedelta(seconds=1)}
    await desk.order("a", **late)
    await desk.order("a", **late)
    assert desk.states("a") == ["expired", "expired"]
    assert desk.dispatcher.try_claim(STICK) is None


async def test_a_scheduled_order_is_queued_when_its_time_has_come(desk):
    await desk.order("a", send_at=desk.clock.datetime + timedelta(seconds=30))
    await desk.tick()
    assert desk.dispatcher.try_claim(STICK) is None
    desk.clock.forward(31)
    await desk.tick()
    assert desk.states("a") == ["scheduled", "queued"]
    await desk.send(sent())
    assert desk.states("a")[-1] == "sent"


async def test_a_schedule_in_the_past_goes_at_once(desk):
    await desk.order("a", send_at=desk.clock.datetime - timedelta(days=1))
    assert desk.states("a") == ["queued"]


async def test_a_schedule_after_its_own_deadline_expires(desk):
    now = desk.clock.datetime
    await desk.order("a", send_at=now + timedelta(hours=2), deadline=now + timedelta(hours=1))
    assert desk.states("a") == ["expired"]


async def test_a_queued_order_expires_at_its_deadline(desk):
    await desk.order("a", deadline=desk.clock.datetime + timedelta(seconds=10))
    await desk.order("b")
    desk.clock.forward(11)
    await desk.tick()
    assert desk.states("a") == ["queued", "expired"]
    job = await desk.dispatcher.claim(STICK)
    assert job.order.id == "b"


async def test_input_that_never_was_a_request_is_rejected_durably(desk):
    await desk.told(desk.service.reject(Rejection("invalid_json", "line 1 is no JSON", None, None, None)))
    (row,) = await desk.journal.outbox_after(0, 10)
    assert json.loads(row.payload)["error"] == {
        "code": "invalid_json",
        "text": "line 1 is no JSON",
        "retryable": False,
    }


async def test_transliteration_keeps_a_text_in_the_cheap_alphabet(desk):
    await desk.order("a", "„Őszi” – 50 € … łódź", transliterate=True)
    assert desk.statuses("a")[-1]["encoding"] == "gsm7"
    job = await desk.dispatcher.claim(STICK)
    assert job.order.text == '"Öszi" - 50 € ... lodz'


async def test_transliteration_is_only_done_when_asked_for(desk):
    await desk.order("a", "„Őszi”")
    assert desk.statuses("a")[-1]["encoding"] == "ucs2"


@given(st.text(st.characters(max_codepoint=0x7F), min_size=1, max_size=170))
def test_the_quick_count_of_plain_texts_agrees_with_the_codec(text):
    request = SendRequest(to=(ANNA,), text=text, id="a")
    (order,) = prepare(request, 0, FAST, DictContactBook(), lambda name: True).orders
    counted = estimate(text)
    assert (order.parts, order.encoding) == (counted.segments, counted.encoding)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(), max_size=5), inner, max_size=3)
    ),
)


@given(
    st.builds(
        SendRequest,
        to=st.lists(st.text(st.characters(), max_size=20), max_size=3).map(tuple),
        text=st.none() | st.text(st.characters(), max_size=200),
        id=st.none() | st.text(st.characters(), max_size=210),
        data=st.none() | st.binary(max_size=300),
        port=st.none() | st.integers(-1, 70_000),
        priority=st.integers(-1000, 1000),
        validity=st.none() | st.integers(-(2**63), 2**63),
        transaction=json_values,
        transliterate=st.booleans(),
    )
)
def test_whatever_a_request_contains_it_gives_orders_or_rejections(request_):
    prepared = prepare(request_, 0, CoreSettings(default_region="HU"), DictContactBook(), lambda name: False)
    assert prepared.orders or prepared.rejections
    for status in prepared.statuses:
        json.loads(status.encode())


@given(
    st.none() | st.text(st.characters(), max_size=30),
    st.none() | st.text(st.characters(), max_size=30),
    st.text(st.characters(), max_size=30),
)
def test_a_status_is_always_json_in_utf8(id, to, text):
    event = StatusEvent(id, to, OrderState.REJECTED, 0, error=StatusError("code", text))
    decoded = json.loads(status_json(event).encode())
    assert (decoded["id"], decoded["to"], decoded["error"]["text"]) == (id, to, text)
    assert list(decoded) == CONTRACT_STATUS
