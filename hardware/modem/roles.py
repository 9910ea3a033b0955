"""Which ports of a USB device may be asked for AT, and what helps when none may (domain A1). Pure: opens nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from hardware.modem import profile as profiles
from hardware.modem.profile import Kind, Model, Profile, Role
from hardware.usb.ports import UsbDevice, UsbInterface, UsbPort

__all__ = ["Examined", "Kind", "Role", "examine"]


@dataclass(frozen=True, slots=True)
class Examined:
    """What a device is, and what may be done with its ports."""

    kind: Kind
    family: str | None  # the profile's title: "Quectel"; None where the device says nothing of the modem
    candidates: tuple[UsbPort, ...]  # ports that may be probed, best first; never DIAG, GPS, audio, log, firehose
    left_alone: tuple[tuple[UsbPort, str], ...]  # (port, role)
    problem: str | None  # a sentence for a person
    hint: str | None  # what helps
    delay: float  # seconds after enumeration before it may be spoken to
    model: str | None = None  # the row of the table: "Quectel EC25, EG25-G"


def examine(device: UsbDevice) -> Examined:
    """By its USB id where a profile knows it, else by the classes and drivers of its interfaces."""
    found = profiles.by_usb(device.vid, device.pid)
    if found is None:
        return _stranger(device)
    family, model = found
    match model.kind:
        case Kind.OTHER:
            return _closed(device, Kind.OTHER, None, None)
        case Kind.RECOVERY:
            return _closed(device, Kind.RECOVERY, family, model, *_RECOVERY, role=Role.FIREHOSE)
        case Kind.HILINK:
            return _closed(device, Kind.HILINK, family, model, *_HILINK)
        case Kind.ADAPTER:
            return _adapter(device, model.name)
    return _modem(device, family, model)


_MASS_STORAGE: Final = 0x08
_VENDOR: Final = 0xFF
_ACM: Final = (0x02, 0x02)  # class and subclass; protocol 1 to 6 are AT commands (CDC PSTN 1.2, table 17)
_MBIM: Final = (0x02, 0x0E)
_ETHERNET: Final = {(0x02, 0x06), (0x02, 0x0D), (0xE0, 0x01), (0xEF, 0x04)}  # ECM, NCM, RNDIS by two names
_QMI_DRIVERS: Final = {"qmi_wwan", "cdc_mbim", "GobiNet"}

# What Qualcomm's class triplets mean, whatever the interface's number (Linux option.c says it for many makers).
_TRIPLETS: Final = {
    (0xFF, 0xFF, 0x30): Role.DIAG,
    (0xFF, 0xFF, 0x40): Role.AT,
    (0xFF, 0xFF, 0x60): Role.NMEA,
    (0xFF, 0xFF, 0x50): Role.NET,
    (0xFF, 0x42, 0x01): Role.ADB,
    (0xFF, 0x42, 0x03): Role.FIREHOSE,
}
_RANK: Final = {Role.AT: 0, Role.AT2: 1, Role.PPP: 2}  # of what may be asked; after these, what nobody knows
_UNRANKED: Final = 3

_MODEM_DRIVERS: Final = {"option", "qcserial", "sierra", "hso"}
_ADAPTER_DRIVERS: Final = {
    "ark3116", "belkin_sa", "ch341", "ch343", "cp210x", "cypress_m8", "f81232", "f81534", "ftdi_sio", "keyspan",
    "mct_u232", "mos7720", "mos7840", "mxuport", "oti6858", "pl2303", "spcp8x5", "ti_usb_3410_5052", "upd78f0730",
    "xr_serial",
}  # fmt: skip
_UNDECIDED_DRIVERS: Final = {None, "usbserial_generic"}  # the latter because somebody bound it by hand

# Names that say: not a modem. A port of these is never opened, a reset or worse may be the answer.
_STRANGER: Final = re.compile(
    r"zig-?bee|z-?wave|z-?stick|conbee|raspbee|slaesh|skyconnect|connect zbt|sonoff|slzb|enocean|rfxtrx|rflink|"
    r"homematic|arduino|teensy|micropython|circuitpython|esp32|esp8266|stm32|st-?link|j-?link|cmsis|daplink|jtag|"
    r"bluetooth|meshtastic|marlin|klipper|prusa|barcode|"
    r"\b(?:gps|gnss|ups|rfid|nfc|lora|lorawan|knx|dali|m-?bus|modbus|rs-?485|rs-?422|can|p1|dmx|obd|sdr|"
    r"printer|scanner|scale|meter|weather|receiver|tuner|radio)\b",
    re.IGNORECASE,
)
# Words of which a product's name may be made that says nothing but "a serial port", or names a modem.
_PLAIN: Final = re.compile(
    r"usb[0-9]?|serial|ser|uart|com|port|to|bridge|controller|converter|adapter|adaptor|cable|interface|single|dual|quad|"
    r"basic|enhanced|fast|high|full|speed|hs|rs|rs232|232|ttl|[0-9]|[0-9]v[0-9]?|[a-d]|(?:ch|cp|ft|pl|hl|ttl)[0-9]\w*|"
    r"gsm|gprs|lte|modem|[234]g|sim[0-9]{3,4}\w*|a76[0-9]{2}\w*|fastrack"
)

_SWITCH: Final = "install usb-modeswitch (sudo apt install usb-modeswitch), then plug it in again"
_CDROM: Final = "shows itself as a CD-ROM, not yet as a modem"
_HILINK: Final = (
    "HiLink firmware: no AT commands, no SMS through it",
    "it has a web interface and no serial port; use a stick with serial firmware, or change its firmware",
)
_RECOVERY: Final = (
    "is in Qualcomm's recovery mode",
    "do not open its port; leave it unplugged for a minute, and if it comes back so, it needs its maker's tool",
)
_REPORT: Final = "name its AT port under `modems:` if you know it, and send us what `sms-bridge modems --report` writes"
_COMPOSITION: Final = "choose a composition with an AT port, with its maker's tool or AT command"


def _modem(device: UsbDevice, family: Profile, model: Model) -> Examined:
    roles = _roles(device, family, model)
    asked = sorted((item for item in roles if _may_be_asked(item[1])), key=_preference)
    if not asked:
        kind, problem, hint = _without_at(device, family, model)
        if kind is Kind.OTHER:
            return _closed(device, kind, None, None, roles=roles)
        return _closed(device, kind, family, model, problem, hint, roles=roles)
    candidates = tuple(port for port, _ in asked)
    left = tuple((port, role.value) for port, role in roles if role is not None and port not in candidates)
    return Examined(Kind.MODEM, family.title, candidates, left, None, None, model.delay, f"{family.title} {model.name}")


def _roles(device: UsbDevice, family: Profile, model: Model) -> list[tuple[UsbPort, Role | None]]:
    """The role of each port; None: nobody knows it, and it may be asked."""
    roles = [(port, _role(port.interface, port.triplet, family, model)) for port in device.ports]
    one_triplet = len({port.triplet for port in device.ports}) == 1
    if family.alike and one_triplet and all(role in (None, Role.UNKNOWN) for _, role in roles):
        ends = {0: family.alike.get("first"), len(roles) - 1: family.alike.get("last")}  # a single port is the last
        roles = [(port, ends.get(index) or Role.UNKNOWN) for index, (port, _) in enumerate(roles)]
    return roles


def _role(number: int, triplet: tuple[int, int, int], family: Profile, model: Model) -> Role | None:
    """By interface number where the row names it, else by class triplet; one that is known to be no AT port wins."""
    general = _TRIPLETS.get(triplet)
    named = model.ports.get(number)
    if general is not None and (named is None or model.is_rest or not _may_be_asked(general)):
        return general
    if named is not None:
        return named
    for pattern, role in family.triplets.items():
        if all(wanted in (None, octet) for wanted, octet in zip(pattern, triplet, strict=True)):
            return role
    asks = model.probe_others and (triplet[0] == _VENDOR or _speaks_at(triplet))
    return None if asks else Role.UNKNOWN


def _speaks_at(triplet: tuple[int, int, int]) -> bool:
    """CDC-ACM that says so itself."""
    return triplet[:2] == _ACM and 1 <= triplet[2] <= 6


def _may_be_asked(role: Role | None) -> bool:
    return role is None or role in _RANK


def _preference(item: tuple[UsbPort, Role | None]) -> tuple[int, int, int]:
    """AT ports first; among unknown ones those of interface 2 and up, as 0 and 1 are DIAG and GPS on many."""
    port, role = item
    early = port.interface < 2 and port.triplet[0] == _VENDOR
    rank = _UNRANKED if role is None else _RANK[role]
    return rank, int(early and role is None), -port.interface if early and role is None else port.interface


def _without_at(device: UsbDevice, family: Profile, model: Model) -> tuple[Kind, str | None, str | None]:
    """Why a known device has no port that may be asked: kind, problem, hint."""
    interfaces = device.interfaces
    if device.configuration is None and not interfaces:
        hint = "it may get too little power: use a powered hub, then plug it in again"
        return Kind.MODEM, "the kernel has not set it up", hint
    storage = bool(interfaces) and all(interface.triplet[0] == _MASS_STORAGE for interface in interfaces)
    if model.kind is Kind.CDROM or storage:
        return Kind.CDROM, _CDROM, _joined(_SWITCH, model.hint)
    if model.configuration not in (None, device.configuration):
        problem = f"is in USB configuration {device.configuration}; its serial ports are in {model.configuration}"
        hint = f"echo {model.configuration} | sudo tee /sys/bus/usb/devices/{device.path}/bConfigurationValue"
        return Kind.MODEM, problem, hint
    if driverless := _driverless(interfaces, family, model):
        return (
            Kind.MODEM,
            "the kernel has no driver for its serial ports",
            _joined(_bind(device, driverless), model.hint),
        )
    if (network := _network(interfaces)) is not None:
        if network == "Ethernet" and model.may_be_web:
            return Kind.HILINK, *_HILINK
        hint = family.no_at_hint.replace("PLUG", device.path) or _COMPOSITION
        return Kind.NO_AT, f"shows a network interface ({network}) and no AT port", _joined(hint, model.hint)
    if device.ports:
        return Kind.MODEM, "none of its serial ports is known to speak AT", _REPORT
    if model.is_rest:
        return Kind.OTHER, None, None  # the vendor makes telephones and keyboards, too
    hint = "unplug it and plug it in again, at a powered hub; `dmesg` may say what is wrong"
    return Kind.MODEM, "shows no serial port", hint


def _driverless(interfaces: Iterable[UsbInterface], family: Profile, model: Model) -> list[UsbInterface]:
    """Interfaces that should be ports that may be asked, and that no driver has taken."""
    return [
        interface
        for interface in interfaces
        if interface.driver is None
        and (interface.triplet[0] == _VENDOR or interface.triplet[:2] == _ACM)
        and _may_be_asked(_role(interface.number, interface.triplet, family, model))
    ]


def _bind(device: UsbDevice, driverless: list[UsbInterface]) -> str:
    if all(interface.triplet[:2] == _ACM for interface in driverless):
        return "sudo modprobe cdc_acm"
    number = f"{device.vid:04x} {device.pid:04x} ff"
    return f"sudo modprobe option; echo {number} | sudo tee /sys/bus/usb-serial/drivers/option1/new_id"


def _network(interfaces: Iterable[UsbInterface]) -> str | None:
    """What sort of network card the device is, if one."""
    classes = {interface.triplet[:2] for interface in interfaces}
    drivers = {interface.driver for interface in interfaces}
    if _MBIM in classes or "cdc_mbim" in drivers:
        return "MBIM"
    if drivers & _QMI_DRIVERS:
        return "QMI"
    return "Ethernet" if classes & _ETHERNET else None


def _stranger(device: UsbDevice) -> Examined:
    """An id that no profile has."""
    if not device.ports:
        if _network(device.interfaces) in ("MBIM", "QMI"):
            sentence = "a mobile network card that shows no AT port"
            return _closed(device, Kind.NO_AT, None, None, sentence, _COMPOSITION)
        return _closed(device, Kind.OTHER, None, None)
    drivers = {port.driver for port in device.ports}
    if not drivers & _MODEM_DRIVERS and _STRANGER.search(_says(device)):
        return _closed(device, Kind.OTHER, None, None)
    if drivers & _ADAPTER_DRIVERS:
        return _adapter(device, None)
    roles: list[tuple[UsbPort, Role | None]] = [(port, _judged(port)) for port in device.ports]
    asked = sorted((item for item in roles if _may_be_asked(item[1])), key=_preference)
    if not asked:
        return _closed(device, Kind.OTHER, None, None, roles=roles)
    candidates = tuple(port for port, _ in asked)
    left = tuple((port, role.value) for port, role in roles if role is not None and port not in candidates)
    return Examined(Kind.UNKNOWN, None, candidates, left, None, None, delay=0.0)


def _judged(port: UsbPort) -> Role | None:
    """What a port of an unknown device is; None: it may be asked."""
    if (role := _TRIPLETS.get(port.triplet)) is not None:
        return role
    if _speaks_at(port.triplet):
        return None
    vendors_own = port.triplet[0] == _VENDOR and port.driver in _MODEM_DRIVERS | _UNDECIDED_DRIVERS
    return None if vendors_own else Role.UNKNOWN


def _adapter(device: UsbDevice, name: str | None) -> Examined:
    """A serial adapter is asked when it says nothing of itself but that."""
    problem, hint = None, None
    words = re.findall(r"[a-z0-9]+", (device.product or "").lower())
    if not device.ports:
        problem = "a serial adapter without a port"
        hint = "another program takes it (often brltty: sudo apt remove brltty), or the kernel lacks its driver"
    elif _STRANGER.search(_says(device)):
        return _closed(device, Kind.OTHER, None, None)
    elif not all(_PLAIN.fullmatch(word) for word in words):
        problem = "a serial adapter whose name does not say that a modem is behind it; it is not asked"
        hint = "if there is one, name its port under `modems:`"
    candidates = device.ports if problem is None else ()
    left = () if problem is None else tuple((port, Role.UNKNOWN.value) for port in device.ports)
    return Examined(Kind.ADAPTER, None, candidates, left, problem, hint, 0.0, name)


def _closed(
    device: UsbDevice,
    kind: Kind,
    family: Profile | None,
    model: Model | None,
    problem: str | None = None,
    hint: str | None = None,
    *,
    role: Role = Role.UNKNOWN,
    roles: Iterable[tuple[UsbPort, Role | None]] | None = None,
) -> Examined:
    """A device none of whose ports is opened."""
    known = roles if roles is not None else [(port, role) for port in device.ports]
    left = tuple((port, (each or Role.UNKNOWN).value) for port, each in known)
    name = f"{family.title} {model.name}" if family is not None and model is not None else None
    delay = model.delay if model is not None else 0.0
    return Examined(kind, family.title if family is not None else None, (), left, problem, hint, delay, name)


def _says(device: UsbDevice) -> str:
    return f"{device.manufacturer or ''} {device.product or ''}"


def _joined(*sentences: str) -> str:
    return "; ".join(sentence for sentence in sentences if sentence)
