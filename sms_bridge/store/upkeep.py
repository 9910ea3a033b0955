"""The journal's tables as wholes: what may go, what moves when the clock jumps. A part of `SqlTransaction`."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from sms_bridge.core.conversations import MOST
from sms_bridge.core.model import ClockMark, Cutoffs, Waits
from sms_bridge.store.recent import RecentRows
from sms_bridge.store.routed import Routed

# A broker delivers again what we had not acknowledged, a few hundred orders at most (`mqtt.intake.HIGH`). An older key
# could only mistake a packet id that is used anew for an old delivery, and swallow an order.
KEEP_DELIVERY_KEYS = 2_000
# Contents of one SIM that are known for ever: more than it and its modem can hold, so that what lies on a SIM in a
# drawer is not published again when it is put in after years.
KEEP_CONTENTS = 1_000
KEEP_FREE = 64  # pages kept for what comes next, so that the file does not breathe
NUMBERED = ("orders", "outbox", "inbound", "quarantine", "orphan_reports")  # their numbers never come twice

_BOOT, _OFFSET, _RAN = "clock_boot", "clock_offset", "ran"  # rows of `meta`

# `x` after the clock has jumped to :now; nothing waits longer than :most from there. After a jump backwards, what waits
# no longer than that anyway stays as it is.
MOVED = "CASE WHEN :by > 0 OR {x} > :now + :most THEN min({x} + :by, :now + :most) ELSE {x} END"

# An order that something is still to come of: an answer, or a step of its escalation.
AWAITED = (
    "(EXISTS (SELECT 1 FROM escalations e WHERE e.order_seq = orders.seq AND e.state = 'waits') "
    "OR EXISTS (SELECT 1 FROM questions q WHERE q.order_seq = orders.seq AND q.state IN ('new', 'open')))"
)


class Upkeep(Routed):
    """Implements `core.ports.Upkeep`."""

    _db: sqlite3.Connection
    _last: dict[str, int]  # the highest number given in each table of NUMBERED
    _purged_to: int
    _recent: RecentRows

    def purge(self, cutoffs: Cutoffs, limit: int) -> int:
        self._recent.clear()
        gone = self._purge_orders(cutoffs, limit)
        for table in ("inbound", "quarantine", "orphan_reports", "outbox"):
            gone += self._delete(
                f"DELETE FROM {table} WHERE seq IN (SELECT seq FROM {table} WHERE seq <= ? ORDER BY seq LIMIT ?)",
                getattr(cutoffs, table),
                limit,
            )
        gone += self._purge_contents(cutoffs.contents, limit)
        gone += self._purge_routed(cutoffs.ended_before, limit)
        for table in ("sim_usage", "sim_recipients"):
            sql = f"DELETE FROM {table} WHERE day < date(? / 1000, 'unixepoch')"
            self._db.execute(sql, (cutoffs.counted_before,))
        self._db.execute(
            "DELETE FROM conversations WHERE number IN (SELECT number FROM conversations ORDER BY at DESC "
            "LIMIT ? OFFSET ?)",
            (limit, MOST),
        )
        latest = self._last["orders"] - KEEP_DELIVERY_KEYS
        self._delete(
            "DELETE FROM delivery_keys WHERE order_seq IN (SELECT order_seq FROM delivery_keys "
            "WHERE order_seq <= ? ORDER BY order_seq LIMIT ?)",
            latest,
            limit * 10,
        )
        if gone:
            for table in NUMBERED:
                self._keep_highest(table)
        self._give_back(limit)
        return gone

    def highest(self, table: str) -> int:
        if table in self._last:
            return self._last[table]
        row = self._db.execute(f"SELECT max(seq) FROM {table}").fetchone()
        return row[0] or 0

    def age_notes(self, table: str) -> list[tuple[int, int]]:
        sql = "SELECT ran, seq FROM age_notes WHERE name = ? ORDER BY ran"
        return list(self._db.execute(sql, (table,)))

    def add_age_note(self, table: str, ran: int, seq: int) -> None:
        self._db.execute("INSERT OR REPLACE INTO age_notes (name, ran, seq) VALUES (?, ?, ?)", (table, ran, seq))

    def drop_age_notes(self, table: str, before: int) -> None:
        self._db.execute("DELETE FROM age_notes WHERE name = ? AND ran < ?", (table, before))

    def ran(self) -> int:
        return int(self.meta(_RAN) or 0)

    def note_ran(self, ran: int) -> None:
        self.set_meta(_RAN, str(ran))

    def clock_mark(self) -> ClockMark | None:
        boot, offset = self.meta(_BOOT), self.meta(_OFFSET)
        return ClockMark(boot, int(offset)) if boot is not None and offset is not None else None

    def set_clock_mark(self, mark: ClockMark) -> None:
        self.set_meta(_BOOT, mark.boot)
        self.set_meta(_OFFSET, str(mark.offset))

    def move_waits(self, by: int, now: int, most: Waits) -> None:
        self._recent.clear()
        for table, column, longest, where in (
            ("orders", "bound_until", most.bound, "bound_until IS NOT NULL AND stage = 'ready'"),
            ("orders", "not_before", most.retry, "stage IN ('ready', 'busy') AND not_before IS NOT NULL"),
            ("avoided", "until", most.avoided, "true"),
            ("inbound", "partial_at", most.parts, "state = 'collecting' AND partial_at IS NOT NULL"),
        ):
            moved = MOVED.format(x=column)
            parameters = {"by": by, "now": now, "most": longest}
            self._db.execute(f"UPDATE {table} SET {column} = {moved} WHERE {where}", parameters)

    def add_expiries(self, expiries: Sequence[tuple[int, int, int | None]]) -> None:
        self._db.executemany(
            "INSERT INTO expiries (order_seq, expires_at, fixed, boot) "
            f"VALUES (?, ?, ?, coalesce((SELECT value FROM meta WHERE name = '{_BOOT}'), ''))",
            expiries,
        )

    def drop_deadline(self, seq: int) -> None:
        self._recent.clear()
        self._db.execute("DELETE FROM expiries WHERE order_seq = ?", (seq,))
        self._db.execute("UPDATE orders SET deadline = NULL WHERE seq = ?", (seq,))

    def move_expiries(self, by: int, boot: str) -> dict[int, int]:
        self._recent.clear()
        self._db.execute("UPDATE expiries SET expires_at = expires_at + ? WHERE boot = ?", (by, boot))
        sql = (
            "SELECT e.order_seq, min(e.expires_at, coalesce(e.fixed, e.expires_at)) FROM expiries e "
            "JOIN orders o ON o.seq = e.order_seq WHERE e.boot = ? AND o.stage <> 'done'"
        )
        found = dict(self._db.execute(sql, (boot,)))
        self._db.executemany(
            "UPDATE orders SET deadline = ? WHERE seq = ?", [(deadline, seq) for seq, deadline in found.items()]
        )
        return found

    def meta(self, name: str) -> str | None:
        row = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return row[0] if row else None

    def set_meta(self, name: str, value: str) -> None:
        self._db.execute(
            "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            (name, value),
        )

    def _delete(self, sql: str, up_to: int, limit: int) -> int:
        return max(0, self._db.execute(sql, (up_to, limit)).rowcount)

    def _purge_orders(self, cutoffs: Cutoffs, limit: int) -> int:
        """Oldest first, going on where the last look ended: orders that never end must not bar the way."""
        sql = (
            f"SELECT seq, stage = 'done' AND state_at < ? AND NOT {AWAITED}, state_at FROM orders "
            "WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?"
        )
        cutoff = cutoffs.ended_before
        seen = self._db.execute(sql, (cutoff, self._purged_to, cutoffs.orders, limit)).fetchall()
        self._db.executemany("DELETE FROM orders WHERE seq = ?", [(seq,) for seq, old, _ in seen if old])
        at_end = len(seen) < limit or seen[-1][2] >= cutoff
        self._purged_to = 0 if at_end else seen[-1][0]
        return sum(old for _, old, _ in seen)

    def _purge_contents(self, up_to: int, limit: int) -> int:
        """Of each SIM all but the latest, which may still lie on it."""
        gone = 0
        for scope in self._scopes():
            sql = "SELECT seq FROM contents WHERE scope = ? ORDER BY seq DESC LIMIT 1 OFFSET ?"
            row = self._db.execute(sql, (scope, KEEP_CONTENTS)).fetchone()
            if row is not None:
                gone += max(
                    0,
                    self._db.execute(
                        "DELETE FROM contents WHERE content_key IN (SELECT content_key FROM contents "
                        "WHERE scope = ? AND seq <= ? ORDER BY seq LIMIT ?)",
                        (scope, min(row[0], up_to), limit),
                    ).rowcount,
                )
        return gone

    def _scopes(self) -> list[str]:
        """Each SIM in `contents`, found by steps through the index: there are few, with many rows each."""
        found: list[str] = []
        sql = "SELECT min(scope) FROM contents WHERE scope > ?"
        while (scope := self._db.execute(sql, (found[-1] if found else "",)).fetchone()[0]) is not None:
            found.append(scope)
        return found

    def _give_back(self, pages: int) -> None:
        """Give free pages to the file system; one at a time, as sqlite3 ends that pragma after its first step."""
        free = self._db.execute("PRAGMA freelist_count").fetchone()[0]
        for _ in range(min(pages, max(0, free - KEEP_FREE))):
            self._db.execute("PRAGMA incremental_vacuum(1)")

    def _highest(self, table: str) -> int:
        """The highest number ever given in `table`, deleted rows included."""
        kept = self.meta(f"highest_{table}")
        row = self._db.execute(f"SELECT max(seq) FROM {table}").fetchone()
        return max(int(kept or 0), row[0] or 0)

    def _keep_highest(self, table: str) -> None:
        """Before the row that has it may be gone."""
        self.set_meta(f"highest_{table}", str(self._last[table]))
