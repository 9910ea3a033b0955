"""What webhooks are to be told, in the journal: written by the commit that writes the outbox, so nothing is lost."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sms_bridge.core.events import event_json
from sms_bridge.core.model import OutboxKind, OutboxRow
from sms_bridge.core.ports import Reader, Transaction
from sms_bridge.store.journal import Journal
from sms_bridge.store.transaction import SqlReader

MOST = 100_000  # rows; a webhook that is further behind loses the oldest
TRIGGER = "feed_outbox"
KINDS = frozenset({OutboxKind.STATUS, OutboxKind.IN, OutboxKind.RAW, OutboxKind.EVENT})
_ID, SILENT = "feed_id", "feed_silent"  # rows of `meta`


@dataclass(frozen=True, slots=True)
class Place:
    """Where a webhook stands."""

    seen: int
    disabled: bool


class Feed:
    """All methods raise StoreError when the disk refuses, `seen` apart, which is lazy."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.id = ""  # of this journal: event ids begin with it
        # Up to this row a webhook's answer is not sent: the journal is a copy, and it may have been sent before.
        self.silent_up_to = 0

    async def open(self, targets: Mapping[str, tuple[str, Collection[str]]]) -> dict[str, Place]:
        """Collect for the webhooks in `targets` from now on: name -> address and kinds of rows. None: for nobody.

        A webhook that is new begins here; who is not named any more is forgotten.
        """
        wanted = {name: (_hashed(url), frozenset(kinds)) for name, (url, kinds) in targets.items()}
        assert all(KINDS.issuperset(kinds) for _, kinds in wanted.values())
        if not targets and not await self._journal.read(_is_used):
            return {}
        self.id, places = await self._journal.write(lambda tx: _open(tx, wanted))
        self.silent_up_to = int(await self._journal.read(lambda reader: reader.meta(SILENT)) or 0)
        return places

    async def after(self, seq: int, limit: int) -> list[OutboxRow]:
        """Rows beyond `seq`, in order."""
        return await self._journal.read(lambda reader: _after(reader, seq, limit))

    def seen(self, name: str, seq: int) -> None:
        """It has everything up to `seq`; recorded lazily, so a crash may tell it some of that once more."""
        self._journal.later(lambda tx: _seen(tx, name, seq))

    async def disable(self, name: str, now: int, event: str, data: Mapping[str, Any]) -> None:
        """Tell it nothing more, and say so."""

        def work(tx: Transaction) -> None:
            _run(tx, "UPDATE webhooks SET disabled = 1 WHERE name = ?", (name,))
            tx.emit(OutboxKind.EVENT, event_json(event, now, dict(data)))
            _trim(tx)
            if not _run(tx, "SELECT 1 FROM webhooks WHERE disabled = 0"):
                _run(tx, f"DROP TRIGGER IF EXISTS {TRIGGER}")

        await self._journal.write(work)

    async def skip(self, name: str, seq: int, before: int, now: int) -> tuple[int, int]:
        """Give up rows beyond `seq` that are older than `before` (UTC ms), and all but the latest `MOST`.

        Returns where the webhook stands then, and how many rows were given up; says so with `webhook_dropped`.
        """
        return await self._journal.write(lambda tx: _skip(tx, name, seq, before, now))


def _open(tx: Transaction, wanted: Mapping[str, tuple[str, frozenset[str]]]) -> tuple[str, dict[str, Place]]:
    known = {row[0]: row[1:] for row in _run(tx, "SELECT name, target, seen, disabled FROM webhooks")}
    newest = tx.highest("outbox")
    places, collected = {}, set[str]()
    for name, (target, kinds) in wanted.items():
        old, seen, disabled = known.get(name, ("", newest, 0))
        if old != target:
            # Only an address that was given up begins anew: what the old one did not take is for the new one.
            seen, disabled = (newest if disabled or not old else seen), 0
            values = (name, target, seen, disabled)
            _run(tx, "INSERT OR REPLACE INTO webhooks (name, target, seen, disabled) VALUES (?, ?, ?, ?)", values)
        places[name] = Place(seen, bool(disabled))
        collected |= kinds if not disabled else set()
    for name in known.keys() - wanted.keys():
        _run(tx, "DELETE FROM webhooks WHERE name = ?", (name,))
    _run(tx, f"DROP TRIGGER IF EXISTS {TRIGGER}")
    if collected:
        listed = ", ".join(f"'{kind}'" for kind in sorted(collected))  # of KINDS, which are ours
        _run(
            tx,
            f"CREATE TRIGGER {TRIGGER} AFTER INSERT ON outbox WHEN NEW.kind IN ({listed}) BEGIN "
            "INSERT INTO feed (seq, kind, payload, at) VALUES (NEW.seq, NEW.kind, NEW.payload, NEW.at); END",
        )
    _trim(tx)
    id = tx.meta(_ID)
    if id is None:
        id = os.urandom(4).hex()
        tx.set_meta(_ID, id)
    return id, places


def _hashed(url: str) -> str:
    return hashlib.blake2b(url.encode(), digest_size=12).hexdigest()


def _is_used(reader: Reader) -> bool:
    return bool(_run(reader, "SELECT 1 FROM webhooks LIMIT 1"))


def _after(reader: Reader, seq: int, limit: int) -> list[OutboxRow]:
    sql = "SELECT seq, kind, payload FROM feed WHERE seq > ? ORDER BY seq LIMIT ?"
    return [OutboxRow(*row) for row in _run(reader, sql, (seq, limit))]


def _seen(tx: Transaction, name: str, seq: int) -> None:
    _run(tx, "UPDATE webhooks SET seen = max(seen, ?) WHERE name = ?", (seq, name))
    _trim(tx)


def _trim(tx: Transaction) -> None:
    """What every webhook has seen goes."""
    _run(
        tx,
        "DELETE FROM feed WHERE seq <= coalesce((SELECT min(seen) FROM webhooks WHERE disabled = 0), ?)",
        (2**62,),
    )


def _skip(tx: Transaction, name: str, seq: int, before: int, now: int) -> tuple[int, int]:
    [(old,)] = _run(tx, "SELECT max(seq) FROM feed WHERE seq > ? AND at < ?", (seq, before))
    far = _run(tx, "SELECT seq FROM feed WHERE seq > ? ORDER BY seq DESC LIMIT 1 OFFSET ?", (seq, MOST))
    place = max(old or seq, far[0][0] if far else seq)
    [(count,)] = _run(tx, "SELECT count(*) FROM feed WHERE seq > ? AND seq <= ?", (seq, place))
    if count:
        _seen(tx, name, place)
        data = {"webhook": name, "events": count}
        tx.emit(OutboxKind.EVENT, event_json("webhook_dropped", now, data))
    return place, count


def _run(reader: Reader, sql: str, values: tuple[Any, ...] = ()) -> list[Any]:
    assert isinstance(reader, SqlReader)
    return reader.run(sql, values)
