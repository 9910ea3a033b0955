"""`sms-bridge doctor --bundle`: an archive for who helps from afar, with nothing in it that says who or what was sent.

Two nets: `core.redaction` knows what numbers, PINs and PDUs look like; besides, each secret that is known here (from
the configuration, the modems, the plugs) is taken out wherever it stands.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import io
import json
import os
import platform
import re
import sqlite3
import sys
import tarfile
import time
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any, Final

from hardware.modem.report import anonymous
from sms_bridge.cli.gather import Machine, run_tool
from sms_bridge.cli.live import Live
from sms_bridge.cli.modems import beside, survey, table
from sms_bridge.config import ConfigError, Settings
from sms_bridge.core.redaction import redact
from sms_bridge.observe.doctor import Finding

LOG_LINES = "500"
MOST_KERNEL_LINES = 500
FOLDER = "sms-bridge"
HIDDEN: Final = "****"
SHORTEST_SECRET = 4  # characters: a PIN has as many; anything shorter stands everywhere by chance

# Never shown, whatever they hold: who one is, what one may, what one writes. By key of the settings.
SECRETS: Final = frozenset(
    {"password", "username", "pin", "number", "imei", "iccid", "sim", "client_id", "to", "text", "senders", "payload",
     "off", "on", "replies", "contacts", "groups", "token", "secret", "headers", "url", "totp"}
)  # fmt: skip
# What a live modem says of whose it is.
IDENTITIES: Final = ("imei", "iccid", "imsi", "number", "smsc")

_KERNEL = re.compile(r"usb|tty(?:USB|ACM|S)|option|cdc_acm|qmi_wwan|hub |under-?voltage|xhci|mmc|EXT4", re.IGNORECASE)
_DEBUG = re.compile(r' DEBUG |"level": "debug"')
_BY_ID = re.compile(r"(/serial/by-id/)[^\s\"',]+")
_DIGITS = re.compile(r"[0-9]{10,}")  # whatever stands around them: a file's name has an IMEI between underscores
_SERIAL = re.compile(r"(SerialNumber: ).*")


def write_bundle(
    file: Path, settings: Settings, error: ConfigError | None, live: Live, machine: Machine, findings: list[Finding]
) -> None:
    """OSError where it cannot be written; nobody else may read it."""
    clean = Cleaner(secrets_of(settings, live, machine))
    rows = beside(survey(settings.modems, sysfs=machine.sysfs, dev=machine.dev, proc=machine.proc), live)
    parts = {
        "doctor.json": _json(clean.value([finding.as_dict() for finding in _tellable(findings, error)])),
        "versions.json": _json(versions()),
        "configuration.json": _json(clean.value(_configuration(settings, error))),
        "modems.txt": clean.text("\n".join(table(rows, live))) + "\n",
        "modems.json": _json(clean.value([dataclasses.asdict(row) for row in rows])),
        "bridge.json": _json(clean.value({"online": live.online, "health": live.health})),
        "log.txt": clean.text(_log()),
        "kernel.txt": clean.text(_kernel()),
    }
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC  # root may write into /tmp
    with os.fdopen(os.open(file, flags, 0o600), "wb") as out, tarfile.open(fileobj=out, mode="w:gz") as archive:
        os.fchmod(out.fileno(), 0o600)
        for name, text in parts.items():
            octets = text.encode(errors="replace")
            entry = tarfile.TarInfo(f"{FOLDER}/{name}")
            entry.size, entry.mtime, entry.mode = len(octets), int(time.time()), 0o600
            archive.addfile(entry, io.BytesIO(octets))


class Cleaner:
    """Takes out what is known to be secret, and what looks like it."""

    def __init__(self, secrets: Iterable[str]) -> None:
        known = sorted({secret for secret in secrets if len(secret) >= SHORTEST_SECRET}, key=len, reverse=True)
        words = "|".join(re.escape(secret) for secret in known)
        # A short one within a longer word is chance: a PIN in a time, a name in a name.
        self._known = re.compile(rf"(?<![0-9A-Za-z])(?:{words})(?![0-9A-Za-z])") if known else None
        long = "|".join(re.escape(secret) for secret in known if len(secret) > 2 * SHORTEST_SECRET)
        self._long = re.compile(long) if long else None

    def text(self, text: str) -> str:
        for pattern in (self._long, self._known):
            if pattern is not None:
                text = pattern.sub(HIDDEN, text)
        return _DIGITS.sub(lambda match: f"<{len(match[0])} digits>", _BY_ID.sub(rf"\1{HIDDEN}", redact(text)))

    def value(self, value: Any, key: str = "") -> Any:
        """Each text in it clean; what stands under a key that names a secret is hidden whole."""
        if isinstance(value, Mapping):
            return {self.text(str(name)): self.value(item, str(name)) for name, item in value.items()}
        if key == "imei" and isinstance(value, str):
            return anonymous(value, value)  # the digits that name the model stay
        if key in IDENTITIES or key in ("serial", "balance"):
            return None if value is None else HIDDEN
        if isinstance(value, list | tuple):
            return [self.value(item) for item in value]
        return self.text(value) if isinstance(value, str) else value


def secrets_of(settings: Settings, live: Live, machine: Machine) -> Iterator[str]:
    """Every text that is known here and must not leave."""
    yield from _hidden(_plain(settings))
    for modem in live.modems.values():
        yield from (str(modem[key]) for key in IDENTITIES if modem.get(key))
        yield from (str(modem[key]).lstrip("+") for key in IDENTITIES if modem.get(key))
    yield from (device.serial for device in machine.devices() if device.serial)
    yield os.uname().nodename


def versions() -> dict[str, Any]:
    return {
        "sms-bridge": importlib.metadata.version("sms-bridge"),
        "python": sys.version.split()[0],
        "kernel": platform.release(),
        "machine": platform.machine(),
        "system": _system(),
        "paho-mqtt": importlib.metadata.version("paho-mqtt"),
        "sqlite": sqlite3.sqlite_version,
    }


def _configuration(settings: Settings, error: ConfigError | None) -> dict[str, Any]:
    """The settings as they were understood, defaults too. A file with mistakes is not copied: only where they are."""
    if error is not None:
        return {"problems": [{"line": one.line, "key": one.path} for one in error.problems]}
    shown = _without_secrets(_plain(settings))
    assert isinstance(shown, dict)
    shown["contacts"], shown["groups"] = len(settings.contacts), len(settings.groups)
    return shown


def _tellable(findings: list[Finding], error: ConfigError | None) -> list[Finding]:
    """A mistake in the configuration is told with the words that stand there, which may be a PIN."""
    if error is None:
        return findings
    return [
        dataclasses.replace(finding, text="a mistake: see configuration.json")
        if finding.check == "configuration"
        else finding
        for finding in findings
    ]


def _plain(value: Any) -> Any:
    """Settings as JSON has it."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {one.name: _plain(getattr(value, one.name)) for one in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, Enum):
        return value.value
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _without_secrets(value: Any, key: str = "") -> Any:
    if key in SECRETS and value not in (None, [], {}):
        return HIDDEN
    if isinstance(value, dict):
        return {name: _without_secrets(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [_without_secrets(item, key) for item in value]
    if key == "init_commands" and "=" in value:  # what it sets may be a number, or a PIN
        return f"{value.partition('=')[0]}={HIDDEN}"
    return value


def _hidden(value: Any) -> Iterator[str]:
    """The texts under the keys that name secrets."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _texts(item) if key in SECRETS else _hidden(item)
    elif isinstance(value, list):
        for item in value:
            yield from _hidden(item)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
        yield value.lstrip("+")
    elif isinstance(value, dict):
        for key, item in value.items():
            yield str(key)
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def _log() -> str:
    """The service's last lines without the debug level, which tells more; in JSON they have all one priority."""
    said = run_tool(
        "journalctl", "--unit=sms-bridge", f"--lines={LOG_LINES}", "--priority=info", "--output=short-iso",
        "--no-pager", "--no-hostname", "--quiet",
    )  # fmt: skip
    lines = [line for line in (said or "").splitlines() if not _DEBUG.search(line)]
    return "\n".join(lines) + "\n" if lines else "no log: not a systemd service, or this user may not read it (sudo)\n"


def _kernel() -> str:
    said = run_tool("dmesg")
    if said is None:
        return "the kernel's log may not be read by this user (sudo)\n"
    lines = [_SERIAL.sub(rf"\g<1>{HIDDEN}", line) for line in said.splitlines() if _KERNEL.search(line)]
    return "\n".join(lines[-MOST_KERNEL_LINES:]) + "\n"


def _system() -> str | None:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME")
    except OSError:
        return None


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n"
