"""`sms-bridge modems --dump`: what a modem answers, as a personality of the emulator: it can be had anywhere then."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

import click

from hardware.at import commands
from hardware.at.types import Command
from hardware.errors import HardwareError
from hardware.modem.report import MOST_LINES, QUESTIONS, TAC, anonymous
from hardware.transport.holders import fix_for, holders_of
from sms_bridge.cli.reporting import BAUDRATE, ask

IMEI: Final = re.compile(r"(?<![0-9])[0-9]{15}(?![0-9])")
SERIAL: Final = re.compile(r"\b((?:f?sn|esn|meid|serial(?: number)?)\s*[:=]\s*)\S+", re.IGNORECASE)
ICCID: Final = re.compile(r"(?<![0-9])89[0-9]{16,18}(?![0-9])")
IDENTITY: Final = ("AT+CGMI", "AT+CGMM", "AT+CGMR", "AT+CGSN", "ATI")  # what a personality must have
EXTRA: Final = ("AT+GCAP", "AT+CBC", "AT+CPAS")  # what the emulator says only if told
NO_TAC: Final = "0" * TAC
NO_ERRORS: Final[Mapping[str, str]] = MappingProxyType({})
ICCID_COMMANDS: Final = frozenset(command.text for command in commands.ICCID_COMMANDS)
ASKED: Final[tuple[Command, ...]] = (
    *QUESTIONS,
    commands.serial_number(),
    commands.character_set(),
    commands.raw("AT+CSCS=?"),
    *(commands.raw(text) for text in EXTRA),
)


def dump_port(port: str, baudrate: int | None, *, proc: Path) -> str:
    """The personality of the modem at `port`, which nobody may hold. ClickException with what helps."""
    if "://" not in port and not Path(port).exists():
        raise click.ClickException(f"there is no port {port}; `sms-bridge modems` lists those that are there.")
    if holders := holders_of(port, proc):
        raise click.ClickException(f"{port} is held by {holders[0]}; {fix_for(holders[0], port=port)}.")
    answers = asyncio.run(ask(port, ASKED, baudrate or BAUDRATE))
    if answers is None:
        raise click.ClickException(f"what is at {port} does not answer AT; is it the AT port, and the right baudrate?")
    errors = {text: str(lines) for text, lines in answers.items() if isinstance(lines, HardwareError)}
    return personality({text: lines for text, lines in answers.items() if isinstance(lines, list)}, errors)


def personality(answers: Mapping[str, Sequence[str]], errors: Mapping[str, str] = NO_ERRORS) -> str:
    """TOML as `hardware.emulator` reads it. Pure.

    `answers`: lines by command; `errors`: what was refused. IMEI (but for the digits that name the model), ICCID and
    numbers are masked.
    """
    every = "\n".join(line for lines in answers.values() for line in lines)
    found = IMEI.search(every)
    imei = found[0] if found else None
    said = {command: [_clean(line, imei) for line in lines[:MOST_LINES]] for command, lines in answers.items()}
    lines = [
        f"# {_first(said, 'AT+CGMI')} {_first(said, 'AT+CGMM')}: drafted from what one modem answered.",
        "# docs/emulator.md explains the keys; what is not here is as the emulator has it. The answers as they came:",
        *(f"#   {command} -> {line}" for command, lines in said.items() for line in lines or ["OK"]),
        *(f"#   {_clean(error, imei)}" for error in errors.values()),
        f"title = {_text(' '.join(filter(None, (_first(said, 'AT+CGMI'), _first(said, 'AT+CGMM')))) or 'unknown')}",
        f"tac = {_text(imei[:TAC] if imei else NO_TAC)}",
        *_settings(answers),
    ]
    if templates := dict(_iccid(answers, imei)):
        lines += ["", "[iccid]", *(f"{_text(command)} = {_text(line)}" for command, line in templates.items())]
    told = [command for command in (*IDENTITY, *EXTRA) if command in IDENTITY or said.get(command)]
    lines += ["", "[answers]"]
    lines += [f"{_text(command[2:])} = {_texts(said.get(command, []))}" for command in told]
    return "\n".join(lines) + "\n"


def _settings(answers: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """What can be read off the answers to the standard's questions."""
    charsets = re.findall(r'"([^"]+)"', _joined(answers, "AT+CSCS=?", "+CSCS:"))
    if charsets:
        now = re.findall(r'"([^"]+)"', _joined(answers, "AT+CSCS?", "+CSCS:"))
        yield f"charsets = {_texts(charsets)}"
        yield f"charset = {_text(now[0] if now else charsets[0])}"
    storages = re.findall(r'"(\w+)",\d{1,4},(\d{1,4})(?!\d)', _joined(answers, "AT+CPMS?", "+CPMS:"))
    if storages:
        yield "storages = { " + ", ".join(f"{name} = {total}" for name, total in dict(storages).items()) + " }"
        yield f"storage = {_text(storages[0][0])}"
    modes = [_numbers(group) for group in re.findall(r"\(([^()]*)\)", _joined(answers, "AT+CNMI=?", "+CNMI:"))]
    if len(modes) == 5:
        yield f"cnmi = {json.dumps(modes)}"
    domains = [f"+{name}" for name in ("CREG", "CGREG", "CEREG") if _joined(answers, f"AT+{name}?", f"+{name}:")]
    if domains:
        yield f"registration = {_texts(domains)}"


def _iccid(answers: Mapping[str, Sequence[str]], imei: str | None) -> Iterator[tuple[str, str]]:
    for command, lines in answers.items():
        if command in ICCID_COMMANDS and lines and ICCID.search(lines[0]):
            yield command[2:].rstrip("?"), _clean(lines[0], imei)


def _clean(line: str, imei: str | None) -> str:
    """A line without what is whose: the emulator fills in its own for {imei} and {iccid}."""
    line = SERIAL.sub(r"\1****", line)
    pieces = re.split(r"(\{imei\}|\{iccid\})", ICCID.sub("{iccid}", line.replace(imei, "{imei}") if imei else line))
    return "".join(piece if piece in ("{imei}", "{iccid}") else anonymous(piece) for piece in pieces)


def _joined(answers: Mapping[str, Sequence[str]], command: str, prefix: str) -> str:
    """The answer lines with `prefix`; an error has none."""
    return " ".join(line for line in answers.get(command, ()) if line.startswith(prefix))


def _numbers(text: str) -> list[int]:
    """`0-2,4` as [0, 1, 2, 4]; small numbers only, since a modem may say anything."""
    found: list[int] = []
    for first, last in re.findall(r"(\d{1,2})(?:-(\d{1,2}))?", text):
        found += range(int(first), int(last or first) + 1)
    return found


def _first(said: Mapping[str, Sequence[str]], command: str) -> str:
    lines = said.get(command) or [""]
    return re.sub(r"^\+\w+: *", "", lines[0]).strip('"')


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _texts(texts: Sequence[str]) -> str:
    return f"[{', '.join(map(_text, texts))}]"
