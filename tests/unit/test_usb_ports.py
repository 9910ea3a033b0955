"""Devices and ports out of a sysfs tree that is laid out as the kernel lays it out."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from hardware.usb.ports import UsbInterface, devices, scan
from tests.support.usb_tree import QUECTEL, FakeUsb, Interface


def plug(
    sysfs: Path,
    path: str,
    vid_pid: str,
    interfaces: dict[int, tuple[str, str]],
    *,
    acm: bool = False,
    product: str = "Stick",
) -> None:
    """A USB device at `path` with ttys: interface number → (tty name, class triplet)."""
    usb = FakeUsb(sysfs.parent)
    vid, pid = (int(number, 16) for number in vid_pid.split(":"))
    driver = "cdc_acm" if acm else "option"
    present: list[Interface] = [(number, triplet, driver, None) for number, (_, triplet) in interfaces.items()]
    names = [name for name, _ in interfaces.values()]
    usb.held = {f"ttyUSB{number}" for number in range(20)} - set(names)
    assert [node.name for node in usb.plug(path, vid, pid, present, product=product)] == names


@pytest.fixture
def usb(tmp_path: Path) -> FakeUsb:
    return FakeUsb(tmp_path)


def test_the_ports_of_a_composite_device(usb: FakeUsb) -> None:
    usb.plug("1-1", 0x2C7C, 0x0125, QUECTEL)
    ports = scan(usb.sysfs)
    assert [port.device for port in ports] == [f"/dev/ttyUSB{n}" for n in range(4)]
    assert [port.interface for port in ports] == [0, 1, 2, 3]
    assert {port.usb_path for port in ports} == {"1-1"}
    assert {port.vid_pid for port in ports} == {"2c7c:0125"}


def test_cdc_acm_hangs_on_its_interface(usb: FakeUsb) -> None:
    pairs: list[Interface] = [
        (0, "02/02/01", "cdc_acm", None), (1, "0a/00/00", "cdc_acm", None),
        (2, "02/02/01", "cdc_acm", None), (3, "0a/00/00", "cdc_acm", None),
    ]  # fmt: skip
    usb.plug("2-1", 0x1546, 0x1102, pairs)
    (device,) = devices(usb.sysfs)
    assert [(port.device, port.interface) for port in device.ports] == [("/dev/ttyACM0", 0), ("/dev/ttyACM1", 2)]
    assert [interface.driver for interface in device.interfaces] == ["cdc_acm"] * 4


def test_a_serial_adapter_has_a_name_and_a_driver(usb: FakeUsb) -> None:
    usb.plug("1-4", 0x10C4, 0xEA60, [(0, "ff/00/00", "cp210x", None)], product="Zigbee stick")
    (port,) = scan(usb.sysfs)
    assert port.product == "Zigbee stick"
    assert port.driver == "cp210x"


def test_what_is_not_on_usb_or_half_gone_is_left_out(usb: FakeUsb) -> None:
    (usb.sysfs / "class" / "tty" / "ttyS0" / "device").mkdir(parents=True)
    (usb.sysfs / "bus" / "usb" / "devices" / "1-9").symlink_to(usb.sysfs / "gone")
    assert devices(usb.sysfs) == []
    assert scan(usb.sysfs) == []
    assert devices(usb.sysfs / "no sysfs") == []


def test_a_device_as_the_kernel_shows_it(usb: FakeUsb) -> None:
    interfaces: list[Interface] = [
        (0, "ff/ff/30", "option", None),
        (4, "ff/ff/ff", "qmi_wwan", None),
        (5, "08/06/50", None, None),
    ]
    usb.plug("1-1.3", 0x2C7C, 0x0125, interfaces, serial="0123", product="EC25", manufacturer="Quectel")
    (device,) = devices(usb.sysfs, usb.dev)  # and neither the root hub nor the hub at 1-1
    assert device.path == "1-1.3"
    assert device.vid_pid == "2c7c:0125"
    assert (device.serial, device.product, device.manufacturer) == ("0123", "EC25", "Quectel")
    assert device.configuration == 1
    assert device.interfaces == (
        UsbInterface(0, (0xFF, 0xFF, 0x30), "option"),
        UsbInterface(4, (0xFF, 0xFF, 0xFF), "qmi_wwan"),
        UsbInterface(5, (8, 6, 0x50), None),
    )
    (port,) = device.ports
    assert port.device == str(usb.dev / "ttyUSB0")
    assert (port.usb_path, port.interface, port.driver, port.serial) == ("1-1.3", 0, "option", "0123")


def test_devices_stand_in_the_order_of_their_plugs(usb: FakeUsb) -> None:
    for path in ("1-1.10", "2-1", "1-1.9", "1-2"):
        usb.plug(path, 0x1A86, 0x7523, [(0, "ff/01/02", "ch341", None)])
    assert [device.path for device in devices(usb.sysfs)] == ["1-1.9", "1-1.10", "1-2", "2-1"]


def test_a_replug_changes_the_address_and_a_held_tty_the_number(usb: FakeUsb) -> None:
    usb.plug("1-1", 0x1A86, 0x7523, [(0, "ff/01/02", "ch341", None)])
    (before,) = devices(usb.sysfs)
    usb.move("1-1", "1-1")
    (after,) = devices(usb.sysfs)
    assert before.key != after.key
    assert dataclasses.replace(after, address=before.address) == before  # the number was free again
    usb.unplug("1-1", held=["ttyUSB0"])
    assert usb.plug("1-1", 0x1A86, 0x7523, [(0, "ff/01/02", "ch341", None)]) == [usb.dev / "ttyUSB1"]


def test_a_device_that_is_not_configured_has_nothing_to_speak_to(usb: FakeUsb) -> None:
    usb.plug("1-1", 0x12D1, 0x1573, configuration=None)
    (device,) = devices(usb.sysfs)
    assert device.configuration is None
    assert (device.interfaces, device.ports) == ((), ())


@pytest.mark.parametrize("file", ["idVendor", "idProduct", "busnum", "devnum", "bDeviceClass"])
@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe\n", None])
def test_a_device_that_is_half_built_waits_for_the_next_look(usb: FakeUsb, file: str, content: bytes | None) -> None:
    usb.plug("1-1", 0x2C7C, 0x0125, QUECTEL)
    attribute = usb.folder("1-1") / file
    attribute.unlink()
    if content is not None:
        attribute.write_bytes(content)
    assert devices(usb.sysfs) == []


def test_a_part_that_cannot_be_read_is_left_out_and_the_rest_stands(usb: FakeUsb) -> None:
    usb.plug("1-1", 0x2C7C, 0x0125, QUECTEL, serial="1")
    folder = usb.folder("1-1")
    (folder / "1-1:1.0" / "bInterfaceNumber").write_text("\n")
    (folder / "1-1:1.3" / "bInterfaceProtocol").unlink()
    (folder / "bConfigurationValue").write_text("x")
    (folder / "serial").unlink()
    (folder / "product").write_bytes(b"\xff\x1b[2J\n")
    (device,) = devices(usb.sysfs)
    assert [port.interface for port in device.ports] == [1, 2]
    assert (device.serial, device.product, device.configuration) == (None, "�\x1b[2J", None)
