"""What was accepted lately, for those who count it: read once, at the start."""

from __future__ import annotations

from sms_bridge.core.brakes import LONGEST
from sms_bridge.core.ports import Reader
from sms_bridge.store.journal import Journal
from sms_bridge.store.transaction import LATE_ORDERS, SqlReader

Late = tuple[float, str, str | bytes | None, int]
"""Seconds ago, number, text or octets, parts."""

# Bounded by the primary key: no index of its own, which each order would have to keep.
_SQL = (
    "SELECT accepted_at, recipient, coalesce(data, text), parts FROM orders "
    "WHERE seq > (SELECT coalesce(max(seq), 0) FROM orders) - ? AND accepted_at > ? ORDER BY seq"
)


async def late_orders(journal: Journal, now: int) -> list[Late]:
    """Of the last day, oldest first, among the latest. `now` is UTC ms. StoreError."""

    def work(reader: Reader) -> list[Late]:
        assert isinstance(reader, SqlReader)
        rows = reader.run(_SQL, (LATE_ORDERS, now - int(LONGEST * 1000)))
        return [((now - at) / 1000, number, content, parts) for at, number, content, parts in rows]

    return await journal.read(work)
