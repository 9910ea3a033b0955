"""What the writer wrote or read last: each query that a send need not make is a wait for the interpreter less."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Row = tuple[Any, ...]

SIZE = 512  # orders; the rows of a modem's next part are among the latest


class RecentRows:
    """Rows of orders and their attempts as they stand in the open transaction. Right as long as one writer writes."""

    def __init__(self) -> None:
        self._orders: dict[int, Row] = {}
        self._attempts: dict[int, list[Row]] = {}

    def clear(self) -> None:
        """Nothing is known: rows were deleted, or a transaction was taken back."""
        self._orders.clear()
        self._attempts.clear()

    def forget(self, seqs: Iterable[int]) -> None:
        """These were changed by a statement for many."""
        for seq in seqs:
            self._orders.pop(seq, None)
            self._attempts.pop(seq, None)

    def order(self, seq: int) -> Row | None:
        return self._orders.get(seq)

    def attempts(self, seq: int) -> list[Row] | None:
        """All attempts of an order by their number; None when they are not known."""
        return self._attempts.get(seq)

    def keep_order(self, seq: int, row: Row) -> None:
        self._orders[seq] = row
        if len(self._orders) > SIZE:
            del self._orders[next(iter(self._orders))]

    def keep_attempts(self, seq: int, rows: list[Row]) -> None:
        self._attempts[seq] = rows
        if len(self._attempts) > SIZE:
            del self._attempts[next(iter(self._attempts))]

    def keep_attempt(self, seq: int, row: Row) -> None:
        """One was added or changed; its second column is its number."""
        known = self._attempts.get(seq)
        if known is None:
            return
        for place, old in enumerate(known):
            if old[1] == row[1]:
                known[place] = row
                return
        known.append(row)
