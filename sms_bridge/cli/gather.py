"""What `sms-bridge doctor` finds out of the machine: files are read, nothing is opened that somebody may use."""

from __future__ import annotations

import getpass
import grp
import os
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hardware.modem.roles import Kind, examine
from hardware.transport.grabbers import KNOWN
from hardware.transport.holders import Holder, describe, fix_for, grabber_of, holders_of, who_holds
from hardware.usb.ports import UsbDevice, devices
from hardware.usb.supply import FIX as SUPPLY_FIX
from hardware.usb.supply import supply
from sms_bridge.cli.live import Live
from sms_bridge.config import ConfigError, Settings
from sms_bridge.core.clock import SET_AFTER
from sms_bridge.mqtt.broker import find_mosquitto
from sms_bridge.mqtt.errors import BrokerNotInstalled
from sms_bridge.observe.doctor import (
    BrokerFacts,
    ClockFacts,
    ConfigurationFacts,
    DeviceFacts,
    DiskFacts,
    Facts,
    PortFacts,
    ProgramFacts,
    SupplyFacts,
)
from sms_bridge.store import check
from sms_bridge.store.journal import FILE_NAME

TOOL_DEADLINE = 10.0  # s for journalctl, dmesg, timedatectl on a slow card
RULES = ("etc/udev/rules.d", "run/udev/rules.d", "usr/lib/udev/rules.d", "lib/udev/rules.d")
OURS = b"ID_MM_DEVICE_IGNORE"  # of the rules in hardware/udev
KEPT_OFF = {"modemmanager", "brltty", "brltty-udev"}  # the programs that these rules know
AT_WORK = ("interviewing", "registering", "ready", "degraded")  # states in which a modem has its port open
LOOPBACK = {"127.0.0.1", "::1", "localhost"}


@dataclass(frozen=True, slots=True)
class Machine:
    """Where its trees are; `/` but in tests."""

    root: Path

    @property
    def sysfs(self) -> Path:
        return self.root / "sys"

    @property
    def dev(self) -> Path:
        return self.root / "dev"

    @property
    def proc(self) -> Path:
        return self.root / "proc"

    def devices(self) -> list[UsbDevice]:
        """Modems, and what may be one."""
        found = devices(self.sysfs, self.dev)
        return [device for device in found if examine(device).kind is not Kind.OTHER]


def gather(settings: Settings, error: ConfigError | None, live: Live, machine: Machine) -> Facts:
    """All facts. Takes some seconds on a slow card."""
    problems = tuple(str(problem) for problem in error.problems) if error is not None else ()
    wanted = _ports(settings, machine)
    warnings = live.health.get("warnings")
    ours = {os.path.realpath(str(modem["port"])) for modem in live.modems.values() if modem.get("state") in AT_WORK}
    return Facts(
        configuration=ConfigurationFacts(str(settings.source) if settings.source else None, problems),
        devices=tuple(_device(device, machine) for device in machine.devices()),
        ports=tuple(_port(port, vid_pid, machine.proc, ours) for port, vid_pid in wanted.items()),
        programs=tuple(_programs(machine)),
        unseen=who_holds(next(iter(wanted)), machine.proc).unseen if wanted else None,
        supply=_supply(machine.sysfs),
        broker=_broker(settings, live),
        mosquitto=_mosquitto(settings, machine) if live.connected else None,
        disk=disk_facts(_data_dir(settings, live)),
        clock=_clock(machine.root),
        online=live.online,
        warnings=tuple(str(text) for text in warnings) if isinstance(warnings, list) else (),
        modems=tuple(live.modems.values()),
    )


def disk_facts(folder: Path) -> DiskFacts:
    """Of the data folder, or of where it will be made."""
    try:
        exists = folder.is_dir()
        place = folder
        while not place.exists():
            place = place.parent
        space = os.statvfs(place)
    except OSError:
        return DiskFacts(str(folder), allowed=False, journal_state="closed")
    read_only = bool(space.f_flag & os.ST_RDONLY)
    allowed = os.access(place, os.W_OK | os.X_OK)
    problem, state = _journal(folder / FILE_NAME)
    return DiskFacts(str(folder), exists, allowed, read_only, space.f_bavail * space.f_frsize, problem, state)


def run_tool(*command: str) -> str | None:
    """What a program prints; None: it is not there, fails or hangs."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TOOL_DEADLINE,
            check=False,
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode(errors="replace") if done.returncode == 0 else None


def _ports(settings: Settings, machine: Machine) -> dict[str, str | None]:
    """The ports that the bridge would open, with USB ids: the configured ones, and the best of each device."""
    found: dict[str, str | None] = {
        modem.port: None for modem in settings.modems if modem.port and modem.enabled and "://" not in modem.port
    }
    named = {os.path.realpath(port) for port in found}
    for device in machine.devices():
        for port in examine(device).candidates[:1]:
            if os.path.realpath(port.device) not in named:
                found[port.device] = device.vid_pid
    return found


def _device(device: UsbDevice, machine: Machine) -> DeviceFacts:
    examined = examine(device)
    says = " ".join(word for word in (device.manufacturer, device.product) if word)
    name = examined.model or says or device.vid_pid
    return DeviceFacts(device.path, name, examined.problem, examined.hint or "", _may_sleep(device, machine))


def _may_sleep(device: UsbDevice, machine: Machine) -> bool | None:
    """As `PowerTools.autosuspend`, without a loop."""
    folder = machine.sysfs / "bus" / "usb" / "devices" / device.path / "power"
    try:
        control = (folder / "control").read_text().strip()
    except OSError:
        return None
    try:
        delay = int((folder / "autosuspend_delay_ms").read_text())
    except (OSError, ValueError):
        delay = 0
    return control == "auto" and delay >= 0


def _port(port: str, vid_pid: str | None, proc: Path, ours: set[str]) -> PortFacts:
    if not Path(port).exists():
        return PortFacts(port, exists=False)
    holders = holders_of(port, proc)
    theirs = [holder for holder in holders if not _is_bridge(holder)]
    fix = fix_for(theirs[0], vid_pid=vid_pid, port=port) if theirs else ""
    by_bridge = not theirs and (bool(holders) or os.path.realpath(port) in ours)  # another user's may not be seen
    group, in_group = _group(port)
    allowed = os.access(port, os.R_OK | os.W_OK)
    return PortFacts(port, True, tuple(str(holder) for holder in theirs), fix, by_bridge, allowed, group, in_group)


def _is_bridge(holder: Holder) -> bool:
    return holder.program in ("sms-bridge", "sms_bridge") or (holder.unit or "").startswith("sms-bridge")


def _group(port: str) -> tuple[str | None, bool]:
    """The group of a port, and whether it lists this user."""
    try:
        found = grp.getgrgid(os.stat(port).st_gid)
        return found.gr_name, getpass.getuser() in found.gr_mem
    except (OSError, KeyError):
        return None, False


def _programs(machine: Machine) -> Iterator[ProgramFacts]:
    ruled = _has_rules(machine.root)
    told: set[str] = set()
    for pid in sorted(int(name) for name in _entries(machine.proc) if name.isdecimal()):
        holder = describe(pid, machine.proc)
        grabber = grabber_of(holder)
        if grabber is None or not grabber.unasked or holder.program in told:
            continue
        told.add(holder.program)
        known = next(name for name, one in KNOWN.items() if one is grabber)
        yield ProgramFacts(str(holder), fix_for(holder), ruled and known in KEPT_OFF)


def _has_rules(root: Path) -> bool:
    for folder in RULES:
        for name in _entries(root / folder):
            try:
                if "sms-bridge" in name and OURS in (root / folder / name).read_bytes():
                    return True
            except OSError:
                continue
    return False


def _supply(sysfs: Path) -> SupplyFacts | None:
    found = supply(sysfs)
    return SupplyFacts(found.now, found.problem, SUPPLY_FIX) if found is not None else None


def _broker(settings: Settings, live: Live) -> BrokerFacts:
    mqtt = settings.mqtt
    try:
        find_mosquitto()
        installed = True
    except BrokerNotInstalled:
        installed = False
    return BrokerFacts(f"{mqtt.host}:{mqtt.port}", live.connected, live.reason, mqtt.local, installed)


def _mosquitto(settings: Settings, machine: Machine) -> dict[str, str] | None:
    """The settings of the mosquitto of this machine that has the broker's port, as far as they can be read."""
    if settings.mqtt.host not in LOOPBACK:
        return None
    for pid in (name for name in _entries(machine.proc) if name.isdecimal()):
        try:
            words = (machine.proc / pid / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if os.path.basename(words[0]) == "mosquitto" and "-c" in words[:-1]:
            found = _read_settings(Path(words[words.index("-c") + 1]))
            if (
                found is not None
                and str(settings.mqtt.port) in found.get("listener", found.get("port", "1883")).split()
            ):
                return found
    return None


def _read_settings(file: Path) -> dict[str, str] | None:
    """mosquitto.conf(5): a key and its value on each line; of its listeners all are kept."""
    try:
        lines = file.read_text(errors="replace").splitlines()
    except OSError:
        return None
    found: dict[str, str] = {}
    for line in lines:
        key, _, value = line.strip().partition(" ")
        if key == "include_dir":
            for name in sorted(_entries(Path(value.strip()))):
                more = _read_settings(Path(value.strip()) / name) if name.endswith(".conf") else None
                found |= more or {}
        elif key == "listener" and key in found:
            found[key] += f" {value.strip()}"
        elif key and not key.startswith("#"):
            found[key] = value.strip()
    return found


def _data_dir(settings: Settings, live: Live) -> Path:
    """The running bridge's own, if it is one of this machine."""
    config = live.info.get("config")
    theirs = config.get("data_dir") if isinstance(config, dict) else None
    here = live.online and live.info.get("host") == os.uname().nodename
    return Path(theirs) if here and isinstance(theirs, str) else settings.data_dir


def _journal(file: Path) -> tuple[str | None, str]:
    """What is wrong with it, and how far it was looked at: see `DiskFacts.journal_state`."""
    try:
        if not file.exists():
            return None, "absent"
        if check.is_large(file):
            return None, "large"
        problem = check.problem_of(file)
    except (OSError, sqlite3.OperationalError):
        return None, "closed"
    return problem, "bad" if problem else "whole"


def _clock(root: Path) -> ClockFacts:
    said = (run_tool("timedatectl", "show", "--property=NTPSynchronized", "--value") or "").strip()
    battery = bool(_entries(root / "sys" / "class" / "rtc"))
    return ClockFacts(time.time() * 1000 > SET_AFTER, {"yes": True, "no": False}.get(said), battery)


def _entries(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
