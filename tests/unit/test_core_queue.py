"""The window on the journal's ready orders: bounded, in order, and nothing falls out of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sms_bridge.core.model import ClaimantView, Order, SendRequest
from sms_bridge.core.numbers import DictContactBook
from sms_bridge.core.queue import Entry, OrderQueue
from sms_bridge.core.settings import CoreSettings
from sms_bridge.core.submission import prepare

STICK = ClaimantView("stick", "8936")
WINDOW = 4


def order(seq: int, priority: int = 0, modem: str = "auto") -> Order:
    request = SendRequest(to=("+36301234567",), text="x", id=str(seq), priority=priority, modem=modem)
    (made,) = prepare(request, 0, CoreSettings(), DictContactBook(), lambda name: True).orders
    made.seq = seq
    return made


class Store:
    """The journal's side: what is ready there, and loads that take their time."""

    def __init__(self) -> None:
        self.ready: dict[int, Order] = {}

    def load(self, boundary: tuple[int, int] | None) -> list[Order]:
        found = sorted((o for o in self.ready.values() if boundary is None or o.key > boundary), key=lambda o: o.key)
        return found[:WINDOW]


def load(queue: OrderQueue, store: Store, name: str = "") -> None:
    lane = queue.lane(name)
    found = store.load(lane.boundary)
    lane.loading, lane.missed = True, False
    queue.loaded(lane, [Entry(o) for o in found], exhausted=len(found) < WINDOW)


def take(queue: OrderQueue) -> Order | None:
    entry = queue.first(STICK, 0.0)
    if entry is None:
        return None
    queue.take(entry)
    queue.drop(entry.order.seq)
    return entry.order


def test_an_order_that_comes_while_a_load_is_under_way_is_found_by_the_next():
    queue, store = OrderQueue(WINDOW), Store()
    lane = queue.lane("")
    seen = store.load(lane.boundary)  # the journal is read: nothing there
    lane.loading, lane.missed = True, False
    late = store.ready[1] = order(1)
    assert not queue.offer(late)  # it is left to the journal, whose answer is under way and lacks it
    queue.loaded(lane, [Entry(o) for o in seen], exhausted=True)
    assert queue.wants_more(lane)
    load(queue, store)
    assert take(queue) is late


def test_a_blocked_modem_is_passed_over_and_others_are_not():
    queue = OrderQueue(WINDOW)
    queue.lane("").boundary = None
    queue.push(Entry(order(1), blocked={"stick": 5.0}))
    queue.push(Entry(order(2), not_before=3.0))
    assert queue.first(STICK, 0.0) is None
    assert queue.first(ClaimantView("other"), 0.0).order.seq == 1
    assert queue.first(STICK, 3.0).order.seq == 2
    assert queue.first(STICK, 5.0).order.seq == 1


def test_memory_stays_bounded_and_what_waits_for_something_stays():
    queue = OrderQueue(WINDOW)
    queue.lane("").boundary = None
    queue.push(Entry(order(100), not_before=5.0))
    for seq in range(1, 60):
        queue.offer(order(seq))
    assert len(queue) <= 2 * WINDOW + 1
    assert 100 in queue.entries
    assert take(queue).seq == 1


@pytest.mark.parametrize("modem", ["auto", "stick"])
@given(
    st.lists(
        st.one_of(st.tuples(st.just("add"), st.integers(-2, 2)), st.tuples(st.just("take"), st.just(0))), max_size=120
    )
)
def test_orders_come_by_priority_then_in_order_whatever_is_in_memory(modem, steps):
    queue, store = OrderQueue(WINDOW), Store()
    lane = "" if modem == "auto" else "m:stick"
    added, seq = [], 0
    for what, priority in [*steps, *[("take", 0)] * 130]:
        if queue.wants_more(queue.lane(lane)):
            load(queue, store, lane)
        if what == "add":
            seq += 1
            new = order(seq, priority, modem)
            store.ready[seq] = new
            queue.offer(new)
            added.append(seq)
            continue
        expected = min(store.ready.values(), key=lambda o: o.key, default=None)
        taken = take(queue)
        assert taken is expected
        if taken is not None:
            del store.ready[taken.seq]
    assert store.ready == {}
    assert len(queue) == 0
