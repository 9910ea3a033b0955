"""The journal's tables of routes other than modems: ids, receipts, what came in. A part of `SqlTransaction`."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

from sms_bridge.core.model import Attempt, Order, OrphanReceipt, Receipt, StatusError
from sms_bridge.core.states import ReceiptState
from sms_bridge.store import rows
from sms_bridge.store.recent import RecentRows

KEEP_ORPHANS = 100_000  # receipts that are nobody's: another system may share the account
KEEP_ARRIVALS = 200_000
_COLUMNS = "seq, route, message_id, recipient, state, error_code, error_text, at"


class Routed:
    """Implements the part of `core.ports.Transaction` that speaks of routes."""

    _db: sqlite3.Connection
    _recent: RecentRows

    def attempts_by_id(self, route: str, ids: Sequence[str]) -> list[Attempt]:
        if not ids:
            return []
        sql = (
            f"SELECT {rows.ATTEMPT_COLUMNS} FROM attempts WHERE message_id IN (SELECT value FROM json_each(?)) "
            "AND message_id IS NOT NULL AND route = ? ORDER BY order_seq, n LIMIT 1000"
        )
        return [rows.attempt_from(row) for row in self._db.execute(sql, (json.dumps(ids), route))]

    def add_orphan_receipt(self, receipt: Receipt) -> None:
        error = receipt.error
        self._db.execute(
            "INSERT INTO orphan_receipts (route, message_id, recipient, state, error_code, error_text, at) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                receipt.route,
                receipt.message_id,
                receipt.recipient,
                receipt.state.value,
                error.code if error is not None else None,
                error.text if error is not None else None,
                receipt.at,
            ),
        )

    def orphan_receipts(self, route: str, ids: Sequence[str]) -> list[OrphanReceipt]:
        sql = (
            f"SELECT {_COLUMNS} FROM orphan_receipts WHERE message_id IN (SELECT value FROM json_each(?)) "
            "AND route = ? ORDER BY seq LIMIT 50"
        )
        return [_orphan(row) for row in self._db.execute(sql, (json.dumps(ids), route))]

    def has_orphan_receipts(self, since: int) -> bool:
        row = self._db.execute("SELECT at FROM orphan_receipts ORDER BY seq DESC LIMIT 1").fetchone()
        return row is not None and row[0] >= since

    def drop_orphan_receipt(self, seq: int) -> None:
        self._db.execute("DELETE FROM orphan_receipts WHERE seq = ?", (seq,))

    def take_up(self, seqs: Sequence[int], route: str, now: int) -> set[int]:
        sql = (
            "UPDATE orders SET state = 'sending', stage = 'busy', state_at = ?1, modem = NULL, sim = ?2, route = ?2, "
            "not_before = NULL, bound_until = NULL WHERE seq IN (SELECT value FROM json_each(?3)) AND stage = 'ready' "
            "AND state = 'queued' AND attempt = 1 AND (deadline IS NULL OR deadline > ?1) RETURNING seq"
        )
        taken = {row[0] for row in self._db.execute(sql, (now, route, json.dumps(seqs)))}
        self._recent.forget(seqs)
        return taken

    def add_first_attempts(self, orders: Sequence[tuple[Order, str]], now: int) -> None:
        self._db.executemany(
            "INSERT INTO attempts (order_seq, n, generation, part, attempt, state, modem, sim, recipient, began_at, "
            "report_weak, route) VALUES (?1, ?2 + 1, 0, ?2, 1, 'sending', '', ?3, ?4, ?5, 0, ?3)",
            [(order.seq, part, route, order.to, now) for order, route in orders for part in range(order.parts)],
        )

    def end_first_attempts(self, sent: Sequence[tuple[int, str | None]], now: int) -> None:
        self._db.executemany(
            "UPDATE attempts SET state = 'sent', ended_at = ?, message_id = ? WHERE order_seq = ? AND n = 1",
            [(now, message_id, seq) for seq, message_id in sent],
        )
        seqs = [seq for seq, _ in sent]
        sql = (
            "UPDATE orders SET state = 'sent', stage = 'done', state_at = ?, parts_sent = 1 "
            "WHERE seq IN (SELECT value FROM json_each(?))"
        )
        self._db.execute(sql, (now, json.dumps(seqs)))
        self._recent.forget(seqs)

    def arrived_before(self, key: bytes, at: int, window: int) -> bool:
        row = self._db.execute("SELECT at FROM arrivals WHERE key = ?", (key,)).fetchone()
        if row is not None and abs(at - row[0]) < window:
            return True
        self._db.execute("INSERT OR REPLACE INTO arrivals (key, at) VALUES (?, ?)", (key, at))
        return False

    def _purge_routed(self, before: int, limit: int) -> int:
        """Receipts and arrivals from before that time (UTC ms), and all but so many of them."""
        gone = 0
        for sql in (
            "DELETE FROM orphan_receipts WHERE seq IN (SELECT seq FROM orphan_receipts WHERE at < ?1 "
            f"OR seq <= (SELECT max(seq) FROM orphan_receipts) - {KEEP_ORPHANS} ORDER BY seq LIMIT ?2)",
            "DELETE FROM arrivals WHERE key IN (SELECT key FROM arrivals WHERE at < ?1 ORDER BY at LIMIT ?2)",
        ):
            gone += max(0, self._db.execute(sql, (before, limit)).rowcount)
        sql = "SELECT at FROM arrivals ORDER BY at DESC LIMIT 1 OFFSET ?"
        row = self._db.execute(sql, (KEEP_ARRIVALS,)).fetchone()
        if row is not None:
            self._db.execute("DELETE FROM arrivals WHERE at <= ?", row)
        return gone


def _orphan(row: Sequence[Any]) -> OrphanReceipt:
    seq, route, message_id, recipient, state, code, text, at = row
    error = StatusError(code, text or "") if code is not None else None
    return OrphanReceipt(seq, Receipt(route, message_id, recipient, ReceiptState(state), error, at))
