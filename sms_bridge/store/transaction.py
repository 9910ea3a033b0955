"""The journal's SQL, behind the protocols of `core.ports`. One object serves one connection and its thread."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sms_bridge.core.conversations import MOST
from sms_bridge.core.lanes import lane_of, lane_of_sim
from sms_bridge.core.model import (
    Attempt,
    Balance,
    ClaimantView,
    Handed,
    InboundPart,
    InboundSet,
    Order,
    OrphanReport,
    OutboxRow,
    Quarantined,
)
from sms_bridge.store import rows
from sms_bridge.store.recent import RecentRows
from sms_bridge.store.talks import TalkReads, TalkWrites
from sms_bridge.store.upkeep import NUMBERED, Upkeep

LATE_ORDERS = 20_000  # among which the parts of the last day are looked for at a start


class SqlReader(TalkReads):
    """Reads; every query is bounded or has an index."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def run(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        """For tables that are no part of the core; never to write those of which rows are remembered."""
        return self._db.execute(sql, values).fetchall()

    def orders_of(self, id: str) -> list[Order]:
        sql = f"SELECT {rows.ORDER_COLUMNS} FROM orders WHERE id = ? ORDER BY seq"
        return [rows.order_from(row) for row in self._db.execute(sql, (id,))]

    def order(self, seq: int) -> Order | None:
        row = self._db.execute(f"SELECT {rows.ORDER_COLUMNS} FROM orders WHERE seq = ?", (seq,)).fetchone()
        return rows.order_from(row) if row else None

    def ready(self, lane: str, after: tuple[int, int] | None, limit: int) -> list[Order]:
        where = "stage IN ('ready', 'busy') AND stage = 'ready' AND lane = ?"
        parameters: list[Any] = [lane]
        if after is not None:
            where += " AND (precedence, seq) > (?, ?)"
            parameters += after
        sql = f"SELECT {rows.ORDER_COLUMNS} FROM orders WHERE {where} ORDER BY precedence, seq LIMIT ?"
        return [rows.order_from(row) for row in self._db.execute(sql, (*parameters, limit))]

    def attempts(self, order_seq: int, generation: int | None = None) -> list[Attempt]:
        sql = f"SELECT {rows.ATTEMPT_COLUMNS} FROM attempts WHERE order_seq = ? ORDER BY n"
        found = [rows.attempt_from(row) for row in self._db.execute(sql, (order_seq,))]
        return found if generation is None else [a for a in found if a.generation == generation]

    def next_due(self) -> int | None:
        queries = (
            "SELECT min(send_at) FROM orders WHERE stage = 'held'",
            "SELECT min(deadline) FROM orders WHERE deadline IS NOT NULL AND stage IN ('held', 'ready')",
            "SELECT min(bound_until) FROM orders WHERE bound_until IS NOT NULL AND stage = 'ready'",
            "SELECT min(partial_at) FROM inbound WHERE state = 'collecting'",
            "SELECT min(expires_at) FROM questions WHERE state = 'open'",
            "SELECT min(due_at) FROM escalations WHERE state = 'waits'",
        )
        dues = [self._db.execute(sql).fetchone()[0] for sql in queries]
        return min((due for due in dues if due is not None), default=None)

    def counts(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for stage in ("held", "ready", "busy"):
            # The second condition names the partial index.
            index = "stage = 'held'" if stage == "held" else "stage IN ('ready', 'busy')"
            sql = f"SELECT count(*) FROM orders WHERE stage = '{stage}' AND {index}"
            found[stage] = self._db.execute(sql).fetchone()[0]
        found["outbox"] = self._db.execute("SELECT count(*) FROM outbox").fetchone()[0]
        return found

    def queues(self) -> dict[str, int]:
        sql = "SELECT lane, count(*) FROM orders WHERE stage IN ('ready', 'busy') GROUP BY lane"
        return dict(self._db.execute(sql))

    def avoided(self, order_seq: int) -> dict[str, int]:
        return dict(self._db.execute("SELECT modem, until FROM avoided WHERE order_seq = ?", (order_seq,)))

    def inbox(self, limit: int, before: int | None = None) -> list[InboundSet]:
        sql = f"SELECT {rows.SET_COLUMNS} FROM inbound WHERE payload <> '' AND seq < ? ORDER BY seq DESC LIMIT ?"
        return [rows.set_from(row) for row in self._db.execute(sql, (before or 2**62, limit))]

    def balances(self) -> list[Balance]:
        sql = f"SELECT {rows.BALANCE_COLUMNS} FROM balances ORDER BY sim"
        return [rows.balance_from(row) for row in self._db.execute(sql)]

    def handed(self, orders: int, limit: int) -> list[Handed]:
        # Bounded by the primary keys of both tables: no index of its own, which each send would have to keep.
        sql = (
            "SELECT a.sim, a.recipient, a.ended_at, a.report_status IS NOT NULL OR a.state IN ('delivered', "
            "'undelivered'), CASE WHEN o.parts = 1 AND o.state = 'delivered' THEN o.state_at - a.ended_at END "
            "FROM orders o CROSS JOIN attempts a ON a.order_seq = o.seq "
            "WHERE o.seq > (SELECT max(seq) FROM orders) - ? AND o.delivery_report = 1 AND a.ended_at IS NOT NULL "
            "AND a.route = 'modems' AND a.state IN ('sent', 'delivered', 'undelivered') "
            "ORDER BY o.seq DESC, a.n DESC LIMIT ?"
        )
        rows_ = self._db.execute(sql, (orders, limit))
        return [Handed(sim, to, at, bool(reported), took) for sim, to, at, reported, took in rows_]

    def meta(self, name: str) -> str | None:
        row = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return row[0] if row else None

    def outbox_after(self, seq: int, limit: int) -> list[OutboxRow]:
        sql = "SELECT seq, kind, payload FROM outbox WHERE seq > ? ORDER BY seq LIMIT ?"
        return [OutboxRow(*row) for row in self._db.execute(sql, (seq, limit))]

    def usage(self) -> list[tuple[str, str, int]]:
        return list(self._db.execute("SELECT sim, day, parts FROM sim_usage"))

    def recipients(self) -> list[tuple[str, str, str]]:
        return list(self._db.execute("SELECT sim, number, day FROM sim_recipients"))

    def parts_of_late(self, since: int) -> list[tuple[str, str, int]]:
        sql = (
            "SELECT sim, recipient, began_at FROM attempts WHERE began_at > ? "
            "AND order_seq > (SELECT coalesce(max(seq), 0) FROM orders) - ? AND route = 'modems' ORDER BY began_at"
        )
        return list(self._db.execute(sql, (since, LATE_ORDERS)))

    def conversations(self) -> list[tuple[str, str, int]]:
        sql = "SELECT number, sim, at FROM (SELECT * FROM conversations ORDER BY at DESC LIMIT ?) ORDER BY at"
        return list(self._db.execute(sql, (MOST,)))


class SqlTransaction(SqlReader, TalkWrites, Upkeep):
    """Writes. `emitted` and the counters are reset when a transaction is rolled back."""

    def __init__(self, connection: sqlite3.Connection, now: Callable[[], int]) -> None:
        super().__init__(connection)
        self._now = now
        self.emitted: list[OutboxRow] = []
        self._flushed = 0
        self._purged_to = 0
        self._committed = {table: self._highest(table) for table in NUMBERED}
        self._last = dict(self._committed)
        self._recent = RecentRows()

    def started(self) -> None:
        """A BEGIN has succeeded."""
        self.emitted = []
        self._flushed = 0
        self._last = dict(self._committed)

    def committed(self) -> None:
        """A COMMIT has succeeded."""
        self._committed = self._last

    def rolled_back(self) -> None:
        """Nothing of this transaction was kept, nor may be remembered."""
        self._recent.clear()

    def order(self, seq: int) -> Order | None:
        values = self._recent.order(seq)
        if values is not None:
            return rows.order_from(values)
        found = super().order(seq)
        if found is not None:
            self._recent.keep_order(seq, rows.order_values(found, seq))
        return found

    def attempts(self, order_seq: int, generation: int | None = None) -> list[Attempt]:
        values = self._recent.attempts(order_seq)
        if values is None:
            found = super().attempts(order_seq)
            self._recent.keep_attempts(order_seq, [rows.attempt_values(attempt) for attempt in found])
        else:
            found = [rows.attempt_from(row) for row in values]
        return found if generation is None else [a for a in found if a.generation == generation]

    def flush(self) -> None:
        """Write what was emitted since the last flush."""
        fresh = self.emitted[self._flushed :]
        if fresh:
            at = self._now()
            self._db.executemany(
                "INSERT INTO outbox (seq, kind, payload, at) VALUES (?, ?, ?, ?)",
                [(row.seq, row.kind, row.payload, at) for row in fresh],
            )
            self._flushed = len(self.emitted)

    def known_ids(self, ids: Sequence[str]) -> set[str]:
        if not ids:
            return set()
        sql = "SELECT DISTINCT id FROM orders WHERE id IN (SELECT value FROM json_each(?))"
        return {row[0] for row in self._db.execute(sql, (json.dumps(ids),))}

    def add_orders(self, orders: Sequence[Order]) -> None:
        seq = self._last["orders"]
        values = []
        for order in orders:
            seq += 1
            order.seq = seq
            values.append(rows.order_values(order, seq))
            self._recent.keep_order(seq, values[-1])
            self._recent.keep_attempts(seq, [])
        self._db.executemany(rows.ORDER_INSERT, values)
        self._last["orders"] = seq

    def save_order(self, order: Order) -> None:
        self._db.execute(rows.ORDER_UPDATE, rows.order_changes(order))
        self._recent.keep_order(order.seq, rows.order_values(order, order.seq))

    def id_of_delivery(self, key: str) -> str | None:
        sql = (
            "SELECT o.id FROM delivery_keys k JOIN orders o ON o.seq = k.order_seq WHERE k.key = ? "
            "ORDER BY k.order_seq DESC LIMIT 1"
        )
        row = self._db.execute(sql, (_hashed(key),)).fetchone()
        return row[0] if row else None

    def add_delivery_keys(self, keys: Sequence[tuple[str, int]]) -> None:
        self._db.executemany(
            "INSERT INTO delivery_keys (order_seq, key) VALUES (?, ?)", [(seq, _hashed(key)) for key, seq in keys]
        )

    def avoid(self, order_seq: int, modem: str, until: int) -> None:
        sql = "INSERT OR REPLACE INTO avoided (order_seq, modem, until) VALUES (?, ?, ?)"
        self._db.execute(sql, (order_seq, modem, until))

    def orders_due(self, now: int, limit: int) -> list[Order]:
        columns = rows.ORDER_COLUMNS
        sql = (
            f"SELECT {columns} FROM orders WHERE stage = 'held' AND send_at <= ?1 "
            f"UNION SELECT {columns} FROM orders WHERE deadline IS NOT NULL AND stage IN ('held', 'ready') "
            "AND deadline <= ?1 "
            f"UNION SELECT {columns} FROM orders WHERE bound_until IS NOT NULL AND stage = 'ready' "
            "AND bound_until <= ?1 LIMIT ?2"
        )
        return [rows.order_from(row) for row in self._db.execute(sql, (now, limit))]

    def orders_busy(self) -> list[Order]:
        sql = (
            f"SELECT {rows.ORDER_COLUMNS} FROM orders WHERE seq IN "
            "(SELECT seq FROM orders WHERE stage IN ('ready', 'busy') AND stage = 'busy') ORDER BY seq"
        )
        return [rows.order_from(row) for row in self._db.execute(sql)]

    def add_attempt(self, attempt: Attempt) -> None:
        values = rows.attempt_values(attempt)
        self._db.execute(rows.ATTEMPT_INSERT, values)
        self._recent.keep_attempt(attempt.order_seq, values)

    def save_attempt(self, attempt: Attempt) -> None:
        self._db.execute(rows.ATTEMPT_UPDATE, rows.attempt_changes(attempt))
        self._recent.keep_attempt(attempt.order_seq, rows.attempt_values(attempt))

    def attempts_by_mr(self, sim: str, mr: int) -> list[Attempt]:
        sql = f"SELECT {rows.ATTEMPT_COLUMNS} FROM attempts WHERE sim = ? AND mr = ? ORDER BY began_at DESC LIMIT 50"
        return [rows.attempt_from(row) for row in self._db.execute(sql, (sim, mr))]

    def attempts_unknown(self, sim: str) -> list[Attempt]:
        sql = (
            f"SELECT {rows.ATTEMPT_COLUMNS} FROM attempts WHERE sim = ? AND state = 'unknown' "
            "ORDER BY began_at DESC LIMIT 1000"
        )
        return [rows.attempt_from(row) for row in self._db.execute(sql, (sim,))]

    def add_orphan(self, report: OrphanReport) -> None:
        self._db.execute(
            f"INSERT INTO orphan_reports ({rows.ORPHAN_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                self._next("orphan_reports"), report.sim, report.mr, report.number, report.status, report.sent_at,
                report.received_at,
            ),
        )  # fmt: skip

    def orphans(self, sim: str, mr: int) -> list[OrphanReport]:
        sql = f"SELECT {rows.ORPHAN_COLUMNS} FROM orphan_reports WHERE sim = ? AND mr = ? ORDER BY seq LIMIT 50"
        return [rows.orphan_from(row) for row in self._db.execute(sql, (sim, mr))]

    def drop_orphan(self, seq: int) -> None:
        self._keep_highest("orphan_reports")
        self._db.execute("DELETE FROM orphan_reports WHERE seq = ?", (seq,))

    def contents(self, keys: Sequence[bytes]) -> dict[bytes, int]:
        found: dict[bytes, int] = {}
        for key in keys:
            row = self._db.execute("SELECT copies FROM contents WHERE content_key = ?", (key,)).fetchone()
            if row is not None:
                found[key] = row[0]
        return found

    def note_contents(self, scope: str, copies: Mapping[bytes, int]) -> None:
        seq = self.highest("contents")
        self._db.executemany(
            "INSERT INTO contents (content_key, scope, seq, copies) VALUES (?, ?, ?, ?) ON CONFLICT (content_key) "
            "DO UPDATE SET seq = excluded.seq, copies = max(copies, excluded.copies)",
            [(key, scope, seq + n, count) for n, (key, count) in enumerate(copies.items(), 1)],
        )

    def open_sets(self, scope: str, sender: str, ref: int, total: int, bits: int) -> list[InboundSet]:
        sql = (
            f"SELECT {rows.SET_COLUMNS} FROM inbound WHERE state IN ('collecting', 'partial') AND scope = ? "
            "AND sender = ? AND ref = ? AND total = ? AND bits = ? ORDER BY seq DESC LIMIT 100"
        )
        return [rows.set_from(row) for row in self._db.execute(sql, (scope, sender, ref, total, bits))]

    def set_parts(self, set_seq: int) -> list[InboundPart]:
        sql = f"SELECT {rows.PART_COLUMNS} FROM inbound_parts WHERE set_seq = ? ORDER BY number, seq"
        return [rows.part_from(row) for row in self._db.execute(sql, (set_seq,))]

    def inbound_set(self, seq: int) -> InboundSet | None:
        row = self._db.execute(f"SELECT {rows.SET_COLUMNS} FROM inbound WHERE seq = ?", (seq,)).fetchone()
        return rows.set_from(row) if row else None

    def add_set(self, inbound: InboundSet) -> None:
        s = inbound
        s.seq = self._next("inbound")
        self._db.execute(
            rows.SET_INSERT,
            (
                s.seq, s.id, s.scope, s.modem, s.sender, s.state, s.received_at, s.sent_at, s.total, s.have, s.ref,
                s.bits, s.partial_at, s.payload,
            ),
        )  # fmt: skip

    def save_set(self, inbound: InboundSet) -> None:
        s = inbound
        self._db.execute(rows.SET_UPDATE, (s.state, s.sent_at, s.have, s.partial_at, s.payload, s.seq))

    def add_part(self, part: InboundPart) -> None:
        p = part
        cursor = self._db.execute(
            rows.PART_INSERT,
            (
                None, p.body_key, p.set_seq, p.number, p.raw, p.received_at, p.sent_at, p.storage, p.idx,
            ),
        )  # fmt: skip
        p.seq = cursor.lastrowid or 0

    def drop_part(self, seq: int) -> None:
        self._db.execute("DELETE FROM inbound_parts WHERE seq = ?", (seq,))

    def sets_due(self, now: int, limit: int) -> list[InboundSet]:
        sql = (
            f"SELECT {rows.SET_COLUMNS} FROM inbound WHERE state = 'collecting' AND partial_at <= ? "
            "ORDER BY partial_at LIMIT ?"
        )
        return [rows.set_from(row) for row in self._db.execute(sql, (now, limit))]

    def add_quarantined(self, item: Quarantined) -> bool:
        q, seq = item, self._next("quarantine")
        cursor = self._db.execute(
            "INSERT INTO quarantine (seq, content_key, raw, error, modem, scope, storage, idx, received_at) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (seq, q.content_key, q.raw, q.error, q.modem, q.scope, q.storage, q.idx, q.received_at),
        )
        return cursor.rowcount > 0

    def rename_modem(self, old: str, new: str) -> None:
        self._db.execute(
            "UPDATE orders SET modem_wanted = ?2, lane = iif(lane = ?3, ?4, lane) "
            "WHERE modem_wanted = ?1 AND stage IN ('held', 'ready', 'busy')",
            (old, new, lane_of(old), lane_of(new)),
        )
        # A SIM whose ICCID cannot be read has its modem's name.
        before, after = ClaimantView(old).sim, ClaimantView(new).sim
        self._db.execute("UPDATE attempts SET sim = ? WHERE sim = ?", (after, before))
        sql = "UPDATE orders SET sim = ?, lane = ? WHERE lane = ? AND stage IN ('ready', 'busy')"
        self._db.execute(sql, (after, lane_of_sim(after), lane_of_sim(before)))
        self._db.execute("UPDATE OR REPLACE avoided SET modem = ? WHERE modem = ?", (new, old))
        self._recent.clear()

    def orders_for(self, modem: str, limit: int) -> list[Order]:
        sql = f"SELECT {rows.ORDER_COLUMNS} FROM orders WHERE modem_wanted = ? AND stage IN ('held', 'ready') LIMIT ?"
        return [rows.order_from(row) for row in self._db.execute(sql, (modem, limit))]

    def save_balance(self, balance: Balance) -> None:
        self._db.execute(rows.BALANCE_REPLACE, rows.balance_values(balance))

    def emit(self, kind: str, payload: str) -> None:
        seq = self._next("outbox")
        self.emitted.append(OutboxRow(seq, kind, payload))

    def outbox_delete(self, seqs: Sequence[int]) -> None:
        """Published rows go, whole runs at a time."""
        self._db.executemany("DELETE FROM outbox WHERE seq BETWEEN ? AND ?", _runs(seqs))
        self._keep_highest("outbox")

    def save_usage(self, rows: Sequence[tuple[str, str, int]]) -> None:
        self._db.executemany(
            "INSERT INTO sim_usage (sim, day, parts) VALUES (?, ?, ?) "
            "ON CONFLICT (sim, day) DO UPDATE SET parts = excluded.parts",
            rows,
        )

    def save_recipients(self, rows: Sequence[tuple[str, str, str]]) -> None:
        self._db.executemany(
            "INSERT INTO sim_recipients (sim, number, day) VALUES (?, ?, ?) "
            "ON CONFLICT (sim, number) DO UPDATE SET day = excluded.day",
            rows,
        )

    def save_conversations(self, rows: Sequence[tuple[str, str, int]]) -> None:
        self._db.executemany(
            "INSERT INTO conversations (number, sim, at) VALUES (?, ?, ?) "
            "ON CONFLICT (number) DO UPDATE SET sim = excluded.sim, at = excluded.at",
            rows,
        )

    def _next(self, table: str) -> int:
        self._last[table] += 1
        return self._last[table]


def _hashed(key: str) -> int:
    digest = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def _runs(seqs: Sequence[int]) -> list[tuple[int, int]]:
    """Sorted numbers as ranges: 1 2 3 7 becomes (1, 3) (7, 7)."""
    found: list[tuple[int, int]] = []
    for seq in sorted(seqs):
        if found and seq <= found[-1][1] + 1:
            found[-1] = (found[-1][0], seq)
        else:
            found.append((seq, seq))
    return found
