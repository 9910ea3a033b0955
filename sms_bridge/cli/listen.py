"""`sms-bridge listen`."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from sms_bridge.cli.broker import Back, Lost, Message, Refused, connected
from sms_bridge.cli.options import config_option, load_settings, printable


@click.command("listen")
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print each message as a JSON line, as it came.")
def command(config: Path | None, as_json: bool) -> int:
    """Print messages as they come in, until Ctrl-C. Reconnects when the broker comes back."""
    settings = load_settings(config).mqtt
    topic = f"{settings.base_topic}/in"
    with connected(settings, [topic]) as client:
        click.echo(f"listening on {topic} at {client.address}", err=True)
        away = False
        while True:
            event = client.next(1.0)  # short, so that Ctrl-C is heard
            if isinstance(event, Message):
                _show(event.payload, as_json)
            elif isinstance(event, Refused):
                raise click.ClickException(f"the broker at {client.address} refuses: {event.reason}.")
            elif isinstance(event, Lost) and not away:
                away = True
                click.echo("the broker is away, trying again; what comes meanwhile is not shown here", err=True)
            elif isinstance(event, Back) and away:
                away = False
                click.echo("listening again", err=True)


def _show(payload: bytes, as_json: bool) -> None:
    try:
        message = json.loads(payload)
    except ValueError:
        message = None
    if not isinstance(message, dict):
        click.echo(f"not a message: {printable(payload.decode(errors='replace'))}", err=True)
    elif as_json:
        click.echo(json.dumps(message, ensure_ascii=False))
    else:
        click.echo(describe(message))


def describe(message: dict[str, Any]) -> str:
    """A received message for a person: when, from whom, through what, and the text."""
    sender = printable(str(message.get("from") or "unknown"))
    if message.get("contact"):
        sender += f" ({printable(str(message['contact']))})"
    text = message.get("text")
    if text is None:
        text = f"[{message.get('type', 'data')}: {message.get('data') or 'nothing'}]"
    if message.get("partial"):
        missing = message.get("missing")
        parts = ", ".join(str(part) for part in missing) if isinstance(missing, list) else "some"
        text = f"{text} [missing: part {parts} of {message.get('parts')}]"
    body = printable(str(text)).replace("\n", "\n    ")
    return f"{_clock(message.get('received_at'))}  {sender} → {message.get('modem')}: {body}"


def _clock(stamp: Any) -> str:
    try:
        return datetime.fromisoformat(stamp).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except (TypeError, ValueError, OverflowError):
        return datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S")
