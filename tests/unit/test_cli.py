"""The command line as a person meets it: exit codes, sentences, speed."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pytest

from hardware.errors import PortBusy
from sms_bridge import cli
from sms_bridge.cli.listen import describe
from sms_bridge.cli.options import printable
from sms_bridge.cli.send import _line
from sms_bridge.config import ConfigError, Problem

ENV = {key: value for key, value in os.environ.items() if key not in ("SMS_BRIDGE_CONFIG", "STATE_DIRECTORY")}


def call(*args: str, cwd: Path | None = None, stdin: str = "", **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sms_bridge", *args]
    return subprocess.run(
        command, capture_output=True, text=True, input=stdin, timeout=50, cwd=cwd, env={**ENV, **env}, check=False
    )


def raising(error: BaseException) -> Any:
    @click.command("x")
    def command() -> None:
        raise error

    return command


def exits(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> int:
    module = ModuleType("sms_bridge.cli.x")
    module.command = raising(error)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sms_bridge.cli.x", module)
    monkeypatch.setitem(cli.COMMANDS, "x", ("sms_bridge.cli.x", "fails"))
    with pytest.raises(SystemExit) as caught:
        cli.main(["x"])
    assert isinstance(caught.value.code, int)
    return caught.value.code


def test_the_version_is_quick() -> None:
    times = []
    for _ in range(5):
        started = time.perf_counter()
        done = call("--version")
        times.append(time.perf_counter() - started)
        assert done.returncode == 0
        assert re.fullmatch(r"sms-bridge [0-9.]+\n", done.stdout)
    # 0.08 s on an idle machine; here four other processes may be busy.
    assert min(times) < 0.5


def test_only_what_is_called_is_imported() -> None:
    code = (
        "import sys; sys.argv = ['sms-bridge', '--help']\n"
        "from sms_bridge.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert end.code == 0\n"
        "heavy = ('asyncio', 'paho', 'pydantic', 'serial', 'ruamel', 'voluptuous', 'sqlite3')\n"
        "found = [name for name in heavy if name in sys.modules]; assert not found, found"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stderr
    for name, (_, summary) in cli.COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(summary)}$", done.stdout, re.MULTILINE)


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_explains_itself(name: str) -> None:
    done = call(name, "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"Usage: sms-bridge {name}")


@pytest.mark.parametrize(
    "args", [[], ["nonsense"], ["send"], ["run", "--nonsense"], ["config"], ["config", "nonsense"]]
)
def test_wrong_usage_is_2(args: Sequence[str]) -> None:
    done = call(*args)
    assert done.returncode == 2
    assert "Usage: sms-bridge" in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


def test_a_misspelt_command_is_recognised() -> None:
    assert "Did you mean modems?" in call("modem").stderr


def test_what_a_person_can_mend_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    busy = PortBusy("/dev/x is in use", hint="ModemManager (12) holds it: stop it.")
    assert exits(monkeypatch, busy) == 1
    assert capsys.readouterr().err == "sms-bridge: /dev/x is in use. ModemManager (12) holds it: stop it.\n"
    assert exits(monkeypatch, ConfigError([Problem("f", 3, 1, "a.b", "is wrong", "write c")])) == 1
    assert "f:3: a.b: is wrong; write c" in capsys.readouterr().err
    assert exits(monkeypatch, PermissionError(13, "Permission denied", "/data")) == 1
    assert capsys.readouterr().err == "sms-bridge: /data: Permission denied.\n"
    assert exits(monkeypatch, click.ClickException("no")) == 1
    assert capsys.readouterr().err == "Error: no\n"


def test_a_mistake_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ZeroDivisionError):
        exits(monkeypatch, ZeroDivisionError())


def test_ctrl_c_is_quiet(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert exits(monkeypatch, KeyboardInterrupt()) == 130
    captured = capsys.readouterr()
    assert captured.err.strip() == captured.out == ""


def test_a_reader_that_leaves_is_no_traceback() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "sms_bridge", "config", "schema"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    error = process.stderr.read()
    process.stderr.close()
    assert process.wait(50) in (0, 1)
    assert error == b""


def test_config_check(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text('mqtt: {host: broker}\nmodems: [{port: /dev/x, pin: "1234"}]\ncontacts: {a: "112"}\n')
    bad.write_text("mqtt: {hots: broker}\nmodems: [{pin: 0000}]\n")
    done = call("config", "check", str(good))
    assert done.returncode == 0
    assert done.stdout.startswith(f"OK  {good}\n")
    assert "1234" not in done.stdout
    done = call("config", "check", str(bad))
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == f"{bad}:1: mqtt.hots: there is no such key; did you mean host?"
    done = call("config", "check", "--json", str(bad))
    assert done.returncode == 1
    report = json.loads(done.stdout)
    assert (report["ok"], report["file"]) == (False, str(bad))
    assert [(p["line"], p["path"]) for p in report["problems"]] == [
        (1, "mqtt.hots"),
        (2, "modems[0]"),
        (2, "modems[0].pin"),
    ]
    assert call("config", "check", cwd=tmp_path).stdout.startswith("OK  ")
    assert call("config", "check", SMS_BRIDGE_CONFIG=str(bad)).returncode == 1
    assert json.loads(call("config", "check", "--json", str(good)).stdout)["ok"] is True


def test_config_schema_is_json() -> None:
    done = call("config", "schema")
    assert done.returncode == 0
    assert json.loads(done.stdout)["properties"].keys() >= {"mqtt", "modems"}


def test_run_with_a_bad_configuration_is_a_sentence(tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("modems:\n  - port: /dev/x\n    pin: 0000\n")
    done = call("run", "--config", str(bad))
    assert done.returncode == 1
    assert f"{bad}:3: modems[0].pin" in done.stderr
    assert "Traceback" not in done.stderr
    done = call("run", "--config", str(tmp_path / "none.yaml"))
    assert done.returncode == 1
    assert "there is no such file" in done.stderr


def test_control_without_virtual_modems(tmp_path: Path) -> None:
    done = call("control", "--dir", str(tmp_path), "list")
    assert done.returncode == 1
    assert "no virtual modems answer" in done.stderr
    assert call("control", "--dir", str(tmp_path), "{").returncode in (1, 2)


def test_control_speaks_to_the_emulator(tmp_path: Path) -> None:
    emulator = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "sms_bridge",
            "emulate",
            "--json",
            "--modems",
            "1",
            "--dir",
            str(tmp_path),
            "--latency",
            "0",
        ],
        stdout=subprocess.PIPE,
    )
    try:
        assert emulator.stdout is not None
        assert emulator.stdout.readline()
        done = call("control", "--dir", str(tmp_path), "deliver", "from=+36301234567", "text=I am = back")
        assert done.returncode == 0, done.stdout + done.stderr
        done = call("control", "--dir", str(tmp_path), '{"do": "inbox", "modem": 0}', '{"do": "list"}')
        inbox, listing = (json.loads(line) for line in done.stdout.splitlines())
        assert len(inbox["messages"]) == 1
        assert len(listing["modems"]) == 1
        done = call("control", "--dir", str(tmp_path), "-", stdin='{"do": "list"}\n\n{"do": "nonsense"}\n')
        assert done.returncode == 1
        assert [json.loads(line)["ok"] for line in done.stdout.splitlines()] == [True, False]
        assert call("control", "--dir", str(tmp_path), "deliver", "nonsense").returncode == 2
        assert call("control", "--dir", str(tmp_path), "-", stdin="nonsense\n").returncode == 2
    finally:
        emulator.terminate()
        emulator.wait(20)
        if emulator.stdout is not None:
            emulator.stdout.close()


def test_the_emulator_ends_on_ctrl_c_without_a_word(tmp_path: Path) -> None:
    """On a terminal, as a person runs it: pty, SIGINT to the foreground."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "sms_bridge", "emulate", "--modems", "1", "--dir", str(tmp_path)],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        start_new_session=True,
    )
    os.close(follower)
    seen = bytearray()

    def read() -> None:
        try:
            while chunk := os.read(leader, 4096):
                seen.extend(chunk)
        except OSError:
            return

    reader = threading.Thread(target=read)
    reader.start()
    try:
        end = time.monotonic() + 20
        while b"Ctrl-C" not in seen and time.monotonic() < end:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) in (0, 130)
    finally:
        process.kill()
        process.wait(20)
        reader.join(10)
        os.close(leader)
    assert b"Traceback" not in seen


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("árvíztűrő 👨‍👩‍👧 ❤️\nnext", "árvíztűrő 👨‍👩‍👧 ❤️\nnext"),
        ("\x1b[2Jgone", "\\u001b[2Jgone"),
        ("a\u202eb\u200f", "a\\u202eb\\u200f"),
        ("\x9b31m\r", "\\u009b31m\\u000d"),
        ("half \ud83d", "half \\ud83d"),
    ],
)
def test_a_strangers_text_cannot_drive_the_terminal(text: str, shown: str) -> None:
    assert printable(text) == shown
    printable(text).encode()


def test_a_received_message_in_words() -> None:
    message: dict[str, Any] = {
        "from": "+36301234567",
        "contact": "anna",
        "modem": "stick-1",
        "text": "one\n\x1b[31mtwo",
        "received_at": "2026-11-22T18:00:04+00:00",
    }
    line = describe(message)
    assert line.endswith("  +36301234567 (anna) → stick-1: one\n    \\u001b[31mtwo")
    assert describe({**message, "partial": True, "missing": [2], "parts": 3}).endswith("two [missing: part 2 of 3]")
    assert "[data: c0de]" in describe({"text": None, "type": "data", "data": "c0de"})
    assert describe({"received_at": 7})


def test_a_status_in_words() -> None:
    status = {"to": "+36301234567", "state": "sending", "parts": 3, "parts_sent": 1, "modem": "stick-1", "error": None}
    assert _line(status) == "+36301234567 sending (1 of 3 parts sent) by stick-1"
    failed = {"to": "+36301234567", "state": "failed", "error": {"code": "cms_38", "text": "network out of order"}}
    assert _line(failed) == "+36301234567 failed: network out of order (cms_38)"
