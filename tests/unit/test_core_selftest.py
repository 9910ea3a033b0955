"""Who texts whom, what came of it, who is to blame; on a real journal, with a clock that the test owns (domain A12)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.pdu import DeliverRequest, encode_deliver
from hardware.types import Action, Blame
from sms_bridge.core.model import ClaimantView
from sms_bridge.core.selftest import ORPHAN, QUEUE_PATIENCE, SelfTestError, SelfTests
from sms_bridge.core.settings import DAY, SelfTestSettings
from sms_bridge.core.testbook import (
    FOLLOW_UP,
    KEPT,
    Book,
    Member,
    Outcome,
    Trial,
    blame,
    budget_left,
    loss,
    next_pair,
    summary,
)
from tests.support.desk import START, Desk, ManualClock, open_desk, refused, sent, unknown

A, B, C = (Member(name, f"+3630000000{number}", True) for number, name in enumerate("abc"))
NOW = int(START.timestamp() * 1000)
MARKS = {"+": Outcome.ARRIVED, "-": Outcome.LOST, "!": Outcome.REFUSED, "?": Outcome.SKIPPED, "~": Outcome.LATE}
WIDE = SelfTestSettings(every=DAY, budget=(100, DAY))


def history(text: str, step: float = 3600.0) -> list[Trial]:
    """`"ab- ba+"`: a to b lost, then b to a arrived, `step` seconds apart, the last one `step` ago."""
    words = text.split()
    first = NOW - int(len(words) * step * 1000)
    return [
        Trial(str(n), word[0], word[1], first + int(n * step * 1000), MARKS[word[2]], 1.0 if word[2] == "+" else None)
        for n, word in enumerate(words)
    ]


@pytest.mark.parametrize(
    ("tests", "blamed"),
    [
        ("", {}),
        ("ab+ ba+", {}),
        ("ab-", {}),  # one message may be lost anywhere
        ("ab- ab+ ab-", {}),
        ("ab- ab-", {"a": Blame.EITHER, "b": Blame.EITHER}),
        ("ab- ab- ab+", {}),
        ("ab- ab- ab~", {}),  # it came all the same
        ("ab- ab- ac+", {"b": Blame.RECEIVES}),
        ("ac+ ab- ab-", {"a": Blame.EITHER, "b": Blame.EITHER}),  # what was before proves nothing
        ("ab- ab- cb+", {"a": Blame.SENDS}),
        ("ab- ab- aa+", {"b": Blame.RECEIVES}),
        ("ab- ab- bb+", {"a": Blame.SENDS}),
        ("ab- ab- ba+", {"a": Blame.EITHER, "b": Blame.EITHER}),  # the other way round is another way
        ("ab- ab- ac+ cb+", {}),  # both do well with others: the way between them is at fault
        ("ab- ab- ac- ac-", {"a": Blame.EITHER, "b": Blame.EITHER, "c": Blame.EITHER}),
        ("ab- ab- ac- ac- bb+ cc+", {"a": Blame.SENDS}),
        ("ab- ab- ab? ac+", {"b": Blame.RECEIVES}),
        ("ab! ab!", {"a": Blame.SENDS}),  # it was never taken
        ("ab! ab! ac+", {"b": Blame.RECEIVES}),  # as it takes others: the number
        ("ab- ab- ca- ca- ac+ cb+", {"a": Blame.RECEIVES}),  # c sends well, a sends well
        ("aa- aa-", {"a": Blame.EITHER}),
        ("aa- aa- ab+", {"a": Blame.RECEIVES}),
        ("aa- aa- ba+", {"a": Blame.SENDS}),
    ],
)
def test_blame(tests: str, blamed: dict[str, Blame]) -> None:
    assert blame(history(tests)) == blamed


@pytest.mark.parametrize(
    ("tests", "step", "members", "pair"),
    [
        ("", 0.0, [A, B, C], ("a", "b")),
        ("ab+", 3600.0, [A, B, C], ("b", "c")),
        ("ab+ bc+", 3600.0, [A, B, C], ("c", "a")),
        ("ab+ bc+ ca+", 3600.0, [A, B, C], None),  # the next round is tomorrow's
        ("ab+ bc+ ca+", DAY / 2, [A, B, C], ("a", "b")),
        ("ab+ bc+ ca+ ab+", 7 * 3600.0, [A, B, C], None),
        ("", 0.0, [A], ("a", "a")),  # alone it texts itself
        ("", 0.0, [], None),
        ("", 0.0, [Member("a", None, True), B], ("a", "b")),
        ("ab+", 3600.0, [Member("a", None, True), B], ("b", "b")),
        ("", 0.0, [Member("a", None, True)], None),
        ("", 0.0, [A, Member("b", "+361", False), C], ("a", "c")),
        ("", 0.0, [Member("a", "+361", False), B], ("b", "b")),
        # A failure is looked into: first once more, then each of the two with others.
        ("ab-", FOLLOW_UP - 1, [A, B, C], None),
        ("ab-", FOLLOW_UP, [A, B, C], ("a", "b")),
        ("ab- ab-", FOLLOW_UP, [A, B, C], ("a", "c")),
        ("ab- ab- ac+", FOLLOW_UP, [A, B, C], ("c", "b")),
        ("ab- ab- ac+ cb-", FOLLOW_UP, [A, B, C], ("c", "b")),  # a failure of its own
        ("ab- ab- ac? ac?", FOLLOW_UP, [A, B, C], ("a", "c")),  # what was never sent tells nothing
        ("ab- ab-", FOLLOW_UP, [A, B], ("a", "a")),
        ("ab- ab- aa+", FOLLOW_UP, [A, B], ("b", "b")),
        ("ab- ab-", FOLLOW_UP, [Member("a", None, True), B], ("b", "b")),
        ("ab- ab- aa+ bb+", FOLLOW_UP, [A, B], None),
    ],
)
def test_who_is_next(tests: str, step: float, members: list[Member], pair: tuple[str, str] | None) -> None:
    # What is due of the round is left out where the follow-ups are looked at.
    settings = WIDE if step >= 3600 or not tests else SelfTestSettings(every=30 * DAY, budget=(100, DAY))
    past = history(tests, step or 3600.0)
    if settings is not WIDE:
        old = NOW - int(DAY * 1000)
        past = [Trial("x", name, name, old, Outcome.SKIPPED) for name in "abc"] + past
    assert next_pair(past, members, NOW, settings) == pair


def test_one_at_a_time_and_never_beyond_the_budget() -> None:
    pending = [Trial("1", "a", "b", NOW)]
    assert next_pair(pending, [A, B, C], NOW, WIDE) is None
    two = SelfTestSettings(every=3600.0, budget=(2, DAY))
    assert next_pair(history("ab-", 7200.0), [A, B], NOW, two) == ("a", "b")
    assert next_pair(history("ab- ab-", 7200.0), [A, B], NOW, two) is None
    assert budget_left(history("ab? ab? ab+"), NOW, two) == 1, "what never left costs nothing"
    assert budget_left(history("ab+ ab+ ab+", DAY), NOW, two) == 2
    assert next_pair([], [A, B], NOW, SelfTestSettings()) is None, "off until it is asked for"


@given(
    st.lists(st.tuples(st.sampled_from("ab+ ab- ba+ ba- ab? aa+ bb- ac- cb+".split()), st.floats(0, DAY)), max_size=60),
    st.integers(1, 5),
)
def test_no_day_costs_more_than_the_budget(steps: list[tuple[str, float]], count: int) -> None:
    settings = SelfTestSettings(every=900.0, budget=(count, DAY))
    now, tests = NOW, []
    for word, pause in steps:
        pair = next_pair(tests, [A, B, C], now, settings)
        if pair is not None:
            tests.append(Trial(str(len(tests)), *pair, now, MARKS[word[2]]))
        now += int(pause * 1000)
    spent = [test.at for test in tests if test.outcome is not Outcome.SKIPPED]
    assert all(late - early >= DAY * 1000 for early, late in zip(spent, spent[count:], strict=False))


def test_loss_and_latency_of_each_side() -> None:
    tests = history("ab+ ab- ab? ba+ ca-")
    assert loss(tests, ("a", "b")) == 0.5
    assert loss(tests, ("b", "c")) is None
    sides = summary(tests)
    assert sides["a"]["sent"] == {"latency": 1.0, "loss": 0.5, "tests": 2}
    assert sides["a"]["received"] == {"latency": 1.0, "loss": 0.5, "tests": 2}
    assert sides["c"] == {
        "sent": {"latency": None, "loss": 1.0, "tests": 1},
        "received": {"latency": None, "loss": None, "tests": 0},
    }
    assert loss(history("ab- " * 30 + "ab+ " * 10), ("a", "b")) == 0.0, "what is long past does not count"


def test_the_book_comes_back_as_it_was_and_does_not_grow() -> None:
    book = Book("key", history("ab+ bc- " * KEPT))
    again = Book.loads(book.dumps())
    assert again == Book("key", book.tests[-KEPT:])
    for damaged in (None, "", "nonsense", "[]", '{"tests":[{}]}', '{"tests":[{"outcome":"x"}]}', '{"tests":5}'):
        assert Book.loads(damaged) == Book()


def test_tests_from_the_future_are_of_now() -> None:
    book = Book("", history("ab+ ba+"))
    book.tests[1].at = NOW + 10**12
    assert book.clamp(NOW)
    assert book.tests[1].at == NOW
    assert not book.clamp(NOW)


# On a journal.


@dataclass
class Lab:
    desk: Desk
    tests: SelfTests
    members: list[Member] = field(default_factory=lambda: [A, B])

    @property
    def clock(self) -> ManualClock:
        return self.desk.clock

    @property
    def events(self) -> list[dict[str, Any]]:
        return [event for event in self.desk.published("event") if event["event_type"] == "self_test"]

    async def tick(self, seconds: float = 0.0) -> None:
        self.clock.forward(seconds)
        await self.desk.told(self.tests.tick())

    async def body(self, id: str) -> str:
        """What an order of that id says."""
        (order,) = await self.desk.journal.read(lambda reader: reader.orders_of(id))
        assert order.text is not None
        return order.text

    async def deliver(self, text: str, modem: Member, **fields: Any) -> None:
        at = self.clock.datetime
        raws = encode_deliver(DeliverRequest("+36301112222", at, text=text, **fields))
        await self.desk.receive(*raws, modem=view(modem))


def view(member: Member) -> ClaimantView:
    return ClaimantView(member.name, f"893620000000000010{member.name}")


@asynccontextmanager
async def lab(tmp_path: Path, clock: ManualClock | None = None, **settings: Any) -> AsyncIterator[Lab]:
    made: list[Lab] = []
    async with open_desk(
        tmp_path, clock=clock, recognise=lambda text: made[0].tests.recognise(text) if made else None
    ) as desk:
        chosen = SelfTestSettings(**{"every": DAY, "settle": 0.0, **settings})
        tests = SelfTests(
            desk.journal, desk.service.submit, chosen, desk.clock, members=lambda: made[0].members if made else []
        )
        await tests.start()
        made.append(Lab(desk, tests))
        yield made[0]


async def test_a_test_goes_and_comes_and_its_message_is_nobodys(tmp_path: Path) -> None:
    async with lab(tmp_path) as it:
        await it.tick()
        assert it.events == []
        (status,) = it.desk.statuses()
        assert (status["state"], status["to"]) == ("queued", B.number)
        await it.desk.send(sent(7), modem=view(A))
        it.clock.forward(4.2)
        await it.deliver(await it.body(status["id"]), B)
        (event,) = it.events
        assert {key: event[key] for key in ("sender", "receiver", "outcome", "latency", "loss", "id")} == {
            "sender": "a",
            "receiver": "b",
            "outcome": "arrived",
            "latency": 4.2,
            "loss": 0.0,
            "id": status["id"],
        }
        assert it.desk.published("in") == []
        assert (await it.desk.service.inbox()).messages == []
        assert [s["state"] for s in it.desk.statuses()] == ["queued", "sending", "sent"]
        await it.deliver(await it.body(status["id"]), B)  # read once more from the SIM
        it.clock.forward(5)
        await it.deliver(await it.body(status["id"]), B)  # delivered twice by the network
        assert len(it.events) == 1
        assert it.desk.published("in") == []
        await it.tick(1)
        assert it.tests.summary()["b"]["received"] == {"latency": 4.2, "loss": 0.0, "tests": 1}


async def test_it_arrives_before_its_result(tmp_path: Path) -> None:
    """A quick network: the other modem has it while the sender still waits for +CMGS."""
    async with lab(tmp_path) as it:
        await it.tick()
        job = await it.desk.dispatcher.claim(view(A))
        assert await it.desk.dispatcher.begin(job, 0)
        it.clock.forward(1)
        await it.deliver(await it.body(job.order.id), B)
        assert [event["outcome"] for event in it.events] == ["arrived"]
        assert it.events[0]["latency"] == 1.0
        it.desk.dispatcher.release(job)


async def test_a_test_that_does_not_come_is_lost_after_its_time_alone(tmp_path: Path) -> None:
    async with lab(tmp_path, timeout=600.0) as it:
        await it.tick()
        for _ in range(5):
            await it.tick(60)  # the modem is busy: that is not the network's time
        await it.desk.send(sent(), modem=view(A))
        await it.tick(1)
        await it.tick(599)
        assert it.events == []
        it.clock.learn(datetime(2036, 1, 1, tzinfo=UTC))  # ten years in no time lose nothing
        await it.desk.tick()
        assert it.clock.astray() == 0, "the core goes by the new time"
        await it.tick()
        assert it.events == []
        await it.tick(1)
        assert [(e["outcome"], e["latency"], e["loss"]) for e in it.events] == [("lost", None, 1.0)]


async def test_a_late_one_is_known_and_clears_the_matter(tmp_path: Path) -> None:
    async with lab(tmp_path, every=None, timeout=60.0, budget=(9, DAY)) as it:
        ids = []
        for _ in range(2):
            ids.append((await it.tests.begin("a", "b")).id)
            await it.desk.send(sent(), modem=view(A))
            await it.tick(1)
            await it.tick(61)
        assert it.tests.blame() == {"a": Blame.EITHER, "b": Blame.EITHER}
        it.clock.forward(5 * 3600)
        await it.deliver(await it.body(ids[1]), B)
        assert [event["outcome"] for event in it.events] == ["lost", "lost", "late"]
        assert it.desk.published("in") == []
        await it.tick(60)
        assert it.tests.blame() == {}


async def test_what_the_network_refuses_and_what_never_goes(tmp_path: Path) -> None:
    async with lab(tmp_path, every=None) as it:
        await it.tests.begin("a", "b")
        await it.desk.send(refused(Action.FAIL, "cms_1"), modem=view(A))
        await it.tick()
        await it.tests.begin("a", "b")
        it.clock.forward(QUEUE_PATIENCE + 1)
        await it.desk.tick()
        await it.tick()
        assert [event["outcome"] for event in it.events] == ["refused", "skipped"]
        assert it.desk.states(it.events[1]["id"]) == ["queued", "expired"]
        await it.tests.begin("a", "b")
        await it.desk.send(unknown(), modem=view(A))  # it may have left: it may come
        await it.tick()
        assert len(it.events) == 2


async def test_a_number_that_is_another_modems(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with lab(tmp_path) as it:
        it.members = [A, B, C]
        started = await it.tests.begin("a", "b")
        await it.desk.send(sent(), modem=view(A))
        await it.deliver(await it.body(started.id), C)
        (event,) = it.events
        assert (event["outcome"], event["receiver"], event["arrived_at"]) == ("elsewhere", "b", "c")
        assert "check the number of b" in caplog.text
        assert it.tests.blame() == {}


async def test_nobody_elses_words_are_taken_for_a_test(tmp_path: Path) -> None:
    async with lab(tmp_path) as it:
        body = await it.body((await it.tests.begin("a", "b")).id)
        forged = body[:-1] + ("A" if body[-1] != "A" else "B")
        for text in (forged, body.lower(), "sms-bridge self-test", "self-test AAAAAAAA-AAAAAAAA", ""):
            await it.deliver(text, B)
        assert len(it.desk.published("in")) == 5
        assert it.events == []
        await it.deliver(f"FREE MSG: {body} (Sent by Operator)", B)  # some networks add their own words
        assert [event["outcome"] for event in it.events] == ["arrived"]


async def test_a_restart_forgets_neither_the_budget_nor_the_test_nor_the_key(tmp_path: Path) -> None:
    clock = ManualClock()
    async with lab(tmp_path, clock, budget=(1, DAY)) as it:
        started = await it.tests.begin("a", "b")
        await it.desk.send(sent(), modem=view(A))
        body = await it.body(started.id)
    clock.forward(30)
    async with lab(tmp_path, clock, budget=(1, DAY)) as it:
        await it.tick()
        assert it.desk.statuses() == [], "the budget is used up"
        await it.deliver(body, B)
        assert [(event["outcome"], event["latency"]) for event in it.events] == [("arrived", 30.0)]
        with pytest.raises(SelfTestError, match="budget of 1 in 24 hours"):
            await it.tests.begin()
        clock.forward(DAY)
        await it.tick()
        assert len(it.desk.statuses()) == 1


async def test_a_test_whose_order_was_never_made_costs_nothing(tmp_path: Path) -> None:
    """The bridge ended between the book and the order."""
    async with lab(tmp_path, budget=(1, DAY)) as it:
        book = Book("key", [Trial("AAAAAAAA", "a", "b", it.clock.now())])
        await it.desk.journal.write(lambda tx: tx.set_meta("self_test", book.dumps()))
        await it.tests.start()
        await it.tick()
        await it.tick(ORPHAN - 1)
        assert it.events == []
        await it.tick(1)
        assert [event["outcome"] for event in it.events] == ["skipped"]
        await it.tick(1)
        assert len(it.desk.statuses()) == 1


async def test_what_cannot_be_asked_for_is_said(tmp_path: Path) -> None:
    async with lab(tmp_path, every=None, budget=(9, DAY)) as it:
        for members, sender, receiver, words in (
            ([A, B], "x", None, "no modem 'x'; there are: a, b"),
            ([A, B], None, "x" * 99, "no modem 'xxx"),
            ([], None, None, "no modem is in service"),
            ([Member("a", None, True)], None, None, "no modem's number is known"),
            ([A, Member("b", None, True)], "a", "b", "the number of b is not known"),
            ([Member("a", "+36300000001", False), B], "a", None, "a is not in service"),
            ([A, Member("b", "+36300000001", False)], None, "b", "b is not in service"),
        ):
            it.members = members
            with pytest.raises(SelfTestError, match=words):
                await it.tests.begin(sender, receiver)
        it.members = [A, B]
        started = await it.tests.begin(None, "a")
        assert (started.sender, started.receiver) == ("b", "a")
        with pytest.raises(SelfTestError, match="from b to a is under way"):
            await it.tests.begin()
        await it.tick()
        assert len(it.desk.statuses()) == 1, "nothing goes by itself unless `every` says so"


async def test_a_number_that_cannot_be_dialled(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with lab(tmp_path) as it:
        it.members = [Member("b", "06", True)]
        with pytest.raises(SelfTestError, match="was rejected"):
            await it.tests.begin()
        await it.tick()
        await it.tick(ORPHAN)
        assert [event["outcome"] for event in it.events] == ["skipped"]
        caplog.clear()
        it.clock.forward(DAY)
        await it.tick()
        assert "was rejected" in caplog.text, "a schedule goes on, and says it"
        assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_nothing_is_scheduled_before_the_clock_is_set_nor_right_after_the_start(tmp_path: Path) -> None:
    clock = ManualClock(datetime(1970, 1, 1, tzinfo=UTC))
    async with lab(tmp_path, clock, settle=60.0) as it:
        await it.tick(100)
        assert it.desk.statuses() == []
        clock.learn(START)
        await it.desk.tick()
        await it.tick()
        assert len(it.desk.statuses()) == 1
    clock = ManualClock()
    async with lab(tmp_path / "other", clock, settle=60.0) as it:
        await it.tick(59)
        assert it.desk.statuses() == []
        await it.tick(1)
        assert len(it.desk.statuses()) == 1


async def test_why_nothing_goes_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with lab(tmp_path, between=("a", "gone")) as it:
        it.members = [Member("a", None, True), B]
        for _ in range(3):
            await it.tick(60)
        assert it.desk.statuses() == []
        said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        assert said == [
            "self_test.between names gone: there is no such modem",
            "no self-test can be sent: no modem's number is known; set `number:` of one, or of all",
        ]


async def test_only_those_who_are_named_take_part(tmp_path: Path) -> None:
    async with lab(tmp_path, between=("b", "c", "gone")) as it:
        it.members = [A, B, C]
        await it.tick()
        (status,) = it.desk.statuses()
        order = json.loads(json.dumps(await it.desk.service.get(status["id"])))[0]
        assert order["to"] == C.number
