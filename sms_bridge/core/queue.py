"""Orders in memory, by lane and rank: a bounded window on what the journal holds. Pure, owned by the loop."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from sms_bridge.core.lanes import is_own, is_plan, lanes_for
from sms_bridge.core.model import MODEMS, ClaimantView, Order

# How many orders that a modem must not take yet are passed over in one look.
SCAN = 200

Key = tuple[int, int]


@dataclass(slots=True)
class Entry:
    """An order in memory."""

    order: Order
    pending: tuple[int, ...] | None = None  # the parts to send; None: all
    claimed: bool = False
    not_before: float = 0.0  # loop time
    blocked: dict[str, float] = field(default_factory=dict)  # modem -> loop time until which it may not
    since: float = 0.0  # loop time of the first look that any modem had at it


@dataclass(slots=True)
class Lane:
    """The ready orders of one lane. What lies beyond `boundary` is in the journal only."""

    name: str
    heap: list[Key] = field(default_factory=list)
    resting: list[tuple[float, Key]] = field(default_factory=list)  # a heap of those that wait for a loop time
    boundary: Key | None = (-(2**31), 0)  # None: all of the lane is in memory
    loading: bool = False
    missed: bool = False  # an order was left to the journal while a load was under way

    def covers(self, key: Key) -> bool:
        """Whether an order of this rank belongs into memory now."""
        return self.boundary is None or key <= self.boundary


class Gate(Protocol):
    """What a modem must look at besides the queue."""

    def may(self, entry: Entry, *, anybody: bool) -> bool:
        """Whether it takes this order; `anybody`: others may as well."""


class OrderQueue:
    """Lanes and their entries."""

    def __init__(self, window: int, serves: Callable[[str, ClaimantView], bool] = lambda lane, by: False) -> None:
        """`serves`: whether a lane that is a plan is this claimant's now."""
        self._window = window
        self._serves = serves
        self._lanes: dict[str, Lane] = {}
        self._plans: dict[str, Lane] = {}  # of the lanes those that are plans
        self.entries: dict[int, Entry] = {}

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def unread(self) -> bool:
        """Whether the journal may hold orders of a plan that nobody serves just now."""
        return any(lane.boundary is not None for lane in self._plans.values())

    def lane(self, name: str) -> Lane:
        found = self._lanes.get(name)
        if found is None:
            found = self._lanes[name] = Lane(name)
            if is_plan(name):
                self._plans[name] = found
        return found

    def lanes(self, modem: ClaimantView) -> Iterator[Lane]:
        """Those that it may take orders from now: the rest of half-sent messages, its own, then the common ones."""
        rest, own, common = lanes_for(modem)
        yield self.lane(rest)
        if modem.route == MODEMS:
            yield self.lane(own)
            yield self.lane(common)
        for name, lane in self._plans.items():
            if self._serves(name, modem):
                yield lane

    def offer(self, order: Order) -> bool:
        """Take up a newly ready order, or leave it to the journal when its turn is far off; True: look for work."""
        lane = self.lane(order.lane)
        if order.seq in self.entries:
            return False
        if not lane.covers(order.key):
            lane.missed = True
            return self.wants_more(lane)  # of a lane that is new nobody has looked at the journal yet
        self.push(Entry(order))
        return True

    def push(self, entry: Entry) -> None:
        """Put an entry into its order's lane."""
        entry.claimed = False
        self.entries[entry.order.seq] = entry
        lane = self.lane(entry.order.lane)
        heapq.heappush(lane.heap, entry.order.key)
        if len(lane.heap) > 2 * self._window and not lane.loading:
            self._shorten(lane)

    def loaded(self, lane: Lane, entries: Iterable[Entry], exhausted: bool) -> None:
        """The journal's next orders of `lane`, in their order."""
        if self._lanes.get(lane.name) is not lane:
            return  # renamed while it was read
        last: Key | None = None
        for entry in entries:
            last = entry.order.key
            if entry.order.seq not in self.entries:
                self.push(entry)
        if exhausted and not lane.missed:
            lane.boundary = None
        elif last is not None:
            lane.boundary = last
        lane.missed = False
        lane.loading = False
        if len(lane.heap) > 2 * self._window:
            self._shorten(lane)

    def wants_more(self, lane: Lane) -> bool:
        return not lane.loading and lane.boundary is not None and len(lane.heap) <= self._window // 2

    def first(self, modem: ClaimantView, now: float, gate: Gate | None = None) -> Entry | None:
        """The order that `modem` should send next; the rest of a half-sent message goes before all else."""
        found: Entry | None = None
        for place, lane in enumerate(self.lanes(modem)):
            may = partial(gate.may, anybody=not is_own(lane.name)) if gate and place else None
            entry = self._first(lane, modem.name, now, may)
            if entry is None:
                continue
            if not place:
                return entry
            if found is None or entry.order.key < found.order.key:
                found = entry
        return found

    def heads(self, serves: Callable[[str], bool], most: int) -> Iterator[Entry]:
        """Of each plan that `serves` is true for, some of the orders that wait at its head."""
        for name, lane in self._plans.items():
            if not serves(name):
                continue
            for key in heapq.nsmallest(most, lane.heap):
                entry = self.entries.get(key[1])
                if entry is not None and not entry.claimed and entry.order.lane == name:
                    yield entry

    def take(self, entry: Entry) -> None:
        """Mark as claimed; its key is dropped from the heap in passing."""
        entry.claimed = True
        lane = self.lane(entry.order.lane)
        if lane.heap and lane.heap[0] == entry.order.key:
            heapq.heappop(lane.heap)

    def rename(self, old: str, new: str) -> None:
        """What the journal has in lane `old` it has in `new` from now on: both are read anew."""
        for seq, entry in list(self.entries.items()):
            if entry.order.lane != old:
                continue
            entry.order.lane = new
            if not entry.claimed:
                del self.entries[seq]
        for name in (old, new):
            self._lanes.pop(name, None)
            self._plans.pop(name, None)
        for entry in self.entries.values():
            if entry.order.lane == new and not entry.claimed:
                heapq.heappush(self.lane(new).heap, entry.order.key)

    def drop(self, seq: int) -> Entry | None:
        return self.entries.pop(seq, None)

    def _first(self, lane: Lane, modem: str, now: float, may: Callable[[Entry], bool] | None = None) -> Entry | None:
        heap = lane.heap
        passed: list[Key] = []
        found = None
        while lane.resting and lane.resting[0][0] <= now:
            heapq.heappush(heap, heapq.heappop(lane.resting)[1])
        while heap and len(passed) < SCAN:
            entry = self.entries.get(heap[0][1])
            if entry is None or entry.claimed or entry.order.lane != lane.name:
                heapq.heappop(heap)
                continue
            if entry.not_before > now:
                # However many wait for a second try, they must not hide those behind them.
                heapq.heappush(lane.resting, (entry.not_before, heapq.heappop(heap)))
                continue
            if entry.blocked.get(modem, 0.0) <= now and (may is None or may(entry)):
                found = entry
                break
            passed.append(heapq.heappop(heap))
        for key in passed:
            heapq.heappush(heap, key)
        return found

    def _shorten(self, lane: Lane) -> None:
        """Give the far end of a long lane back to the journal."""
        live = sorted(
            key
            for key in set(lane.heap)
            if (entry := self.entries.get(key[1])) is not None and not entry.claimed and entry.order.lane == lane.name
        )
        keep, rest = live[: self._window], live[self._window :]
        for key in rest:
            entry = self.entries[key[1]]
            if entry.not_before or entry.blocked:
                keep.append(key)  # what it waits for is known here only
            else:
                del self.entries[key[1]]
        lane.heap = keep
        heapq.heapify(lane.heap)
        if rest and (lane.boundary is None or lane.boundary > live[self._window - 1]):
            lane.boundary = live[self._window - 1]
