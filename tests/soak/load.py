"""What people and automations do in a soak: orders of all kinds, cancellations, repeats, messages from outside."""

from __future__ import annotations

import random
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.support.oracle import Oracle, tagged
from tests.support.stack import Stack

MOST_WAITING = 300  # orders at a time: a soak is no flood
SILENT = "+36309990000"  # no status report comes from there
REFUSING = "+36309990046"  # every report says that it could not be delivered
RECIPIENTS = 200  # few enough that conversations and status reports of one number get in each other's way

KINDS = {
    "single": 50,
    "long": 10,
    "ucs2": 8,
    "long ucs2": 5,
    "urgent": 8,
    "one modem": 5,
    "scheduled": 6,
    "cancelled": 4,
    "twice": 6,
    "conflict": 2,
    "deadline": 3,
    "silent": 8,
    "refused": 3,
}


class Load:
    """Orders and messages at `rate` a second; `step` as often as one likes."""

    def __init__(self, stack: Stack, oracle: Oracle, dice: random.Random, rate: float) -> None:
        self.kinds: Counter[str] = Counter()
        self._stack = stack
        self._oracle = oracle
        self._dice = dice
        self._rate = rate
        self._due = time.monotonic()
        self._later: list[tuple[float, str, dict[str, Any]]] = []  # (when, topic, payload)
        stack.emulation.do("outside", number=SILENT, status=None)
        stack.emulation.do("outside", number=REFUSING, status=0x46)

    def step(self) -> None:
        now = time.monotonic()
        for item in [item for item in self._later if item[0] <= now]:
            self._later.remove(item)
            self._stack.observer.publish(item[1], item[2])
        while self._due <= now:
            self._due += self._dice.expovariate(self._rate)
            if len(self._oracle.waiting()) < MOST_WAITING:
                self._order()
                if self._dice.random() < 0.5:
                    self._message()

    def end(self) -> None:
        """What was put off is done now."""
        for _, topic, payload in self._later:
            self._stack.observer.publish(topic, payload)
        self._later.clear()

    def _order(self) -> None:
        [kind] = self._dice.choices(list(KINDS), weights=list(KINDS.values()))
        self.kinds[kind] += 1
        id = f"s{sum(self.kinds.values())}"
        parts = self._dice.randint(2, 4) if kind.startswith("long") else 1
        text = tagged(id, parts, "ucs2" if kind.endswith("ucs2") else "gsm7")
        order: dict[str, Any] = {"id": id, "to": f"+3630{self._dice.randrange(RECIPIENTS):07}", "text": text}
        now, later = datetime.now(UTC), time.monotonic() + self._dice.uniform(0, 3)
        match kind:
            case "urgent":
                order["priority"] = self._dice.randint(1, 10)
            case "one modem":
                order["modem"] = f"modem{self._dice.randrange(self._stack.emulation.modems)}"
            case "scheduled":
                order["send_at"] = (now + timedelta(seconds=self._dice.uniform(1, 8))).isoformat()
            case "cancelled":
                order["send_at"] = (now + timedelta(seconds=self._dice.uniform(0, 6))).isoformat()
                self._later.append((later, "bridge/request/message/cancel", {"id": id}))
            case "twice":
                self._later += [(later, "out", order), (later + 2, "out", order)]
            case "conflict":
                self._later.append((later, "out", {**order, "text": "something else"}))
            case "deadline":
                order["deadline"] = (now + timedelta(seconds=self._dice.uniform(0.2, 4))).isoformat()
            case "silent":
                order["to"] = SILENT
            case "refused":
                order["to"] = REFUSING
        self._oracle.ordered(id, parts)
        self._stack.observer.publish("out", order)

    def _message(self) -> None:
        tag = f"m{len(self._oracle.messages)}"
        parts = self._dice.choice((1, 1, 1, 3))
        text = tagged(tag, parts, self._dice.choice(("gsm7", "ucs2")))
        self._oracle.delivered(tag, text)
        modem = self._dice.randrange(self._stack.emulation.modems)
        sender = f"+3620{self._dice.randrange(50):07}"
        self._stack.emulation.do("deliver", modem=modem, **{"from": sender, "text": text})
