"""`sms-bridge modems --report`: what a maintainer needs to add a modem."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from hardware.at.channel import AtChannel
from hardware.at.types import Command
from hardware.errors import HardwareError
from hardware.modem.report import QUESTIONS, report
from hardware.modem.roles import Kind, examine
from hardware.transport.holders import holders_of
from hardware.types import Access, ModemState, ModemStatus, Registration, SimStatus, StorageStatus
from hardware.usb.ports import UsbDevice, devices
from sms_bridge.cli.live import Live

TRIES = 3  # domain A1.3: AT until OK, a second each
DEADLINE = 1.0
BAUDRATE = 115_200


def reports(wanted: str, live: Live, *, sysfs: Path, dev: Path, proc: Path) -> list[dict[str, Any]]:
    """A report each of what is plugged in, or of the one that is named by its modem, plug or port.

    Asks the ports that may be asked and that nobody holds. ClickException when there is nothing to report.
    """
    found = [device for device in devices(sysfs, dev) if _is_meant(wanted, device, live)]
    if not found:
        what = f"called {wanted!r}, by its modem's name, its plug or its port" if wanted else "that could be a modem"
        raise click.ClickException(
            f"nothing is plugged in {what}. `sms-bridge modems` lists what is there, `lsusb` what the machine sees."
        )
    return asyncio.run(_all(found, live, proc))


async def _all(found: list[UsbDevice], live: Live, proc: Path) -> list[dict[str, Any]]:
    return [await _one(device, live, proc) for device in found]


async def _one(device: UsbDevice, live: Live, proc: Path) -> dict[str, Any]:
    """One port at a time: two ports of one modem that are asked at once confuse some firmware."""
    examined = examine(device)
    payload = _payload(device, live)
    answered = [port for port in device.ports if payload is not None and payload.get("port") == port.device]
    answers: dict[str, list[str]] = {}
    for port in examined.candidates if not answered else ():
        if holders_of(port.device, proc):
            continue
        said = await ask(port.device, QUESTIONS if not answers else ())
        if said is not None:
            answered.append(port)
            answers |= {
                text: [str(lines)] if isinstance(lines, HardwareError) else lines for text, lines in said.items()
            }
    status = _status(payload) if payload is not None else None
    return report(device, examined, status, answered=answered, answers=answers)


async def ask(
    port: str, questions: Sequence[Command], baudrate: int = BAUDRATE
) -> dict[str, list[str] | HardwareError] | None:
    """Lines or error by command; None: it does not speak AT, or cannot be opened."""
    try:
        channel = await AtChannel.open(port, baudrate=baudrate)
    except HardwareError:
        return None
    try:
        if not await _speaks(channel):
            return None
        said: dict[str, list[str] | HardwareError] = {}
        for command in questions:
            try:
                said[command.text] = list((await channel.command(command)).lines)
            except HardwareError as error:
                said[command.text] = error
        return said
    finally:
        await channel.close()


async def _speaks(channel: AtChannel) -> bool:
    for _ in range(TRIES):
        with contextlib.suppress(HardwareError):
            await channel.command(Command("AT", timeout=DEADLINE))
            return True
    return False


def _is_meant(wanted: str, device: UsbDevice, live: Live) -> bool:
    if not wanted:
        return examine(device).kind is not Kind.OTHER
    payload = _payload(device, live)
    names = {device.path, *(port.device for port in device.ports)}
    return wanted in names or (payload is not None and payload.get("name") == wanted)


def _payload(device: UsbDevice, live: Live) -> dict[str, Any] | None:
    """What the bridge says of the modem in this plug."""
    mine = (modem for modem in live.modems.values() if modem.get("name") and modem.get("usb_path") == device.path)
    return next(mine, None)


def _status(payload: dict[str, Any]) -> ModemStatus:
    """As much of a status as the payload of `sms/modem/<name>` has. The broker is not trusted to send what we do."""
    sim, storage = payload.get("sim"), payload.get("storage")
    status = ModemStatus("modem")
    for key in ("imei", "iccid", "number", "manufacturer", "model", "firmware", "smsc", "health_reason"):
        setattr(status, key, str(payload[key]) if payload.get(key) is not None else None)
    if isinstance(sim, dict):
        status.sim = SimStatus(str(sim.get("state")), sim.get("pin_attempts_left"))
    if isinstance(storage, dict):
        status.storage = StorageStatus(used=storage.get("used"), total=storage.get("total"))
    with contextlib.suppress(ValueError):
        status.state = ModemState(payload.get("state") or "offline")
    with contextlib.suppress(ValueError):
        status.registration = Registration(payload.get("registration") or "unknown")
    with contextlib.suppress(ValueError):
        status.access = Access(payload["access"]) if payload.get("access") is not None else None
    signal, capabilities = payload.get("signal_dbm"), payload.get("capabilities")
    status.signal_dbm = signal if isinstance(signal, int) else None
    status.capabilities = capabilities if isinstance(capabilities, dict) else {}
    return status
