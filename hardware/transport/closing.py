"""Giving a port back to the kernel, which may take as long as the driver likes (CP210x, FTDI, CDC-ACM)."""

from __future__ import annotations

import array
import asyncio
import contextlib
import fcntl
import termios
import time
from typing import Any

from hardware.transport.threads import call_in_thread

LAST_BYTES = 0.05  # seconds for what was written just before, such as ESC at a prompt, to leave


class Closer:
    """Closes one port in a thread of its own."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._started: asyncio.Event = asyncio.Event()
        self._done: asyncio.Future[None] | None = None

    def start(self, port: Any) -> None:
        """Begin to close `port`; call on the loop, once."""
        self._done = call_in_thread(f"close {self._name}", lambda: close_port(port), _nothing)
        self._started.set()

    async def wait(self, timeout: float) -> bool:
        """True once the port is closed, False if it is not within `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                await self._started.wait()
                assert self._done is not None
                await asyncio.shield(self._done)
        except TimeoutError:
            return False
        return True


def close_port(port: Any) -> None:
    """Close a pyserial port of any kind; blocking. What cannot be closed is gone already."""
    _drop_output(port)
    connection = getattr(port, "_socket", None)  # pyserial leaves it open when the peer was first
    try:
        port.close()
    except (OSError, termios.error):
        return
    finally:
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.close()
        if (lock := getattr(port, "port_lock", None)) is not None:
            lock.release()


def _drop_output(port: Any) -> None:
    """Discard what a dead device does not take: else close() waits for it, 30 s with usb-serial."""
    descriptor = getattr(port, "fd", None)
    if not isinstance(descriptor, int):
        return
    try:
        if not _unsent(descriptor):
            return
        time.sleep(LAST_BYTES)
        if _unsent(descriptor):
            termios.tcflush(descriptor, termios.TCOFLUSH)
    except (OSError, termios.error):
        return  # unplugged: nothing is left to drop


def _unsent(descriptor: int) -> int:
    count = array.array("i", [0])
    fcntl.ioctl(descriptor, termios.TIOCOUTQ, count)
    return count[0]


def _nothing(_result: None) -> None:
    return
