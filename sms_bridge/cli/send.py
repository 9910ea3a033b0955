"""`sms-bridge send`."""

from __future__ import annotations

import json
import sys
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from sms_bridge.cli.broker import Client, Lost, Message, Refused, connected, fields_of
from sms_bridge.cli.options import config_option, load_settings, printable

ACCEPT_DEADLINE = 15.0  # seconds for the bridge's first word: one commit, on a slow SD card
REPORT_DEADLINE = 30.0  # seconds after `sent` for a delivery report; the phone may be off for days
GOOD = ("sent", "delivered")
ENDED = ("delivered", "failed", "expired", "cancelled", "rejected", "unknown")
TICK = 0.2


@dataclass
class _Progress:
    """What is known of the order, per recipient."""

    wait: bool
    started: float
    latest: dict[str, dict[str, Any]] = field(default_factory=dict)
    sent_at: dict[str, float] = field(default_factory=dict)

    def take(self, status: dict[str, Any]) -> None:
        to, state = str(status.get("to")), str(status.get("state"))
        self.latest[to] = status
        if state == "sent":
            self.sent_at.setdefault(to, time.monotonic())

    def finished(self) -> bool:
        return bool(self.latest) and all(self._done(to, status) for to, status in self.latest.items())

    def _done(self, to: str, status: dict[str, Any]) -> bool:
        state = status.get("state")
        if not self.wait or state in ENDED:
            return True
        return state == "sent" and time.monotonic() - self.sent_at[to] > REPORT_DEADLINE


@click.command("send")
@click.argument("number")
@click.argument("text")
@config_option
@click.option("--modem", default=None, metavar="NAME", help="Through this modem only.")
@click.option("--wait/--no-wait", default=True, help="Until it is sent or delivered; or only until it is accepted.")
@click.option("--timeout", default=600.0, show_default=True, help="Seconds to wait at most.")
@click.option("--json", "as_json", is_flag=True, help="Print the last status of each recipient as a JSON line.")
def command(
    number: str, text: str, config: Path | None, modem: str | None, wait: bool, timeout: float, as_json: bool
) -> int:
    """Send TEXT to NUMBER (or @contact, #group) through the running bridge; - reads the text from stdin."""
    settings = load_settings(config).mqtt
    if text == "-":
        text = sys.stdin.buffer.read().decode("utf-8", "replace").rstrip("\n")
    order: dict[str, Any] = {"id": f"cli-{uuid.uuid4().hex[:12]}", "to": number, "text": text}
    if modem is not None:
        order["modem"] = modem
    base = settings.base_topic
    with connected(settings, [f"{base}/status", f"{base}/bridge/state"]) as client:
        # An order to a bridge that is away would be sent some day; nobody who waits here wants that.
        client.require_bridge(f"{base}/bridge/state")
        progress = _Progress(wait, time.monotonic())
        client.publish(f"{base}/out", json.dumps(order, ensure_ascii=False))
        _follow(client, order["id"], progress, timeout, f"{base}/status")
    return _report(progress, as_json)


def _follow(client: Client, order: str, progress: _Progress, timeout: float, topic: str) -> None:
    live = sys.stderr.isatty()
    end = progress.started + timeout
    while not progress.finished():
        now = time.monotonic()
        if not progress.latest and now - progress.started > min(timeout, ACCEPT_DEADLINE):
            raise click.ClickException(f"the bridge did not answer. The order {order} may still be sent.")
        if now > end:
            return
        event = client.next(TICK)
        if isinstance(event, Refused | Lost) and live:
            click.echo("the broker is away, trying again", err=True)
        if not isinstance(event, Message) or event.topic != topic:
            continue
        status = fields_of(event.payload)
        if status.get("id") != order:
            continue
        progress.take(status)
        if live:
            click.echo(f"{time.monotonic() - progress.started:5.1f} s  {_line(status)}", err=True)


def _report(progress: _Progress, as_json: bool) -> int:
    failed = False
    for status in progress.latest.values():
        state = status.get("state")
        good = state in GOOD or (not progress.wait and state not in ENDED)
        failed = failed or not good
        if as_json:
            click.echo(json.dumps(status, ensure_ascii=False))
        elif good:
            click.echo(_line(status))
        else:
            click.echo(f"sms-bridge: {_line(status)}", err=True)
    return 1 if failed else 0


def _line(status: dict[str, Any]) -> str:
    """One status in words."""
    words = [str(status.get("to") or "the order"), str(status.get("state"))]
    if status.get("state") == "sending" and isinstance(status.get("parts"), int) and status["parts"] > 1:
        words.append(f"({status.get('parts_sent', 0)} of {status['parts']} parts sent)")
    if status.get("modem"):
        words.append(f"by {status['modem']}")
    error = status.get("error")
    text = " ".join(words)
    return printable(f"{text}: {error.get('text')} ({error.get('code')})" if isinstance(error, dict) else text)
