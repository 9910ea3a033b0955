"""`gammu-smsdrc` of gammu-smsd, and `smsd.conf` of SMS Server Tools 3, in the bridge's words."""

from __future__ import annotations

import re
from typing import Any

from sms_bridge.cli.foreign import (
    Entry,
    ForeignError,
    Found,
    Rule,
    apply,
    baudrate_of,
    named,
    parse,
    pin_of,
    put_port,
    says,
    sets,
)

_HOOK = "no program is ever run for a message; subscribe to sms/in"
_STORE = "the bridge keeps its own journal, in SQLite"
_LOG = "the log goes to stderr; `journalctl -u sms-bridge` shows it"
_PROBE = "the bridge watches its modems by itself, and mends what it can"
_LISTS = "contacts and safe commands name who may do what; nothing else reacts to a sender"


def from_smsdrc(raw: bytes, source: str) -> str:
    """YAML. ForeignError where it is no gammu-smsdrc."""
    entries = parse(raw, source, "#;")
    gammu = [entry for entry in entries if re.fullmatch(r"gammu[0-9]*", entry.section)]
    smsd = [entry for entry in entries if entry.section == "smsd"]
    if not gammu:
        raise ForeignError(f"{source} has no section [gammu]: is it a gammu-smsdrc?")
    found = Found(source)
    modem: dict[str, Any] = {"name": "gammu"}
    apply([entry for entry in gammu if entry.section == gammu[0].section], found, modem, _GAMMU)
    for entry in gammu:
        if entry.section != gammu[0].section:
            found.note(entry, f"only [{gammu[0].section}] is read; the bridge drives all modems at once")
    apply(smsd, found, modem, _SMSD)
    for entry in entries:
        if entry not in gammu and entry not in smsd:
            found.note(entry, _LISTS if "number" in entry.section or "smsc" in entry.section else "no counterpart")
    _add(found, modem)
    return found.yaml()


def from_smsd_conf(raw: bytes, source: str) -> str:
    """YAML. ForeignError where it is no smsd.conf."""
    entries = parse(raw, source, "#")
    found = Found(source)
    whole = [entry for entry in entries if not entry.section]
    sections = list(dict.fromkeys(entry.section for entry in entries if entry.section))
    if not any(entry.key.lower() == "devices" for entry in whole) and not any(
        entry.key.lower() == "device" for entry in entries
    ):
        raise ForeignError(f"{source} names no devices: is it an smsd.conf?")
    apply(whole, found, {}, _TOOLS)
    for index, section in enumerate(sections, 1):
        own = [entry for entry in entries if entry.section == section]
        if not any(entry.key.lower() == "device" for entry in own):
            for entry in own:
                found.note(entry, "no counterpart")
            continue
        modem: dict[str, Any] = {"name": named(section, index)}
        apply(own, found, modem, _TOOLS_MODEM)
        _add(found, modem)
    return found.yaml()


def _add(found: Found, modem: dict[str, Any]) -> None:
    """An entry for a modem that can be bound to something; of others the rest is told."""
    if "port" in modem:
        port = modem.pop("port")
        found.modems.append({"name": modem.pop("name"), "port": port, **modem})
    elif "pin" in modem:
        found.notes.append("there is a PIN, and no port: write an entry with the modem's imei or the SIM's iccid")


def _connection(found: Found, entry: Entry, modem: dict[str, Any]) -> None:
    """`at`, `at19200`, `at115200`; others are no AT."""
    match = re.fullmatch(r"at([0-9]{1,7})?(?:-nodtr)?", entry.value.strip().lower())
    if match is None:
        found.note(entry, "only AT modems are driven")
    else:
        baudrate_of(found, entry, modem, match[1])


def _baudrate(found: Found, entry: Entry, modem: dict[str, Any]) -> None:
    value = entry.value.strip()
    baudrate_of(found, entry, modem, value if re.fullmatch(r"[0-9]{1,7}", value) else "0")


def _init(found: Found, entry: Entry, modem: dict[str, Any]) -> None:
    found.note(entry, "the bridge sets a modem up by itself; `init_commands:` takes what is missing then")


def _number(found: Found, entry: Entry, modem: dict[str, Any]) -> None:
    number = re.sub(r"[\s()./-]", "", entry.value)
    if re.fullmatch(r"\+?[0-9]{3,15}", number):
        modem["number"] = number
    else:
        found.note(entry, "is no phone number")


def _off(found: Found, entry: Entry, modem: dict[str, Any]) -> None:
    if entry.value.strip().lower() in ("no", "0", "false"):
        found.note(entry, "each modem sends and receives; `enabled: false` leaves one alone")


def _retention(found: Found, entry: Entry, modem: dict[str, Any]) -> None:
    sets("retention", "messages", "d", 1, 3650)(found, entry, modem)


_GAMMU: dict[str, Rule] = {
    "port": put_port,
    "device": put_port,
    "connection": _connection,
    "pin": pin_of,
    "atgensetcnmi": says("the bridge tries the settings of +CNMI that a modem takes, and looks for messages besides"),
    **dict.fromkeys(("logfile", "logformat", "logfacility", "logonly"), says(_LOG)),
    **dict.fromkeys(
        ("synchronizetime", "startinfo", "gammuloc", "gammucoding", "features", "model"), says("not needed")
    ),
    "uselocking": says("always: lock files, flock and TIOCEXCL"),
}

_SMSD: dict[str, Rule] = {
    "pin": pin_of,
    "networkcode": says("not needed"),
    "phonecode": says("not needed"),
    "phoneid": says("the modem's name takes its place"),
    "maxretries": sets("sending", "max_attempts", "", 1, 20),
    "retrytimeout": sets("sending", "retry_delay", "s", 1, 86_400),
    "sendtimeout": sets("sending", "result_timeout", "s", 30, 600),
    "receivefrequency": sets("inbound", "sweep_interval", "s", 5, 600),
    "multiparttimeout": sets("inbound", "reassembly_timeout", "s", 60, 2_592_000),
    "deliveryreport": says("asked for with each order: `delivery_report`; true without it"),
    "deliveryreportdelay": says("reports are matched however late they come"),
    "smsc": says("the SIM's own service centre is used; set it once with init_commands: AT+CSCA"),
    "send": _off,
    "receive": _off,
    "usedaemon": says("not needed"),
    **dict.fromkeys(("runonreceive", "runonfailure", "runonsent", "runonincomingcall"), says(_HOOK)),
    **dict.fromkeys(
        ("service", "driver", "host", "user", "password", "database", "sql", "dbdir", "driverspath", "skipsmscnumber"),
        says(_STORE),
    ),
    **dict.fromkeys(
        ("inboxpath", "outboxpath", "sentsmspath", "errorsmspath", "inboxformat", "outboxformat", "transmitformat"),
        says("orders come on sms/out, messages go out on sms/in"),
    ),
    **dict.fromkeys(("logfile", "logformat", "logfacility", "debuglevel"), says(_LOG)),
    **dict.fromkeys(
        ("checksecurity", "checkbattery", "checksignal", "checknetwork", "resetfrequency", "hardresetfrequency",
         "commtimeout", "statusfrequency", "loopsleep", "maxretriesconnect"),
        says(_PROBE),
    ),
    **dict.fromkeys(("includenumbersfile", "excludenumbersfile", "includesmscfile", "excludesmscfile"), says(_LISTS)),
    "hangupcalls": lambda found, entry, modem: _hang_up(found, entry, modem),
    "autologin": says("not needed"),
}  # fmt: skip


def _hang_up(found: Found, entry: Entry, modem: dict[str, Any]) -> None:
    if entry.value.strip().lower() in ("yes", "1", "true", "all"):
        found.sections.setdefault("calls", {})["hang_up"] = True


_TOOLS: dict[str, Rule] = {
    "devices": says("each with a section `device` has become an entry"),
    "delaytime": says("not needed: orders are taken at once"),
    "errorsleeptime": says(_PROBE),
    "blocktime": says(_PROBE),
    "blockafter": says(_PROBE),
    "autosplit": says("long messages are always split and joined"),
    "receivebefore": says("messages are received all the time"),
    "validity": says("`validity` of an order, in seconds"),
    "internationalprefixes": says("numbers are international; `default_region:` completes national ones"),
    "nationalprefixes": says("numbers are international; `default_region:` completes national ones"),
    "incomingutf8": says("all text is UTF-8"),
    "decodeunicodetext": says("all text is UTF-8"),
    **dict.fromkeys(
        ("incoming", "outgoing", "checked", "sent", "failed", "report", "saved", "phonecalls", "stats", "infofile"),
        says("orders come on sms/out, messages go out on sms/in; there are no spool folders"),
    ),
    **dict.fromkeys(("logfile", "loglevel", "smartlogging", "logunit", "statsinterval", "statsnoreset"), says(_LOG)),
    **dict.fromkeys(
        ("eventhandler", "alarmhandler", "checkhandler", "regularrun", "adminmessagedevice", "mypw"), says(_HOOK)
    ),
    **dict.fromkeys(("whitelist", "blacklist", "trustpid", "adminto"), says(_LISTS)),
}

_TOOLS_MODEM: dict[str, Rule] = {
    "device": put_port,
    "baudrate": _baudrate,
    "pin": pin_of,
    "number": _number,
    "mynumber": _number,
    "incoming": _off,
    "outgoing": _off,
    "init": _init,
    "init2": _init,
    "initstring": _init,
    "report": says("asked for with each order: `delivery_report`; true without it"),
    "smsc": says("the SIM's own service centre is used; set it once with init_commands: AT+CSCA"),
    "rtscts": says("not needed on USB; a serial line is driven without handshake"),
    "cscs": says("messages go in PDU mode: the modem's character set does not matter"),
    "mode": says("always PDU mode"),
    "memorystart": says("all storages are read"),
    "primarymemory": says("all storages are read"),
    "secondarymemory": says("all storages are read"),
    "queues": says("an order names its modem: `modem`"),
    "messagelimit": says("see `quota:` for limits of a SIM"),
    **dict.fromkeys(("eventhandler", "hangupincomingcall"), says(_HOOK)),
    **dict.fromkeys(
        ("checknetwork", "signalqualitybertext", "sleeptimedivider", "keepopen", "keepnetwork", "smstimeout",
         "sendingdisabled", "readconfiguration", "pinsleeptime", "networkscript", "logfile", "loglevel"),
        says(_PROBE),
    ),
}  # fmt: skip
