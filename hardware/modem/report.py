"""What somebody needs to add a modem to the profiles, and nothing that says whose modem it is. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from hardware.at import commands
from hardware.at.types import Command
from hardware.modem.profile import Radio, Role
from hardware.modem.roles import Examined
from hardware.types import Access, ModemStatus
from hardware.usb.ports import UsbDevice, UsbInterface, UsbPort

__all__ = ["QUESTIONS", "anonymous", "report"]

VERSION: Final = 1
MOST_LINES = 40  # of one answer
MOST_CHARACTERS = 200  # of one line
# A serial number as ATI and its kin tell it; an IMEI behind SN is masked as what it is.
SERIAL: Final = re.compile(r"\b((?:f?sn|esn|meid|serial(?: number)?)\s*[:=]\s*)(?![0-9]{14,16}\b)\S+", re.IGNORECASE)
TAC: Final = 8  # digits of an IMEI that name the model (TS 23.003 6.2.1)

QUESTIONS: tuple[Command, ...] = (
    commands.information(),
    commands.manufacturer(),
    commands.model(),
    commands.revision(),
    commands.pin_state(),
    commands.storage_names(),
    commands.storage_use(),
    commands.new_message_modes(),
    commands.new_message_query(),
    commands.message_services(),
    commands.keep_link_modes(),
    commands.signal(),
    commands.extended_signal(),
    *(commands.cell_state(domain) for domain in ("CREG", "CGREG", "CEREG")),
    *commands.ATTEMPTS_LEFT,
    *commands.ICCID_COMMANDS,
)
"""What to ask the modem for `answers`: nothing of it changes a setting, costs an attempt or shows a message."""


def report(
    device: UsbDevice,
    examined: Examined,
    status: ModemStatus | None = None,
    *,
    answered: Sequence[UsbPort] = (),
    answers: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, Any]:
    """JSON of a device for a maintainer. `answered`: ports that spoke AT; `answers`: lines or error by command.

    IMEI (but for the digits that name the model), IMSI, ICCID, numbers and USB serial number are masked everywhere.
    """
    whole: dict[str, Any] = {
        "report": VERSION,
        "usb": {
            "id": device.vid_pid,
            "manufacturer": device.manufacturer,
            "product": device.product,
            "serial": _shape(device.serial),
            "configuration": device.configuration,
            "interfaces": [_interface(device, interface, answered) for interface in device.interfaces],
        },
        "examined": {
            "kind": examined.kind.value,
            "family": examined.family,
            "model": examined.model,
            "candidates": [_number(port.interface) for port in examined.candidates],
            "left_alone": {_number(port.interface): role for port, role in examined.left_alone},
            "problem": examined.problem,
            "hint": examined.hint,
            "delay": examined.delay,
        },
        "modem": _modem(status) if status is not None else None,
        "answers": {command: list(lines[:MOST_LINES]) for command, lines in (answers or {}).items()},
        "draft": _draft(device, examined, status, answered),
    }
    imei = status.imei if status is not None else None
    cleaned: dict[str, Any] = _clean(whole, imei)
    return cleaned


def anonymous(text: str, imei: str | None = None) -> str:
    """`text` without what is whose: of an IMEI the model's digits stay, of other long numbers the first three."""
    plain = "".join(char if char.isprintable() else "?" for char in text[:MOST_CHARACTERS])
    plain = SERIAL.sub(lambda match: f"{match[1]}<serial>", plain)
    if not imei or len(imei) <= TAC:
        return _LONG.sub(_mask, plain)
    shown = imei[:TAC] + "x" * (len(imei) - TAC)
    return shown.join(_LONG.sub(_mask, piece) for piece in plain.split(imei))


# Hex (a number in UCS2, an ICCID with its filler), digits in one piece, digits with hyphens between.
_LONG = re.compile(r"[0-9A-Fa-f]{16,}|[0-9]{7,}|(?<![0-9-])(?=(?:-?[0-9]){10})[0-9]+(?:-[0-9]+)+")


def _mask(match: re.Match[str]) -> str:
    found = match[0]
    if not found.replace("-", "").isdigit():
        return f"<hex {len(found)}>"
    return found[:3] + "x" * (len(found) - 3)


def _clean(value: Any, imei: str | None) -> Any:
    """Every text in it anonymous, names included."""
    if isinstance(value, str):
        return anonymous(value, imei)
    if isinstance(value, Mapping):
        return {anonymous(str(name), imei): _clean(item, imei) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(item, imei) for item in value]
    return value


def _shape(serial: str | None) -> str | None:
    """Whether a serial number can tell two devices apart, without saying it."""
    if serial is None:
        return None
    alike = ", all alike" if len(set(serial)) == 1 else ""
    return f"{len(serial)} characters{alike}"


def _interface(device: UsbDevice, interface: UsbInterface, answered: Iterable[UsbPort]) -> dict[str, Any]:
    ports = [port for port in device.ports if port.interface == interface.number]
    return {
        "number": _number(interface.number),
        "class": "/".join(f"{octet:02x}" for octet in interface.triplet),
        "driver": interface.driver,
        "port": bool(ports),
        "answers": any(port in ports for port in answered),
    }


def _modem(status: ModemStatus) -> dict[str, Any]:
    return {
        "manufacturer": status.manufacturer,
        "model": status.model,
        "firmware": status.firmware,
        "imei": status.imei,
        "imsi": status.imsi,
        "iccid": status.iccid,
        "number": status.number,
        "smsc": status.smsc,
        "sim": status.sim.state,
        "pin_attempts_left": status.sim.pin_attempts_left,
        "registration": status.registration.value,
        "access": status.access.value if status.access is not None else None,
        "signal_dbm": status.signal_dbm,
        "state": status.state.value,
        "health_reason": status.health_reason,
        "storage": {"used": status.storage.used, "total": status.storage.total},
        "capabilities": status.capabilities,
    }


_RADIOS: Final = {Access.GSM: Radio.GSM, Access.UMTS: Radio.UMTS, Access.LTE: Radio.LTE, Access.NR: Radio.NR}


def _draft(
    device: UsbDevice, examined: Examined, status: ModemStatus | None, answered: Sequence[UsbPort]
) -> dict[str, Any]:
    """A row for `models` in a profile, as far as it is known (docs/supported-modems.md)."""
    ports = {port.interface: role for port, role in examined.left_alone if role != Role.UNKNOWN}
    ports |= {port.interface: (Role.AT2 if index else Role.AT).value for index, port in enumerate(answered)}
    access = status.access if status is not None else None
    return {
        "name": (status.model if status is not None else None) or device.product or "unknown",
        "usb": [device.vid_pid],
        "ports": {_number(number): role for number, role in sorted(ports.items())},
        "radio": [_RADIOS[access].value] if access is not None else [],
    }


def _number(interface: int) -> str:
    return f"{interface:02x}"
