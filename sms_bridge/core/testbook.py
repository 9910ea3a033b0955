"""The book of self-tests: who texted whom and what came of it, who is to blame, who is next. Pure (domain A12)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum

from hardware.types import Blame
from sms_bridge.core.settings import SelfTestSettings

__all__ = ["Book", "Member", "Outcome", "Pair", "Trial", "blame", "budget_left", "loss", "next_pair", "summary"]

KEPT = 200  # tests that are remembered; a pair's last ten and a budget's period are among them
RECENT = 10  # tests of a pair that its loss is counted over
FAILURES = 2  # in a row before anybody is blamed: one message may be lost anywhere
FOLLOW_UP = 600.0  # seconds after a failure until the next test looks closer

Pair = tuple[str, str]
"""Sender and receiver."""


class Outcome(StrEnum):
    PENDING = "pending"
    ARRIVED = "arrived"
    LATE = "late"  # after it had been given up
    LOST = "lost"
    REFUSED = "refused"  # the modem or the network did not take it
    ELSEWHERE = "elsewhere"  # another modem has that number
    SKIPPED = "skipped"  # never sent: the modem was busy or gone, or the order was cancelled


FAILED = frozenset({Outcome.LOST, Outcome.REFUSED})
GOOD = frozenset({Outcome.ARRIVED, Outcome.LATE})
_TELLING = FAILED | GOOD


@dataclass(slots=True)
class Trial:
    """`at`: UTC ms when it was begun. `latency`: seconds from the modem to the other's storage being read."""

    nonce: str
    sender: str
    receiver: str
    at: int
    outcome: Outcome = Outcome.PENDING
    latency: float | None = None

    @property
    def pair(self) -> Pair:
        return (self.sender, self.receiver)

    @property
    def id(self) -> str:
        """Of its order."""
        return f"self-test-{self.nonce}"


@dataclass(slots=True)
class Book:
    """All of it, oldest first, as it stands in the journal. `key` marks our own messages."""

    key: str = ""
    tests: list[Trial] = field(default_factory=list)

    def dumps(self) -> str:
        del self.tests[:-KEPT]
        return json.dumps({"key": self.key, "tests": [asdict(test) for test in self.tests]}, separators=(",", ":"))

    @classmethod
    def loads(cls, text: str | None) -> Book:
        """What `dumps` wrote; an empty book for anything else."""
        try:
            data = json.loads(text or "{}")
            tests = [Trial(**{**test, "outcome": Outcome(test["outcome"])}) for test in data.get("tests", [])]
            return cls(str(data.get("key", "")), tests)
        except (ValueError, TypeError, KeyError, AttributeError):
            return cls()

    def find(self, nonce: str) -> Trial | None:
        return next((test for test in reversed(self.tests) if test.nonce == nonce), None)

    def clamp(self, now: int) -> bool:
        """Tests from the future were begun while the clock was wrong: they are of now. True: there were some."""
        wrong = [test for test in self.tests if test.at > now]
        for test in wrong:
            test.at = now
        return bool(wrong)

    @property
    def pending(self) -> list[Trial]:
        return [test for test in self.tests if test.outcome is Outcome.PENDING]


@dataclass(frozen=True, slots=True)
class Member:
    """A modem that may take part. `usable`: in service now."""

    name: str
    number: str | None
    usable: bool


def blame(tests: Sequence[Trial]) -> dict[str, Blame]:
    """Who is at fault, by name, and how.

    A pair that failed twice in a row is a matter; what its two modems did with others since then decides it. When both
    do well with others, the way between their networks is at fault, and neither of them.
    """
    found: dict[str, set[Blame]] = {}
    for (sender, receiver), since in _matters(tests).items():
        sends, receives = _proofs(tests, sender, receiver, since)
        refused = tests[_last(tests, (sender, receiver))].outcome is Outcome.REFUSED
        if sends and receives:
            continue
        if sends:
            found.setdefault(receiver, set()).add(Blame.RECEIVES)
        elif receives or refused:
            found.setdefault(sender, set()).add(Blame.SENDS)
        else:
            found.setdefault(sender, set()).add(Blame.EITHER)
            found.setdefault(receiver, set()).add(Blame.EITHER)
    return {name: _summed(words) for name, words in found.items()}


def _summed(ways: set[Blame]) -> Blame:
    """A fault that is proven outweighs a suspicion; both ways at fault are the modem as a whole."""
    proven = ways - {Blame.EITHER}
    return next(iter(proven)) if len(proven) == 1 else Blame.EITHER


def next_pair(tests: Sequence[Trial], members: Sequence[Member], now: int, settings: SelfTestSettings) -> Pair | None:
    """Who texts whom now; None: nobody. A failure is looked into before the round goes on."""
    if any(test.outcome is Outcome.PENDING for test in tests) or budget_left(tests, now, settings) <= 0:
        return None
    there = {member.name for member in members if member.usable}
    numbered = {member.name for member in members if member.number is not None} & there
    for pair in _follow_ups(tests, members, now):
        if pair[0] in there and pair[1] in numbered:
            return pair
    return _round(tests, members, now, settings) if settings.every is not None else None


def budget_left(tests: Sequence[Trial], now: int, settings: SelfTestSettings) -> int:
    """Messages that may still be spent; those that never left cost nothing."""
    count, period = settings.budget
    spent = sum(_age(test, now) < period for test in tests if test.outcome is not Outcome.SKIPPED)
    return count - spent


def loss(tests: Sequence[Trial], pair: Pair | None = None, *, sender: str = "", receiver: str = "") -> float | None:
    """The share of its latest tests that did not arrive, of a pair or of one side; None: no test tells."""
    recent = [
        test.outcome in FAILED
        for test in tests
        if test.outcome in _TELLING
        and (pair is None or test.pair == pair)
        and (not sender or test.sender == sender)
        and (not receiver or test.receiver == receiver)
    ][-RECENT:]
    return round(sum(recent) / len(recent), 2) if recent else None


def summary(tests: Sequence[Trial]) -> dict[str, dict[str, object]]:
    """For each modem, what it sent and what it received: the last latency in seconds, the loss, how many told."""
    found: dict[str, dict[str, object]] = {}
    for name in sorted({name for test in tests for name in test.pair}):
        sides = {"sent": [t for t in tests if t.sender == name], "received": [t for t in tests if t.receiver == name]}
        found[name] = {
            side: {
                "latency": next((t.latency for t in reversed(those) if t.latency is not None), None),
                "loss": loss(those),
                "tests": sum(t.outcome in _TELLING for t in those[-KEPT:]),
            }
            for side, those in sides.items()
        }
    return found


def _matters(tests: Sequence[Trial]) -> dict[Pair, int]:
    """Pairs whose latest tests failed, often enough, and the place of the first of those."""
    return {pair: first for pair, (count, first) in _streaks(tests).items() if count >= FAILURES}


def _streaks(tests: Sequence[Trial]) -> dict[Pair, tuple[int, int]]:
    """For each pair that fails now: how many failures in a row, and the place of the first."""
    found: dict[Pair, tuple[int, int]] = {}
    for place, test in enumerate(tests):
        if test.outcome in FAILED:
            count, first = found.get(test.pair, (0, place))
            found[test.pair] = (count + 1, first)
        elif test.outcome in GOOD:
            found.pop(test.pair, None)
    return found


def _last(tests: Sequence[Trial], pair: Pair) -> int:
    return max(place for place, test in enumerate(tests) if test.pair == pair and test.outcome in _TELLING)


def _proofs(tests: Sequence[Trial], sender: str, receiver: str, since: int) -> tuple[bool, bool]:
    """Whether, since then, the sender has reached others, and others have reached the receiver."""
    good = [test for test in tests[since:] if test.outcome in GOOD and test.pair != (sender, receiver)]
    return any(test.sender == sender for test in good), any(test.receiver == receiver for test in good)


def _follow_ups(tests: Sequence[Trial], members: Sequence[Member], now: int) -> Iterator[Pair]:
    """Tests that tell more about a failure, the most telling first; none so soon after another."""
    if not tests or _age(tests[-1], now) < FOLLOW_UP:
        return
    for (sender, receiver), (count, since) in _streaks(tests).items():
        if count < FAILURES:
            yield (sender, receiver)
            continue
        later = [t for t in tests[since:] if t.pair != (sender, receiver) and t.outcome is not Outcome.SKIPPED]
        others = [member.name for member in members if member.usable and member.name not in (sender, receiver)]
        if not any(test.sender == sender for test in later):
            yield from ((sender, other) for other in [*others, sender] if (sender, other) != (sender, receiver))
        if not any(test.receiver == receiver for test in later):
            yield from ((other, receiver) for other in [*others, receiver] if (other, receiver) != (sender, receiver))


def _round(tests: Sequence[Trial], members: Sequence[Member], now: int, settings: SelfTestSettings) -> Pair | None:
    """Each modem texts the next one, the last the first, each once in `every`; the longest waited goes first."""
    due: list[tuple[float, int, Pair]] = []
    for place, member in enumerate(members):
        partner = _partner(members, place)
        if not member.usable or partner is None:
            continue
        ages = [_age(test, now) for test in tests if test.sender == member.name]
        age = min(ages, default=float("inf"))
        if settings.every is not None and age >= settings.every:
            due.append((-age, place, (member.name, partner)))
    return min(due)[2] if due else None


def _partner(members: Sequence[Member], place: int) -> str | None:
    """The next modem that can receive; the modem itself where there is no other."""
    for member in [*members[place + 1 :], *members[: place + 1]]:
        if member.usable and member.number is not None:
            return member.name
    return None


def _age(test: Trial, now: int) -> float:
    """Seconds; see `Book.clamp` for those from the future."""
    return max(0, now - test.at) / 1000
