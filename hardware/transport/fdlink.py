"""A port with a file descriptor (a tty, a pty, a TCP socket) on the event loop."""

from __future__ import annotations

import asyncio
import errno
import os
from typing import Any

from serial_asyncio import SerialTransport

from hardware.transport.closing import Closer
from hardware.transport.failures import lost
from hardware.transport.link import LinkProtocol, SerialLink

READ_SIZE = 4096  # octets; a tty gives at most 4095 at once

# What is overridden below is private to pyserial-asyncio: the version is pinned and a test watches these names.
OVERRIDDEN = ("_read_ready", "_write_ready", "_fatal_error", "_call_connection_lost")
RELIED_UPON = ("_abort", "_remove_reader", "_ensure_writer", "_remove_writer", "_maybe_resume_protocol")


class _Transport(SerialTransport):  # type: ignore[misc]
    """Talks to the descriptor directly: errors keep their errno, and the usual write is one system call."""

    _serial: Any
    _protocol: Any

    def __init__(self, loop: asyncio.AbstractEventLoop, reader: LinkProtocol, port: Any, link: FdLink) -> None:
        self._link = link
        self._fd: int = port.fileno()
        os.set_blocking(self._fd, False)
        super().__init__(loop, _Adapter(reader, link), port)
        self._deliver = reader.data_received

    def write(self, data: bytes) -> None:
        if self._closing:
            return
        if not self._write_buffer:
            # Waiting for writability costs two epoll_ctl and a turn of the loop, and a port is nearly always writable.
            written = self._put(data)
            if written == len(data) or self._closing:
                return
            data = data[written:]
        super().write(data)

    def _put(self, data: bytes) -> int:
        try:
            return os.write(self._fd, data)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError as error:
            self._fatal_error(error)
            return 0

    def _read_ready(self) -> None:
        if self._closing:
            return
        try:
            data = os.read(self._fd, READ_SIZE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._fatal_error(error)
            return
        if data:
            self._deliver(data)
        else:  # an unplugged USB serial port is readable for ever and gives nothing
            self._fatal_error(OSError(errno.EIO, os.strerror(errno.EIO)))

    def _write_ready(self) -> None:
        if self._closing:
            return
        # pyserial's own write() would spin on EAGAIN.
        data = b"".join(self._write_buffer)
        rest = data[self._put(data) :]
        if self._closing:
            return
        self._write_buffer.clear()
        if rest:
            self._write_buffer.append(rest)
        else:
            self._remove_writer()
        self._maybe_resume_protocol()

    def _fatal_error(self, exc: BaseException, message: str = "") -> None:
        """An unplugged modem is daily life: no noise in the loop's exception handler."""
        if not self._closing:
            self._abort(exc)

    def _call_connection_lost(self, exc: BaseException | None) -> None:
        """No flush, no close here: both may block for as long as the driver likes."""
        port, protocol = self._serial, self._protocol
        self._serial = self._protocol = None
        self._loop = None
        self._write_buffer.clear()
        self._link.release(port)
        protocol.connection_lost(exc)


class _Adapter(asyncio.Protocol):
    """From asyncio's protocol to ours."""

    def __init__(self, reader: LinkProtocol, link: FdLink) -> None:
        self._reader = reader
        self._link = link

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not self._link.is_closing:
            self._reader.connection_made(self._link)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._reader.connection_lost(None if exc is None else lost(self._link.port, exc))


class FdLink(SerialLink):
    """`SerialLink` over a descriptor, by way of pyserial-asyncio's transport."""

    def __init__(self, url: str, port: Any, reader: LinkProtocol) -> None:
        super().__init__(url)
        self._closer = Closer(url)
        self._transport = _Transport(asyncio.get_running_loop(), reader, port, self)

    def write(self, data: bytes) -> None:
        self._transport.write(data)

    def abort(self) -> None:
        if not self._transport.is_closing():
            self._transport.abort()

    async def wait_closed(self, timeout: float) -> bool:
        return await self._closer.wait(timeout)

    @property
    def is_closing(self) -> bool:
        return bool(self._transport.is_closing())

    def release(self, port: Any) -> None:
        """Start giving `port` back to the kernel."""
        self._closer.start(port)
