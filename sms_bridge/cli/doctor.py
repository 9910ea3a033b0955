"""`sms-bridge doctor`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from sms_bridge.cli.live import ask_bridge
from sms_bridge.cli.options import config_option, load_settings, printable, root_option
from sms_bridge.config import ConfigError, Settings
from sms_bridge.observe.doctor import Finding, Level, examine, worst

MARKS = {Level.OK: "ok  ", Level.INFO: "note", Level.WARN: "WARN", Level.FAIL: "FAIL"}


@click.command("doctor")
@config_option
@root_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per finding.")
@click.option(
    "--bundle",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.tar.gz",
    help="Also write an archive for who helps from afar: without numbers, PINs, passwords and texts.",
)
def command(config: Path | None, root: Path, as_json: bool, bundle: Path | None) -> int:
    """Check everything a technician would, say what is wrong and what helps; 1 if something fails.

    With sudo it sees the programs of other users and the service's own folder.
    """
    from sms_bridge.cli.gather import Machine, gather

    settings, error = _settings(config)
    live = ask_bridge(settings.mqtt)
    machine = Machine(root)
    findings = examine(gather(settings, error, live, machine))
    for finding in findings:
        click.echo(json.dumps(finding.as_dict(), ensure_ascii=False) if as_json else "\n".join(lines_of(finding)))
    if not as_json:
        click.echo(_summary(findings))
    if bundle is not None:
        from sms_bridge.cli.bundle import write_bundle

        write_bundle(bundle, settings, error, live, machine, findings)
        click.echo(f"{bundle} is written. Look into it, then send it.", err=True)
    return 1 if worst(findings) is Level.FAIL else 0


def lines_of(finding: Finding) -> list[str]:
    """A finding for a person, with its fix below it."""
    text = printable(finding.text).replace("\n", " ")
    fix = printable(finding.fix).replace("\n", " ")
    return [f"{MARKS[finding.level]}  {text}", *([f"        {fix}"] if fix else [])]


def _settings(config: Path | None) -> tuple[Settings, ConfigError | None]:
    try:
        return load_settings(config), None
    except ConfigError as error:
        return Settings(), error


def _summary(findings: list[Finding]) -> str:
    failed = sum(finding.level is Level.FAIL for finding in findings)
    warned = sum(finding.level is Level.WARN for finding in findings)
    if not failed and not warned:
        return "\nAll is well."
    return f"\n{failed} to mend, {warned} to look at."
