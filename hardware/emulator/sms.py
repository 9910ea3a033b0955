"""Commands about messages in PDU mode (TS 27.005)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from hardware.emulator import wire
from hardware.emulator.general import shown, understood
from hardware.emulator.language import CommandError, Prompt, Token, Wait, arguments, numbers
from hardware.emulator.phone import Phone, Stat, Storage, Stored

if TYPE_CHECKING:
    from hardware.emulator.commands import Commands

_ALL = 4


def _cms(code: int) -> CommandError:
    return CommandError("CMS", code)


def _cmgf(c: Commands, t: Token) -> list[str]:
    if t.op == "?":
        return [f"+CMGF: {int(c.phone.settings.text_mode)}"]
    if t.op == "=?":
        return ["+CMGF: (0,1)"]
    if t.args not in ("", "0", "1"):
        raise _cms(303)
    c.phone.settings.text_mode = t.args == "1"
    return []


def _csms(c: Commands, t: Token) -> list[str]:
    settings = c.phone.settings
    if t.op == "?":
        return [f"+CSMS: {settings.csms},1,1,1"]
    if t.op == "=?":
        return ["+CSMS: (0,1)"]
    if t.args not in ("0", "1"):
        raise _cms(303)
    settings.csms = int(t.args)
    return ["+CSMS: 1,1,1"]


def _cmms(c: Commands, t: Token) -> list[str]:
    if t.op == "?":
        return [f"+CMMS: {c.phone.settings.cmms}"]
    if t.op == "=?":
        return ["+CMMS: (0-2)"]
    if t.args not in ("0", "1", "2"):
        raise _cms(303)
    c.phone.settings.cmms = int(t.args)
    return []


def _cpms(c: Commands, t: Token) -> list[str]:
    phone = c.phone
    names = phone.storage_names()
    if t.op == "=?":
        one = "(" + ",".join(f'"{name}"' for name in names) + ")"
        return [f"+CPMS: {one},{one},{one}"]
    if t.op == "?":
        used = [(name, *phone.usage(name)) for name in phone.settings.memories]
        return ["+CPMS: " + ",".join(f'"{name}",{n},{size}' for name, n, size in used)]
    wanted = arguments(t.args)
    if len(wanted) not in phone.personality.cpms_arguments or any(w not in names for w in wanted):
        raise _cms(302)
    phone.settings.memories[: len(wanted)] = wanted
    sizes = [phone.usage(name) for name in phone.settings.memories]
    return ["+CPMS: " + ",".join(f"{n},{size}" for n, size in sizes)]


def _cnmi(c: Commands, t: Token) -> list[str]:
    phone = c.phone
    columns = phone.personality.cnmi
    if t.op == "?":
        return ["+CNMI: " + ",".join(map(str, phone.settings.cnmi))]
    if t.op == "=?":
        return ["+CNMI: " + ",".join("(" + ",".join(map(str, column)) + ")" for column in columns)]
    wanted = numbers(t.args, "CMS", 304)
    if len(wanted) > len(columns):
        raise _cms(303)
    current = list(phone.settings.cnmi)
    for position, value in enumerate(wanted):
        if value is None:
            continue
        if value not in columns[position] or (position == 3 and value in phone.personality.cnmi_refused_ds):
            raise _cms(303)
        current[position] = value
    phone.settings.cnmi = tuple(current)
    if current[0] and phone.held_urcs:
        held = [] if current[4] else list(phone.held_urcs)
        phone.held_urcs.clear()
        for lines in held:
            c.afterwards(lambda lines=lines: c.services.urc(*lines))  # type: ignore[misc]
    c.afterwards(c.services.room)
    return []


def _csca(c: Commands, t: Token) -> list[str]:
    phone = c.phone
    if t.op == "?":
        kind = 145 if phone.smsc.startswith("+") else 129
        return [f'+CSCA: "{shown(phone, phone.smsc)}",{kind}']
    if t.op == "=?":
        return []
    number = understood(phone, arguments(t.args)[0])
    try:
        wire.smsc_field(number)
    except wire.WireError:
        raise _cms(304) from None
    phone.smsc = number
    return []


def _cmgl(c: Commands, t: Token) -> list[str]:
    phone = c.phone
    if t.op == "=?":
        return ["+CMGL: (0-4)"]
    if not phone.personality.cmgl:
        raise _cms(303)
    if t.args not in ("", "0", "1", "2", "3", "4"):
        raise _cms(303 if phone.settings.text_mode else 304)
    if phone.settings.text_mode:
        raise _cms(305)
    wanted = int(t.args or 0)
    lines: list[str] = []
    for index, storage, slot in phone.slots(phone.settings.memories[0]):
        message = storage.slots[slot]
        if wanted in (_ALL, message.stat):
            lines += [f"+CMGL: {index},{int(message.stat)},,{message.length}", message.pdu]
            _mark_read(message)
    return lines


def _cmgr(c: Commands, t: Token) -> list[str]:
    if t.op == "=?":
        return []
    if c.phone.settings.text_mode:
        raise _cms(303)
    storage, slot = _slot(c.phone, t.args)
    message = storage.slots.get(slot)
    if message is None:
        return _empty(c.phone)
    c.services.mark("cmgr")
    line = f"+CMGR: {int(message.stat)},,{message.length}"
    _mark_read(message)
    return [line, message.pdu]


def _cmgd(c: Commands, t: Token) -> list[str]:
    phone = c.phone
    memory = phone.settings.memories[0]
    if t.op == "=?":
        return ["+CMGD: (" + ",".join(str(i) for i, _, _ in phone.slots(memory)) + "),(0-4)"]
    values = numbers(t.args, "CMS", 304)
    flag = values[1] if len(values) > 1 else 0
    if flag not in (None, 0, 1, 2, 3, 4) or values[0] is None:
        raise _cms(304)
    if flag:
        doomed = {1: {1}, 2: {1, 3}, 3: {1, 2, 3}, 4: {0, 1, 2, 3}}[flag]
        for _, storage, slot in phone.slots(memory):
            if storage.slots[slot].stat in doomed:
                del storage.slots[slot]
    else:
        found = phone.find(memory, values[0])
        if found is None:
            raise _cms(321)
        found[0].slots.pop(found[1], None)
    c.services.mark("cmgd")
    c.afterwards(c.services.room)
    return []


def _cmgs(c: Commands, t: Token) -> list[str]:
    if t.op == "=?":
        return []
    length = _length(c.phone, t.args)
    if c.phone.personality.ussd_collides and c.services.ussd_under_way():
        raise _cms(302)
    raise Prompt("+CMGS", lambda data: check_submit(data, length))


def _cmgw(c: Commands, t: Token) -> list[str]:
    if t.op == "=?":
        return []
    phone = c.phone
    values = arguments(t.args)
    length = _length(phone, values[0])
    stat = Stat(int(values[1])) if values[1:] and values[1] in ("0", "1", "2", "3") else Stat.UNSENT

    def check(data: bytes) -> bytes:
        return check_hex(data, length)

    def keep(pdu: bytes) -> list[str]:
        place = phone.store(Stored(stat, pdu.hex().upper(), length), phone.settings.memories[1])
        if place is None:
            raise _cms(322)
        return [f"+CMGW: {place[1]}"]

    raise Prompt("+CMGW", check, keep)


def _cmss(c: Commands, t: Token) -> list[str]:
    if t.op == "=?":
        return []
    found = c.phone.find(c.phone.settings.memories[1], numbers(t.args, "CMS", 304)[0] or 0)
    message = found[0].slots.get(found[1]) if found else None
    if message is None:
        raise _cms(321)
    pdu = check_submit(message.pdu.encode(), message.length)
    raise Wait("+CMSS", submit=pdu)


def _cnma(c: Commands, t: Token) -> list[str]:
    if t.op == "=?":
        return ["+CNMA: (0-2)"]
    values = numbers(t.args, "CMS", 304) if t.args else [0]
    if not c.services.acknowledge(values[0] != 2):
        raise _cms(340)
    return []


def check_submit(data: bytes, length: int) -> bytes:
    """Typed hex as an SMS-SUBMIT with its SMSC field; raises CMS 304 for anything else."""
    pdu = check_hex(data, length)
    try:
        wire.parse_submit(wire.split_smsc(pdu)[1])
    except wire.WireError:
        raise _cms(304) from None
    return pdu


def check_hex(data: bytes, length: int) -> bytes:
    """Typed hex whose TPDU is `length` octets long, SMSC field aside; raises CMS 304."""
    try:
        pdu = bytes.fromhex(data.decode("ascii").strip("\r\n \x00"))
        tpdu = wire.split_smsc(pdu)[1]
    except ValueError:
        raise _cms(304) from None
    if len(tpdu) != length:
        raise _cms(304)
    return pdu


def _length(phone: Phone, text: str) -> int:
    if phone.settings.text_mode:
        raise _cms(305)
    if not text.isdigit() or not 0 < int(text) <= wire.MAX_TPDU:
        raise _cms(304)
    return int(text)


def _slot(phone: Phone, args: str) -> tuple[Storage, int]:
    index = numbers(args, "CMS", 304)[0] if args else None
    found = None if index is None else phone.find(phone.settings.memories[0], index)
    if found is None:
        raise _cms(321)
    return found


def _empty(phone: Phone) -> list[str]:
    kind = phone.personality.empty_slot
    if kind == "zero":
        return ["+CMGR: 0,,0", ""]
    if kind == "ok":
        return []
    raise _cms(321)


def _mark_read(message: Stored) -> None:
    if message.stat is Stat.UNREAD:
        message.stat = Stat.READ


def _setting(c: Commands, t: Token) -> list[str]:
    """`+CSMP`, `+CSDH`: text mode's settings, kept."""
    if t.op == "?":
        return [f"{t.name}: {c.phone.settings.more.get(t.name, '0')}"]
    if t.op == "=":
        c.phone.settings.more[t.name] = t.args
    return []


WITHOUT_SIM = {"+CMGF", "+CSMS", "+CMMS", "+CNMA", "+CSMP", "+CSDH"}

HANDLERS: dict[str, Callable[[Commands, Token], list[str]]] = {
    "+CMGF": _cmgf,
    "+CSMS": _csms,
    "+CMMS": _cmms,
    "+CPMS": _cpms,
    "+CNMI": _cnmi,
    "+CSCA": _csca,
    "+CMGL": _cmgl,
    "+CMGR": _cmgr,
    "+CMGD": _cmgd,
    "+CMGS": _cmgs,
    "+CMGW": _cmgw,
    "+CMSS": _cmss,
    "+CNMA": _cnma,
    "+CSMP": _setting,
    "+CSDH": _setting,
}
