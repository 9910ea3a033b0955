"""The command line: a module per command, loaded when it is called."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any, NoReturn

import click

# name -> (module, what it does). Each module has a click object named `command`.
COMMANDS = {
    "run": ("sms_bridge.cli.run", "Run the bridge."),
    "send": ("sms_bridge.cli.send", "Send one message and show what becomes of it."),
    "listen": ("sms_bridge.cli.listen", "Print messages as they come in."),
    "estimate": ("sms_bridge.cli.estimate", "Say what a text costs, and what makes it longer."),
    "health": ("sms_bridge.cli.health", "Whether the bridge is online, as an exit code."),
    "modems": ("sms_bridge.cli.modems", "What is plugged in, who holds it, what is wrong with it."),
    "doctor": ("sms_bridge.cli.doctor", "Check everything a technician would; say what helps."),
    "restore": ("sms_bridge.cli.restore", "Put a backup back."),
    "import": ("sms_bridge.cli.imports", "Read the configuration of Gammu or SMS Server Tools."),
    "emulate": ("sms_bridge.cli.emulate", "Run virtual modems as serial ports."),
    "control": ("sms_bridge.cli.control", "Tell running virtual modems what to do."),
    "pdu": ("sms_bridge.cli.pdu", "Decode and encode SMS PDUs."),
    "config": ("sms_bridge.cli.config", "Check the configuration; print its schema."),
}
INTERRUPTED = 130  # 128 + SIGINT, as a shell reports it


class LazyGroup(click.Group):
    """Knows its commands by name; imports the one that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = import_module(COMMANDS[cmd_name][0]).command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(args[0], COMMANDS, 1, 0.6)
            ctx.fail(f"there is no command {args[0]!r}." + (f" Did you mean {near[0]}?" if near else ""))
        return super().resolve_command(ctx, args)


def _show_version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from importlib.metadata import PackageNotFoundError, version

        try:
            number = version("sms-bridge")
        except PackageNotFoundError:
            number = "unknown"
        click.echo(f"sms-bridge {number}")
        ctx.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=_show_version, help="Print it.")
def cli() -> None:
    """Two-way SMS on MQTT, through GSM modems."""


def main(args: list[str] | None = None) -> NoReturn:
    """Runs the command line and exits: 0 done, 1 failed with a sentence on stderr, 2 wrong usage, 130 Ctrl-C."""
    try:
        result: Any = cli.main(args, prog_name="sms-bridge", standalone_mode=False)
        sys.stdout.flush()
        code = result if isinstance(result, int) else 0
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    except BrokenPipeError:
        # The reader has gone, as in `| head`: nothing to say, and nobody to say it to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except Exception as error:
        sentence = _sentence(error)
        if sentence is None:
            raise
        click.echo(f"sms-bridge: {sentence}", err=True)
        code = 1
    sys.exit(code)


def _sentence(error: Exception) -> str | None:
    """What a person can do about `error`, or None: then it is a mistake of ours and needs its traceback."""
    from hardware.errors import HardwareError
    from sms_bridge.config.errors import ConfigError

    if isinstance(error, ConfigError):
        return "the configuration cannot be used:\n" + "\n".join(f"  {problem}" for problem in error.problems)
    if isinstance(error, HardwareError):
        return f"{error}. {error.hint}".rstrip(". ") + "."
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}."
    return None
