"""What `sms-bridge doctor` makes of what it was told of a machine: each check is facts in, findings out. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Final

MIB: Final = 1024 * 1024
LITTLE_SPACE: Final = 50 * MIB  # octets; below it SQLite may soon be refused
SOME_SPACE: Final = 300 * MIB  # a busy house writes this in weeks, logs included
ENOUGH_QUEUED: Final = 10_000  # messages a broker keeps while the bridge is away
ALMOST_FULL, FULL = 80, 100  # percent of a modem's message storage


class Level(StrEnum):
    OK = "ok"
    INFO = "info"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line for a person: what is so, and what helps; no fix where there is nothing to mend."""

    check: str
    level: Level
    text: str
    fix: str = ""

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class ConfigurationFacts:
    file: str | None  # None: the defaults
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """A USB device that is, or could be, a modem."""

    plug: str
    name: str
    problem: str | None = None  # what its USB descriptors say is wrong: HiLink, CD-ROM, recovery mode, no driver
    fix: str = ""
    may_sleep: bool | None = None  # autosuspend; None: not known


@dataclass(frozen=True, slots=True)
class PortFacts:
    """A port that the bridge would open."""

    port: str
    exists: bool = True
    holders: tuple[str, ...] = ()  # "minicom (pid 812)"
    fix: str = ""  # how the first holder is made to let go
    by_bridge: bool = False
    allowed: bool = True  # this user may open it
    group: str | None = None
    in_group: bool = False  # by the group's list, though not in this session


@dataclass(frozen=True, slots=True)
class ProgramFacts:
    """A program that takes modems nobody named to it."""

    name: str
    fix: str
    kept_off: bool  # by our udev rules


@dataclass(frozen=True, slots=True)
class SupplyFacts:
    """The computer's power supply, where it can be measured."""

    now: bool
    problem: str | None
    fix: str


@dataclass(frozen=True, slots=True)
class BrokerFacts:
    address: str
    connected: bool
    reason: str = ""  # why not
    local: bool = False  # none is configured: the bridge starts one if none answers
    installed: bool = True  # the mosquitto program


@dataclass(frozen=True, slots=True)
class DiskFacts:
    folder: str
    exists: bool = True
    allowed: bool = True  # this user may look into it and write
    read_only: bool = False
    free: int | None = None  # octets
    journal: str | None = None  # what is wrong with the file
    journal_state: str = (
        "whole"  # "absent", "whole", "large" (not looked through), "closed" (we may not read it), "bad"
    )


@dataclass(frozen=True, slots=True)
class ClockFacts:
    is_set: bool
    synchronised: bool | None  # None: not known
    battery: bool  # a clock of its own


@dataclass(frozen=True, slots=True)
class Facts:
    """All that was found out; judged by `examine`."""

    configuration: ConfigurationFacts
    devices: tuple[DeviceFacts, ...]
    ports: tuple[PortFacts, ...]
    programs: tuple[ProgramFacts, ...]
    unseen: str | None  # why not all programs were seen
    supply: SupplyFacts | None
    broker: BrokerFacts
    mosquitto: Mapping[str, str] | None  # the settings of this machine's broker; None: not there or not readable
    disk: DiskFacts
    clock: ClockFacts
    online: bool
    warnings: tuple[str, ...] = ()  # of the bridge's own health
    modems: tuple[Mapping[str, Any], ...] = field(default=())


def examine(facts: Facts) -> list[Finding]:
    """All checks, in the order in which a technician would look."""
    found = [
        *configuration(facts.configuration),
        *disk(facts.disk),
        *clock(facts.clock),
        *power(facts.supply),
        *devices(facts.devices),
        *autosuspend(facts.devices),
        *ports(facts.ports, facts.unseen),
        *programs(facts.programs, any_device=bool(facts.devices)),
        *broker(facts.broker, online=facts.online),
        *mosquitto(facts.mosquitto),
        *bridge(facts.online, facts.broker.connected, facts.warnings),
    ]
    for payload in facts.modems:
        found += modem(payload)
    return found


def worst(findings: Iterable[Finding]) -> Level:
    return max((finding.level for finding in findings), key=list(Level).index, default=Level.OK)


def configuration(facts: ConfigurationFacts) -> list[Finding]:
    if not facts.problems:
        source = facts.file or "no file: the defaults"
        return [Finding("configuration", Level.OK, f"the configuration is right ({source})")]
    fix = "correct it; `sms-bridge config check` says it again. The checks below are made with the defaults"
    return [Finding("configuration", Level.FAIL, problem, fix) for problem in facts.problems]


def disk(facts: DiskFacts) -> list[Finding]:
    found = [_folder(facts)]
    if facts.free is not None and not facts.read_only:
        found.append(_space(facts.folder, facts.free))
    match facts.journal_state:
        case "whole":
            found.append(Finding("journal", Level.OK, "the journal is whole"))
        case "large":
            found.append(Finding("journal", Level.OK, "the journal is large: the bridge looks through it by itself"))
        case "absent":
            found.append(Finding("journal", Level.INFO, "there is no journal yet: the first start makes it"))
        case "closed":
            text, fix = "the journal cannot be looked at by this user", "sudo sms-bridge doctor"
            found.append(Finding("journal", Level.INFO, text, fix))
        case _:
            fix = "restart the bridge: it moves it aside and begins a new one; then look after the card or disk"
            found.append(Finding("journal", Level.FAIL, f"the journal is damaged: {facts.journal}", fix))
    return found


def clock(facts: ClockFacts) -> list[Finding]:
    if not facts.is_set:
        fix = "connect the machine to a network with NTP, or give it a clock with a battery (an RTC module)"
        return [Finding("clock", Level.FAIL, "the clock is not set", fix)]
    if facts.synchronised is False:
        text, fix = "the clock is set, but follows no time server", "sudo timedatectl set-ntp true; is there a network?"
        return [Finding("clock", Level.WARN, text, fix)]
    if not facts.battery:
        text = "the clock is set; without a battery it is wrong after a power cut until there is a network"
        return [Finding("clock", Level.INFO, text, "an RTC module, where power cuts and no network come together")]
    how = "follows a time server" if facts.synchronised else "is set"
    return [Finding("clock", Level.OK, f"the clock {how} and has a battery")]


def power(facts: SupplyFacts | None) -> list[Finding]:
    if facts is None:
        text = "this machine does not measure its power supply; modems take 2 A for moments"
        return [Finding("power", Level.INFO, text)]
    if facts.problem is None:
        return [Finding("power", Level.OK, "the power supply is strong enough")]
    return [Finding("power", Level.FAIL if facts.now else Level.WARN, facts.problem, facts.fix)]


def devices(facts: tuple[DeviceFacts, ...]) -> list[Finding]:
    if not facts:
        text = "no modem is plugged in"
        return [Finding("usb", Level.INFO, text, "plugged in all the same? `lsusb`: no power, a bad cable")]
    found = []
    for device in facts:
        where = f"{device.name} in plug {device.plug}"
        if device.problem is None:
            found.append(Finding("usb", Level.OK, where))
        else:
            found.append(Finding("usb", Level.FAIL, f"{where}: {device.problem}", device.fix))
    return found


def autosuspend(facts: tuple[DeviceFacts, ...]) -> list[Finding]:
    known = [device for device in facts if device.may_sleep is not None and device.problem is None]
    fix = "hardware/udev/60-sms-bridge.rules to /etc/udev/rules.d, then plug it in again"
    found = [
        Finding("autosuspend", Level.WARN, f"the kernel may put {device.name} in plug {device.plug} to sleep", fix)
        for device in known
        if device.may_sleep
    ]
    return found or ([Finding("autosuspend", Level.OK, "no modem is put to sleep")] if known else [])


def ports(facts: tuple[PortFacts, ...], unseen: str | None = None) -> list[Finding]:
    found = [finding for port in facts for finding in _port(port)]
    if unseen is not None and facts:
        found.append(Finding("holders", Level.INFO, unseen, "sudo sms-bridge doctor, outside of containers"))
    return found


def programs(facts: tuple[ProgramFacts, ...], *, any_device: bool) -> list[Finding]:
    if not facts:
        return [Finding("programs", Level.OK, "no program runs that is known to take modems")]
    found = []
    for program in facts:
        if program.kept_off:
            found.append(Finding("programs", Level.OK, f"{program.name} runs; the udev rules keep it off modems"))
        else:
            level = Level.WARN if any_device else Level.INFO
            found.append(Finding("programs", level, f"{program.name} runs, and takes modems", program.fix))
    return found


def broker(facts: BrokerFacts, *, online: bool = False) -> list[Finding]:
    if facts.connected:
        return [Finding("broker", Level.OK, f"the broker at {facts.address} lets us in")]
    if facts.local and not facts.installed:
        fix = "sudo apt install mosquitto, or name a broker under `mqtt:`"
        return [Finding("broker", Level.FAIL, "no broker answers here, and mosquitto is not installed", fix)]
    if facts.local and "refuses" not in facts.reason:
        text = f"no broker answers at {facts.address}; the bridge starts its own"
        return [Finding("broker", Level.INFO, text)]
    return [Finding("broker", Level.FAIL, facts.reason.rstrip("."), "`mqtt:` in the configuration; is the broker up?")]


def mosquitto(settings: Mapping[str, str] | None) -> list[Finding]:
    """What a mosquitto forgets in a power cut or drops (docs/topics.md, the broker)."""
    if settings is None:
        return []
    missing = []
    if settings.get("persistence") != "true":
        missing.append("persistence true")
    if settings.get("autosave_on_changes") != "true" or _number(settings.get("autosave_interval"), 1800) > 1:
        missing += ["autosave_on_changes true", "autosave_interval 1"]
    most = _number(settings.get("max_queued_messages"), 1000)
    if 0 < most < ENOUGH_QUEUED:
        missing.append("max_queued_messages 100000")
    if not missing:
        return [Finding("persistence", Level.OK, "the broker keeps what it has acknowledged")]
    text = "the broker may lose orders that it has acknowledged: in a power cut, or while the bridge is away"
    fix = f"these lines to /etc/mosquitto/conf.d/sms-bridge.conf, then restart it: {'; '.join(missing)}"
    return [Finding("persistence", Level.WARN, text, fix)]


def bridge(online: bool, connected: bool, warnings: tuple[str, ...] = ()) -> list[Finding]:
    if not online:
        text = "no bridge is online at the broker" if connected else "the bridge cannot be asked: no way to its broker"
        fix = "start it; what its modems, SIMs and networks do is not known without it"
        return [Finding("bridge", Level.WARN, text, fix)]
    found = [Finding("bridge", Level.WARN, f"the bridge warns: {warning}") for warning in warnings]
    return found or [Finding("bridge", Level.OK, "the bridge is online")]


def modem(payload: Mapping[str, Any]) -> list[Finding]:
    """One modem as on `sms/modem/<name>`; what it does not know because it is not that far is left out."""
    if payload.get("name") is None:
        return []  # a device that is no modem yet: told with the plugs
    found = [modem_state(payload)]
    if payload.get("state") in _ABSENT:
        return found
    more = sim(payload), registration(payload), smsc(payload), storage(payload)
    return found + [finding for finding in more if finding is not None]


def modem_state(payload: Mapping[str, Any]) -> Finding:
    name, state = payload.get("name"), str(payload.get("state"))
    reason, health = payload.get("health_reason"), payload.get("health")
    text = f"{name} is {state}" + (f": {reason}" if reason else "")
    if state == "offline":
        return Finding("modem", Level.WARN, text, "plug it in; `sms-bridge modems` shows whether the machine sees it")
    if state == "ready" and health == "pass":
        return Finding("modem", Level.OK, text)
    level = Level.FAIL if state == "blocked" or health == "fail" else Level.WARN
    if state in _ON_ITS_WAY:
        return Finding("modem", Level.INFO, text, "wait a minute, then ask again")
    return Finding("modem", level, text, "docs/when-a-modem-fails.md" if state in ("blocked", "recovering") else "")


def sim(payload: Mapping[str, Any]) -> Finding | None:
    name, found = payload.get("name"), payload.get("sim")
    facts = found if isinstance(found, dict) else {}
    left = facts.get("pin_attempts_left")
    if (wrong := _SIMS.get(str(facts.get("state")))) is not None:
        text, fix = wrong
        return Finding("sim", Level.FAIL, f"{name}: {text}", fix)
    if left == 1:
        fix = "put it into a telephone and enter the PIN there: that gives three attempts again"
        return Finding("sim", Level.WARN, f"{name}: its SIM has one PIN attempt left", fix)
    return Finding("sim", Level.OK, f"{name}: its SIM is ready") if facts.get("state") == "ready" else None


def registration(payload: Mapping[str, Any]) -> Finding | None:
    name, state = payload.get("name"), str(payload.get("registration"))
    signal = payload.get("signal_dbm")
    facts = ", ".join(
        str(fact) for fact in (payload.get("operator"), f"{signal} dBm" if signal is not None else None) if fact
    )
    where = f" ({facts})" if facts else ""
    match state:
        case "home" | "roaming" | "sms_only":
            how = {"home": "at home", "roaming": "abroad", "sms_only": "for messages only"}[state]
            return Finding("registration", Level.OK, f"{name}: in the network {how}{where}")
        case "denied":
            fix = "ask the operator: active, paid, not barred? Try the SIM in a telephone"
            return Finding("registration", Level.FAIL, f"{name}: the network refuses its SIM{where}", fix)
        case "searching" | "not_registered":
            fix = (
                "antenna and its plug, place; is the SIM active; does the operator still run this modem's 2G, 3G or 4G"
            )
            return Finding("registration", Level.WARN, f"{name}: not in a network{where}", fix)
    return None


def smsc(payload: Mapping[str, Any]) -> Finding | None:
    name = payload.get("name")
    if payload.get("smsc"):
        return Finding("smsc", Level.OK, f"{name}: its SIM has a service centre number")
    if payload.get("state") not in ("ready", "degraded"):
        return None
    fix = "set it in a telephone (the operator tells it), or by `init_commands: ['AT+CSCA=\"+36209300099\",145']`"
    return Finding("smsc", Level.WARN, f"{name}: its SIM has no service centre number", fix)


def storage(payload: Mapping[str, Any]) -> Finding | None:
    name, found = payload.get("name"), payload.get("storage")
    facts = found if isinstance(found, dict) else {}
    percent = facts.get("percent")
    if not isinstance(percent, int | float):
        return None
    text = f"{name}: {facts.get('used')} of {facts.get('total')} places for messages are taken"
    if percent < ALMOST_FULL:
        return Finding("storage", Level.OK, text)
    fix = "`delete_after_read: false`, or another program on this modem? See sms/bridge/event with `inbound_refused`"
    return Finding("storage", Level.FAIL if percent >= FULL else Level.WARN, text, fix)


_ABSENT: Final = ("offline", "detected")
_ON_ITS_WAY: Final = ("detected", "interviewing", "registering")
_SIMS: Final = {
    "pin": ("its SIM waits for a PIN", "`pin:` under `modems:` in the configuration, or the request sim/unlock"),
    "puk": ("its SIM is locked and wants its PUK", "the request sim/unlock with the PUK, or a telephone"),
    "absent": ("there is no SIM in it", "put one in, the right way round; clean its contacts"),
    "failure": ("its SIM does not work", "take it out, clean its contacts, try it in a telephone"),
}


def _folder(facts: DiskFacts) -> Finding:
    folder = facts.folder
    if facts.read_only:
        fix = "the card or disk is worn out or was not unmounted: `dmesg`; save the folder, use another card"
        return Finding("disk", Level.FAIL, f"{folder} is on a read-only file system", fix)
    if not facts.allowed:
        fix = "the service's own folder is closed to others: sudo sms-bridge doctor"
        return Finding("disk", Level.INFO, f"this user may not write to {folder}", fix)
    if not facts.exists:
        return Finding("disk", Level.OK, f"{folder} is made at the first start")
    return Finding("disk", Level.OK, f"{folder} can be written")


def _space(folder: str, free: int) -> Finding:
    text = f"{free // MIB} MiB are free for {folder}"
    if free >= SOME_SPACE:
        return Finding("space", Level.OK, text)
    fix = "make room: `sudo journalctl --vacuum-size=100M`, `sudo apt clean`; or a larger card"
    return Finding("space", Level.FAIL if free < LITTLE_SPACE else Level.WARN, text, fix)


def _port(facts: PortFacts) -> list[Finding]:
    if not facts.exists:
        fix = "plug the modem in, or correct the port; names under /dev/serial/by-id stay the same"
        return [Finding("holders", Level.FAIL, f"{facts.port}: there is no such device", fix)]
    if facts.by_bridge:
        return [Finding("holders", Level.OK, f"{facts.port} is in use by the bridge")]
    if facts.holders:
        return [Finding("holders", Level.FAIL, f"{facts.port} is held by {' and '.join(facts.holders)}", facts.fix)]
    if facts.allowed:
        return [Finding("holders", Level.OK, f"nobody holds {facts.port}, and this user may open it")]
    text = f"this user may not open {facts.port}"
    if facts.group in (None, "root"):
        fix = "hardware/udev/60-sms-bridge.rules to /etc/udev/rules.d, then plug it in again"
    elif facts.in_group:
        fix = f"log in again: this session does not know yet that you are in the group {facts.group}"
    else:
        fix = f"sudo usermod -aG {facts.group} $USER, then log in again"
    return [Finding("permissions", Level.FAIL, text, fix)]


def _number(text: str | None, default: int) -> int:
    return int(text) if text is not None and text.isascii() and text.isdecimal() else default
