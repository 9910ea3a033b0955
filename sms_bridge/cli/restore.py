"""`sms-bridge restore`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from sms_bridge.cli.options import config_option, load_settings
from sms_bridge.core.errors import CoreError


@click.command("restore")
@click.argument("archive", type=click.Path(path_type=Path))
@config_option
@click.option("--data", "data_dir", type=click.Path(path_type=Path, file_okay=False), help="Folder of the journal.")
@click.option(
    "--hold/--send",
    default=True,
    help="What waited when the backup was made: hold it as unknown or send it, perhaps for the second time.",
)
def command(archive: Path, config: Path | None, data_dir: Path | None, hold: bool) -> int:
    """Put the backup ARCHIVE into the data folder of a bridge that does not run; what was there is kept."""
    from sms_bridge.parts.restore import Restored, restore

    folder = data_dir or load_settings(config).data_dir
    try:
        done: Restored = restore(archive, folder, datetime.now(UTC), hold=hold)
    except CoreError as error:
        raise click.ClickException(f"{error}{f' ({error.hint})' if error.hint else ''}") from error
    orders = done.orders
    click.echo(f"The backup of {done.manifest.made_at} is in {folder}: {orders.finished} finished orders.")
    if orders.held:
        click.echo(
            f"{orders.held} orders waited when it was made and may have been sent since: they are `unknown`, with the "
            "error `restored`. Look at each; the request message/resend sends one again."
        )
    if orders.kept:
        when = "at the time that they were given" if hold else "as soon as the bridge runs"
        click.echo(f"{orders.kept} orders go {when}.")
    if done.aside is not None:
        click.echo(f"What was there before is in {done.aside}.")
    if done.configuration is not None:
        missing = f", without {', '.join(done.manifest.left_out)}" if done.manifest.left_out else ""
        click.echo(f"Its configuration is {done.configuration}{missing}: it is not in use until you put it in place.")
    return 0
