"""The judge of long runs: what was asked, against the network's ledger, what came on MQTT, and the journal.

An order or message carries its tag, `#k17#`, in each of its parts, so that each line of the ledger names what it is of.
Only orders with `on_unknown: hold` are judged: each of their parts may be in the ledger once at most.
"""

from __future__ import annotations

import json
import re
import sqlite3
import threading
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sms_bridge.core.states import RANK, OrderState

LASTING = {"sent", "delivered", "failed", "expired", "cancelled", "rejected", "unknown"}
_TAG = re.compile(r"#(\w+)#")
_PER_PART = {"gsm7": 153, "ucs2": 67}


def tagged(tag: str, parts: int = 1, encoding: str = "gsm7") -> str:
    """A text of so many parts with the tag whole in each of them, the last one too."""
    unit = f"#{tag}# " if encoding == "gsm7" else f"#{tag}# ő"
    length = len(unit) if parts == 1 else (parts - 1) * _PER_PART[encoding] + _PER_PART[encoding] // 2
    return (unit * (length // len(unit) + 1))[:length]


def tag_of(text: str | None) -> str | None:
    found = _TAG.search(text or "")
    return found[1] if found else None


class LedgerReader:
    """Reads on where it ended: a long run's ledger is read once."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "ledger.jsonl"
        self._at = 0

    def lines(self) -> Iterator[dict[str, Any]]:
        with self._path.open("rb") as file:
            file.seek(self._at)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._at += len(line)
                yield json.loads(line)


@dataclass
class Verdict:
    """Lists are of tags; everything but `unknown` and `failed` has to be empty."""

    lost: list[str] = field(default_factory=list)  # sent or delivered, and not whole in the ledger
    not_taken: list[str] = field(default_factory=list)  # the journal does not know it: the broker has it, or nobody
    doubled: list[str] = field(default_factory=list)  # a part of it is in the ledger twice
    contradicted: list[str] = field(default_factory=list)  # called not sent, and it is in the ledger
    stuck: list[str] = field(default_factory=list)
    went_back: list[str] = field(default_factory=list)
    told_otherwise: list[str] = field(default_factory=list)  # the journal says another state than MQTT
    inbound_lost: list[str] = field(default_factory=list)
    inbound_waiting: list[str] = field(default_factory=list)  # still on a SIM
    inbound_doubled: list[str] = field(default_factory=list)  # under two ids, which a repeat never has
    inbound_spoilt: list[str] = field(default_factory=list)
    states: Counter[str] = field(default_factory=Counter)
    causes: Counter[str] = field(default_factory=Counter)  # of what failed and what is unknown
    unknown_in_ledger: int = 0
    inbound: int = 0

    def faults(self) -> dict[str, list[str]]:
        """What must not be."""
        names = ("lost", "not_taken", "doubled", "contradicted", "stuck", "went_back", "told_otherwise")
        names += ("inbound_lost", "inbound_waiting", "inbound_doubled", "inbound_spoilt")
        return {name: found for name in names if (found := getattr(self, name))}


class Oracle:
    """Knows what was asked and hears what is published; `hear` may be called from another thread."""

    def __init__(self) -> None:
        self.orders: dict[str, int] = {}  # by id, which is its tag too: in how many parts
        self.messages: dict[str, str] = {}  # by tag: the text
        self.states: dict[str, list[str]] = {}  # each as it appeared for the first time
        self.error: dict[str, str] = {}
        self.came: dict[str, set[str]] = {}  # ids under which a message was published
        self.spoilt: set[str] = set()
        self._open = threading.Condition()

    def ordered(self, id: str, parts: int = 1) -> None:
        self.orders[id] = parts

    def delivered(self, tag: str, text: str) -> None:
        self.messages[tag] = text

    def hear(self, topic: str, payload: Any) -> None:
        """`topic` without the base."""
        if topic == "status":
            error = payload["error"] or {}
            if error.get("code") == "conflict":
                return  # that is of another order, which had the same id
            seen = self.states.setdefault(payload["id"], [])
            if payload["state"] not in seen:
                seen.append(payload["state"])
            self.error[payload["id"]] = error.get("code", "")
        elif topic == "in" and (tag := tag_of(payload["text"])) is not None and not payload["partial"]:
            self.came.setdefault(tag, set()).add(payload["id"])
            if payload["text"] != self.messages.get(tag):
                self.spoilt.add(tag)

    def state(self, id: str) -> str | None:
        """The last one of an order that was told."""
        seen = self.states.get(id)
        return seen[-1] if seen else None

    def waiting(self) -> list[str]:
        """Orders without a state that lasts, and messages that did not come yet."""
        return [id for id in list(self.orders) if self.state(id) not in LASTING] + [
            tag for tag in list(self.messages) if tag not in self.came
        ]

    def judge(self, ledger: LedgerReader, journal: Path, on_sims: Collection[str] = ()) -> Verdict:
        """After the end: the journal is read as it lies there. `on_sims`: texts that modems still hold."""
        found = Verdict(inbound=len(self.messages))
        parts: dict[str, Counter[int]] = {id: Counter() for id in self.orders}
        for line in ledger.lines():
            tag = tag_of(line["text"])
            if line["kind"] == "submit" and line["accepted"] and tag in parts:
                parts[tag][line["concat"]["seq"] if line["concat"] else 1] += 1
        states = _journal_states(journal)
        for id, wanted in self.orders.items():
            self._judge_order(found, id, wanted, parts[id], states.get(id))
        held = {tag_of(text) for text in on_sims}
        missing = [tag for tag in self.messages if tag not in self.came]
        found.inbound_waiting = [tag for tag in missing if tag in held]
        found.inbound_lost = [tag for tag in missing if tag not in held]
        found.inbound_doubled = [tag for tag, ids in self.came.items() if len(ids) > 1]
        found.inbound_spoilt = sorted(self.spoilt)
        return found

    def _judge_order(self, found: Verdict, id: str, wanted: int, sent: Counter[int], state: str | None) -> None:
        heard = self.states.get(id, [])
        if state is None:
            found.not_taken.append(id)
            return
        found.states[state] += 1
        if state not in LASTING:
            found.stuck.append(id)
        if not heard or heard[-1] != state:
            found.told_otherwise.append(id)
        if heard != sorted(heard, key=lambda name: RANK[OrderState(name)]):
            found.went_back.append(id)
        if sent and max(sent.values()) > 1:
            found.doubled.append(id)
        error = self.error.get(id, "")
        if state in ("sent", "delivered") and len(sent) != wanted:
            found.lost.append(id)
        elif state in ("failed", "unknown"):
            found.causes[f"{state}: {error}"] += 1
            found.unknown_in_ledger += state == "unknown" and bool(sent)
            if state == "failed" and len(sent) == wanted and not error.startswith("report_"):
                found.contradicted.append(id)
        elif state in ("expired", "cancelled", "rejected") and sent:
            found.contradicted.append(id)


def _journal_states(journal: Path) -> dict[str, str]:
    with closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return dict(db.execute("SELECT id, state FROM orders"))
