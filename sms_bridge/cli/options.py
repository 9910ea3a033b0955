"""What several commands share: the configuration's option, and text that is safe to print."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from sms_bridge.config import Settings, find, load

_Command = Callable[..., Any]


def config_option(function: _Command) -> _Command:
    """`--config FILE`, else what `find` finds."""
    option = click.option(
        "-c",
        "--config",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Configuration; else $SMS_BRIDGE_CONFIG, ./sms-bridge.yaml, /etc/sms-bridge.yaml or the data folder's.",
    )
    return option(function)


def root_option(function: _Command) -> _Command:
    """`--root DIR`: where sys, dev and proc are; for tests."""
    option = click.option("--root", type=click.Path(path_type=Path), default=Path("/"), hidden=True)
    return option(function)


def load_settings(config: Path | None, *, data_dir: Path | None = None, upgrade: bool = False) -> Settings:
    """The settings of `config` or of the file that is found; ConfigError with all that is wrong.

    `upgrade`: a file of an older version is rewritten.
    """
    return load(config if config is not None else find(data_dir=data_dir), data_dir=data_dir, upgrade=upgrade)


def printable(text: str) -> str:
    """Text of a stranger for a terminal: line breaks kept, control and direction characters shown as escapes."""
    return "".join(
        char
        if char == "\n" or unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Co") or char in "\u200d\ufe0f"
        else f"\\u{ord(char):04x}"
        for char in text
    )
