"""Options that are changed while the bridge runs: checked, written to the configuration's file, and adopted.

The file is what counts. What can be adopted at once stands in LIVE; the rest waits for the next start, and
`restart_required` says so until then.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sms_bridge.config import ConfigError, ModemSettings, Problem, Settings, load
from sms_bridge.config.document import dotted
from sms_bridge.config.loader import FILE_NAME
from sms_bridge.core.errors import CoreError

log = logging.getLogger(__name__)

# Section of the settings -> its keys that are adopted at once; None: all of it.
LIVE: Mapping[str, tuple[str, ...] | None] = {
    "contacts": None,
    "groups": None,
    "guards": None,
    "inbound": ("reassembly_timeout", "dedupe_window"),
    "limits": None,
    "logging": ("level", "mqtt"),
    "quota": None,
    "recovery": None,
    "replies": None,
    "retention": None,
    "sending": ("max_attempts", "retry_delay", "sticky", "sticky_ttl", "stop_grace"),
}
LIVE_OF_MODEMS = ("number", "quota", "recovery")
# What opens a door or moves the house is changed by who can write the file, never over the network.
BY_HAND = ("at_console", "commands", "data_dir", "version")

NAMED_BY = ("imei", "iccid", "usb_path", "port")


class OptionsError(CoreError):
    """Nothing was changed; the text is for the person who asked."""


@dataclass(frozen=True, slots=True)
class Modem:
    """What an entry for a modem can be bound by, where it has none yet."""

    name: str
    imei: str | None


class Options:
    """Changes one at a time. `adopt` gets the settings that hold from now on; it must not fail."""

    def __init__(self, settings: Settings, adopt: Callable[[Settings], None]) -> None:
        self._running = settings
        self._adopt = adopt
        self._lock = asyncio.Lock()
        self.waiting: tuple[str, ...] = ()  # sections that the next start will read anew

    @property
    def file(self) -> Path:
        """Where options are kept: the configuration's file, else one in the data folder."""
        return self._running.source or self._running.data_dir / FILE_NAME

    async def change(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Merge `changes` into the file: groups of keys are merged, null restores a default. OptionsError."""
        for key in BY_HAND:
            if key in changes:
                raise OptionsError(f"{key} is changed in the file only: {self.file}")
        return await self._write(lambda data: _merged(data, changes), _paths(changes))

    async def change_modem(self, modem: Modem, changes: Mapping[str, Any]) -> dict[str, Any]:
        """As `change`, for the entry of one modem; one that has none gets one by its IMEI. OptionsError."""
        for key in ("name", *NAMED_BY):
            if key in changes:
                what = "ask for modem/rename" if key == "name" else "that says which modem it is"
                raise OptionsError(f"{key} cannot be changed here: {what}")
        made = modem.name not in {entry.name for entry in self._running.modems}
        answer = await self._write(
            lambda data: _with_modem(data, modem, changes, self._running),
            _paths(changes),
            made=modem.name if made else "",
        )
        return {"modem": modem.name, **answer}

    async def _write(
        self, work: Callable[[dict[str, Any]], dict[str, Any]], changed: list[str], made: str = ""
    ) -> dict[str, Any]:
        async with self._lock:
            file = self.file
            try:
                wanted = await asyncio.get_running_loop().run_in_executor(None, _store, file, work, self._running)
            except ConfigError as error:
                raise OptionsError(_words(error)) from error
            running, self.waiting = compose(self._running, wanted, made)
            self._running = dataclasses.replace(running, source=file)
            self._adopt(self._running)
            log.info("options were changed by request: %s", ", ".join(changed))
            return {
                "changed": changed,
                "file": str(file),
                "restart_required": bool(self.waiting),
                "restart_for": list(self.waiting),
            }


def compose(running: Settings, wanted: Settings, made: str = "") -> tuple[Settings, tuple[str, ...]]:
    """`running` with all of `wanted` that can be adopted at once, and the names of what cannot.

    `made`: a modem that has got an entry for what it is already.
    """
    taken: dict[str, Any] = {}
    left: list[str] = []
    for field in dataclasses.fields(Settings):
        name = field.name
        old, new = getattr(running, name), getattr(wanted, name)
        if name == "source" or old == new:
            continue
        if name == "modems":
            taken[name], missed = _modems(running.modems, wanted.modems, made)
            left += missed
        elif name not in LIVE:
            left.append(name)
        elif (keys := LIVE[name]) is None:
            taken[name] = new
        else:
            taken[name] = dataclasses.replace(old, **{key: getattr(new, key) for key in keys})
            left += [f"{name}.{key}" for key in _differing(taken[name], new)]
    return dataclasses.replace(running, **taken), tuple(left)


def _modems(
    old: tuple[ModemSettings, ...], new: tuple[ModemSettings, ...], made: str
) -> tuple[tuple[ModemSettings, ...], list[str]]:
    by_name = {entry.name: entry for entry in new}
    result: list[ModemSettings] = []
    left: list[str] = []
    for entry in old:
        wanted = by_name.pop(entry.name, None)
        if wanted is None:
            left.append(f"modems.{entry.name}")
            result.append(entry)
            continue
        taken = dataclasses.replace(entry, **{key: getattr(wanted, key) for key in LIVE_OF_MODEMS})
        left += [f"modems.{entry.name}.{key}" for key in _differing(taken, wanted)]
        result.append(taken)
    for name, wanted in by_name.items():
        if name != made:
            left.append(f"modems.{name}")
            continue
        plain = ModemSettings(name, **{key: getattr(wanted, key) for key in (*NAMED_BY, *LIVE_OF_MODEMS)})
        left += [f"modems.{name}.{key}" for key in _differing(plain, wanted)]
        result.append(plain)
    return tuple(result), left


def _differing(one: Any, other: Any) -> list[str]:
    names = [field.name for field in dataclasses.fields(one)]
    return [name for name in names if getattr(one, name) != getattr(other, name)]


def _store(file: Path, work: Callable[[dict[str, Any]], dict[str, Any]], running: Settings) -> Settings:
    """Runs in a thread. Checks what stands there and what shall stand there, then writes it. ConfigError."""
    from sms_bridge.config import files
    from sms_bridge.config.edit import rewrite
    from sms_bridge.config.migrations import migrate

    raw = b""
    if file.exists():
        load(file, data_dir=running.data_dir)  # somebody may be at work on it: say so, not "your option is wrong"
        raw = file.read_bytes()
    migrated = migrate(raw, str(file))
    fresh = rewrite(migrated.raw, work(migrated.document.data or {}), str(file))
    settings = load(file, data_dir=running.data_dir, raw=fresh)
    files.replace(file, fresh)
    return settings


def _merged(data: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    from sms_bridge.config.edit import merge

    result: dict[str, Any] = merge(data, changes)
    return result


def _with_modem(data: dict[str, Any], modem: Modem, changes: Mapping[str, Any], running: Settings) -> dict[str, Any]:
    entries = list(data.get("modems") or [])
    names = [entry.get("name", f"modem-{index + 1}") for index, entry in enumerate(entries)]
    if modem.name in names:
        index = names.index(modem.name)
    elif modem.imei is None:
        problem = f"{modem.name} tells no IMEI that an entry could be bound by"
        hint = "write an entry with its usb_path or port under modems: by hand"
        raise ConfigError([Problem(str(running.source or ""), 0, 0, "", problem, hint)])
    else:
        index = len(entries)
        entries.append({"name": modem.name, "imei": modem.imei})
    entries[index] = _merged(entries[index], changes)
    return {**data, "modems": entries}


def _paths(changes: Mapping[str, Any]) -> list[str]:
    """The keys that were named, two levels deep: what lies below may be a contact's name."""
    found = []
    for key, value in changes.items():
        deep = isinstance(value, Mapping) and value and key not in ("contacts", "groups")
        found += [dotted((str(key), str(inner))) for inner in value] if deep else [str(key)]
    return [path[:80] for path in found]


def _words(error: ConfigError) -> str:
    """All that is wrong, without the file's name and its lines: who asks has not written it."""
    said = []
    for problem in error.problems[:5]:
        text = f"{problem.path}: {problem.message}" if problem.path else problem.message
        said.append(f"{text} ({problem.hint})" if problem.hint else text)
    return "; ".join(said)
