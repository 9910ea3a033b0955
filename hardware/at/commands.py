"""Every AT command the bridge may write, as typed data (TS 27.005, TS 27.007; vendors' where it is theirs).

An argument that could end the line, open a second command or leave the quotes gets nowhere: `AtArgumentError`.
"""

from __future__ import annotations

import re

from hardware.at import parsers
from hardware.at.timeouts import COMMAND, NETWORK, RESET, SIM, STORAGE
from hardware.at.types import Command
from hardware.errors import AtArgumentError

__all__ = [
    "ATTEMPTS_LEFT",
    "CNMI_LADDER",
    "ICCID_COMMANDS",
    "IMEI_COMMANDS",
    "all_messages",
    "attention",
    "caller_id",
    "cell_reports",
    "cell_state",
    "delete_message",
    "echo_off",
    "enter_pin",
    "error_codes",
    "extended_signal",
    "imsi",
    "information",
    "keep_link",
    "keep_link_modes",
    "manufacturer",
    "message_format",
    "message_service",
    "message_services",
    "model",
    "new_message_modes",
    "new_message_query",
    "new_messages",
    "operator",
    "operator_as_name",
    "own_numbers",
    "pin_state",
    "quiet_off",
    "raw",
    "read_message",
    "restart",
    "revision",
    "select_storage",
    "serial_number",
    "service_centre",
    "set_service_centre",
    "signal",
    "storage_names",
    "storage_use",
    "ussd",
    "ussd_cancel",
    "verbose_results",
]

CNMI_LADDER: tuple[tuple[int, int, int, int, int], ...] = (
    (2, 1, 0, 2, 0),
    (2, 1, 0, 1, 0),
    (2, 1, 2, 1, 0),
    (2, 1, 2, 2, 0),
    (2, 1, 2, 0, 0),
    (1, 1, 0, 1, 1),
    (1, 1, 0, 0, 0),
)
"""Settings to try in turn, messages stored before they are announced (domain A4.1)."""

_NUMBER = re.compile(r"\+?[0-9*#]{1,20}\Z")
_PIN = re.compile(r"[0-9]{4,8}\Z")
_STORAGE = re.compile(r"(?:SM|ME|MT|BM|SR|TA)\Z")
_RAW = re.compile(
    r"AT(?:[EVQXI][0-9]?|S[0-9]{1,3}[=?][0-9]{0,3}|&[CDKS][0-9]?|[+^#!$%*@][\x20-\x3a\x3c-\x7e]{1,200})?\Z", re.I
)
# Sending, deleting, unlocking and switching off are not for free text; ^SETPORT can brick a Huawei stick (domain A1.6).
_RAW_FORBIDDEN = re.compile(
    r"AT(?:\+CMGS|\+CMGW|\+CMGC|\+CMSS|\+CMGD|\+CNMA|\+CPIN|\+CLCK|\+CPWD|\^CARDLOCK|\^SETPORT|\^U2DIAG|\^FHVER)", re.I
)
_DOMAINS = ("CREG", "CGREG", "CEREG", "C5GREG")


def attention() -> Command:
    """`AT`: are you there."""
    return Command("AT", bare=False, timeout=COMMAND)


def echo_off() -> Command:
    return Command("ATE0", bare=False, timeout=COMMAND)


def verbose_results() -> Command:
    return Command("ATV1", bare=False, timeout=COMMAND)


def quiet_off() -> Command:
    return Command("ATQ0", bare=False, timeout=COMMAND)


def error_codes(level: int) -> Command:
    """`+CMEE` 1 numeric, 2 verbose (TS 27.007 9.1)."""
    return Command(f"AT+CMEE={_within(level, 0, 2)}", bare=False, timeout=COMMAND)


def manufacturer() -> Command:
    return Command("AT+CGMI", prefix="+CGMI", timeout=COMMAND)


def model() -> Command:
    return Command("AT+CGMM", prefix="+CGMM", timeout=COMMAND)


def revision() -> Command:
    return Command("AT+CGMR", prefix="+CGMR", timeout=COMMAND)


def serial_number() -> Command:
    """IMEI (TS 27.007 5.4)."""
    return Command("AT+CGSN", prefix="+CGSN", timeout=COMMAND)


IMEI_COMMANDS: tuple[Command, ...] = (
    serial_number(),
    Command("AT+GSN", prefix="+GSN", timeout=COMMAND),
    Command("AT+CGSN=1", prefix="+CGSN", timeout=COMMAND),
    Command("ATI", timeout=COMMAND),
)
"""Ways to ask for the IMEI, the usual one first (TS 27.007 5.4; `ATI` has it on Huawei and ZTE)."""


def information() -> Command:
    """`ATI`: all of the identity in free form, where the single commands are missing."""
    return Command("ATI", timeout=COMMAND)


def pin_state() -> Command:
    """`+CPIN?`; Wavecom answers it without OK (domain A2.2)."""
    return Command("AT+CPIN?", prefix="+CPIN", bare=False, timeout=SIM, ok_optional=True)


def enter_pin(pin: str) -> Command:
    """Costs an attempt when wrong: only `hardware.modem.sim` may use it."""
    if not _PIN.match(pin):
        raise AtArgumentError("a PIN has 4 to 8 digits")
    return Command(f'AT+CPIN="{pin}"', bare=False, timeout=SIM, secret=True)


def imsi() -> Command:
    return Command("AT+CIMI", prefix="+CIMI", timeout=SIM)


ICCID_COMMANDS: tuple[Command, ...] = (
    Command("AT+CCID", prefix="+CCID", timeout=SIM),
    Command("AT+QCCID", prefix="+QCCID", timeout=SIM),
    Command("AT+ICCID", prefix="+ICCID", timeout=SIM),
    Command("AT^ICCID?", prefix="^ICCID", timeout=SIM),
    Command("AT#CCID", prefix="#CCID", timeout=SIM),
    Command("AT!ICCID?", prefix="!ICCID", timeout=SIM),
    Command("AT+CRSM=176,12258,0,0,10", prefix="+CRSM", bare=False, timeout=SIM),  # EF-ICCID, TS 51.011 10.1.1
    Command("AT+CICCID", prefix="+ICCID", timeout=SIM),
    Command("AT+ZGETICCID", prefix="+ZGETICCID", timeout=SIM),
    Command("AT^SCID", prefix="^SCID", timeout=SIM),
)
"""Ways to ask for the ICCID, the usual one first (domain A2.2)."""

ATTEMPTS_LEFT: tuple[Command, ...] = (
    # VERIFY without data (TS 102 221 11.1.9)
    Command('AT+CSIM=10,"0020000100"', prefix="+CSIM", bare=False, timeout=SIM),
    Command("AT^CPIN?", prefix="^CPIN", bare=False, timeout=SIM),
    Command('AT+QPINC="SC"', prefix="+QPINC", bare=False, timeout=SIM),
    Command("AT+SPIC", prefix="+SPIC", bare=False, timeout=SIM),
    Command("AT+UPINCNT", prefix="+UPINCNT", bare=False, timeout=SIM),
    Command("AT#PCT", prefix="#PCT", bare=False, timeout=SIM),
    Command("AT+CPINC?", prefix="+CPINC", bare=False, timeout=SIM),
    Command('AT^SPIC="SC"', prefix="^SPIC", bare=False, timeout=SIM),
    Command("AT+EPINC?", prefix="+EPINC", bare=False, timeout=SIM),
)
"""Ways to ask how many PIN attempts are left; none of them uses one up (domain A8.1)."""


def message_format() -> Command:
    """PDU mode; text mode does not exist here (TS 27.005 3.2.3)."""
    return Command("AT+CMGF=0", bare=False, timeout=COMMAND)


def message_service(service: int) -> Command:
    """`+CSMS` 0 or 1 (TS 27.005 3.2.1)."""
    return Command(f"AT+CSMS={_within(service, 0, 1)}", prefix="+CSMS", bare=False, timeout=COMMAND)


def message_services() -> Command:
    return Command("AT+CSMS=?", prefix="+CSMS", bare=False, timeout=COMMAND)


def storage_names() -> Command:
    return Command("AT+CPMS=?", prefix="+CPMS", bare=False, timeout=SIM)


def select_storage(reading: str, writing: str = "", receiving: str = "") -> Command:
    """`+CPMS` with as many memories as are named; a later one needs the earlier ones (TS 27.005 3.2.2)."""
    names = [name for name in (reading, writing, receiving) if name]
    for name in names:
        if not _STORAGE.match(name):
            raise AtArgumentError(f"not a message storage: {name[:8]!r}")
    if not reading or (receiving and not writing):
        raise AtArgumentError("a memory may only be named after those before it")
    text = ",".join(f'"{name}"' for name in names)
    return Command(f"AT+CPMS={text}", prefix="+CPMS", bare=False, timeout=SIM)


def storage_use() -> Command:
    return Command("AT+CPMS?", prefix="+CPMS", bare=False, timeout=SIM)


def new_messages(mode: int, mt: int, bm: int, ds: int, bfr: int) -> Command:
    """`+CNMI` (TS 27.005 3.4.1)."""
    limits = ((mode, 3), (mt, 3), (bm, 3), (ds, 2), (bfr, 1))
    text = ",".join(str(_within(value, 0, top)) for value, top in limits)
    return Command(f"AT+CNMI={text}", bare=False, timeout=COMMAND)


def new_message_query() -> Command:
    return Command("AT+CNMI?", prefix="+CNMI", bare=False, timeout=COMMAND)


def new_message_modes() -> Command:
    return Command("AT+CNMI=?", prefix="+CNMI", bare=False, timeout=COMMAND)


def service_centre() -> Command:
    return Command("AT+CSCA?", prefix="+CSCA", bare=False, timeout=SIM)


def set_service_centre(number: str) -> Command:
    return Command(f'AT+CSCA="{_number(number)}",{145 if number.startswith("+") else 129}', bare=False, timeout=SIM)


def cell_reports(domain: str, level: int = 2) -> Command:
    """Ask for `+CREG` URCs and the like: 1 the state, 2 the cell too (TS 27.007 7.2)."""
    return Command(f"AT+{_domain(domain)}={_within(level, 0, 2)}", bare=False, timeout=COMMAND)


def cell_state(domain: str) -> Command:
    """The answer is told from a URC of the same name by its form: `<n>,<stat>` against `<stat>`."""
    return Command(
        f"AT+{_domain(domain)}?", prefix=f"+{domain}", bare=False, timeout=COMMAND, accepts=parsers.creg_is_answer
    )


def operator_as_name() -> Command:
    return Command("AT+COPS=3,0", bare=False, timeout=COMMAND)


def operator() -> Command:
    return Command("AT+COPS?", prefix="+COPS", bare=False, timeout=NETWORK)


def signal() -> Command:
    return Command("AT+CSQ", prefix="+CSQ", bare=False, timeout=COMMAND)


def extended_signal() -> Command:
    return Command("AT+CESQ", prefix="+CESQ", bare=False, timeout=COMMAND)


def caller_id() -> Command:
    return Command("AT+CLIP=1", bare=False, timeout=SIM)


def own_numbers() -> Command:
    return Command("AT+CNUM", prefix="+CNUM", bare=False, timeout=SIM)


def keep_link_modes() -> Command:
    return Command("AT+CMMS=?", prefix="+CMMS", bare=False, timeout=COMMAND)


def keep_link(mode: int) -> Command:
    """`+CMMS` 0 never, 1 for a while, 2 always (TS 27.005 3.5.6, domain A3.7)."""
    return Command(f"AT+CMMS={_within(mode, 0, 2)}", bare=False, timeout=COMMAND)


def all_messages() -> Command:
    """`+CMGL=4`: every message of the selected storage (TS 27.005 4.1)."""
    return Command("AT+CMGL=4", prefix="+CMGL", timeout=STORAGE)


def read_message(index: int) -> Command:
    return Command(f"AT+CMGR={_within(index, 0, 65535)}", prefix="+CMGR", timeout=SIM)


def delete_message(index: int) -> Command:
    """Exactly one message; the flags that delete many do not exist here (domain A5.2)."""
    return Command(f"AT+CMGD={_within(index, 0, 65535)}", bare=False, timeout=SIM)


def restart() -> Command:
    """`+CFUN=1,1`: full functionality after a reset (TS 27.007 8.2)."""
    return Command("AT+CFUN=1,1", bare=False, timeout=RESET)


def ussd(code: str, dcs: int = 15) -> Command:
    """Send a USSD string; the answer comes as a `+CUSD` URC (TS 27.007 7.15)."""
    return Command(f'AT+CUSD=1,"{_number(code)}",{_within(dcs, 0, 255)}', bare=False, timeout=NETWORK)


def ussd_cancel() -> Command:
    return Command("AT+CUSD=2", bare=False, timeout=COMMAND)


def raw(text: str) -> Command:
    """A line that a person configured or typed; what sends, deletes, dials, unlocks or can brick is refused."""
    line = text.strip(" ")
    if not _RAW.match(line) or line.count('"') % 2:
        raise AtArgumentError(f"not one AT command: {text[:20]!r}", hint="write one command a line, e.g. AT+CSQ")
    if _RAW_FORBIDDEN.match(line):
        raise AtArgumentError(f"this command is not allowed here: {line[:20]!r}", hint="the bridge does this itself")
    return Command(line, timeout=NETWORK)


def _within(value: int, lowest: int, highest: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
        raise AtArgumentError(f"{value!r} is not between {lowest} and {highest}")
    return value


def _number(text: str) -> str:
    if not _NUMBER.match(text):
        raise AtArgumentError("a number has up to 20 digits, * or #, and may begin with +")
    return text


def _domain(name: str) -> str:
    if name not in _DOMAINS:
        raise AtArgumentError(f"not a registration domain: {name[:8]!r}")
    return name
