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

from hardware.modem.roles import Examined, Kind, examine
from hardware.transport.holders import Holder, fix_for, holders_of
from hardware.usb import ports as usb
from sms_bridge.cli.options import config_option, load_settings, printable
from sms_bridge.config import ConfigError, ModemSettings

PROBE_TRIES = 3  # domain A1.3: AT until OK, a second each
PROBE_DEADLINE = 1.0


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
    fixed = {modem.port: modem for modem in configured if modem.port is not None}
    names = {_real(port): modem for port, modem in fixed.items()}
    rows = []
    for device in usb.devices(sysfs, dev):
        examined = examine(device)
        rows += [_port_row(port, examined, names, proc) for port in device.ports]
        if not device.ports and examined.problem is not None:
            rows.append(_fill(Row(None, device.vid_pid, device.path, role="none"), device, examined))
    return rows + [_configured(port, modem, proc) for port, modem in fixed.items() if _real(port) in names]


def _port_row(port: usb.UsbPort, examined: Examined, names: dict[str, ModemSettings], proc: Path) -> Row:
    row = Row(port.device, port.vid_pid, port.usb_path, port.interface, role=_role(port, examined))
    _fill(row, port, examined)
    if modem := names.pop(_real(port.device), None):
        row.configured, row.baudrate = modem.name, modem.baudrate
    if examined.kind is not Kind.RECOVERY:
        _look(row, proc)
    return row


def _fill(row: Row, thing: usb.UsbPort | usb.UsbDevice, examined: Examined) -> Row:
    row.product, row.manufacturer, row.serial = thing.product, thing.manufacturer, thing.serial
    row.family = examined.model if examined.family is not None else None
    row.problem, row.fix = examined.problem, examined.hint
    return row


def _role(port: usb.UsbPort, examined: Examined) -> str:
    if examined.kind is Kind.ADAPTER:
        return "adapter"
    if examined.kind in (Kind.UNKNOWN, Kind.OTHER):
        return "unknown"
    return "at" if examined.candidates[:1] == (port,) else "other"


def _configured(port: str, modem: ModemSettings, proc: Path) -> Row:
    row = Row(port, role="configured", configured=modem.name, baudrate=modem.baudrate)
    if "://" in port:
        return row
    if not Path(port).exists():
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
