"""Opening a port off the loop, with a deadline, never leaking it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import socket
import termios
from collections.abc import Iterator
from typing import Any, Final

import serial

from hardware.errors import PortMissing, PortWedged
from hardware.transport.closing import Closer, close_port
from hardware.transport.failures import locked, lost, opening_failed, taken
from hardware.transport.fdlink import FdLink
from hardware.transport.holders import is_tty, rivals_of
from hardware.transport.link import ProtocolFactory, SerialLink
from hardware.transport.lockfile import Locked, PortLock, acquire
from hardware.transport.threadlink import ThreadLink
from hardware.transport.threads import call_in_thread

OPEN_DEADLINE: Final = 10.0  # seconds; a dead ttyACM blocks open() for about 5, DNS and connect take as long
NETWORK_SCHEMES: Final = ("socket", "rfc2217")
KEEPALIVE: Final = (  # seconds, seconds, times: a serial server without power is found within a minute
    (socket.TCP_KEEPIDLE, 30),
    (socket.TCP_KEEPINTVL, 10),
    (socket.TCP_KEEPCNT, 3),
)
PTY_MAJORS: Final = range(136, 144)  # Unix98 pty slaves (Linux devices.txt)


async def open_port(
    url: str, *, baudrate: int = 115200, protocol_factory: ProtocolFactory, timeout: float = OPEN_DEADLINE
) -> SerialLink:
    """Open `url` (a device path, `socket://host:port`, `rfc2217://host:port`) exclusively, 8N1, DTR and RTS on.

    Raises PortMissing, PortBusy, PortForbidden, or PortWedged after `timeout` seconds; what opens later is closed.
    """
    opening = call_in_thread(f"open {url}", lambda: _open(url, baudrate), close_port)
    try:
        async with asyncio.timeout(timeout):
            port = await opening
    except TimeoutError:
        raise PortWedged(
            f"{url} did not open within {timeout:g} s",
            hint="The driver hangs: unplug the modem and plug it in again, or switch its USB port off and on.",
        ) from None
    link = ThreadLink if url.lower().startswith("rfc2217:") else FdLink
    try:
        return link(url, port, protocol_factory())
    except BaseException as error:
        Closer(url).start(port)
        if isinstance(error, OSError):  # it went away in this very moment
            raise lost(url, error) from error
        raise


def _open(url: str, baudrate: int) -> Any:
    scheme = url.partition("://")[0].lower() if "://" in url else ""
    if scheme and scheme not in NETWORK_SCHEMES:
        raise PortMissing(
            f"{url}: unknown kind of port",
            hint="Supported are device paths, socket://host:port and rfc2217://host:port.",
        )
    lock = None if scheme else _lock(url)
    try:
        port = _open_locked(url, baudrate, scheme)
    except BaseException:
        if lock is not None:
            lock.release()
        raise
    port.port_lock = lock  # released by close_port
    return port


def _lock(url: str) -> PortLock | None:
    """Keep out those who go by lock files, and stay out where somebody is who goes by nothing (smstools)."""
    if not is_tty(url):
        return None
    try:
        lock = acquire(url)
    except Locked as error:
        raise locked(url, error) from error
    try:
        if rivals := rivals_of(url):
            raise taken(url, rivals)
    except BaseException:
        lock.release()
        raise
    return lock


def _open_locked(url: str, baudrate: int, scheme: str) -> Any:
    try:
        port = (serial.serial_for_url if scheme else _tty)(
            url,
            baudrate=baudrate,
            do_not_open=True,
            timeout=0,
            write_timeout=0 if scheme != "rfc2217" else None,
            exclusive=None if scheme else True,
            dsrdtr=False,
            rtscts=False,
            xonxoff=False,
        )
        port.dtr = True  # u-blox and Qualcomm do not answer with DTR low (domain A2.2)
        port.rts = True
        port.open()
    except (serial.SerialException, OSError, ValueError, termios.error) as error:
        raise opening_failed(url, error) from error
    try:
        _claim(url, port, scheme)
    except OSError as error:
        close_port(port)
        raise opening_failed(url, error) from error
    return port


class _Tty(serial.Serial):
    """Works without DTR and RTS too: some firmware refuses the request (EPIPE) on a port that answers all the same.

    The driver has raised both by then, and forgives the refusal; pyserial asks again and would give the port up.
    """

    def _update_dtr_state(self) -> None:
        with _forgiven():
            super()._update_dtr_state()  # type: ignore[misc]

    def _update_rts_state(self) -> None:
        with _forgiven():
            super()._update_rts_state()  # type: ignore[misc]


def _tty(device: str, *, do_not_open: bool, **options: Any) -> _Tty:
    assert do_not_open
    port = _Tty(None, **options)
    port.port = device
    return port


@contextlib.contextmanager
def _forgiven() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        return


def _claim(url: str, port: Any, scheme: str) -> None:
    """Keep others out of a tty, small packets moving on TCP."""
    if scheme == "socket":
        port._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        port._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in KEEPALIVE:
            port._socket.setsockopt(socket.IPPROTO_TCP, option, value)
        _settle_socket(port)
    elif not scheme and os.major(os.fstat(port.fd).st_rdev) not in PTY_MAJORS:
        # Besides flock, which binds only those who ask for it. Not on a pty: there the flag outlives a killed process.
        with contextlib.suppress(OSError):
            fcntl.ioctl(port.fd, termios.TIOCEXCL)


def _settle_socket(port: Any) -> None:
    """A serial server that refuses a second client accepts and closes at once: say so now."""
    try:
        if port._socket.recv(1, socket.MSG_PEEK) == b"":
            raise OSError(errno.EBUSY, "closed by the serial server")
    except BlockingIOError:
        return
