"""Webhooks on the real journal, posted to a real socket: order, repeats, give up, replies."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import ssl
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from sms_bridge.core.model import OutboxKind
from sms_bridge.store.feed import Feed
from sms_bridge.store.restored import make_ready
from sms_bridge.web import delivery, replies, webhooks
from sms_bridge.web.delivery import Poster
from sms_bridge.web.replies import Replies
from sms_bridge.web.webhooks import LAST_RETRY, Hook, Webhook, Webhooks, pause
from tests.support.certificates import certificate
from tests.support.desk import ANNA, Desk, deliver, open_desk, sent
from tests.support.receiver import Receiver, receiving

OWN = "+36205550001"
SECRET = "a-secret-of-the-house"


@dataclass
class Hooked:
    desk: Desk
    feed: Feed
    running: Webhooks
    places: dict

    def events(self) -> list[str]:
        return [event["event_type"] for event in self.desk.published("event")]


@pytest.fixture(autouse=True)
def hasty(monkeypatch, eager):
    monkeypatch.setattr(webhooks, "FIRST_RETRY", 0.01)
    monkeypatch.setattr(webhooks, "LAST_RETRY", 0.02)
    monkeypatch.setattr(webhooks, "READ_RETRY", 0.02)


@pytest.fixture
async def there():
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
async def desk(tmp_path):
    async with open_desk(tmp_path) as opened:
        yield opened


@asynccontextmanager
async def hooked(desk: Desk, *hooks: Hook):
    feed, poster = Feed(desk.journal), Poster("sms-bridge/test")
    await poster.start()
    places = await feed.open({hook.name: (hook.url, hook.kinds) for hook in hooks})

    async def tell(event, data):
        await desk.service.event(event, **data)

    answers = Replies(desk.service, tell, lambda: {OWN})
    running = Webhooks(
        [
            Webhook(hook, places[hook.name].seen, feed, poster, answers, tell, desk.clock.now)
            for hook in hooks
            if not places[hook.name].disabled
        ]
    )
    desk.journal.on_outbox(running.added)
    running.start()
    try:
        yield Hooked(desk, feed, running, places)
    finally:
        await running.stop()
        await poster.stop()


def hook(receiver: Receiver, *events: str, name: str = "house", **fields) -> Hook:
    return Hook(name, receiver.url, frozenset(events or ("received",)), **fields)


async def test_what_happens_is_posted_in_order_signed_and_with_an_id(desk, there):
    there.usual = (204, "", {})
    async with hooked(desk, hook(there, "received", "sent", secret=SECRET, headers={"X-Own": "1"})) as house:
        await desk.receive(*deliver("first"))
        await desk.order("o-1", "second")
        await desk.send(sent(1))
        await desk.receive(*deliver("third"))
        posts = await there.wait(3)
        await there.until(lambda: house.running.figures()["house"]["delivered"] == 3)
    told = [(post.json["event"], post.json["data"].get("text") or post.json["data"]["state"]) for post in posts]
    assert told == [("received", "first"), ("status", "sent"), ("received", "third")]
    for post in posts:
        stamp = post.headers["x-sms-bridge-timestamp"]
        expected = hmac.new(SECRET.encode(), f"{stamp}.".encode() + post.body, hashlib.sha256).hexdigest()
        assert post.headers["x-sms-bridge-signature"] == f"sha256={expected}"
        assert abs(int(stamp) - time.time()) < 60
        assert post.headers["x-sms-bridge-event-id"] == post.json["id"]
        assert post.json["id"].startswith(f"{house.feed.id}-")
        assert (post.headers["x-own"], post.headers["user-agent"]) == ("1", "sms-bridge/test")
    assert len({post.json["id"] for post in posts}) == 3


async def test_a_failed_delivery_is_repeated_with_the_same_id_before_anything_else(desk, there):
    there.will(500)
    there.will(302, Location="http://127.0.0.1:1/elsewhere")
    there.will(429, Retry_After="0")
    async with hooked(desk, hook(there)) as house:
        await desk.receive(*deliver("first"))
        await desk.receive(*deliver("second"))
        posts = await there.wait(5)
        assert [post.json["data"]["text"] for post in posts] == ["first"] * 4 + ["second"]
        assert len({post.json["id"] for post in posts}) == 2
        assert house.running.figures()["house"]["failures"] == 3
        assert house.events() == []


async def test_a_webhook_that_never_answers_delays_nobody(desk, there):
    async with receiving() as dead, receiving() as refusing:
        dead.usual = None
        gone = Hook("gone", "http://127.0.0.1:1/x", frozenset({"received"}))
        async with hooked(desk, hook(dead, name="dead", timeout=0.2), gone, hook(there), hook(refusing, name="r")):
            for text in ("a", "b", "c"):
                await desk.receive(*deliver(text))
            assert [post.json["data"]["text"] for post in await there.wait(3)] == ["a", "b", "c"]
            await refusing.wait(3)
            await dead.wait(2)
            assert {post.json["data"]["text"] for post in dead.posts} == {"a"}
            await there.until(lambda: len(desk.published("event")) >= 2)
        reasons = {event["webhook"]: event["reason"] for event in desk.published("event")}
        assert reasons == {
            "dead": "it did not answer within 0.2 s", "gone": "it cannot be reached: Connection refused",
        }  # fmt: skip


async def test_what_was_not_delivered_is_delivered_after_the_next_start(tmp_path, there):
    there.usual = (503, "", {})
    async with open_desk(tmp_path) as desk, hooked(desk, hook(there)):
        await desk.receive(*deliver("first"))
        await desk.receive(*deliver("second"))
        await there.wait(2)
    there.posts.clear()
    there.usual = (200, "", {})
    async with open_desk(tmp_path) as desk:
        await desk.receive(*deliver("before they run"))
        async with hooked(desk, hook(there)) as house:
            texts = [post.json["data"]["text"] for post in await there.wait(3)]
            assert texts == ["first", "second", "before they run"]
            await there.until(lambda: house.running.figures()["house"]["delivered"] == 3)
            await asyncio.sleep(0.1)  # what was seen is recorded lazily
        assert await Feed(desk.journal).after(0, 10) == []


async def test_gone_ends_it_with_an_event_until_the_address_changes(tmp_path, there):
    there.will(410)
    async with open_desk(tmp_path) as desk:
        async with hooked(desk, hook(there)) as house:
            await desk.receive(*deliver("first"))
            await there.until(lambda: house.events() == ["webhook_disabled"])
            assert house.running.warnings() == ["the webhook house has answered 410 Gone: change its url, or remove it"]
            await desk.receive(*deliver("second"))
        async with hooked(desk, hook(there)) as house:
            assert house.places["house"].disabled
            await desk.receive(*deliver("third"))
            assert await house.feed.after(0, 10) == []
        there.url += "/new"
        async with hooked(desk, hook(there)):
            await desk.receive(*deliver("fourth"))
            assert [post.json["data"]["text"] for post in await there.wait(2)] == ["first", "fourth"]


async def test_a_new_webhook_gets_what_comes_and_a_removed_one_leaves_nothing(desk, there):
    await desk.receive(*deliver("before"))
    async with hooked(desk, hook(there)):
        await desk.receive(*deliver("after"))
        await there.wait(1)
    async with hooked(desk, hook(there, name="other")):
        await desk.receive(*deliver("later"))
        assert [post.json["data"]["text"] for post in await there.wait(2)] == ["after", "later"]
    feed = Feed(desk.journal)
    await feed.open({})
    await desk.receive(*deliver("nobody listens"))
    assert await feed.after(0, 10) == []


async def test_what_is_rolled_back_is_not_told(desk, there):
    async with hooked(desk, hook(there)) as house:

        def fails(tx):
            tx.emit(OutboxKind.IN, "{}")
            tx.flush()
            raise ValueError("taken back")

        with pytest.raises(ValueError, match="taken back"):
            await desk.journal.write(fails)
        assert await house.feed.after(0, 10) == []


async def test_what_is_too_old_is_given_up_and_said(desk, there):
    there.usual = (500, "", {})
    async with hooked(desk, hook(there, give_up=0.2)) as house:
        await desk.receive(*deliver("old"))
        await desk.receive(*deliver("old too"))
        await there.wait(1)
        desk.clock.forward(10)
        await there.until(lambda: "webhook_dropped" in house.events())
        there.usual = (200, "", {})
        await desk.receive(*deliver("new"))
        await there.until(lambda: there.posts[-1].json["data"]["text"] == "new")
        dropped = next(e for e in desk.published("event") if e["event_type"] == "webhook_dropped")
        assert (dropped["webhook"], dropped["events"]) == ("house", 2)
        assert house.events()[0] == "webhook_failing"
        assert house.running.warnings() in ([], ["the webhook house does not work: it answered 500"])
        await there.until(lambda: house.events()[-1] == "webhook_working")


async def test_a_clock_that_jumps_gives_nothing_up(desk, there):
    there.usual = (500, "", {})
    async with hooked(desk, hook(there, give_up=3600.0)) as house:
        await desk.receive(*deliver("first"))
        desk.clock.forward(30 * 86_400)
        await there.wait(12)
        assert "webhook_dropped" not in house.events()
        there.usual = (200, "", {})
        await there.until(lambda: house.running.figures()["house"]["delivered"] == 1)


async def test_too_much_is_given_up_from_the_oldest(desk, there, monkeypatch):
    monkeypatch.setattr("sms_bridge.store.feed.MOST", 2)
    there.usual = (500, "", {})
    async with hooked(desk, hook(there)) as house:
        for n in range(5):
            await desk.receive(*deliver(f"m-{n}"))
        await there.until(lambda: "webhook_dropped" in house.events())
        there.usual = (200, "", {})
        await there.until(lambda: house.running.figures()["house"]["delivered"] == 2)
        assert [post.json["data"]["text"] for post in there.posts[-2:]] == ["m-3", "m-4"]


async def test_an_event_that_is_called_wrong_does_not_bar_the_others_for_ever(desk, there):
    for _ in range(webhooks.MOST_REFUSALS):
        there.will(422)
    async with hooked(desk, hook(there)) as house:
        await desk.receive(*deliver("bad"))
        await desk.receive(*deliver("good"))
        posts = await there.wait(webhooks.MOST_REFUSALS + 1)
        assert posts[-1].json["data"]["text"] == "good"
        assert "webhook_dropped" in house.events()


async def test_one_that_refuses_everything_is_not_told_of_that(desk, there):
    there.usual = (400, "", {})
    async with receiving() as other:
        async with hooked(desk, hook(there, "bridge"), hook(other, "bridge", name="other")) as house:
            await desk.service.event("balance_low", modem="stick")
            await there.until(lambda: "webhook_dropped" in house.events())
            await other.wait(3)
            await asyncio.sleep(0.1)
        assert house.events() == ["balance_low", "webhook_failing", "webhook_dropped"]
        assert {post.json["data"]["event_type"] for post in there.posts} == {"balance_low"}
        assert [post.json["data"]["event_type"] for post in other.posts] == house.events()


async def test_a_mistake_of_ours_over_one_event_does_not_bar_the_others(desk, there, monkeypatch):
    take = Replies.take

    async def stumbles(self, webhook, event_id, received, answer):
        if "bad" in received:
            raise RuntimeError("a mistake")
        await take(self, webhook, event_id, received, answer)

    monkeypatch.setattr(Replies, "take", stumbles)
    async with hooked(desk, hook(there)) as house:
        await desk.receive(*deliver("bad"))
        await desk.receive(*deliver("good"))
        await there.until(lambda: house.running.figures()["house"]["delivered"] == 1)
    assert [post.json["data"]["text"] for post in there.posts] == ["bad"] * webhooks.MOST_STUMBLES + ["good"]


async def test_a_journal_that_refuses_delays_and_loses_nothing(desk, there, monkeypatch):
    from sms_bridge.core.errors import StoreError

    async with hooked(desk, hook(there)):
        submit, refusals = desk.service.submit, [StoreError("full"), StoreError("full")]

        async def full(batch):
            if refusals:
                raise refusals.pop()
            return await submit(batch)

        monkeypatch.setattr(desk.service, "submit", full)
        there.usual = (200, json.dumps({"reply": "yes"}), {})
        await desk.receive(*deliver("question"))
        await there.wait(3)
        await there.until(lambda: len(desk.statuses()) == 1)
        await asyncio.sleep(0.05)
        assert len(there.posts) == 3


# Replies


async def test_an_answer_is_sent_once_however_often_it_is_given(tmp_path, there):
    there.usual = (200, json.dumps({"reply": "on my way"}), {})
    async with open_desk(tmp_path) as desk:
        async with hooked(desk, hook(there)) as house:
            place = house.places["house"].seen
            await desk.receive(*deliver("where are you?"))
            await there.until(lambda: len(desk.statuses()) == 1)
            (row,) = [row for row in desk.rows if row.kind == "in"]
            order = f"reply-house-{house.feed.id}-{row.seq}"
            await there.until(lambda: house.running.figures()["house"]["delivered"] == 1)
            await asyncio.sleep(0.1)  # what was seen is recorded lazily
            await desk.journal.write(lambda tx: tx.run("UPDATE webhooks SET seen = ?", (place,)))
            await desk.journal.write(
                lambda tx: tx.run("INSERT OR REPLACE INTO feed VALUES (?, 'in', ?, 0)", (row.seq, row.payload))
            )
        async with hooked(desk, hook(there)):  # a crash before it was recorded that the webhook has seen it
            await there.wait(2)
            await asyncio.sleep(0.05)
        assert [(s["id"], s["to"], s["state"]) for s in desk.statuses()] == [(order, ANNA, "queued")] * 2
        assert len(await desk.journal.read(lambda reader: reader.ready("", None, 10))) == 1


async def test_an_answer_may_go_to_somebody_else_and_other_answers_are_nothing(desk, there):
    there.will(200, json.dumps({"to": ["+36209876543"], "text": "Anna wrote"}))
    for nothing in ("", "OK", "[]", "{}", '{"text": "x"}', '{"reply": null}', '{"reply": ""}', "x" * 20_000):
        there.will(200, nothing)
    async with hooked(desk, hook(there)) as house:
        for n in range(9):
            await desk.receive(*deliver(f"m-{n}"))
        await there.until(lambda: house.running.figures()["house"]["delivered"] == 9)
        assert [status["to"] for status in desk.statuses()] == ["+36209876543"]
        assert house.events() == []


async def test_an_answer_that_cannot_be_sent_is_an_event_and_bars_nothing(desk, there):
    there.will(200, json.dumps({"reply": 5}))
    there.will(200, json.dumps({"to": "@nobody", "text": "x"}))
    async with hooked(desk, hook(there)) as house:
        await desk.receive(*deliver("a"))
        await desk.receive(*deliver("b"))
        await there.until(lambda: len(house.events()) == 2)
        told = [(event["webhook"], event["code"]) for event in desk.published("event")]
        assert told == [("house", "invalid_field"), ("house", "unknown_contact")]


async def test_no_modem_of_ours_is_answered_and_no_one_is_answered_for_ever(desk, there):
    there.usual = (200, json.dumps({"reply": "again"}), {})
    async with hooked(desk, hook(there)) as house:
        await desk.receive(*deliver("from the other stick", sender=OWN))
        for n in range(replies.MOST + 2):
            await desk.receive(*deliver(f"m-{n}"))
        await there.until(lambda: house.running.figures()["house"]["delivered"] == replies.MOST + 3)
        assert len(desk.statuses()) == replies.MOST
        assert [e["code"] for e in desk.published("event")] == ["loop", "too_many_replies", "too_many_replies"]


@pytest.mark.parametrize(("hold", "sent_again"), [(True, []), (False, ["old question"])])
async def test_a_restored_copy_answers_nothing_that_may_have_been_answered(tmp_path, there, hold, sent_again):
    there.usual = (503, "", {})
    async with open_desk(tmp_path) as desk, hooked(desk, hook(there)):
        await desk.receive(*deliver("old question"))
        await there.wait(1)
    make_ready(tmp_path / "journal.db", 0, 0, hold=hold)
    there.posts.clear()
    async with open_desk(tmp_path) as desk, hooked(desk, hook(there)) as house:
        answer = '{"reply": "%s"}'
        there.will(200, answer % "old question")
        there.will(200, answer % "new question")
        await desk.receive(*deliver("new question"))
        there.usual = (200, "", {})
        await there.until(lambda: house.running.figures()["house"]["delivered"] == 2)
        ids = {status["id"] for status in desk.statuses()}
        texts = [o.text for id in ids for o in await desk.journal.read(lambda r, id=id: r.orders_of(id))]
        assert sorted(texts) == sorted([*sent_again, "new question"])
        assert len({post.json["id"] for post in there.posts}) == 2


async def test_replies_can_be_switched_off(desk, there):
    there.usual = (200, json.dumps({"reply": "no"}), {})
    async with hooked(desk, hook(there, reply=False)) as house:
        await desk.receive(*deliver("a"))
        await there.until(lambda: house.running.figures()["house"]["delivered"] == 1)
        assert desk.statuses() == []


def test_waits_grow_to_an_hour_and_obey_the_other_side(monkeypatch):
    monkeypatch.undo()
    assert [pause(n, None, 0.0) for n in (1, 2, 3, 12, 13, 99)] == [1, 2, 4, 2048, LAST_RETRY, LAST_RETRY]
    assert pause(1, 30.0, 0.0) == 30.0
    assert pause(1, 1e9, 0.25) == LAST_RETRY == 3600.0
    assert (pause(3, None, -0.25), pause(3, None, 0.25)) == (3.0, 5.0)


@pytest.mark.parametrize(
    ("value", "wait"),
    [("120", 120.0), ("Sun, 06 Nov 1994 08:49:37 GMT", 0.0), ("soon", None), ("", None), (None, None)],
)
def test_retry_after(value, wait):
    assert delivery._retry_after(value) == wait


async def test_a_certificate_that_is_not_trusted_and_a_name_that_is_unknown_are_said(tmp_path):
    poster = Poster("sms-bridge/test")
    await poster.start()
    cert, key = certificate(tmp_path)
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trust.load_cert_chain(cert, key)
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=trust)
    port = server.sockets[0].getsockname()[1]
    house = Hook("house", "", frozenset())
    try:
        for url, reason in (
            (f"https://127.0.0.1:{port}/", "it cannot be reached: TLS: self-signed certificate"),
            ("http://nobody.invalid/", "it cannot be reached: its name is not known"),
        ):
            outcome = await poster(url, b"{}", event_id="1", event="received", hook=house)
            assert isinstance(outcome, delivery.Later)
            assert outcome.reason == reason
    finally:
        server.close()
        await poster.stop()
