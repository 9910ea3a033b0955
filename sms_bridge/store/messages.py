"""Orders as a list to look through, newest first; beside the queries that sending needs."""

from __future__ import annotations

import json
from typing import Any

from sms_bridge.core.events import status_json
from sms_bridge.core.moves import status_of
from sms_bridge.core.ports import Reader
from sms_bridge.store import rows
from sms_bridge.store.journal import Journal
from sms_bridge.store.transaction import SqlReader

SPAN = 20_000  # orders that one page looks through: states have no index, which each send would have to keep


async def page_of_messages(
    journal: Journal, state: str | None, before: int | None, limit: int
) -> tuple[list[dict[str, Any]], int | None]:
    """Statuses of at most `limit` orders, and the `before` of the next page (None at the end). StoreError.

    A page may be short, or empty, though there are more: a state that is rare is looked for page by page.
    """
    return await journal.read(lambda reader: _page(reader, state, before, limit))


def _page(reader: Reader, state: str | None, before: int | None, limit: int) -> tuple[list[dict[str, Any]], int | None]:
    assert isinstance(reader, SqlReader)
    [(first, last)] = reader.run("SELECT min(seq), max(seq) FROM orders")
    if first is None:
        return [], None
    top = min(last + 1, before or last + 1)
    lowest = max(first, top - SPAN)
    where = "seq < ? AND seq >= ?" + (" AND state = ?" if state is not None else "")
    sql = f"SELECT {rows.ORDER_COLUMNS} FROM orders WHERE {where} ORDER BY seq DESC LIMIT ?"
    values = (top, lowest, state, limit) if state is not None else (top, lowest, limit)
    orders = [rows.order_from(row) for row in reader.run(sql, values)]
    reached = orders[-1].seq if len(orders) == limit else lowest
    return [json.loads(status_json(status_of(order))) for order in orders], reached if reached > first else None
