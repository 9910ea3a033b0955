"""What was accepted lately, for those who count it: read once, at the start."""

from __future__ import annotations

from sms_bridge.core.brakes import LONGEST, Spent
from sms_bridge.core.guarding import spent
from sms_bridge.core.ports import Reader
from sms_bridge.store.journal import Journal
from sms_bridge.store.transaction import LATE_ORDERS, SqlReader

# Bounded by the primary key: no index of its own, which each order would have to keep.
_SQL = (
    "SELECT accepted_at, recipient, coalesce(data, text), parts FROM orders "
    "WHERE seq > (SELECT coalesce(max(seq), 0) FROM orders) - ? AND accepted_at > ? ORDER BY seq"
)


async def late_orders(journal: Journal, now: int) -> list[tuple[float, Spent]]:
    """(Seconds before `now` (UTC ms), order), oldest first, of the last day, among the latest. StoreError."""

    def work(reader: Reader) -> list[tuple[float, Spent]]:
        assert isinstance(reader, SqlReader)
        rows = reader.run(_SQL, (LATE_ORDERS, now - int(LONGEST * 1000)))
        return [((now - at) / 1000, spent(number, content, parts)) for at, number, content, parts in rows]

    return await journal.read(work)
