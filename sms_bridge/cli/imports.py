"""`sms-bridge import`: the configuration of another SMS daemon as one of the bridge, on stdout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from sms_bridge.cli.foreign import MAX_BYTES, ForeignError

_Convert = Callable[[bytes, str], str]


@click.group("import")
def command() -> None:
    """Turn another SMS daemon's configuration into one for the bridge: prints YAML, changes nothing."""


@command.command("gammu-smsdrc")
@click.argument("file", type=click.Path(path_type=Path))
def gammu_smsdrc(file: Path) -> int:
    """FILE of gammu-smsd, such as /etc/gammu-smsdrc."""
    from sms_bridge.cli.gammu import from_smsdrc

    return _print(file, from_smsdrc)


@command.command("smsd.conf")
@click.argument("file", type=click.Path(path_type=Path))
def smsd_conf(file: Path) -> int:
    """FILE of SMS Server Tools 3, such as /etc/smsd.conf."""
    from sms_bridge.cli.gammu import from_smsd_conf

    return _print(file, from_smsd_conf)


def _print(file: Path, convert: _Convert) -> int:
    with file.open("rb") as raw:
        text = raw.read(MAX_BYTES + 1)
    try:
        click.echo(convert(text, file.name), nl=False)
    except ForeignError as error:
        raise click.ClickException(str(error)) from error
    return 0
