"""What the operating system says about a port, in our errors and in sentences for a person."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Sequence

from hardware.errors import PortBusy, PortForbidden, PortLost, PortMissing, TransportError
from hardware.transport.holders import Holder, fix_for, who_holds
from hardware.transport.lockfile import Locked

BUSY = {errno.EBUSY, errno.EAGAIN, errno.EWOULDBLOCK}
FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
UNREACHABLE = {errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ETIMEDOUT, errno.ECONNRESET}
TWICE = "This program has it open already: is the same port configured twice?"
NO_TTY = {errno.ENOTTY, errno.EINVAL, errno.EISDIR, errno.ENOTDIR}


def opening_failed(url: str, error: BaseException) -> TransportError:
    """The error to raise when `url` could not be opened; blocking, it looks through /proc for a busy port."""
    number = errno_of(error)
    if number in BUSY:
        return PortBusy(f"{url} is in use", hint=busy_hint(url))
    if number in FORBIDDEN:
        return PortForbidden(f"{url} may not be opened", hint=forbidden_hint(url))
    if "://" in url:
        return PortMissing(f"{url} does not answer: {reason(error)}", hint=_network_hint(error, number))
    if number in NO_TTY:
        return PortMissing(f"{url} is no serial port", hint="Name the modem's tty, such as /dev/ttyUSB2.")
    return PortMissing(
        f"{url} is not there: {reason(error)}", hint="Plug the modem in, or correct `port` in the configuration."
    )


def lost(port: str, error: BaseException | None) -> PortLost:
    """The error for a port that was open."""
    return PortLost(
        f"{port} was lost: {reason(error)}",
        hint="The modem was unplugged, has restarted, or its power is weak: use a powered hub.",
    )


def locked(url: str, error: Locked) -> PortBusy:
    """The error for a port that another program has by a lock file."""
    if error.holder.pid == os.getpid():
        return PortBusy(f"{url} is in use", hint=TWICE)
    return PortBusy(
        f"{url} is in use",
        hint=f"{error.holder} has locked it: {fix_for(error.holder, port=url)}. "
        f"If it has nothing to do with this port, remove {error.file}.",
    )


def taken(url: str, rivals: Sequence[Holder]) -> PortBusy:
    """The error for a port that other programs have open."""
    return PortBusy(f"{url} is in use", hint=_held_by(url, rivals))


def busy_hint(url: str) -> str:
    """Names the program that holds the port, if we may see it."""
    holding = who_holds(url)
    if others := [holder for holder in holding.holders if holder.pid != os.getpid()]:
        return _held_by(url, others)
    if holding.holders:
        return TWICE
    if holding.suspects:
        suspect = holding.suspects[0]
        return f"Perhaps {suspect} holds it, which runs as another user: {fix_for(suspect, port=url)}."
    if holding.unseen:
        return f"Another program holds it; {holding.unseen}: `sudo fuser -v {url}` shows which."
    return "Another program held it a moment ago."


def _held_by(url: str, holders: Sequence[Holder]) -> str:
    names = " and ".join(str(holder) for holder in holders[:3])
    return f"{names} holds it: {fix_for(holders[0], port=url)}."


def forbidden_hint(url: str) -> str:
    return f"Add the user to the group that owns {url}, usually: sudo usermod -aG dialout $USER, then log in again."


def errno_of(error: BaseException | None) -> int | None:
    """The first errno in `error`, its arguments or what it was raised from (pyserial hides it at times)."""
    seen = 0
    while error is not None and seen < 5:
        number = getattr(error, "errno", None)
        if isinstance(number, int) and not isinstance(error, socket.gaierror):
            return number
        if error.args and isinstance(error.args[0], int) and not isinstance(error, socket.gaierror):
            return error.args[0]
        error = error.__cause__ or error.__context__
        seen += 1
    return None


def reason(error: BaseException | None) -> str:
    """A few words, without the type and numbers of an exception."""
    number = errno_of(error)
    if number is not None and number in errno.errorcode:
        return os.strerror(number)
    if error is None:
        return "the line was hung up"
    root = error.__context__ if error.__context__ is not None else error
    return str(root).partition(" [")[0] or type(root).__name__


def _network_hint(error: BaseException, number: int | None) -> str:
    if isinstance(error.__context__ or error, socket.gaierror):
        return "The host name cannot be resolved: correct it or use an address."
    if number in UNREACHABLE:
        return "Check that the host is up and that its serial server (ser2net) listens at this port."
    return "Supported are device paths, socket://host:port and rfc2217://host:port."
