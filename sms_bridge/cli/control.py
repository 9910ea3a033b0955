"""`sms-bridge control`."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from sms_bridge.cli.options import config_option, load_settings

# Fields that the control socket wants as numbers; all others are text, phone numbers and PINs above all.
NUMBERS = frozenset("attempts code count csq delay duration index mode modem quiet stat status timeout".split())
FLAGS = {"true": True, "false": False}
ANSWER_DEADLINE = 30.0  # seconds; a delivery waits for the emulated network


@click.command("control")
@click.argument("request", nargs=-1, required=True)
@config_option
@click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path),
    help="Of `sms-bridge emulate`; else the running bridge's own.",
)
def command(request: tuple[str, ...], config: Path | None, directory: Path | None) -> int:
    """Tell running virtual modems what to do, and print their answer.

    REQUEST is a verb and its fields, or a JSON object, or - for JSON lines on stdin:

    \b
      sms-bridge control deliver from=+36301234567 text="I am back"
      sms-bridge control '{"do": "unplug", "modem": 0}'
    """
    if directory is None:
        directory = load_settings(config).data_dir / "virtual"
    good = True
    with _connect(directory / "control") as link, link.makefile("rwb") as stream:
        for one in _requests(request):
            answer = _ask(stream, one)
            good = good and bool(answer.get("ok"))
            click.echo(json.dumps(answer, ensure_ascii=False))
    return 0 if good else 1


def _requests(words: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    if words == ("-",):
        for line in sys.stdin:
            if line.strip():
                yield _parse(line)
    elif words[0].lstrip().startswith("{"):
        for word in words:
            yield _parse(word)
    else:
        yield {"do": words[0], "modem": 0, **dict(_field(word) for word in words[1:])}


def _field(word: str) -> tuple[str, Any]:
    key, equals, value = word.partition("=")
    if not equals:
        raise click.UsageError(f"{word!r} is no field: write it as name=value.")
    if key != "text" and value in FLAGS:
        return key, FLAGS[value]
    if key in NUMBERS and value.replace(".", "", 1).isdecimal():
        return key, float(value) if "." in value else int(value)
    return key, value


def _parse(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise click.UsageError(f"not JSON: {error}") from None
    if not isinstance(found, dict):
        raise click.UsageError('a request is a JSON object such as {"do": "list"}.')
    return found


def _connect(path: Path) -> socket.socket:
    link = socket.socket(socket.AF_UNIX)
    link.settimeout(ANSWER_DEADLINE)
    try:
        link.connect(str(path))
    except OSError as error:
        link.close()
        why = error.strerror or str(error)
        raise click.ClickException(
            f"no virtual modems answer at {path} ({why}). Is `sms-bridge run` or `sms-bridge emulate` running, "
            "and --dir its folder?"
        ) from None
    return link


def _ask(stream: Any, request: dict[str, Any]) -> dict[str, Any]:
    try:
        stream.write(json.dumps(request).encode() + b"\n")
        stream.flush()
        line = stream.readline()
        found = json.loads(line) if line else None
    except (TimeoutError, ValueError, BrokenPipeError, ConnectionError):
        found = None
    if not isinstance(found, dict):
        raise click.ClickException("the virtual modems did not answer.")
    return found
