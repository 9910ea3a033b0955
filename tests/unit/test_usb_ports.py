"""Ports out of a sysfs tree that is laid out as the kernel lays it out."""

from __future__ import annotations

from pathlib import Path

from hardware.usb.ports import modems, scan


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
    device = sysfs / "devices" / "usb1" / path
    device.mkdir(parents=True)
    vid, pid = vid_pid.split(":")
    for name, text in (("idVendor", vid), ("idProduct", pid), ("product", product)):
        (device / name).write_text(text + "\n")
    for number, (tty, triplet) in interfaces.items():
        interface = device / f"{path}:1.{number}"
        home = interface if acm else interface / tty
        home.mkdir(parents=True)
        (interface / "bInterfaceNumber").write_text(f"{number:02x}\n")
        names = ("bInterfaceClass", "bInterfaceSubClass", "bInterfaceProtocol")
        for name, octet in zip(names, triplet.split("/"), strict=True):
            (interface / name).write_text(octet + "\n")
        entry = sysfs / "class" / "tty" / tty
        entry.mkdir(parents=True)
        (entry / "device").symlink_to(home)


def test_a_quectel_has_its_at_port_at_interface_2(tmp_path: Path) -> None:
    plug(tmp_path, "1-1", "2c7c:0125", {n: (f"ttyUSB{n}", "ff/00/00") for n in range(4)})
    ports = scan(tmp_path)
    assert [port.device for port in ports] == [f"/dev/ttyUSB{n}" for n in range(4)]
    (found,) = modems(ports)
    assert found.port.device == "/dev/ttyUSB2"
    assert found.family == "Quectel EC25"
    assert found.port.usb_path == "1-1"
    assert found.port.vid_pid == "2c7c:0125"


def test_huawei_by_class_triplet_and_by_the_last_port(tmp_path: Path) -> None:
    plug(tmp_path, "1-2", "12d1:1506", {0: ("ttyUSB0", "ff/02/01"), 1: ("ttyUSB1", "ff/02/02")})
    plug(tmp_path, "1-3", "12d1:140c", {n: (f"ttyUSB{n + 5}", "ff/ff/ff") for n in range(3)})
    assert [found.port.device for found in modems(scan(tmp_path))] == ["/dev/ttyUSB1", "/dev/ttyUSB7"]


def test_cdc_acm_hangs_on_its_interface(tmp_path: Path) -> None:
    plug(tmp_path, "2-1", "1546:1102", {0: ("ttyACM0", "02/02/01"), 2: ("ttyACM1", "02/02/01")}, acm=True)
    (found,) = modems(scan(tmp_path))
    assert found.port.device == "/dev/ttyACM0"


def test_a_serial_adapter_is_seen_but_not_taken_for_a_modem(tmp_path: Path) -> None:
    plug(tmp_path, "1-4", "10c4:ea60", {0: ("ttyUSB0", "ff/00/00")}, product="Zigbee stick")
    (port,) = scan(tmp_path)
    assert port.product == "Zigbee stick"
    assert modems([port]) == []


def test_a_tty_that_is_not_on_usb_or_half_gone_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "class" / "tty" / "ttyS0" / "device").mkdir(parents=True)
    (tmp_path / "class" / "tty" / "ttyUSB9").mkdir()
    (tmp_path / "class" / "tty" / "ttyUSB9" / "device").symlink_to(tmp_path / "gone")
    assert scan(tmp_path) == []
    assert scan(tmp_path / "no sysfs") == []
