"""Uevents are octets from outside, and a look that fails is no unplugging."""

from __future__ import annotations

import errno
import os
import resource
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.usb.lookout import Names
from hardware.usb.uevents import MOST_AT_ONCE, Uevent, drain, open_socket, parse
from tests.support.usb_tree import QUECTEL, FakeUsb

# As Linux 6.1 sent them when a usb-serial device was plugged into a QEMU guest.
TTY = (
    b"add@/devices/pci0000:00/0000:00:04.0/usb1/1-1/1-1:1.0/ttyUSB0/tty/ttyUSB0\0ACTION=add\0"
    b"DEVPATH=/devices/pci0000:00/0000:00:04.0/usb1/1-1/1-1:1.0/ttyUSB0/tty/ttyUSB0\0SUBSYSTEM=tty\0"
    b"MAJOR=188\0MINOR=0\0DEVNAME=ttyUSB0\0SEQNUM=1009\0"
)
USB = (
    b"remove@/devices/pci0000:00/0000:00:04.0/usb1/1-1\0ACTION=remove\0"
    b"DEVPATH=/devices/pci0000:00/0000:00:04.0/usb1/1-1\0SUBSYSTEM=usb\0MAJOR=189\0MINOR=1\0"
    b"DEVNAME=bus/usb/001/002\0DEVTYPE=usb_device\0PRODUCT=403/6001/400\0TYPE=0/0/0\0BUSNUM=001\0DEVNUM=002\0SEQNUM=1015\0"
)
DISK = b"change@/devices/virtual/block/loop0\0ACTION=change\0DEVPATH=/devices/virtual/block/loop0\0SUBSYSTEM=block\0"


def test_what_the_kernel_says() -> None:
    assert parse(USB) == Uevent("remove", "/devices/pci0000:00/0000:00:04.0/usb1/1-1", "usb")
    found = parse(TTY)
    assert found is not None
    assert (found.action, found.subsystem) == ("add", "tty")


@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        b"\0",
        b"libudev\0\xfe\xed\xca\xfe",  # udevd's own
        b"add@/devices/usb1\0",
        b"@/devices/usb1\0ACTION=\0DEVPATH=/devices/usb1\0SUBSYSTEM=usb\0",
        b"add@/devices/usb1\0ACTION=remove\0DEVPATH=/devices/usb1\0SUBSYSTEM=usb\0",
        b"add@/devices/usb1\0ACTION=add\0DEVPATH=/devices/usb2\0SUBSYSTEM=usb\0",
        b"add@/devices/usb1\0ACTION=add\0DEVPATH=/devices/usb1\0SUBSYSTEM=\0",
        b"add@devices/usb1\0ACTION=add\0DEVPATH=devices/usb1\0SUBSYSTEM=usb\0",
    ],
)
def test_what_is_no_uevent(datagram: bytes) -> None:
    assert parse(datagram) is None


@given(
    st.binary(max_size=300)
    | st.lists(st.sampled_from([TTY[:40], USB[50:90], b"\0", b"@", b"=", b"\xff"])).map(b"".join)
)
def test_any_octets_are_parsed(datagram: bytes) -> None:
    found = parse(datagram)
    assert found is None or (found.action and found.path.startswith("/") and found.subsystem)


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, kernels = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, kernels:
        yield ours, kernels


def test_news_of_usb_makes_us_look_and_other_news_does_not(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, kernel = ends
    assert not drain(ours)
    kernel.send(DISK)
    kernel.send(b"\xff" * 50)
    assert not drain(ours)
    kernel.send(DISK)
    kernel.send(USB)
    kernel.send(DISK)
    assert drain(ours)
    assert not drain(ours)
    kernel.send(TTY + b"X=" + b"y" * 9000)  # too long to be read whole
    assert drain(ours)


class _Overrun(socket.socket):
    """As a netlink socket is after an overflow: one ENOBUFS, then what came later."""

    def recvmsg(self, *arguments: int) -> tuple[bytes, list[tuple[int, int, bytes]], int, object]:
        if not getattr(self, "said", False):
            self.said = True
            raise OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS))
        return super().recvmsg(*arguments)


def test_an_overflow_makes_us_look(ends: tuple[socket.socket, socket.socket]) -> None:
    with _Overrun(fileno=ends[0].detach()) as ours:
        assert drain(ours)
        assert not drain(ours)


def test_a_flood_does_not_hold_us(ends: tuple[socket.socket, socket.socket]) -> None:
    class Flood(socket.socket):
        def recvmsg(self, *_: int) -> tuple[bytes, list[tuple[int, int, bytes]], int, object]:
            self.read = getattr(self, "read", 0) + 1
            return DISK, [], 0, None

    with Flood(fileno=ends[0].detach()) as ours:
        assert drain(ours)
        assert ours.read == MOST_AT_ONCE


def test_only_the_kernel_is_believed() -> None:
    netlink = open_socket()
    with netlink, socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, netlink.proto) as stranger:
        stranger.sendto(USB, (netlink.getsockname()[0], 0))
        assert not drain(netlink)


def test_names_tell_a_replug_from_the_same_stay(tmp_path: Path) -> None:
    usb = FakeUsb(tmp_path)
    usb.plug("1-1.2", 0x2C7C, 0x0125, QUECTEL)
    names = Names(usb.sysfs)
    first = names.look()
    assert set(first) == {"1-1", "1-1.2"}
    assert {name for name, _ in first["1-1.2"].content} == {f"ttyUSB{n}" for n in range(4)} | {
        f"1-1.2:1.{n}" for n in range(4)
    }
    assert names.look() == first
    usb.move("1-1.2", "1-1.2")
    second = names.look()
    assert second["1-1.2"].stay != first["1-1.2"].stay
    assert second["1-1"] == first["1-1"]


def test_want_of_descriptors_is_no_unplugging(tmp_path: Path) -> None:
    usb = FakeUsb(tmp_path)
    usb.plug("1-1", 0x2C7C, 0x0125, QUECTEL)
    names = Names(usb.sysfs)
    before = names.look()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.open(os.devnull, os.O_RDONLY)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            names.look()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert names.look() == before


def test_a_machine_without_usb_has_no_plugs(tmp_path: Path) -> None:
    assert Names(tmp_path).look() == {}
    (tmp_path / "class").touch()
    assert Names(tmp_path).look() == {}


def test_a_plug_whose_address_is_not_there_is_left_out(tmp_path: Path) -> None:
    usb = FakeUsb(tmp_path)
    usb.plug("1-1", 0x2C7C, 0x0125, QUECTEL)
    (usb.folder("1-1") / "devnum").write_text("\n")
    assert Names(usb.sysfs).look() == {}
