"""Configurations of other programs: read as what they are, text of a stranger, and said in the bridge's words.

What has a counterpart becomes YAML that `sms-bridge config check` takes; all else becomes a comment that says why not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

MAX_BYTES = 256 * 1024
MAX_LINE = 4096
SHOWN = 60  # characters of a foreign value in a comment

_SECTION = re.compile(r"\[([^\]]{1,64})\]\s*\Z")
_PAIR = re.compile(r"([A-Za-z0-9_ -]{1,64}?)\s*=\s*(.*)\Z")
_SECRET = re.compile(r"pass|pin|user|secret", re.IGNORECASE)
_SPEED = re.compile(r"at([0-9]{1,7})?\Z", re.IGNORECASE)
_BAUDRATES = (1200, 2400, 4800, 9600, 19_200, 38_400, 57_600, 115_200, 230_400, 460_800, 921_600)


class ForeignError(ValueError):
    """It is no such file; the text is a sentence."""


@dataclass(slots=True)
class Entry:
    """One key of a foreign file."""

    section: str
    key: str
    value: str
    line: int


@dataclass(slots=True)
class Found:
    """What becomes of a file: `modems` and other keys of the bridge, and sentences about the rest."""

    source: str
    modems: list[dict[str, Any]] = field(default_factory=list)
    sections: dict[str, dict[str, Any]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def note(self, entry: Entry, why: str) -> None:
        value = "…" if _SECRET.search(entry.key) else printable(entry.value)
        self.notes.append(f"line {entry.line}, {printable(entry.key)} = {value}: {why}")

    def yaml(self) -> str:
        """As text; nothing that a stranger wrote stands outside quotes or a comment."""
        lines = [
            f"# From {printable(self.source)}, by `sms-bridge import`. Read it, then run `sms-bridge config check`."
        ]
        lines += [f"# {note}" for note in self.notes]
        if self.modems:
            lines.append("modems:")
            for modem in self.modems:
                rows = [f"{key}: {_scalar(value)}" for key, value in modem.items()]
                lines += [f"  - {rows[0]}", *(f"    {row}" for row in rows[1:])]
        for name, keys in self.sections.items():
            lines.append(f"{name}:")
            lines += [f"  {key}: {_scalar(value)}" for key, value in keys.items()]
        if not self.modems and not self.sections:
            lines.append("# Nothing is left to be configured: USB modems are found by themselves.")
        return "\n".join(lines) + "\n"


def printable(text: str) -> str:
    """A stranger's text for one line of a comment."""
    cut = text[:SHOWN] + ("…" if len(text) > SHOWN else "")
    return "".join(char if char.isprintable() else "\ufffd" for char in cut)


def parse(raw: bytes, source: str, comment: str) -> list[Entry]:
    """The keys of an INI file, in order. ForeignError for what is none."""
    if len(raw) > MAX_BYTES:
        raise ForeignError(f"the file has {len(raw)} bytes: that is no configuration")
    if b"\x00" in raw:
        raise ForeignError("the file is binary: that is no configuration")
    section, found = "", []
    # gammu 1.4x writes UTF-8, older ones whatever the machine had.
    text = raw.decode("utf-8-sig", "replace")
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line[0] in comment:
            continue
        if len(line) > MAX_LINE:
            raise ForeignError(f"line {number} has {len(line)} characters: that is no configuration")
        head = _SECTION.match(line)
        pair = _PAIR.match(line)
        if head:
            section = head[1].strip().lower()
        elif pair:
            found.append(Entry(section, pair[1].strip(), pair[2].strip(), number))
    if not found:
        raise ForeignError(f"{source} has no line such as `device = /dev/ttyUSB0`")
    return found


def port_of(value: str) -> tuple[str | None, str]:
    """(the port for `port:`, why there is none)."""
    text = value.strip().strip("\"'")
    if re.fullmatch(r"tty[A-Za-z0-9]+", text):
        text = f"/dev/{text}"
    if re.fullmatch(r"/dev/tty(?:USB|ACM)[0-9]{1,3}", text):
        return (
            text,
            "this name changes with each plug; USB modems need no entry, they are found and known by their IMEI",
        )
    if re.fullmatch(r"/dev/[A-Za-z0-9_./:@+-]{1,200}", text) and ".." not in text:
        return text, ""
    net = re.fullmatch(r"@?([A-Za-z0-9][A-Za-z0-9.-]{0,252}):([0-9]{1,5})", text)
    if net and 0 < int(net[2]) < 65_536:
        return f"socket://{net[1]}:{net[2]}", ""
    return None, "this port cannot be used; an entry with `port:` takes /dev/…, socket://host:port, rfc2217://host:port"


def seconds_of(value: str) -> int | None:
    match = re.fullmatch(r"([0-9]{1,7})", value.strip())
    return int(match[1]) if match else None


def pin_of(found: Found, entry: Entry, modem: dict[str, Any]) -> None:
    pin = entry.value.strip("\"'")
    if re.fullmatch(r"[0-9]{4,8}", pin):
        modem["pin"] = pin
    elif pin.lower() not in ("", "ignore"):
        found.note(entry, "a PIN has 4 to 8 digits")


def baudrate_of(found: Found, entry: Entry, modem: dict[str, Any], digits: str | None) -> None:
    if digits is None:
        return
    if int(digits) in _BAUDRATES:
        modem["baudrate"] = int(digits)
    else:
        found.note(entry, f"no such speed here: {', '.join(map(str, _BAUDRATES[3:]))} and lower")


Rule = Callable[[Found, Entry, dict[str, Any]], None]


def apply(
    entries: Iterator[Entry] | list[Entry], found: Found, modem: dict[str, Any], rules: Mapping[str, Rule]
) -> None:
    """Each entry by the rule of its key; a key without one is told of."""
    for entry in entries:
        rule = rules.get(entry.key.lower().replace(" ", "").replace("_", ""))
        if rule is None:
            found.note(entry, "no counterpart")
        else:
            rule(found, entry, modem)


def says(why: str) -> Rule:
    """The rule of a key that has no counterpart, and why."""
    return lambda found, entry, modem: found.note(entry, why)


def sets(section: str, key: str, unit: str = "s", low: int = 0, high: int = 10**9) -> Rule:
    """The rule of a number that has a counterpart in a section."""

    def rule(found: Found, entry: Entry, modem: dict[str, Any]) -> None:
        value = seconds_of(entry.value)
        if value is None or not low <= value <= high:
            found.note(entry, f"{section}.{key} takes {low} to {high}")
        else:
            found.sections.setdefault(section, {})[key] = f"{value}{unit}" if unit else value

    return rule


def named(name: str, index: int) -> str:
    """A modem's name as topics may have it."""
    plain = re.sub(r"[^a-z0-9_-]+", "-", name.lower()).strip("-")[:32]
    return plain if plain not in ("", "auto") else f"modem-{index}"


def put_port(found: Found, entry: Entry, modem: dict[str, Any]) -> None:
    port, why = port_of(entry.value)
    if port is not None:
        modem["port"] = port
    if why:
        found.note(entry, why)


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
