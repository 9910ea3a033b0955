"""The two requests that are made of the kernel by a device's own node, /dev/bus/usb/001/004 (linux/usbdevice_fs.h)."""

from __future__ import annotations

import fcntl
import os
import struct
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

Ioctl = Callable[[int, int, Any], Any]

USBDEVFS_RESET: Final = 0x5514  # _IO('U', 20)
CONTROL_TRANSFER: Final = struct.Struct("@BBHHHIP")  # struct usbdevfs_ctrltransfer
USBDEVFS_CONTROL: Final = 0xC0005500 | CONTROL_TRANSFER.size << 16  # _IOWR('U', 0, struct usbdevfs_ctrltransfer)

GET_HUB_DESCRIPTOR: Final = (0xA0, 6)  # bmRequestType and bRequest (USB 2.0 11.24.2.5)
HUB_DESCRIPTOR: Final = 0x29
SUPERSPEED_HUB_DESCRIPTOR: Final = 0x2A  # USB 3.2 10.15.2.1
DESCRIPTOR_SIZE: Final = 15  # octets, more than we need of it
TRANSFER_TIMEOUT: Final = 1000  # ms


def reset(node: Path, ioctl: Ioctl = fcntl.ioctl) -> None:
    """Reset the device's port, as if it were plugged in anew, its address kept. Blocks for seconds; raises OSError."""
    descriptor = os.open(node, os.O_WRONLY | os.O_CLOEXEC)
    try:
        ioctl(descriptor, USBDEVFS_RESET, 0)
    finally:
        os.close(descriptor)


def hub_descriptor(node: Path, *, superspeed: bool, ioctl: Ioctl = fcntl.ioctl) -> bytes:
    """What a hub says of itself; sysfs does not have it. Blocks for up to a second; raises OSError."""
    kind = SUPERSPEED_HUB_DESCRIPTOR if superspeed else HUB_DESCRIPTOR
    buffer = array("B", bytes(DESCRIPTOR_SIZE))  # not ctypes, which wants memory that systemd may forbid
    address, _ = buffer.buffer_info()
    transfer = CONTROL_TRANSFER.pack(*GET_HUB_DESCRIPTOR, kind << 8, 0, DESCRIPTOR_SIZE, TRANSFER_TIMEOUT, address)
    descriptor = os.open(node, os.O_RDWR | os.O_CLOEXEC)
    try:
        ioctl(descriptor, USBDEVFS_CONTROL, transfer)
    finally:
        os.close(descriptor)
    answer = buffer.tobytes()
    return answer[: answer[0]]  # its first octet is its length
