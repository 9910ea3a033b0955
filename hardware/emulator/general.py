"""Commands about the phone, its SIM and the network (V.250, TS 27.007)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from hardware.emulator.language import CommandError, Token, Wait, arguments, numbers
from hardware.emulator.phone import PIN_ATTEMPTS, PUK_ATTEMPTS, Phone

if TYPE_CHECKING:
    from hardware.emulator.commands import Commands

OPERATOR = "Test PLMN 1-1"
PLMN = "00101"
_AREA, _CELL = "00A1", "0000C3D2"
_SCAN_SECONDS = 3.0
_EF_ICCID = 12258


def ucs2_hex(text: str) -> str:
    """Text as `+CSCS="UCS2"` shows it: hex of UTF-16, big end first."""
    return text.encode("utf-16-be").hex().upper()


def shown(phone: Phone, text: str) -> str:
    """A string in the character set that the host chose."""
    return ucs2_hex(text) if phone.settings.charset == "UCS2" else text


def understood(phone: Phone, text: str) -> str:
    """The other way; what is no UCS2 is taken as it stands."""
    if phone.settings.charset != "UCS2":
        return text
    try:
        return bytes.fromhex(text).decode("utf-16-be")
    except ValueError:
        return text


def _bad() -> CommandError:
    return CommandError("CME", 50)


def _ok(_c: Commands, _t: Token) -> list[str]:
    return []


def _alias(name: str) -> Callable[[Commands, Token], list[str]]:
    def handler(c: Commands, t: Token) -> list[str]:
        return c.run(Token(name, t.op, t.args))

    return handler


def _test_of(c: Commands, t: Token) -> list[str]:
    """`+CGMI=?` and its like: there, and nothing to choose."""
    if t.op == "=?":
        return []
    raise CommandError


def _echo(c: Commands, t: Token) -> list[str]:
    c.phone.settings.echo = _flag(t, default=0)
    return []


def _verbose(c: Commands, t: Token) -> list[str]:
    c.phone.settings.verbose = _flag(t, default=0)
    return []


def _quiet(c: Commands, t: Token) -> list[str]:
    c.phone.settings.quiet = _flag(t, default=0)
    return []


def _flag(t: Token, default: int) -> bool:
    if t.args not in ("", "0", "1"):
        raise CommandError
    return bool(int(t.args or default))


def _reset(c: Commands, _t: Token) -> list[str]:
    """`Z`, `&F`: settings as at power-up, echo as it is (V.250 6.1.1 leaves it to the profile)."""
    echo = c.phone.settings.echo
    fresh = c.phone.power_up_settings()
    fresh.echo, fresh.memories = echo, c.phone.settings.memories
    c.phone.settings = fresh
    return []


def _cmee(c: Commands, t: Token) -> list[str]:
    if t.op == "?":
        return [f"+CMEE: {c.phone.settings.cmee}"]
    if t.op == "=?":
        return ["+CMEE: (0,1,2)"]
    if t.args not in ("", "0", "1", "2"):
        raise _bad()
    c.phone.settings.cmee = int(t.args or 0)
    return []


def _cscs(c: Commands, t: Token) -> list[str]:
    phone = c.phone
    if t.op == "?":
        return [f'+CSCS: "{phone.settings.charset}"']
    if t.op == "=?":
        return ["+CSCS: (" + ",".join(f'"{name}"' for name in phone.personality.charsets) + ")"]
    wanted = t.args.strip('"')
    if wanted not in phone.personality.charsets:
        raise _bad()
    phone.settings.charset = wanted
    return []


def _cpin(c: Commands, t: Token) -> list[str]:
    phone = c.phone
    if t.op == "=?":
        return []
    if phone.sim_absent:
        raise CommandError("CME", 10)
    if phone.sim_failed:
        raise CommandError("CME", 13)
    if t.op == "?":
        if not phone.sim_ready:
            raise CommandError("CME", 14)
        return [f"+CPIN: {'SIM PUK' if phone.puk_locked else 'SIM PIN' if phone.pin is not None else 'READY'}"]
    phone.counters.pins += 1
    code, *new_pin = arguments(t.args)
    if phone.puk_locked:
        _unblock(phone, code, new_pin)
    elif phone.pin is None:
        raise CommandError("CME", 3)
    elif code != phone.pin:
        phone.pin_attempts -= 1
        phone.puk_locked = phone.pin_attempts <= 0
        raise CommandError("CME", 12 if phone.puk_locked else 16)
    phone.pin, phone.pin_attempts = None, PIN_ATTEMPTS
    c.afterwards(lambda: c.services.urc("+CPIN: READY"))
    c.afterwards(c.services.room)
    return []


def _unblock(phone: Phone, puk: str, new_pin: list[str]) -> None:
    """`+CPIN=<puk>,<new pin>` (TS 27.007 8.3)."""
    if not new_pin:
        raise CommandError("CME", 12)
    if puk != phone.puk or phone.puk_attempts <= 0:
        phone.puk_attempts = max(0, phone.puk_attempts - 1)
        raise CommandError("CME", 16 if phone.puk_attempts else 13)
    phone.puk_locked, phone.puk_attempts = False, PUK_ATTEMPTS
    phone.change_pin(new_pin[0])


def _cimi(c: Commands, t: Token) -> list[str]:
    return [c.phone.imsi] if t.op == "" else _test_of(c, t)


def _cnum(c: Commands, t: Token) -> list[str]:
    return [f'+CNUM: "",{_quoted(shown(c.phone, c.phone.number))},145'] if t.op == "" else _test_of(c, t)


def _crsm(c: Commands, t: Token) -> list[str]:
    """READ BINARY of EF-ICCID only (TS 27.007 8.18, TS 31.102 4.2.1)."""
    if t.op == "=?":
        return []
    values = numbers(t.args, "CME", 50)
    if values[:2] != [176, _EF_ICCID]:
        return ["+CRSM: 106,130"]
    digits = c.phone.iccid + "F" * (20 - len(c.phone.iccid))
    swapped = "".join(b + a for a, b in zip(digits[::2], digits[1::2], strict=True))
    return [f'+CRSM: 144,0,"{swapped}"']


def _csim(c: Commands, t: Token) -> list[str]:
    """VERIFY without a PIN: the attempts left, none used (TS 102 221 11.1.9)."""
    if t.op == "=?":
        return []
    command = arguments(t.args)[-1].upper()
    left = {"0020000100": c.phone.pin_attempts, "002C000100": c.phone.puk_attempts}.get(command)
    return [f'+CSIM: 4,"{f"63C{left:X}" if left is not None else "6D00"}"']


def _registration(c: Commands, t: Token) -> list[str]:
    phone, name = c.phone, t.name
    if t.op == "=?":
        return [f"{name}: (0-2)"]
    if t.op == "?":
        mode = phone.settings.registration[name]
        return [f"{name}: {mode},{_where(phone, name, mode)}"]
    if t.args not in ("0", "1", "2"):
        raise _bad()
    phone.settings.registration[name] = int(t.args)
    return []


def registration_urcs(phone: Phone) -> list[str]:
    """What is said when the registration has changed."""
    return [f"{name}: {_where(phone, name, mode)}" for name, mode in phone.settings.registration.items() if mode]


def _where(phone: Phone, name: str, mode: int) -> str:
    stat = phone.stat_in(name)
    if mode < 2 or stat not in (1, 5, 6, 7):
        return str(stat)
    access = f",{phone.personality.act}" if phone.personality.act or name == "+CEREG" else ""
    return f'{stat},"{_AREA}","{_CELL}"{access}'


def _cops(c: Commands, t: Token) -> list[str]:
    phone, settings = c.phone, c.phone.settings
    act = phone.personality.act
    if t.op == "=?":
        line = f'+COPS: (2,"{OPERATOR}","TEST","{PLMN}",{act}),,(0,1,2,3,4),(0,1,2)'
        raise Wait("+COPS", delay=_SCAN_SECONDS, lines=lambda: [line])
    if t.op == "?":
        if phone.stat not in (1, 5, 6, 7):
            return ["+COPS: 0"]
        fault = phone.faults.active("operator")
        called = str(fault.params.get("called", "")) if fault else OPERATOR
        if not called:
            return ["+COPS: 0"]
        name = {0: called, 1: "TEST", 2: PLMN}[settings.cops_format]
        shown_name = name if settings.cops_format == 2 else shown(phone, name)
        return [f"+COPS: 0,{settings.cops_format},{_quoted(shown_name)}" + (f",{act}" if act else "")]
    values = arguments(t.args)
    if values[0] == "3" and len(values) > 1 and values[1] in ("0", "1", "2"):
        settings.cops_format = int(values[1])
    elif values[0] not in ("0", "1", "2", "3", "4"):
        raise _bad()
    return []


def _csq(c: Commands, t: Token) -> list[str]:
    if t.op == "=?":
        return ["+CSQ: (0-31,99),(0-7,99)"]
    return [f"+CSQ: {c.phone.csq},{0 if c.phone.csq != 99 else 99}"]


def _cesq(c: Commands, t: Token) -> list[str]:
    if t.op == "=?":
        return ["+CESQ: (0-63,99),(0-7,99),(0-96,255),(0-49,255),(0-34,255),(0-97,255)"]
    csq = c.phone.csq
    fault = c.phone.faults.active("signal")
    if fault and "rsrp" in fault.params:
        return [f"+CESQ: 99,99,255,255,20,{fault.params['rsrp']}"]
    if csq == 99:
        return ["+CESQ: 99,99,255,255,255,255"]
    if c.phone.personality.act == 7:
        return [f"+CESQ: 99,99,255,255,{csq // 2 + 10},{28 + 2 * csq}"]
    return [f"+CESQ: {2 * csq},0,255,255,255,255"]


def _cfun(c: Commands, t: Token) -> list[str]:
    settings = c.phone.settings
    if t.op == "?":
        return [f"+CFUN: {settings.fun}"]
    if t.op == "=?":
        return ["+CFUN: (0,1,4),(0,1)"]
    values = numbers(t.args, "CME", 50)
    if values[0] not in (0, 1, 4):
        raise _bad()
    if values[1:] == [1]:
        if c.phone.faults.active("no_restart"):
            raise CommandError("CME", 3)
        c.afterwards(c.services.reboot)
    else:
        if values[0] == 1 and settings.fun != 1:
            c.phone.faults.clear("lost_network")
        settings.fun = values[0]
        c.afterwards(c.services.room)
    return []


def _clip(c: Commands, t: Token) -> list[str]:
    if t.op == "?":
        return [f"+CLIP: {c.phone.settings.clip},1"]
    if t.op == "=?":
        return ["+CLIP: (0,1)"]
    c.phone.settings.clip = 1 if t.args == "1" else 0
    return []


def _crc(c: Commands, t: Token) -> list[str]:
    if t.op == "?":
        return [f"+CRC: {c.phone.settings.cring}"]
    if t.op == "=?":
        return ["+CRC: (0,1)"]
    c.phone.settings.cring = 1 if t.args == "1" else 0
    return []


def _cclk(c: Commands, t: Token) -> list[str]:
    if t.op != "?":
        return []
    now = datetime.now().astimezone()
    offset = now.utcoffset()
    quarters = int(offset.total_seconds()) // 900 if offset else 0
    return [f'+CCLK: "{now:%y/%m/%d,%H:%M:%S}{quarters:+03d}"']


def _cusd(c: Commands, t: Token) -> list[str]:
    phone = c.phone
    if t.op == "?":
        return ["+CUSD: 0"]
    if t.op == "=?":
        return ["+CUSD: (0-2)"]
    values = arguments(t.args)
    if values[0] not in ("0", "1", "2"):
        raise _bad()
    if values[0] == "1" and len(values) > 1:
        if not phone.in_service:
            raise CommandError("CME", 30)
        text = values[1] if phone.personality.ussd == "packed_hex" else understood(phone, values[1])
        c.afterwards(lambda: c.services.ussd(text))
    elif values[0] == "2":
        c.services.ussd_cancel()
    return []


def _hang_up(c: Commands, _t: Token) -> list[str]:
    c.services.hang_up()
    return []


def _dial(_c: Commands, _t: Token) -> list[str]:
    raise CommandError(text="NO CARRIER")


def _quoted(text: str) -> str:
    return f'"{text}"'


HANDLERS: dict[str, Callable[[Commands, Token], list[str]]] = {
    "E": _echo,
    "V": _verbose,
    "Q": _quiet,
    "Z": _reset,
    "&F": _reset,
    "&C": _ok,
    "&D": _ok,
    "&K": _ok,
    "&W": _ok,
    "X": _ok,
    "L": _ok,
    "M": _ok,
    "H": _hang_up,
    "+CHUP": _hang_up,
    "A": _dial,
    "D": _dial,
    "+CGMI": _test_of,
    "+CGMM": _test_of,
    "+CGMR": _test_of,
    "+CGSN": _test_of,
    "+GMI": _alias("+CGMI"),
    "+GMM": _alias("+CGMM"),
    "+GMR": _alias("+CGMR"),
    "+GSN": _alias("+CGSN"),
    "+CMEE": _cmee,
    "+CSCS": _cscs,
    "+CPIN": _cpin,
    "+CIMI": _cimi,
    "+CNUM": _cnum,
    "+CRSM": _crsm,
    "+CSIM": _csim,
    "+CREG": _registration,
    "+CGREG": _registration,
    "+CEREG": _registration,
    "+COPS": _cops,
    "+CSQ": _csq,
    "+CESQ": _cesq,
    "+CFUN": _cfun,
    "+CLIP": _clip,
    "+CRC": _crc,
    "+CCLK": _cclk,
    "+CUSD": _cusd,
}
