"""`sms-bridge modems --watch`: a table that is drawn anew on a terminal, else a line per change."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict

import click

from sms_bridge.cli.broker import Back, Client
from sms_bridge.cli.live import NOT_ONLINE, Live
from sms_bridge.cli.modems import Row, _cells, _remarks, beside, table
from sms_bridge.config import MqttSettings

LOOK = 1.0  # s between two looks at the plugs
AGAIN = 10.0  # s between two tries at a broker that was never there

HOME, REST_OF_LINE, REST_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"


def watch(settings: MqttSettings, look: Callable[[], list[Row]], *, as_json: bool) -> int:
    """Until Ctrl-C."""
    live = Live(settings.base_topic)
    client: Client | None = None
    tried = -AGAIN
    shown: dict[str, str] = {}
    drawn = ""
    on_terminal = sys.stdout.isatty() and not as_json
    try:
        while True:
            if client is None and time.monotonic() - tried >= AGAIN:
                client = _client(settings, live)
                tried = time.monotonic()
            rows = beside(look(), live)
            if on_terminal:
                drawn = _draw(table(rows, live), drawn)
            else:
                shown = _tell(rows, shown, as_json=as_json)
            _take(client, live)
    finally:
        if client is not None:
            client.stop()


def changes(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Lines for what came (`+`), went (`-`) and is otherwise than it was (`~`)."""
    gone = [f"- {line}" for key, line in before.items() if key not in after]
    return gone + [f"{'~' if key in before else '+'} {line}" for key, line in after.items() if before.get(key) != line]


def _client(settings: MqttSettings, live: Live) -> Client | None:
    client = None
    try:
        client = Client(settings, live.topics)
        client.start()
    except click.ClickException as error:
        if client is not None:
            client.stop()
        live.reason = error.message
        return None
    live.connected, live.reason = True, NOT_ONLINE
    return client


def _take(client: Client | None, live: Live) -> None:
    """What comes within a second; several things that come at once are shown at once."""
    end = time.monotonic() + LOOK
    if client is None:
        time.sleep(LOOK)
        return
    while (left := end - time.monotonic()) > 0 and (event := client.next(left)) is not None:
        live.take(event)
        if isinstance(event, Back):
            live.connected, live.reason = True, NOT_ONLINE


def _draw(lines: list[str], drawn: str) -> str:
    """Over what stands there, so that nothing flickers; nothing when nothing changed."""
    screen = "\n".join(lines)
    if screen != drawn:
        text = "".join(f"{line}{REST_OF_LINE}\n" for line in lines)
        sys.stdout.write(HOME + text + REST_OF_SCREEN)
        sys.stdout.flush()
    return screen


def _tell(rows: list[Row], shown: dict[str, str], *, as_json: bool) -> dict[str, str]:
    if as_json:
        now = {_key(row): json.dumps(asdict(row), ensure_ascii=False) for row in rows}
        lines = [line[2:] for line in changes(shown, now) if not line.startswith("- ")]
        lines += [json.dumps({"gone": key}) for key in shown if key not in now]
    else:
        now = {_key(row): _line(row) for row in rows if row.role != "other"}
        lines = [f"{time.strftime('%H:%M:%S')} {line}" for line in changes(shown, now)]
    for line in lines:
        click.echo(line)
    sys.stdout.flush()
    return now


def _line(row: Row) -> str:
    facts = [cell for cell in _cells(row) if cell] + [remark.strip() for remark in _remarks(row)]
    return "  ".join(facts).replace("\n", " ")


def _key(row: Row) -> str:
    name = (row.live or {}).get("name")
    return row.port or row.usb_path or str(name)
