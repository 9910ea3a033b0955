"""`sms-bridge modems`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import click

from hardware.transport.holders import Holder, fix_for, holders_of
from hardware.usb import ports as usb
from sms_bridge.cli.options import config_option, load_settings, printable
from sms_bridge.config import ConfigError, ModemSettings

PROBE_TRIES = 3  # domain A1.3: AT until OK, a second each
PROBE_DEADLINE = 1.0
# USB to UART chips with one port and nothing behind it but what somebody wired (domain A1).
ADAPTERS = {0x1A86: "CH340", 0x10C4: "CP210x", 0x0403: "FTDI", 0x067B: "PL2303"}
NEVER_OPEN = {(0x05C6, 0x9008), (0x05C6, 0x900E)}  # Qualcomm's recovery mode: writing bricks the modem (domain A1)

_SWITCH = "install usb-modeswitch (sudo apt install usb-modeswitch), then plug it in again"
_HILINK = "it has a web interface and no serial port; use a stick with serial firmware, or change its firmware"
# USB devices without a port that are modems all the same (domain A1, A1.6).
TROUBLE: dict[tuple[int, int], tuple[str, str]] = {
    **{
        (0x12D1, pid): ("HiLink firmware: no AT commands, no SMS through it", _HILINK)
        for pid in (0x14DB, 0x14DC, 0x155E)
    },
    **{
        (0x12D1, pid): ("shows itself as a CD-ROM, not yet as a modem", _SWITCH)
        for pid in (
            *(0x14FE, 0x1446, 0x1505, 0x14B5, 0x14BA, 0x1557, 0x157C, 0x157D, 0x15CA, 0x15CD),
            *(0x15CE, 0x15CF, 0x15D2, 0x15E7, 0x1C0B, 0x1C24, 0x1F01),
        )
    },
    **{
        (0x19D2, pid): ("shows itself as a CD-ROM, not yet as a modem", _SWITCH)
        for pid in (0x2000, 0x0154, 0x0149, 0x1224)
    },
    **dict.fromkeys(NEVER_OPEN, ("is in Qualcomm's recovery mode", "do not open its port; it needs its maker's tool")),
}


@dataclass(slots=True)
class Row:
    """One port or device, and what a technician needs to know of it."""

    port: str | None
    vid_pid: str | None = None
    usb_path: str | None = None
    interface: int | None = None
    product: str | None = None
    manufacturer: str | None = None
    serial: str | None = None
    family: str | None = None
    role: str = "unknown"  # "at", "other" (not for AT), "adapter", "configured", "unknown", "none"
    configured: str | None = None
    baudrate: int | None = None
    holders: list[dict[str, Any]] = field(default_factory=list)
    answers: bool | None = None
    problem: str | None = None
    fix: str | None = None


@click.command("modems")
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per port.")
@click.option("--probe", is_flag=True, help="Ask with AT, where that is safe and nobody holds the port.")
def command(config: Path | None, as_json: bool, probe: bool) -> int:
    """What is plugged in, which port speaks AT, who holds it, what is wrong with it and what helps."""
    try:
        configured = load_settings(config).modems
    except ConfigError as error:
        if config is not None:
            raise
        click.echo(f"the configuration has errors and is left out here: sms-bridge config check ({error})", err=True)
        configured = ()
    rows = survey(configured)
    if probe:
        asyncio.run(_probe_all(rows))
    for row in rows:
        click.echo(json.dumps(asdict(row), ensure_ascii=False) if as_json else _describe(row))
    if not rows and not as_json:
        click.echo("No modem is plugged in or configured; `sms-bridge run` then starts virtual ones. Has it power?")
        click.echo("Plugged in and not shown: `lsusb` says whether the machine sees it at all.")
    return 0


def survey(
    configured: tuple[ModemSettings, ...] = (),
    *,
    sysfs: Path = Path("/sys"),
    dev: Path = Path("/dev"),
    proc: Path = Path("/proc"),
) -> list[Row]:
    """All USB ttys, USB devices that should have one, and configured ports. Opens nothing."""
    found = usb.scan(sysfs, dev)
    at_ports = {candidate.port.device: candidate.family for candidate in usb.modems(found)}
    families = {candidate.port.usb_path: candidate.family for candidate in usb.modems(found)}
    names = {_real(modem.port): modem for modem in configured}
    rows = []
    for port in found:
        row = Row(port.device, port.vid_pid, port.usb_path, port.interface)
        row.product, row.manufacturer, row.serial = port.product, port.manufacturer, port.serial
        row.family = families.get(port.usb_path)
        row.role = _role(port, at_ports, row.family)
        if modem := names.pop(_real(port.device), None):
            row.configured, row.baudrate = modem.name, modem.baudrate
        if (port.vid, port.pid) in NEVER_OPEN:
            row.problem, row.fix = TROUBLE[port.vid, port.pid]
        else:
            _look(row, proc)
        rows.append(row)
    rows += [_configured(modem, proc) for modem in configured if _real(modem.port) in names]
    seen = {port.usb_path for port in found}
    return rows + [row for row in _without_port(sysfs) if row.usb_path not in seen]


def _role(port: usb.UsbPort, at_ports: dict[str, str], family: str | None) -> str:
    if (port.vid, port.pid) in NEVER_OPEN:
        return "other"
    if port.device in at_ports:
        return "at"
    if family is not None:
        return "other"
    return "adapter" if port.vid in ADAPTERS else "unknown"


def _configured(modem: ModemSettings, proc: Path) -> Row:
    row = Row(modem.port, role="configured", configured=modem.name, baudrate=modem.baudrate)
    if "://" in modem.port:
        return row
    if not Path(modem.port).exists():
        row.problem = "there is no such device"
        row.fix = "plug the modem in, or correct the port; names under /dev/serial/by-id stay the same"
    else:
        _look(row, proc)
    return row


def _look(row: Row, proc: Path) -> None:
    """Who holds the port and whether we may open it."""
    assert row.port is not None
    holders = holders_of(row.port, proc)
    row.holders = [{"pid": holder.pid, "program": holder.program} for holder in holders]
    if holders and not _is_bridge(holders, proc):
        names = " and ".join(f"{holder.program} ({holder.pid})" for holder in holders)
        row.problem = f"held by {names}"
        row.fix = fix_for(holders[0], vid_pid=row.vid_pid, port=row.port)
    elif not os.access(row.port, os.R_OK | os.W_OK) and Path(row.port).exists():
        row.problem = "this user may not open it"
        row.fix = "sudo usermod -aG dialout $USER, then log in again"


def _is_bridge(holders: list[Holder], proc: Path) -> bool:
    for holder in holders:
        try:
            words = (proc / str(holder.pid) / "cmdline").read_bytes().split(b"\0")
        except OSError:
            return False
        if not any(word.endswith((b"sms-bridge", b"sms_bridge", b"sms_bridge/__main__.py")) for word in words):
            return False
    return True


def _without_port(sysfs: Path) -> list[Row]:
    """USB devices that are known not to offer a port for SMS."""
    rows = []
    with contextlib.suppress(OSError):
        for device in sorted((sysfs / "bus" / "usb" / "devices").iterdir()):
            try:
                ids = tuple(int((device / name).read_text().strip(), 16) for name in ("idVendor", "idProduct"))
            except (OSError, ValueError):
                continue  # an interface, or it was unplugged this moment
            if (ids[0], ids[1]) in TROUBLE:
                problem, fix = TROUBLE[ids[0], ids[1]]
                row = Row(None, f"{ids[0]:04x}:{ids[1]:04x}", device.name, role="none", problem=problem, fix=fix)
                row.product, row.manufacturer = _text(device / "product"), _text(device / "manufacturer")
                rows.append(row)
    return rows


def _text(file: Path) -> str | None:
    try:
        return file.read_text(errors="replace").strip() or None
    except OSError:
        return None


def _real(port: str) -> str:
    return port if "://" in port else os.path.realpath(port)


async def _probe_all(rows: list[Row]) -> None:
    """One at a time: two ports of one modem that are asked at once confuse some firmware."""
    for row in rows:
        safe = row.role in ("at", "adapter", "configured") or (row.configured is not None and row.role != "other")
        if row.port is not None and safe and not row.holders and row.problem is None:
            await _probe(row)


async def _probe(row: Row) -> None:
    from hardware.at.channel import AtChannel
    from hardware.at.types import Command
    from hardware.errors import HardwareError

    assert row.port is not None
    try:
        channel = await AtChannel.open(row.port, baudrate=row.baudrate or 115_200)
    except HardwareError as error:
        row.answers, row.problem, row.fix = False, str(error), error.hint or None
        return
    row.answers = False
    try:
        for _ in range(PROBE_TRIES):
            with contextlib.suppress(HardwareError):
                await channel.command(Command("AT", timeout=PROBE_DEADLINE))
                row.answers = True
                return
        row.problem = "does not answer AT"
        row.fix = "is it switched on, and is this its AT port? For a serial modem, is the baudrate right?"
    finally:
        await channel.close()


def _describe(row: Row) -> str:
    """One row in words; what a device says of itself is shown safely."""
    what = {
        "at": f"AT port of a {row.family}",
        "other": "another port of the modem, never opened" if row.family else "never opened",
        "adapter": "serial adapter: a modem may be behind it",
        "configured": "named in the configuration",
        "none": "no serial port",
        "unknown": "unknown",
    }[row.role]
    name = " ".join(word for word in (row.manufacturer, row.product) if word)
    facts = [row.port or row.usb_path or "?", row.vid_pid or "", name, what]
    if row.configured and row.role != "configured":
        facts.append(f"configured as {row.configured}")
    elif row.configured:
        facts.append(row.configured)
    if row.answers is not None:
        facts.append("answers AT" if row.answers else "does not answer")
    if row.holders and row.problem is None:
        facts.append("in use by the bridge")
    lines = [printable("  ".join(fact for fact in facts if fact))]
    if row.problem:
        lines.append(f"    problem: {printable(row.problem)}")
    if row.fix:
        lines.append(f"    fix:     {printable(row.fix)}")
    return "\n".join(lines)
