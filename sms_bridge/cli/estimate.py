"""`sms-bridge estimate`: what a text costs before it is sent."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from hardware.pdu import PduError
from sms_bridge.cli.options import config_option, load_settings, printable


@click.command("estimate")
@click.argument("text")
@config_option
@click.option(
    "--to", "recipient", metavar="NUMBER", help="Whether it may be written to, too: a number, @contact, #group."
)
@click.option("--encoding", type=click.Choice(["auto", "gsm7", "ucs2"]), default="auto", help="The alphabet.")
@click.option("--national", multiple=True, metavar="LANGUAGE", help="Allow the table of turkish, spanish, …")
@click.option(
    "--language", metavar="CODE", help="Of the reader, such as uk: how its letters are written in Latin ones."
)
@click.option("--json", "as_json", is_flag=True, help="One line, for programs.")
def command(
    text: str,
    config: Path | None,
    recipient: str | None,
    encoding: str,
    national: tuple[str, ...],
    language: str | None,
    as_json: bool,
) -> int:
    """Say what TEXT costs: its alphabet, its parts, what makes it longer; - reads it from stdin. Sends nothing."""
    from sms_bridge.core.estimates import describe

    if text == "-":
        text = sys.stdin.buffer.read().decode("utf-8", "replace").rstrip("\n")
    try:
        found = describe(text, encoding, national, language)
    except PduError as error:
        raise click.ClickException(f"the text cannot be encoded: {error.reason}") from None
    if recipient is not None:
        found["recipients"] = _recipients(config, recipient)
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False))
    else:
        click.echo("\n".join(_lines(found, text)))
    return 1 if any(each["error"] for each in found.get("recipients", ())) else 0


def _recipients(config: Path | None, recipient: str) -> list[dict[str, Any]]:
    """Whom it would go to, and what the guards of the configuration say."""
    from sms_bridge.core.errors import NumberError
    from sms_bridge.core.guards import NumberRules
    from sms_bridge.core.numbers import DictContactBook, expand

    settings = load_settings(config)
    book = DictContactBook(settings.contacts, settings.groups, settings.default_region)
    rules = NumberRules(settings.guards)
    try:
        numbers = expand(recipient, settings.default_region, book)
    except NumberError as error:
        return [{"to": recipient, "contact": None, "error": {"code": error.code, "text": str(error)}}]
    found: list[dict[str, Any]] = []
    for number in dict.fromkeys(numbers):
        refusal = rules.refusal(number)
        why = {"code": refusal.code, "text": refusal.text} if refusal is not None else None
        found.append({"to": number, "contact": book.name_of(number), "error": why})
    return found


def _lines(found: dict[str, Any], text: str) -> list[str]:
    lines = [_figures(found, len(text))]
    for each in found["foreign"]:
        kin = each["replacement"]
        instead = "" if kin is None else ", may go" if kin == "" else f", for which {printable(kin)} would do"
        shown = ", ".join(str(position + 1) for position in each["positions"][:8])
        more = ", …" if each["count"] > 8 else ""
        lines.append(f"  {printable(each['character'])} ({each['code']}) at {shown}{more}{instead}")
    if found["foreign"] and found["encoding"] == "ucs2":
        lines.insert(1, "Not in the cheap alphabet, which makes a part 70 characters instead of 160:")
    if found["replacement"] is not None:
        lines += [f"Instead: {printable(found['replacement']['text'])}", f"  {_figures(found['replacement'])}"]
    for each in found.get("recipients", ()):
        who = f"{each['to']} ({each['contact']})" if each["contact"] else each["to"]
        lines.append(f"To {printable(who)}: {each['error']['text'] if each['error'] else 'may be written to'}")
    return lines


def _figures(found: dict[str, Any], length: int | None = None) -> str:
    parts = "1 part" if found["parts"] == 1 else f"{found['parts']} parts"
    what = "" if length is None else f"{length} characters: "
    return f"{what}{parts}, {found['encoding']}, {found['left']} of {found['per_part']} left in the last part"
