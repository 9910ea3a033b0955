"""`sms-bridge run`."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from sms_bridge.cli.options import config_option, load_settings


@click.command("run")
@config_option
@click.option("--data", "data_dir", type=click.Path(path_type=Path, file_okay=False), help="Folder of the journal.")
@click.option("-v", "--verbose", is_flag=True, help="Log every step.")
def command(config: Path | None, data_dir: Path | None, verbose: bool) -> int:
    """Run the bridge until it is told to stop (Ctrl-C, SIGTERM).

    Without a configuration it uses the broker of this machine, or starts one, and two virtual modems where none
    is plugged in.
    """
    settings = load_settings(config, data_dir=data_dir, upgrade=True)
    if verbose:
        settings = dataclasses.replace(settings, logging=dataclasses.replace(settings.logging, level="debug"))
    _require_our_hardware()

    from sms_bridge.app import run
    from sms_bridge.observe.logging import set_up

    writer = set_up(settings.logging.level, as_json=settings.logging.json)
    try:
        return run(settings)
    finally:
        writer.stop()


def _require_our_hardware() -> None:
    """`hardware` is a name that others use too: without a venv theirs could be the one that is found."""
    import hardware
    import sms_bridge

    theirs, ours = (Path(str(module.__file__)).resolve().parent.parent for module in (hardware, sms_bridge))
    if theirs != ours:
        raise click.ClickException(
            f"the package `hardware` in {theirs} is another program's. Run sms-bridge from its own .venv (make run)."
        )
