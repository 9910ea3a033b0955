"""A port without a file descriptor (rfc2217://), read and written by two threads of its own."""

from __future__ import annotations

import asyncio
import queue
import threading
from typing import Any

from serial import SerialException

from hardware.transport.closing import Closer
from hardware.transport.failures import lost
from hardware.transport.link import LinkProtocol, SerialLink

POLL = 0.25  # seconds a read may block before it looks whether the link was given up


class ThreadLink(SerialLink):
    """`SerialLink` over pyserial's blocking calls; a network round trip dwarfs what the threads cost."""

    def __init__(self, url: str, port: Any, reader: LinkProtocol) -> None:
        super().__init__(url)
        self._port = port
        self._reader = reader
        self._loop = asyncio.get_running_loop()
        self._closer = Closer(url)
        self._closing = False
        self._outgoing: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        port.timeout = POLL
        self._loop.call_soon(self._begin)

    def write(self, data: bytes) -> None:
        if not self._closing:
            self._outgoing.put(data)

    def abort(self) -> None:
        self._end(None)

    async def wait_closed(self, timeout: float) -> bool:
        return await self._closer.wait(timeout)

    @property
    def is_closing(self) -> bool:
        return self._closing

    def _begin(self) -> None:
        if self._closing:
            return
        self._reader.connection_made(self)
        for function in (self._read, self._write):
            threading.Thread(target=function, name=f"{function.__name__} {self.port}", daemon=True).start()

    def _end(self, error: BaseException | None) -> None:
        if self._closing:
            return
        self._closing = True
        self._outgoing.put(None)
        self._loop.call_soon(self._reader.connection_lost, None if error is None else lost(self.port, error))
        self._closer.start(self._port)

    def _received(self, data: bytes) -> None:
        if not self._closing:
            self._reader.data_received(data)

    def _read(self) -> None:
        try:
            while not self._closing:
                data = self._port.read(1)
                if data:
                    self._on_loop(self._received, data + self._port.read(self._port.in_waiting))
        except (SerialException, OSError, TypeError) as error:  # TypeError: pyserial, closed in the middle of a read
            self._on_loop(self._end, error)

    def _write(self) -> None:
        try:
            while (data := self._outgoing.get()) is not None:
                self._port.write(data)
        except (SerialException, OSError, AttributeError) as error:  # AttributeError: closed in the middle of a write
            self._on_loop(self._end, error)

    def _on_loop(self, function: Any, argument: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(function, argument)
        except RuntimeError:  # the loop is closed: nobody to tell
            self._closing = True
