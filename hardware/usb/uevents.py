"""The kernel's own news of devices: netlink uevents, which need neither udevd nor a library.

Used as a wake-up only: what there is, sysfs says. So nothing that a stranger sends can do more than make us look.
"""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass
from typing import Final

NETLINK_KOBJECT_UEVENT: Final = 15  # linux/netlink.h
KERNEL_GROUP: Final = 1  # 2 is udevd's own, which never reaches a container
LARGEST: Final = 8192  # octets; the kernel builds them in 2048 and a header
MOST_AT_ONCE: Final = 1000  # a flood must not keep us from looking
SUBSYSTEMS: Final = frozenset({"usb", "usb-serial", "tty"})


@dataclass(frozen=True, slots=True)
class Uevent:
    """`action` such as add, remove, bind; `path` below /sys, with the leading slash."""

    action: str
    path: str
    subsystem: str


def parse(datagram: bytes) -> Uevent | None:
    """A uevent of the kernel (`add@/devices/…`, NUL, `KEY=value`, NUL, …); None for anything else. Never raises."""
    head, _, rest = datagram.partition(b"\0")
    action, at, path = head.partition(b"@")
    if not at or not action.isalpha() or not path.startswith(b"/"):
        return None  # udevd's begin with "libudev"
    fields = dict(line.split(b"=", 1) for line in rest.split(b"\0") if b"=" in line)
    if fields.get(b"ACTION") != action or fields.get(b"DEVPATH") != path or not fields.get(b"SUBSYSTEM"):
        return None
    return Uevent(_text(action), _text(path), _text(fields[b"SUBSYSTEM"]))


def open_socket() -> socket.socket:
    """A socket that hears the kernel; OSError where that is not allowed or not built in."""
    family = getattr(socket, "AF_NETLINK", None)
    if family is None:
        raise OSError(errno.EAFNOSUPPORT, "no netlink")
    netlink = socket.socket(family, socket.SOCK_DGRAM, NETLINK_KOBJECT_UEVENT)
    try:
        netlink.bind((0, KERNEL_GROUP))
    except BaseException:
        netlink.close()
        raise
    return netlink


def drain(netlink: socket.socket) -> bool:
    """Read all that is there without waiting; True when it may be of USB or something was missed.

    Raises OSError when the socket is of no more use.
    """
    look = False
    for _ in range(MOST_AT_ONCE):
        try:
            datagram, _, flags, sender = netlink.recvmsg(LARGEST, 0, socket.MSG_DONTWAIT)
        except (BlockingIOError, InterruptedError):
            return look
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            look = True  # the kernel had more to say than we had room for
            continue
        if _from_kernel(netlink, sender):
            event = parse(datagram)
            look = look or bool(flags & socket.MSG_TRUNC) or (event is not None and event.subsystem in SUBSYSTEMS)
    return True


def _from_kernel(netlink: socket.socket, sender: object) -> bool:
    """The kernel's netlink port is 0, and any process may send to ours. Another kind of socket has one sender."""
    return not isinstance(sender, tuple) or sender[:1] == (0,)


def _text(octets: bytes) -> str:
    return octets.decode(errors="replace")
