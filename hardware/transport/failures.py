"""What the operating system says about a port, in our errors and in sentences for a person."""

from __future__ import annotations

import errno
import os
import socket

from hardware.errors import PortBusy, PortForbidden, PortLost, PortMissing, TransportError
from hardware.transport.holders import holders_of

BUSY = {errno.EBUSY, errno.EAGAIN, errno.EWOULDBLOCK}
FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
UNREACHABLE = {errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ETIMEDOUT, errno.ECONNRESET}
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


def busy_hint(url: str) -> str:
    """Names the program that holds the port, if we may see it."""
    names = [f"{holder.program} (process {holder.pid})" for holder in holders_of(url) if holder.pid != os.getpid()]
    if names:
        return f"{' and '.join(names[:3])} holds it: stop that program or make it ignore this device."
    if any(holder.pid == os.getpid() for holder in holders_of(url)):
        return "This program has it open already: is the same port configured twice?"
    return "Another user's program holds it, often ModemManager: `sudo fuser -v` with the port's name shows which."


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
