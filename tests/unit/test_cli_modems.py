"""What `sms-bridge modems` tells of a machine, from a sysfs and a /proc laid out as the kernel's, and of a real pty."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import termios
import threading
import tty
from pathlib import Path

import pytest

from sms_bridge.cli.modems import Row, _describe, survey
from sms_bridge.config import ModemSettings
from tests.support.usb_tree import FakeUsb
from tests.unit.test_usb_ports import plug

STICK = {n: (f"ttyUSB{n}", "ff/00/00") for n in range(4)}


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    for folder in ("sys/bus/usb/devices", "sys/class/tty", "dev", "proc"):
        (tmp_path / folder).mkdir(parents=True)
    return tmp_path


def look(machine: Path, *configured: ModemSettings) -> list[Row]:
    return survey(configured, sysfs=machine / "sys", dev=machine / "dev", proc=machine / "proc")


def device(machine: Path, name: str) -> Path:
    node = machine / "dev" / name
    node.touch()
    return node


def hold(machine: Path, pid: int, program: str, node: Path, cmdline: bytes = b"") -> None:
    process = machine / "proc" / str(pid)
    (process / "fd").mkdir(parents=True)
    (process / "comm").write_text(program + "\n")
    (process / "cmdline").write_bytes(cmdline or program.encode())
    (process / "fd" / "7").symlink_to(node)


def usb_device(machine: Path, path: str, vid_pid: str, product: str) -> None:
    vid, pid = (int(number, 16) for number in vid_pid.split(":"))
    FakeUsb(machine).plug(path, vid, pid, [(0, "08/06/50", "usb-storage", None)], product=product)


def test_an_empty_machine(machine: Path) -> None:
    assert look(machine) == []


def test_the_at_port_of_a_known_modem_and_the_others(machine: Path) -> None:
    plug(machine / "sys", "1-1", "2c7c:0125", STICK)
    rows = look(machine)
    assert [(row.interface, row.role) for row in rows] == [(0, "other"), (1, "other"), (2, "at"), (3, "other")]
    assert rows[2].family == "Quectel EC25, EG25-G"
    assert rows[2].vid_pid == "2c7c:0125"
    assert "AT port of a Quectel EC25" in _describe(rows[2])


def test_modem_manager_is_named_with_the_rule_that_helps(machine: Path) -> None:
    plug(machine / "sys", "1-1", "2c7c:0125", STICK)
    hold(machine, 812, "ModemManager", device(machine, "ttyUSB2"))
    row = look(machine)[2]
    assert row.holders == [{"pid": 812, "program": "ModemManager"}]
    assert row.problem == "held by ModemManager (812)"
    assert 'ATTRS{idVendor}=="2c7c", ATTRS{idProduct}=="0125", ENV{ID_MM_DEVICE_IGNORE}="1"' in str(row.fix)


def test_the_bridge_itself_is_no_problem(machine: Path) -> None:
    plug(machine / "sys", "1-1", "2c7c:0125", STICK)
    hold(
        machine, 900, "python3", device(machine, "ttyUSB2"), b"/opt/.venv/bin/python\0/opt/.venv/bin/sms-bridge\0run\0"
    )
    row = look(machine)[2]
    assert row.problem is None
    assert "in use by the bridge" in _describe(row)


def test_brltty_takes_serial_adapters(machine: Path) -> None:
    plug(machine / "sys", "1-4", "1a86:7523", {0: ("ttyUSB0", "ff/01/02")})
    hold(machine, 55, "brltty", device(machine, "ttyUSB0"))
    (row,) = look(machine)
    assert row.role == "adapter"
    assert "apt remove brltty" in str(row.fix)


def test_sticks_without_a_port_say_why(machine: Path) -> None:
    usb_device(machine, "1-2", "12d1:14dc", "HUAWEI_MOBILE")
    usb_device(machine, "1-3", "12d1:1f01", "HUAWEI_MOBILE")
    usb_device(machine, "1-5", "19d2:2000", "ZTE CDMA")
    usb_device(machine, "1-6", "046d:c52b", "Keyboard")
    hilink, huawei, zte = look(machine)
    assert "HiLink" in str(hilink.problem)
    assert "serial firmware" in str(hilink.fix)
    for row in (huawei, zte):
        assert "CD-ROM" in str(row.problem)
        assert "usb-modeswitch" in str(row.fix)


def test_a_modem_in_recovery_mode_is_never_opened(machine: Path) -> None:
    plug(machine / "sys", "1-1", "05c6:9008", {0: ("ttyUSB0", "ff/ff/ff")})
    (row,) = look(machine, ModemSettings("mine", str(machine / "dev" / "ttyUSB0")))
    assert "recovery mode" in str(row.problem)
    assert row.role == "other"


def test_configured_ports_and_what_is_missing(machine: Path) -> None:
    plug(machine / "sys", "1-1", "2c7c:0125", STICK)
    device(machine, "ttyUSB2")
    (machine / "dev" / "by-id").symlink_to(machine / "dev" / "ttyUSB2")
    rows = look(
        machine,
        ModemSettings("stick", str(machine / "dev" / "by-id")),
        ModemSettings("gone", str(machine / "dev" / "ttyUSB9")),
        ModemSettings("far", "socket://10.0.0.7:2217"),
    )
    assert [row.configured for row in rows] == [None, None, "stick", None, "gone", "far"]
    assert rows[4].problem == "there is no such device"
    assert rows[5].problem is None


def test_what_a_device_says_of_itself_is_printed_safely(machine: Path) -> None:
    plug(machine / "sys", "1-1", "2c7c:0125", STICK, product="\x1b[2JEvil")
    assert "\x1b" not in _describe(look(machine)[0])


class _Phone:
    """A pty that answers AT with OK, or not at all."""

    def __init__(self, answers: bool) -> None:
        self._leader, self._follower = pty.openpty()
        tty.setraw(self._follower, termios.TCSANOW)
        self.port = os.ttyname(self._follower)
        os.close(self._follower)
        self._answers = answers
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._stop = threading.Event()

    def __enter__(self) -> _Phone:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)
        os.close(self._leader)

    def _run(self) -> None:
        os.set_blocking(self._leader, False)
        seen = b""
        while not self._stop.wait(0.02):
            try:
                seen += os.read(self._leader, 100)
            except OSError:  # nothing there, or nobody has the port open
                continue
            while b"\r" in seen:
                line, _, seen = seen.partition(b"\r")
                if self._answers and line.strip(b"\x1b\n ").upper().startswith(b"AT"):
                    os.write(self._leader, b"\r\nOK\r\n")


@pytest.mark.parametrize("answers", [True, False])
def test_probing_asks_with_at(tmp_path: Path, answers: bool) -> None:
    with _Phone(answers) as phone:
        config = tmp_path / "c.yaml"
        config.write_text(f"modems:\n  - {{name: stick, port: {phone.port}}}\n")
        done = subprocess.run(
            [sys.executable, "-m", "sms_bridge", "modems", "--probe", "--json", "--config", str(config)],
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    (row,) = [row for row in map(json.loads, done.stdout.splitlines()) if row["configured"] == "stick"]
    assert row["answers"] is answers
    assert (row["problem"] is None) is answers
