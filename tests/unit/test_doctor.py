"""What `sms-bridge doctor` says: each check as facts and words, then the whole of it on a machine that is laid out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from sms_bridge.cli.broker import Message
from sms_bridge.cli.bundle import Cleaner
from sms_bridge.cli.gather import Machine, disk_facts, gather
from sms_bridge.cli.live import Live
from sms_bridge.config import ModemSettings, MqttSettings, Settings
from sms_bridge.observe import doctor
from sms_bridge.observe.doctor import (
    BrokerFacts,
    ClockFacts,
    ConfigurationFacts,
    DeviceFacts,
    DiskFacts,
    Finding,
    Level,
    PortFacts,
    ProgramFacts,
    SupplyFacts,
)
from tests.support.stack import free_port
from tests.support.usb_tree import QUECTEL, FakeUsb

RULES = "hardware/udev/60-sms-bridge.rules to /etc/udev/rules.d, then plug it in again"
PORT = "/dev/ttyUSB2"
STOCK = "persistence true; autosave_on_changes true; autosave_interval 1; max_queued_messages 100000"
MODEM: dict[str, Any] = {
    "name": "m", "state": "ready", "health": "pass", "sim": {"state": "ready", "pin_attempts_left": 3},
    "registration": "home", "operator": "Telekom", "signal_dbm": -73, "smsc": "+36209300099",
    "storage": {"used": 1, "total": 20, "percent": 5},
}  # fmt: skip


def said(findings: Iterable[Finding | None]) -> list[tuple[str, str, str]]:
    return [(one.level.value, one.text, one.fix) for one in findings if one is not None]


@pytest.mark.parametrize(
    ("findings", "expected"),
    [
        (doctor.configuration(ConfigurationFacts("/etc/sms-bridge.yaml")),
         ("ok", "the configuration is right (/etc/sms-bridge.yaml)", "")),
        (doctor.configuration(ConfigurationFacts("x", ("x:3: mqtt.hots: no such key",))),
         ("fail", "x:3: mqtt.hots: no such key",
          "correct it; `sms-bridge config check` says it again. The checks below are made with the defaults")),
        (doctor.clock(ClockFacts(False, None, False)),
         ("fail", "the clock is not set",
          "connect the machine to a network with NTP, or give it a clock with a battery (an RTC module)")),
        (doctor.clock(ClockFacts(True, False, True)),
         ("warn", "the clock is set, but follows no time server",
          "sudo timedatectl set-ntp true; is there a network?")),
        (doctor.clock(ClockFacts(True, True, False)),
         ("info", "the clock is set; without a battery it is wrong after a power cut until there is a network",
          "an RTC module, where power cuts and no network come together")),
        (doctor.clock(ClockFacts(True, True, True)), ("ok", "the clock follows a time server and has a battery", "")),
        (doctor.power(None),
         ("info", "this machine does not measure its power supply; modems take 2 A for moments", "")),
        (doctor.power(SupplyFacts(False, None, "")), ("ok", "the power supply is strong enough", "")),
        (doctor.power(SupplyFacts(True, "too little", "buy")), ("fail", "too little", "buy")),
        (doctor.power(SupplyFacts(False, "had too little", "buy")), ("warn", "had too little", "buy")),
        (doctor.devices(()),
         ("info", "no modem is plugged in", "plugged in all the same? `lsusb`: no power, a bad cable")),
        (doctor.devices((DeviceFacts("1-1", "Quectel EC25"),)), ("ok", "Quectel EC25 in plug 1-1", "")),
        (doctor.devices((DeviceFacts("1-1", "Huawei", "HiLink firmware", "flash it"),)),
         ("fail", "Huawei in plug 1-1: HiLink firmware", "flash it")),
        (doctor.autosuspend((DeviceFacts("1-1", "EC25", may_sleep=True), DeviceFacts("1-2", "X", may_sleep=False))),
         ("warn", "the kernel may put EC25 in plug 1-1 to sleep", RULES)),
        (doctor.autosuspend((DeviceFacts("1-1", "EC25", may_sleep=False),)), ("ok", "no modem is put to sleep", "")),
        (doctor.ports((PortFacts(PORT, exists=False),)),
         ("fail", "/dev/ttyUSB2: there is no such device",
          "plug the modem in, or correct the port; names under /dev/serial/by-id stay the same")),
        (doctor.ports((PortFacts(PORT, holders=("minicom (pid 8)", "cu (pid 9)"), fix="close it"),)),
         ("fail", "/dev/ttyUSB2 is held by minicom (pid 8) and cu (pid 9)", "close it")),
        (doctor.ports((PortFacts(PORT, by_bridge=True),)), ("ok", "/dev/ttyUSB2 is in use by the bridge", "")),
        (doctor.ports((PortFacts(PORT),)), ("ok", "nobody holds /dev/ttyUSB2, and this user may open it", "")),
        (doctor.ports((PortFacts(PORT, allowed=False, group="dialout"),)),
         ("fail", "this user may not open /dev/ttyUSB2", "sudo usermod -aG dialout $USER, then log in again")),
        (doctor.ports((PortFacts(PORT, allowed=False, group="dialout", in_group=True),)),
         ("fail", "this user may not open /dev/ttyUSB2",
          "log in again: this session does not know yet that you are in the group dialout")),
        (doctor.ports((PortFacts(PORT, allowed=False, group="root"),)),
         ("fail", "this user may not open /dev/ttyUSB2", RULES)),
        (doctor.programs((), any_device=True), ("ok", "no program runs that is known to take modems", "")),
        (doctor.programs((ProgramFacts("ModemManager (pid 8)", "stop it", False),), any_device=True),
         ("warn", "ModemManager (pid 8) runs, and takes modems", "stop it")),
        (doctor.programs((ProgramFacts("ModemManager (pid 8)", "stop it", False),), any_device=False),
         ("info", "ModemManager (pid 8) runs, and takes modems", "stop it")),
        (doctor.programs((ProgramFacts("brltty (pid 8)", "stop it", True),), any_device=True),
         ("ok", "brltty (pid 8) runs; the udev rules keep it off modems", "")),
        (doctor.broker(BrokerFacts("b:1883", True)), ("ok", "the broker at b:1883 lets us in", "")),
        (doctor.broker(BrokerFacts("b:1883", False, "no broker answers.", local=True, installed=False)),
         ("fail", "no broker answers here, and mosquitto is not installed",
          "sudo apt install mosquitto, or name a broker under `mqtt:`")),
        (doctor.broker(BrokerFacts("b:1883", False, "no broker answers.", local=True)),
         ("info", "no broker answers at b:1883; the bridge starts its own", "")),
        (doctor.broker(BrokerFacts("b:1883", False, "the broker at b:1883 refuses: Not authorized.", local=True)),
         ("fail", "the broker at b:1883 refuses: Not authorized",
          "`mqtt:` in the configuration; is the broker up?")),
        (doctor.mosquitto({}),
         ("warn", "the broker may lose orders that it has acknowledged: in a power cut, or while the bridge is away",
          f"these lines to /etc/mosquitto/conf.d/sms-bridge.conf, then restart it: {STOCK}")),
        (doctor.mosquitto({"persistence": "true", "autosave_on_changes": "true", "autosave_interval": "1",
                           "max_queued_messages": "0"}),
         ("ok", "the broker keeps what it has acknowledged", "")),
        (doctor.bridge(True, True), ("ok", "the bridge is online", "")),
        (doctor.bridge(True, True, ("the clock is not set",)), ("warn", "the bridge warns: the clock is not set", "")),
        (doctor.bridge(False, True),
         ("warn", "no bridge is online at the broker",
          "start it; what its modems, SIMs and networks do is not known without it")),
        (doctor.bridge(False, False),
         ("warn", "the bridge cannot be asked: no way to its broker",
          "start it; what its modems, SIMs and networks do is not known without it")),
    ],
)  # fmt: skip
def test_a_check_in_words(findings: list[Finding], expected: tuple[str, str, str]) -> None:
    assert said(findings) == [expected]


def test_what_is_not_known_is_not_judged() -> None:
    assert doctor.mosquitto(None) == []
    assert doctor.autosuspend((DeviceFacts("1-1", "EC25"),)) == []
    assert doctor.worst([]) is Level.OK


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (DiskFacts("/d", free=400 << 20),
         [("ok", "/d can be written", ""), ("ok", "400 MiB are free for /d", ""), ("ok", "the journal is whole", "")]),
        (DiskFacts("/d", exists=False, free=100 << 20, journal_state="absent"),
         [("ok", "/d is made at the first start", ""),
          ("warn", "100 MiB are free for /d",
           "make room: `sudo journalctl --vacuum-size=100M`, `sudo apt clean`; or a larger card"),
          ("info", "there is no journal yet: the first start makes it", "")]),
        (DiskFacts("/d", read_only=True, free=0, journal_state="large"),
         [("fail", "/d is on a read-only file system",
           "the card or disk is worn out or was not unmounted: `dmesg`; save the folder, use another card"),
          ("ok", "the journal is large: the bridge looks through it by itself", "")]),
        (DiskFacts("/d", allowed=False, journal_state="closed"),
         [("info", "this user may not write to /d",
           "the service's own folder is closed to others: sudo sms-bridge doctor"),
          ("info", "the journal cannot be looked at by this user", "sudo sms-bridge doctor")]),
        (DiskFacts("/d", journal="page 3", journal_state="bad"),
         [("ok", "/d can be written", ""),
          ("fail", "the journal is damaged: page 3",
           "restart the bridge: it moves it aside and begins a new one; then look after the card or disk")]),
    ],
)  # fmt: skip
def test_the_disk_in_words(facts: DiskFacts, expected: list[tuple[str, str, str]]) -> None:
    assert said(doctor.disk(facts)) == expected


def test_a_modem_that_does_its_work() -> None:
    assert said(doctor.modem(MODEM)) == [
        ("ok", "m is ready", ""),
        ("ok", "m: its SIM is ready", ""),
        ("ok", "m: in the network at home (Telekom, -73 dBm)", ""),
        ("ok", "m: its SIM has a service centre number", ""),
        ("ok", "m: 1 of 20 places for messages are taken", ""),
    ]
    assert doctor.modem({"name": None, "state": "blocked"}) == []
    assert len(doctor.modem({"name": "m"})) == 1, "a payload of an older bridge says less"


@pytest.mark.parametrize(
    ("check", "changed", "level", "text"),
    [
        (doctor.modem_state, {"state": "offline", "health_reason": "unplugged"}, "warn", "m is offline: unplugged"),
        (doctor.modem_state, {"state": "registering"}, "info", "m is registering"),
        (doctor.modem_state, {"state": "blocked", "health_reason": "PIN"}, "fail", "m is blocked: PIN"),
        (doctor.modem_state, {"state": "degraded", "health": "warn", "health_reason": "weak"}, "warn",
         "m is degraded: weak"),
        (doctor.modem_state, {"state": "degraded", "health": "fail", "health_reason": "full"}, "fail",
         "m is degraded: full"),
        (doctor.sim, {"sim": {"state": "pin"}}, "fail", "m: its SIM waits for a PIN"),
        (doctor.sim, {"sim": {"state": "puk"}}, "fail", "m: its SIM is locked and wants its PUK"),
        (doctor.sim, {"sim": {"state": "absent"}}, "fail", "m: there is no SIM in it"),
        (doctor.sim, {"sim": {"state": "failure"}}, "fail", "m: its SIM does not work"),
        (doctor.sim, {"sim": {"state": "ready", "pin_attempts_left": 1}}, "warn",
         "m: its SIM has one PIN attempt left"),
        (doctor.registration, {"registration": "denied"}, "fail", "m: the network refuses its SIM (Telekom, -73 dBm)"),
        (doctor.registration, {"registration": "searching", "operator": None, "signal_dbm": None}, "warn",
         "m: not in a network"),
        (doctor.smsc, {"smsc": None}, "warn", "m: its SIM has no service centre number"),
        (doctor.storage, {"storage": {"used": 17, "total": 20, "percent": 85}}, "warn",
         "m: 17 of 20 places for messages are taken"),
        (doctor.storage, {"storage": {"used": 20, "total": 20, "percent": 100}}, "fail",
         "m: 20 of 20 places for messages are taken"),
    ],
)  # fmt: skip
def test_a_modem_in_trouble(
    check: Callable[[dict[str, Any]], Finding | None], changed: dict[str, Any], level: str, text: str
) -> None:
    found = check({**MODEM, **changed})
    assert found is not None
    assert (found.level.value, found.text) == (level, text)


@pytest.fixture
def usb(tmp_path: Path) -> FakeUsb:
    (tmp_path / "proc").mkdir()
    return FakeUsb(tmp_path)


def run(root: Path, pid: int, program: str, *, holds: Path | None = None, cmdline: bytes = b"") -> None:
    process = root / "proc" / str(pid)
    (process / "fd").mkdir(parents=True)
    (process / "comm").write_text(program + "\n")
    (process / "cmdline").write_bytes(cmdline or program.encode())
    if holds is not None:
        holds.touch()
        (process / "fd" / "7").symlink_to(holds)


def test_a_machine_with_all_kinds_of_trouble(usb: FakeUsb, tmp_path: Path) -> None:
    nodes = usb.plug("1-1", 0x2C7C, 0x0125, QUECTEL)
    usb.plug("1-2", 0x12D1, 0x14DC, [(0, "02/06/00", "cdc_ether", None)], product="HUAWEI_MOBILE")
    usb.plug("1-3", 0x046D, 0xC52B, [(0, "03/01/01", "usbhid", None)], product="Keyboard")
    usb.plug("1-4", 0x2C7C, 0x0125, QUECTEL)
    (usb.folder("1-4") / "power" / "control").write_text("on\n")
    run(tmp_path, 812, "ModemManager", holds=nodes[2])
    conf = tmp_path / "mosquitto.conf"
    conf.write_text("# stock\npersistence true\nlistener 1883\nlistener 8883\n")
    run(tmp_path, 900, "mosquitto", cmdline=f"/usr/sbin/mosquitto\0-c\0{conf}\0".encode())
    live = Live("sms", connected=True)
    settings = Settings(MqttSettings(), (ModemSettings("gone", str(tmp_path / "nowhere")),), data_dir=tmp_path / "data")
    facts = gather(settings, None, live, Machine(tmp_path))
    assert [(one.plug, one.may_sleep) for one in facts.devices] == [
        ("1-1", True),
        ("1-2", True),
        ("1-4", False),
    ]
    assert [(one.exists, one.holders) for one in facts.ports] == [
        (False, ()),
        (True, ("ModemManager (pid 812)",)),
        (True, ()),
    ]
    assert "idVendor" in facts.ports[1].fix
    assert [(one.name, one.kept_off) for one in facts.programs] == [("ModemManager (pid 812)", False)]
    assert facts.mosquitto == {"persistence": "true", "listener": "1883 8883"}
    checks = {one.check for one in doctor.examine(facts) if one.level in (Level.WARN, Level.FAIL)}
    assert checks >= {"usb", "autosuspend", "holders", "programs", "persistence", "bridge"}

    rules = tmp_path / "etc/udev/rules.d"
    rules.mkdir(parents=True)
    (rules / "60-sms-bridge.rules").write_text('ENV{ID_MM_DEVICE_IGNORE}="1"\n')
    (ruled,) = gather(settings, None, live, Machine(tmp_path)).programs
    assert ruled.kept_off


def test_the_journal_is_looked_into(tmp_path: Path) -> None:
    assert disk_facts(tmp_path / "not" / "yet").journal_state == "absent"
    file = tmp_path / "journal.db"
    file.write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)
    facts = disk_facts(tmp_path)
    assert (facts.journal_state, facts.exists, facts.allowed) == ("bad", True, True)


def test_a_port_that_another_holds_is_not_the_bridges(usb: FakeUsb, tmp_path: Path) -> None:
    nodes = usb.plug("1-1", 0x2C7C, 0x0125, QUECTEL)
    at = str(nodes[2])
    live = Live("sms", connected=True)
    for topic, payload in (
        ("bridge/modems", [{"name": "m", "port": at}]),
        ("modem/m", {"name": "m", "state": "ready", "port": at}),
        ("bridge/state", {"state": "online"}),
    ):
        live.take(Message(f"sms/{topic}", json.dumps(payload).encode(), True))
    nodes[2].touch()
    settings = Settings(data_dir=tmp_path)
    assert gather(settings, None, live, Machine(tmp_path)).ports[0].by_bridge
    run(tmp_path, 812, "minicom", holds=nodes[2])
    (port,) = gather(settings, None, live, Machine(tmp_path)).ports
    assert (port.by_bridge, port.holders) == (False, ("minicom (pid 812)",))


def call(root: Path, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sms_bridge", "doctor", "--root", str(root), *args],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        env={**os.environ, **env},
    )


def test_what_fails_is_an_exit_code_and_each_fix_stands_below_it(usb: FakeUsb, tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(f"mqtt: {{host: 127.0.0.1, port: {free_port()}}}\ndata_dir: {tmp_path}/data\n")
    usb.plug("1-2", 0x12D1, 0x14DC, [(0, "02/06/00", "cdc_ether", None)], product="HUAWEI_MOBILE")
    done = call(tmp_path, "--config", str(config))
    assert done.returncode == 1, done.stderr
    lines = done.stdout.splitlines()
    at = next(index for index, line in enumerate(lines) if line.startswith("FAIL  ") and "in plug 1-2: HiLink" in line)
    assert lines[at + 1].startswith("        it has a web interface")
    assert any(line.startswith("FAIL  no broker answers at 127.0.0.1") for line in lines)
    assert lines[-1] == "2 to mend, 1 to look at."


def test_a_configuration_with_mistakes_is_one_of_the_findings(usb: FakeUsb, tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text("modems: [{port: /dev/x, pin: 98765432109}]\n")
    bundle = tmp_path / "b.tar.gz"
    done = call(tmp_path, "--json", "--config", str(config), "--bundle", str(bundle))
    assert done.returncode == 1, done.stderr
    first = json.loads(done.stdout.splitlines()[0])
    assert (first["check"], first["level"]) == ("configuration", "fail")
    assert "modems[0].pin" in first["text"]
    assert "98765432109" not in "".join(unpack(bundle).values())


def unpack(bundle: Path) -> dict[str, str]:
    with tarfile.open(bundle) as archive:
        found = {}
        for member in archive.getmembers():
            file = archive.extractfile(member)
            assert file is not None
            found[member.name.removeprefix("sms-bridge/")] = file.read().decode()
        return found


def test_what_is_known_to_be_secret_is_taken_out_wherever_it_stands() -> None:
    clean = Cleaner(["7291", "anna", "SER1234567", ""])
    assert clean.text("pin was 7291, not 17291 x72910") == "pin was ****, not 17291 x72910"
    assert clean.text("usb-HUAWEI_SER1234567-if00 @anna annals") == "usb-HUAWEI_****-if00 @**** annals"
    assert clean.text("/dev/serial/by-id/usb-X_860461024123456-if02 a_860461024123456_b +36301234567") == (
        "/dev/serial/by-id/**** a_<15 digits>_b +36…67"
    )
    assert clean.value({"imei": "861475030123456", "iccid": "89", "sim": {"state": "ready"}, "x": ["anna"]}) == {
        "imei": "86147503xxxxxxx", "iccid": "****", "sim": {"state": "ready"}, "x": ["****"],
    }  # fmt: skip
