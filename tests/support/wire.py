"""Two asyncio protocols joined in memory: a connection for virtual time, which may cut what it carries."""

from __future__ import annotations

import asyncio
from typing import Any


class Pipe(asyncio.Transport):
    """One end. `chunk`: octets that the other end is given at once; None: as they were written."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self.protocol = protocol
        self.other: Pipe | None = None
        self.written = bytearray()
        self.chunk: int | None = None
        self.holding = False  # what is written goes nowhere: a half-open connection
        self._closing = False
        self._reading = True
        self._waiting: list[bytes] = []

    def write(self, data: Any) -> None:
        if self._closing:
            return
        octets = bytes(data)
        self.written += octets
        if self.holding or self.other is None:
            return
        size = self.chunk or max(1, len(octets))
        for at in range(0, len(octets), size):
            asyncio.get_running_loop().call_soon(self.other.arrive, octets[at : at + size])

    def arrive(self, octets: bytes) -> None:
        if not self._reading:
            self._waiting.append(octets)
        elif not self._closing:
            self.protocol.data_received(octets)

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        self._reading = True
        waiting, self._waiting = self._waiting, []
        for octets in waiting:
            asyncio.get_running_loop().call_soon(self.arrive, octets)

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        self._end()

    def abort(self) -> None:
        self._end()

    def _end(self) -> None:
        if self._closing:
            return
        self._closing = True
        loop = asyncio.get_running_loop()
        loop.call_soon(self.protocol.connection_lost, None)
        if self.other is not None and not self.holding:
            loop.call_soon(self.other._end)


def join(one: asyncio.Protocol, other: asyncio.Protocol) -> tuple[Pipe, Pipe]:
    """Connect them."""
    left, right = Pipe(one), Pipe(other)
    left.other, right.other = right, left
    right.protocol.connection_made(right)
    left.protocol.connection_made(left)
    return left, right
