"""`sms-bridge health`."""

from __future__ import annotations

from pathlib import Path

import click

from sms_bridge.cli.broker import connected
from sms_bridge.cli.options import config_option, load_settings


@click.command("health")
@config_option
def command(config: Path | None) -> int:
    """Exit with 0 if the bridge says at its broker that it is online, else with 1 and a sentence."""
    settings = load_settings(config).mqtt
    topic = f"{settings.base_topic}/bridge/state"
    with connected(settings, [topic]) as client:
        client.require_bridge(topic)
    click.echo("online")
    return 0
