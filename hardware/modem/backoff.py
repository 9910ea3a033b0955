"""How long to wait before the next attempt, and what cuts the wait short."""

from __future__ import annotations

import asyncio
import os
import random

from hardware.modem import timeouts

__all__ = ["Backoff", "Node"]

Signature = tuple[int, int, int] | None
"""Identity of a device node, None while it is not there."""


class Backoff:
    """Delays in seconds that double up to a cap, with jitter; `reset` after a success."""

    def __init__(self, first: float = timeouts.RECONNECT_FIRST, cap: float = timeouts.RECONNECT_CAP) -> None:
        self._first = first
        self._cap = cap
        self._next = first

    def reset(self) -> None:
        self._next = self._first

    def delay(self) -> float:
        """The delay to wait now."""
        delay = self._next
        self._next = min(self._cap, self._next * 2)
        return delay * (1 + timeouts.RECONNECT_JITTER * random.uniform(-1, 1))


class Node:
    """A device node that comes and goes. What is no path is always there and never new."""

    def __init__(self, path: str | None) -> None:
        self._path = path

    @property
    def exists(self) -> bool:
        return self._path is None or self.signature() is not None

    def signature(self) -> Signature:
        """Changes when the device was unplugged and plugged again, however quickly."""
        if self._path is None:
            return (0, 0, 0)
        try:
            found = os.stat(self._path)
        except OSError:
            return None
        return (found.st_ino, found.st_rdev, found.st_ctime_ns if found.st_rdev == 0 else 0)

    async def wait(self, wake: asyncio.Event, seconds: float, before: Signature) -> bool:
        """Until woken, the time is over, or the node is another than `before`; True: it came anew."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while True:
            now = self.signature()
            if now is not None and now != before:
                return True
            left = end - loop.time()
            if left <= 0:
                return False
            step = left if self._path is None else min(left, timeouts.PATH_POLL)
            try:
                async with asyncio.timeout(step):
                    await wake.wait()
                return False
            except TimeoutError:
                if before is not None and self.signature() is None:
                    return False  # it left: the caller has something to say about that
