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
from sms_bridge.cli.live import Live, ask_bridge
from sms_bridge.cli.options import config_option, load_settings, printable, root_option
from sms_bridge.config import ConfigError, ModemSettings, Settings

PROBE_TRIES = 3  # domain A1.3: AT until OK, a second each
PROBE_DEADLINE = 1.0
EVERYTHING = ""  # what `--report` is about when nothing is named


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
    role: str = (
        "unknown"  # "at", "other" (not for AT), "adapter", "configured", "unknown", "none", "elsewhere", "virtual"
    )
    configured: str | None = None
    baudrate: int | None = None
    holders: list[dict[str, Any]] = field(default_factory=list)
    answers: bool | None = None
    live: dict[str, Any] | None = None  # what the running bridge says of the modem there, as on `sms/modem/<name>`
    problem: str | None = None
    fix: str | None = None


@click.command("modems")
@config_option
@root_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per port.")
@click.option("--probe", is_flag=True, help="Ask with AT, where that is safe and nobody holds the port.")
@click.option("--watch", is_flag=True, help="Stay, and show what changes; not on a terminal: a line per change.")
@click.option(
    "--report",
    "wanted",
    is_flag=False,
    flag_value=EVERYTHING,
    metavar="[MODEM|PLUG|PORT]",
    help="Print what a maintainer needs to add the modem, anonymised; of all that are plugged in if none is named.",
)
@click.option(
    "--dump", metavar="PORT", help="Print what the modem at a free port answers, as an emulator's personality."
)
def command(
    config: Path | None, root: Path, as_json: bool, probe: bool, watch: bool, wanted: str | None, dump: str | None
) -> int:
    """What is plugged in, which port speaks AT, who holds it, what is wrong with it and what helps.

    With a bridge that runs, also the state of each modem.
    """
    try:
        settings = load_settings(config)
    except ConfigError as error:
        if config is not None:
            raise
        click.echo(f"the configuration has errors and is left out here: sms-bridge config check ({error})", err=True)
        settings = Settings()

    def look() -> list[Row]:
        return survey(settings.modems, sysfs=root / "sys", dev=root / "dev", proc=root / "proc")

    if dump is not None:
        from sms_bridge.cli.dump import dump_port

        baudrates = {modem.port: modem.baudrate for modem in settings.modems}
        click.echo(dump_port(dump, baudrates.get(dump), proc=root / "proc"), nl=False)
        return 0
    if watch:
        from sms_bridge.cli.watching import watch as stay

        return stay(settings.mqtt, look, as_json=as_json)
    live = ask_bridge(settings.mqtt)
    if wanted is not None:
        from sms_bridge.cli.reporting import reports

        found = reports(wanted, live, sysfs=root / "sys", dev=root / "dev", proc=root / "proc")
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return 0
    rows = beside(look(), live)
    if probe:
        asyncio.run(_probe_all(rows))
    for line in [json.dumps(asdict(row), ensure_ascii=False) for row in rows] if as_json else table(rows, live):
        click.echo(line)
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


def beside(rows: list[Row], live: Live) -> list[Row]:
    """Each modem of the running bridge beside its port, and one row more for each that has none here."""
    left = dict(live.modems)
    for row in rows:
        mine = (name for name, modem in left.items() if _is_at(modem, row))
        name = next(mine, None) if row.role != "other" or row.problem else None
        if name is not None:
            row.live = left.pop(name)
    return rows + [_elsewhere(modem) for modem in left.values()]


def table(rows: list[Row], live: Live) -> list[str]:
    """What `sms-bridge modems` prints: a line per port with what is wrong and what helps below it."""
    lines = [] if live.online else [printable(f"The bridge cannot be asked: {live.reason}"), ""]
    if not rows:
        return [
            *lines,
            "No modem is plugged in or configured; `sms-bridge run` then starts virtual ones. Has it power?",
            "Plugged in and not shown: `lsusb` says whether the machine sees it at all.",
        ]
    shown = [row for row in rows if row.role != "other" or row.problem or row.live]
    cells = [_cells(row) for row in shown]
    columns = [index for index in range(len(HEADS)) if any(cell[index] for cell in cells)]
    widths = {index: max(len(line[index]) for line in (HEADS, *cells)) for index in columns}
    lines.append("  ".join(HEADS[index].ljust(widths[index]) for index in columns).rstrip())
    for row, cell in zip(shown, cells, strict=True):
        lines.append("  ".join(cell[index].ljust(widths[index]) for index in columns).rstrip())
        lines += _remarks(row)
    never = [f"{row.port} ({row.family})" if row.family else str(row.port) for row in rows if row not in shown]
    return [*lines, "", printable(f"Never opened: {', '.join(never)}.")] if never else lines


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


WHAT = {
    "other": "never opened",
    "adapter": "serial adapter: a modem may be behind it",
    "configured": "named in the configuration",
    "elsewhere": "not plugged in here",
    "virtual": "virtual modem",
    "none": "no serial port",
    "unknown": "unknown",
}
HEADS = ("MODEM", "STATE", "PLUG", "PORT", "WHAT IT IS", "OPERATOR", "SIGNAL", "NUMBER", "QUEUE")


def _cells(row: Row) -> tuple[str, ...]:
    """One line of the table; what a device or a network says of itself is shown safely."""
    live = row.live or {}
    signal, queue = live.get("signal_dbm"), live.get("queue")
    words = (
        live.get("name") or row.configured,
        live.get("state"),
        row.usb_path,
        row.port,
        _what(row),
        live.get("operator"),
        f"{signal} dBm" if signal is not None else None,
        live.get("number"),
        queue,
    )
    return tuple("" if word is None else printable(str(word)).replace("\n", "\\u000a") for word in words)


def _what(row: Row) -> str:
    what = f"AT port of a {row.family}" if row.role == "at" else WHAT[row.role]
    name = " ".join(str(word) for word in (row.manufacturer, row.product) if word)
    facts = [f"{name} ({row.vid_pid})" if name and row.vid_pid else name or row.vid_pid, what]
    if row.answers is not None:
        facts.append("answers AT" if row.answers else "does not answer")
    if row.holders and row.problem is None:
        facts.append("in use by the bridge")
    return ", ".join(fact for fact in facts if fact)


def _remarks(row: Row) -> list[str]:
    """What is wrong and what helps, below the row's line; the bridge's own words are one sentence for both."""
    live = row.live or {}
    lines = [f"    problem: {row.problem}"] if row.problem else []
    if live.get("health") in ("warn", "fail") and live.get("health_reason"):
        lines.append(f"    {live['health']}: {live['health_reason']}")
    if row.fix:
        lines.append(f"    fix: {row.fix}")
    return [printable(line) for line in lines]


def _is_at(modem: dict[str, Any], row: Row) -> bool:
    """Whether a modem of the bridge is the one at this port, or in this plug while it has no port."""
    port = modem.get("port")
    if isinstance(port, str):
        return row.port is not None and (port == row.port or _real(port) == _real(row.port))
    away = modem.get("state") == "offline"
    return not away and row.usb_path is not None and modem.get("usb_path") == row.usb_path


def _elsewhere(modem: dict[str, Any]) -> Row:
    texts = {key: modem[key] for key in ("port", "usb_path", "vid_pid", "manufacturer") if _is_text(modem.get(key))}
    row = Row(texts.get("port"), texts.get("vid_pid"), texts.get("usb_path"), live=modem)
    row.manufacturer, row.product = texts.get("manufacturer"), modem.get("model")
    row.role = "virtual" if modem.get("virtual") else "elsewhere"
    if modem.get("name") is None:  # a device that the bridge sees and does not use, with what keeps it from that
        row.problem, row.fix = modem.get("problem"), modem.get("fix")
    return row


def _is_text(value: object) -> bool:
    return isinstance(value, str)
