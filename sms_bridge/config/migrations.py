"""Older configurations brought to the form of this version: one step for each version, on plain data.

`version:` says in which form a file is written; without it, the first. `sms-bridge run` writes the new form and keeps
the old file as `<name>.v<version>.bak`; all other commands read it as if that had been done.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sms_bridge.config.document import Document, read
from sms_bridge.config.edit import rewrite
from sms_bridge.config.errors import ConfigError, Problem

Step = Callable[[dict[str, Any]], None]
"""Changes data of one version into that of the next, in place; must do nothing where it finds what it does not know."""

KEY = "version"
STEPS: Sequence[Step] = ()  # the first leads from version 1 to version 2


@dataclass(frozen=True, slots=True)
class Migrated:
    """A file's text in the form of this version, and the version that it had."""

    raw: bytes
    document: Document
    since: int | None = None  # None: it is of this version


def migrate(raw: bytes, file: str, steps: Sequence[Step] = STEPS) -> Migrated:
    """Read `raw` in the form of this version. ConfigError where it is no YAML, or of a newer version."""
    document = read(raw, file)
    data = document.data
    found = data.get(KEY, 1) if isinstance(data, dict) else 1
    newest = len(steps) + 1
    if not isinstance(data, dict) or document.problems or isinstance(found, bool) or not isinstance(found, int):
        return Migrated(raw, document)  # the check of the whole says what is wrong
    if found > newest:
        mark = document.values[(KEY,)]
        message = f"this file is of version {found}, and this sms-bridge knows {newest}"
        hint = "start the newer sms-bridge, or put the file's backup back"
        raise ConfigError([Problem(file, mark.line, mark.column, KEY, message, hint)])
    if not 1 <= found < newest:
        return Migrated(raw, document)
    wanted = _copy(data)
    for step in steps[found - 1 :]:
        step(wanted)
    wanted[KEY] = newest
    fresh = rewrite(raw, wanted, file)
    return Migrated(fresh, read(fresh, file), found)


def renamed(path: Sequence[str], new: str) -> Step:
    """The step that renames the key at `path` and keeps its value; below a list, in each of its entries."""

    def step(data: dict[str, Any]) -> None:
        for group in _groups(data, path[:-1]):
            if path[-1] in group and new not in group:
                group[new] = group.pop(path[-1])

    return step


def _groups(data: Any, path: Sequence[str]) -> list[dict[str, Any]]:
    found = [data]
    for key in path:
        below = [group[key] for group in found if isinstance(group, dict) and key in group]
        found = [item for value in below for item in (value if isinstance(value, list) else [value])]
    return [group for group in found if isinstance(group, dict)]


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value
