"""`sms-bridge emulate`: virtual modems as serial ports, for a test, a demonstration, a first look."""

from __future__ import annotations

import asyncio
import json
import os
import selectors
import signal
import stat
import sys
from pathlib import Path

import click

from hardware.emulator.control import parse_latency
from hardware.emulator.emulator import MAX_MODEMS, Emulator
from hardware.emulator.personality import DEFAULT, PersonalityError, names
from hardware.emulator.serial import die_with_parent


@click.command("emulate")
@click.option("--modems", type=click.IntRange(1, MAX_MODEMS), default=2, show_default=True, help="How many modems.")
@click.option(
    "--dir",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Where the ports modem0..., ledger.jsonl and the control socket go.",
)
@click.option(
    "--personality",
    "personalities",
    multiple=True,
    metavar="NAME",
    help=f"The device to be: {', '.join(names())}, or a .toml file; given again for the next modems. [{DEFAULT}]",
)
@click.option("--latency", default="2-6", show_default=True, help="Seconds a message takes: 0.5, or 2-6.")
@click.option("--seed", type=int, default=0, show_default=True, help="Other SIMs and chances for other seeds.")
@click.option(
    "--trace",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Append a JSON line for each step of a dialogue, with CLOCK_MONOTONIC in ns.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON line when ready, and nothing more.")
@click.option("--parent-watch", is_flag=True, help="End when the parent process ends, or standard input does.")
def command(
    modems: int,
    directory: Path,
    personalities: tuple[str, ...],
    latency: str,
    seed: int,
    trace: Path | None,
    as_json: bool,
    parent_watch: bool,
) -> None:
    """Virtual modems that programs can open as serial ports.

    DIR/modem0, DIR/modem1, ... are the ports; DIR/ledger.jsonl has a line for each message that crossed the emulated
    network; DIR/control takes JSON lines such as {"do": "deliver", "modem": 0, "from": "+36301234567", "text": "Hi"}.
    """
    chosen = personalities or (DEFAULT,)
    try:
        emulator = Emulator(
            [chosen[i % len(chosen)] for i in range(modems)], directory, parse_latency(latency), seed, trace
        )
    except (PersonalityError, ValueError) as error:
        raise click.UsageError(str(error)) from None
    try:
        with asyncio.Runner(loop_factory=_exact_loop) as runner:
            runner.run(_serve(emulator, as_json=as_json, parent_watch=parent_watch))
    except BlockingIOError:
        raise click.ClickException(f"another emulator runs in {directory}: choose another --dir") from None
    except OSError as error:
        raise click.ClickException(f"cannot start in {directory}: {error.strerror or error}") from None


def _exact_loop() -> asyncio.AbstractEventLoop:
    """epoll counts in whole milliseconds: modems a little apart would be done together, as no two real ones are."""
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


async def _serve(emulator: Emulator, *, as_json: bool, parent_watch: bool) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, ended.set)
    if parent_watch:
        _watch_parent(loop, ended)
    await emulator.start()
    try:
        click.echo(_ready_line(emulator) if as_json else _table(emulator))
        sys.stdout.flush()
        await ended.wait()
    finally:
        await emulator.stop()


def _watch_parent(loop: asyncio.AbstractEventLoop, ended: asyncio.Event) -> None:
    """The end of a pipe on standard input says it; where that is no pipe, the kernel does."""
    if not stat.S_ISFIFO(os.fstat(0).st_mode) and not stat.S_ISSOCK(os.fstat(0).st_mode):
        parent = os.getppid()
        die_with_parent()
        if parent != os.getppid():
            ended.set()
        return

    def read() -> None:
        try:
            data = os.read(0, 4096)
        except OSError:
            data = b""
        if not data:
            loop.remove_reader(0)
            ended.set()

    loop.add_reader(0, read)


def _ready_line(emulator: Emulator) -> str:
    return json.dumps(
        {
            "ports": emulator.ports,
            "control": str(emulator.control_path),
            "ledger": str(emulator.ledger_path),
            "numbers": [modem.number for modem in emulator.modems],
            "personalities": [modem.personality.name for modem in emulator.modems],
        }
    )


def _table(emulator: Emulator) -> str:
    rows = [("port", "device", "number", "IMEI", "ICCID")]
    rows += [(str(m.line.link), m.personality.title, m.number, m.imei, m.iccid) for m in emulator.modems]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    low, high = emulator.network.latency
    example = {"do": "deliver", "modem": 0, "from": "+36301234567", "text": "Hello"}
    return "\n".join(
        [
            *lines,
            "",
            f"A message takes {low:g} s." if low == high else f"A message takes {low:g} to {high:g} s.",
            f"Ledger:   {emulator.ledger_path}",
            f"Control:  echo '{json.dumps(example)}' | socat - UNIX-CONNECT:{emulator.control_path}",
            '          {"do": "list"}, {"do": "inbox", "modem": 0}, {"do": "unplug", "modem": 0},'
            ' {"do": "fault", "modem": 0, "name": "lost_result"}',
            "Ctrl-C ends.",
        ]
    )
