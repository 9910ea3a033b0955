"""`sms-bridge config`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from sms_bridge.config import ConfigError, Settings, find, load


@click.group("config")
def command() -> None:
    """Check the configuration; print its schema."""


@command.command("check")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object: ok, file, problems.")
def check(file: Path | None, as_json: bool) -> int:
    """Check FILE, or the file that `run` would read, and say everything that is wrong with it."""
    path = file if file is not None else find()
    try:
        settings = load(path)
    except ConfigError as error:
        if as_json:
            problems = [problem.as_dict() for problem in error.problems]
            click.echo(json.dumps({"ok": False, "file": str(path), "problems": problems}, ensure_ascii=False))
        else:
            for problem in error.problems:
                click.echo(str(problem), err=True)
        return 1
    if as_json:
        click.echo(json.dumps({"ok": True, "file": str(path) if path else None, "problems": []}))
    else:
        click.echo("\n".join(_summary(settings)))
    return 0


@command.command("schema")
def schema() -> None:
    """Print the JSON Schema of the configuration, for editors."""
    from sms_bridge.config.schema import json_schema

    click.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))


def _summary(settings: Settings) -> list[str]:
    mqtt = settings.mqtt
    where = "of this machine, or one of its own" if mqtt.local else f"{mqtt.host}:{mqtt.port}"
    user = f" as {mqtt.username}" if mqtt.username else ""
    lines = [
        f"OK  {settings.source or 'no file: the defaults'}",
        f"    broker   {where}{user}{', TLS' if mqtt.tls else ''}, topics {mqtt.base_topic}/…",
        f"    journal  {settings.data_dir}",
    ]
    for modem in settings.modems:
        pin = ", with PIN" if modem.pin else ""
        lines.append(f"    modem    {modem.name} at {modem.port}{pin}{'' if modem.enabled else ', switched off'}")
    if not settings.modems:
        lines.append(f"    modem    what is plugged in, else {settings.virtual_modems.count} virtual ones")
    if settings.contacts or settings.groups:
        lines.append(f"    people   {len(settings.contacts)} contacts, {len(settings.groups)} groups")
    return lines
