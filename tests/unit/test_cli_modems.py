"""What `sms-bridge modems` tells of a machine, from a sysfs and a /proc laid out as the kernel's, and of a real pty."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import termios
import threading
import tty
from pathlib import Path

import pytest
from click import ClickException

from sms_bridge.cli.broker import Lost, Message
from sms_bridge.cli.live import Live
from sms_bridge.cli.modems import Row, beside, survey, table
from sms_bridge.cli.reporting import reports
from sms_bridge.cli.watching import changes
from sms_bridge.config import ModemSettings
from tests.support.stack import free_port
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


def text(rows: list[Row], live: Live | None = None) -> str:
    return "\n".join(table(rows, live or Live("sms", online=True)))


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
    assert "AT port of a Quectel EC25" in text(rows)
    assert text(rows).count("Quectel EC25") == 4, "one row, and what is never opened below the table"


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
    assert "in use by the bridge" in text([row])


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
    assert "\x1b" not in text(look(machine))


def live(modems: list[dict[str, object]], *states: dict[str, object]) -> Live:
    """What a bridge has retained, as it comes from the broker."""
    found = Live("sms")
    for topic, payload in (
        ("bridge/modems", modems),
        *((f"modem/{state['name']}", state) for state in states),
        ("bridge/state", {"state": "online"}),
    ):
        found.take(Message(f"sms/{topic}", json.dumps(payload).encode(), True))
    return found


STATE = {
    "name": "quectel-1", "state": "degraded",
    "health": "warn", "health_reason": "the signal is weak (move the antenna)",
    "operator": "Telekom", "signal_dbm": -107, "number": "+36301234567", "queue": 3,
}  # fmt: skip


def test_the_state_of_a_modem_stands_beside_its_port(machine: Path) -> None:
    plug(machine / "sys", "1-1", "2c7c:0125", STICK)
    at = str(machine / "dev" / "ttyUSB2")
    seen = live([{"name": "quectel-1", "port": at, "usb_path": "1-1"}], {**STATE, "port": at, "usb_path": "1-1"})
    assert seen.whole
    rows = beside(look(machine), seen)
    assert [bool(row.live) for row in rows] == [False, False, True, False]
    heads, line, remark, *_ = text(rows, seen).split("\n")
    assert heads.split() == [
        "MODEM", "STATE", "PLUG", "PORT", "WHAT", "IT", "IS", "OPERATOR", "SIGNAL", "NUMBER", "QUEUE",
    ]  # fmt: skip
    assert line.split()[:4] == ["quectel-1", "degraded", "1-1", at]
    assert line.endswith("Telekom   -107 dBm  +36301234567  3")
    assert remark == "    warn: the signal is weak (move the antenna)"


def test_modems_that_are_not_here_or_not_used_have_their_own_line(machine: Path) -> None:
    usb_device(machine, "1-2", "12d1:14dc", "HUAWEI_MOBILE")
    seen = live(
        [
            {"name": "virtual-1", "virtual": True, "port": "/run/v/modem0", "model": "EC25"},
            {"name": "gone", "state": "offline", "usb_path": "1-2", "port": None},
            {"name": None, "state": "blocked", "usb_path": "1-2", "port": None, "problem": "HiLink", "fix": "buy"},
            {"name": None, "state": "blocked", "usb_path": "9-9", "port": None, "problem": "held", "fix": "let go"},
        ],
        {"name": "virtual-1", "state": "ready", "port": "/run/v/modem0"},
        {"name": "gone", "state": "offline", "usb_path": "1-2", "port": None},
    )
    hilink, *others = beside(look(machine), seen)
    assert hilink.live is not None
    assert hilink.live["problem"] == "HiLink"
    shown = text(others, seen)
    assert "virtual modem" in shown
    assert "gone" in shown
    assert "    problem: held\n    fix: let go" in shown


def test_a_bridge_that_is_away_has_no_modems_and_says_why(machine: Path) -> None:
    seen = live([{"name": "a"}], {"name": "a", "state": "ready"})
    seen.take(Message("sms/bridge/state", b'{"state":"offline"}', True))
    assert seen.modems == {}
    assert text([], seen).startswith("The bridge cannot be asked: no bridge is online at the broker. Start it with")
    seen.take(Lost("timeout"))
    assert "the broker is away: timeout" in text([], seen)


def test_changes_are_told_as_lines() -> None:
    before = {"/dev/a": "a ready", "/dev/b": "b ready", "/dev/c": "c"}
    after = {"/dev/a": "a ready", "/dev/b": "b degraded", "/dev/d": "d"}
    assert changes(before, after) == ["- c", "~ b degraded", "+ d"]


IMEI, ICCID, NUMBER, SERIAL = "861475030123456", "8936200000123456789", "+36301234567", "A1B2C3D4E5"


def test_a_report_asks_a_free_port_and_says_nothing_of_whose_it_is(machine: Path) -> None:
    answers = {"AT+CGMM": "X100", "ATI": f"IMEI: {IMEI}", "AT+CCID": f"+CCID: {ICCID}"}
    with _Phone(True, answers) as phone:
        usb = FakeUsb(machine)
        usb.plug("1-1", 0x9999, 1, [(2, "ff/00/00", "option", phone.port)], product="X100", serial=SERIAL)
        usb.plug("1-2", 0x046D, 0xC52B, [(0, "03/01/01", "usbhid", None)], product="Keyboard")
        args = ["--report", "1-1", "--root", str(machine), "--config", os.fspath(nowhere(machine))]
        done = modems(*args)
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)
    assert found["usb"]["interfaces"][0]["answers"] is True
    assert found["answers"]["AT+CGMM"] == ["X100"]
    assert found["draft"]["ports"] == {"02": "at"}
    for secret in (IMEI, ICCID, SERIAL):
        assert secret not in done.stdout


def test_a_report_of_what_the_bridge_serves_has_its_state_and_leaves_the_port_alone(machine: Path) -> None:
    (node,) = FakeUsb(machine).plug("1-1", 0x2C7C, 0x0125, [(2, "ff/00/00", "option", None)])
    state = {"name": "quectel-1", "state": "ready", "port": str(node), "usb_path": "1-1", "imei": IMEI,
             "iccid": ICCID, "number": NUMBER, "registration": "home", "access": "lte", "model": "EC25"}  # fmt: skip
    seen = live([{"name": "quectel-1", "port": str(node), "usb_path": "1-1"}], state)
    (found,) = reports("quectel-1", seen, sysfs=machine / "sys", dev=machine / "dev", proc=machine / "proc")
    assert found["modem"]["model"] == "EC25"
    assert found["modem"]["imei"] == "86147503xxxxxxx"
    assert found["draft"]["radio"] == ["lte"]
    assert found["answers"] == {}
    assert not any(secret in json.dumps(found) for secret in (IMEI, ICCID, NUMBER))
    with pytest.raises(ClickException, match="nothing is plugged in called 'other'"):
        reports("other", seen, sysfs=machine / "sys", dev=machine / "dev", proc=machine / "proc")


def nowhere(folder: Path) -> Path:
    """A configuration whose broker is not there."""
    file = folder / "nowhere.yaml"
    file.write_text(f"mqtt: {{host: 127.0.0.1, port: {free_port()}}}\n")
    return file


def modems(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sms_bridge", "modems", *args], capture_output=True, text=True, timeout=50, check=False
    )


def test_watching_tells_what_comes_and_goes(machine: Path) -> None:
    usb = FakeUsb(machine)
    command = [sys.executable, "-m", "sms_bridge", "modems", "--watch", "--root", str(machine)]
    command += ["--config", str(nowhere(machine))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            usb.plug("1-3", 0x12D1, 0x14DC, [(0, "02/06/00", "cdc_ether", None)], product="HUAWEI_MOBILE")
            came = process.stdout.readline()
            usb.unplug("1-3")
            went = process.stdout.readline()
        finally:
            process.send_signal(signal.SIGINT)
    assert " + 1-3  " in came
    assert "problem: HiLink firmware" in came
    assert " - 1-3  " in went
    assert process.returncode == 130


class _Phone:
    """A pty that answers AT with OK, some commands with a line before it; or not at all."""

    def __init__(self, answers: bool, lines: dict[str, str] | None = None) -> None:
        self._lines = lines or {}
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
                    said = self._lines.get(line.strip(b"\x1b\n ").decode(), "")
                    os.write(self._leader, (f"\r\n{said}\r\n" if said else "").encode() + b"\r\nOK\r\n")


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
