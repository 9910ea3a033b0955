"""Two ends of a serial line in memory: what one writes the other reads, on the next turn of the loop."""

from __future__ import annotations

import asyncio

from hardware.transport.failures import lost
from hardware.transport.link import LinkProtocol, SerialLink


class LoopbackEnd(SerialLink):
    """One end. `written` keeps all that was ever written to it, `times` the loop's time of each write."""

    def __init__(self, port: str) -> None:
        super().__init__(port)
        self.written: list[bytes] = []
        self.times: list[float] = []
        self._peer: LoopbackEnd | None = None
        self._reader: LinkProtocol | None = None
        self._closing = False

    def attach(self, reader: LinkProtocol) -> None:
        """Give this end to `reader`, which is told at once."""
        self._reader = reader
        reader.connection_made(self)

    def write(self, data: bytes) -> None:
        if self._closing:
            return
        loop = asyncio.get_running_loop()
        self.written.append(data)
        self.times.append(loop.time())
        if self._peer is not None:
            loop.call_soon(self._peer.deliver, data)

    def deliver(self, data: bytes) -> None:
        """Bytes arrive at this end."""
        if self._reader is not None and not self._closing:
            self._reader.data_received(data)

    def unplug(self) -> None:
        """The cable is pulled: both ends are lost."""
        for end in (self, self._peer):
            if end is not None:
                end.lose(OSError(5, "Input/output error"))

    def abort(self) -> None:
        self.lose(None)
        if self._peer is not None:
            self._peer.lose(OSError(5, "Input/output error"))

    def lose(self, error: OSError | None) -> None:
        """End this side of the line."""
        if self._closing:
            return
        self._closing = True
        if self._reader is not None:
            reason = None if error is None else lost(self.port, error)
            asyncio.get_running_loop().call_soon(self._reader.connection_lost, reason)

    async def wait_closed(self, timeout: float) -> bool:
        return self._closing

    @property
    def is_closing(self) -> bool:
        return self._closing

    def _join(self, peer: LoopbackEnd) -> None:
        self._peer = peer


def loopback() -> tuple[LoopbackEnd, LoopbackEnd]:
    """Two joined ends; each must be given a reader with `attach()`."""
    near, far = LoopbackEnd("loopback:near"), LoopbackEnd("loopback:far")
    near._join(far)
    far._join(near)
    return near, far
