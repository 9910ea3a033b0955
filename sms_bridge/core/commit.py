"""A transaction under way, as its caller holds it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Commit(Generic[T]):
    """Await it for the result, from as many tasks as you like; who stops waiting does not stop the transaction.

    `then` runs on the loop as soon as the commit is known to be on the disk, whoever waits, and its value is the
    result: memory follows the journal even if the task that asked was cancelled. The one who waits goes on in the next
    turn of the loop, with no task or shield in between: a modem's prompt is waiting.
    """

    __slots__ = ("_error", "_result", "_then", "_waiters", "done")

    def __init__(self, then: Callable[[Any], T] | None = None) -> None:
        self.done = False
        self._then = then
        self._result: Any = None
        self._error: BaseException | None = None
        self._waiters: list[asyncio.Future[None]] = []

    @classmethod
    def of(cls, result: T) -> Commit[T]:
        """One that is over already."""
        commit = cls()
        commit.settle(result, None)
        return commit

    def __await__(self) -> Generator[Any, None, T]:
        if not self.done:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            yield from waiter
        return self.result()

    def result(self) -> T:
        """What it came to; raises what it failed with. RuntimeError while it is under way."""
        if not self.done:
            raise RuntimeError("the commit is under way")
        if self._error is not None:
            raise self._error
        result: T = self._result
        return result

    def settle(self, result: Any, error: BaseException | None) -> None:
        """From the journal, on the loop: what the work returned, or why nothing was committed."""
        if error is None and self._then is not None:
            try:
                result = self._then(result)
            except Exception as fault:
                error = fault
        self.done, self._result, self._error = True, result, error
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()
