"""What a technician types beside a bridge that runs: `modems` and `doctor`, on real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.stack import ROOT, Stack, running

ANNA, TEXT, PASSWORD, USER, PIN, TELEPHONE = (
    "+36301234567",
    "the key is below the mat",
    "s3cr3t-pa55",
    "us3r",
    "7291",
    "+36701112233",
)
LOGIN = (f"username: {USER}", f"password: {PASSWORD}")
PEOPLE = f"""\
  - {{name: spare, imei: "490154203237518", pin: "{PIN}", number: "{TELEPHONE}", init_commands: ['AT+CSCA="{ANNA}"']}}
contacts: {{grandmother: "{ANNA}"}}
"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("stack"), modems=2, extra=PEOPLE, mqtt=LOGIN) as started:
        yield started


def call(stack: Stack, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sms_bridge", *args, "--config", str(stack.bridge.config)]
    environ = {**os.environ, **env}
    return subprocess.run(command, capture_output=True, text=True, timeout=50, check=False, cwd=ROOT, env=environ)


def test_modems_shows_what_the_bridge_says_of_each(stack: Stack, tmp_path: Path) -> None:
    for index in range(2):  # its first figures come a moment after `ready`
        stack.observer.wait_for(f"modem/modem{index}", lambda p: p["signal_dbm"] is not None and p["operator"])
    done = call(stack, "modems", "--root", str(tmp_path))
    assert done.returncode == 0, done.stderr
    heads, *lines = [line for line in done.stdout.splitlines() if not line.startswith(" ")]
    assert heads.split()[:3] == ["MODEM", "STATE", "PORT"]
    for index, line in enumerate(lines[:2]):
        assert line.split()[:3] == [f"modem{index}", "ready", stack.emulation.port(index)]
        assert " dBm " in line
    rows = [json.loads(line) for line in call(stack, "modems", "--json", "--root", str(tmp_path)).stdout.splitlines()]
    assert [(row["configured"], row["live"]["state"]) for row in rows] == [
        ("modem0", "ready"),
        ("modem1", "ready"),
        (None, "offline"),
    ]
    assert rows[2]["live"]["name"] == "spare"
    assert rows[0]["live"]["imei"] != rows[1]["live"]["imei"]


def test_doctor_finds_nothing_to_mend_where_all_runs(stack: Stack, tmp_path: Path) -> None:
    done = call(stack, "doctor", "--json", "--root", str(tmp_path))
    findings = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, done.stdout + done.stderr
    told = {finding["text"]: finding["level"] for finding in findings}
    assert told["the bridge is online"] == "ok"
    for index in range(2):
        assert told[f"{stack.emulation.port(index)} is in use by the bridge"] == "ok"
        for text in ("its SIM is ready", "its SIM has a service centre number"):
            assert told[f"modem{index}: {text}"] == "ok"
    assert told[f"{stack.bridge.data} can be written"] == "ok", "the running bridge's own folder"
    assert told["the journal is whole"] == "ok"


def test_doctor_reads_what_this_machines_broker_is_set_to(stack: Stack) -> None:
    findings = [json.loads(line) for line in call(stack, "doctor", "--json").stdout.splitlines()]
    (found,) = [finding for finding in findings if finding["check"] == "persistence"]
    assert found["level"] == "ok", found


def test_a_bundle_tells_no_secrets(stack: Stack, tmp_path: Path) -> None:
    stack.observer.publish("out", {"id": "said", "to": ANNA, "text": TEXT})
    stack.observer.wait_state("said", "delivered")
    stack.emulation.do("deliver", modem=0, **{"from": TELEPHONE, "text": TEXT})
    stack.observer.wait_for("in", lambda p: p["text"] == TEXT)
    states = [stack.observer.of(f"modem/modem{index}")[-1] for index in range(2)]
    identities = [str(state[key]) for state in states for key in ("imei", "iccid", "number", "smsc") if state[key]]
    assert len(identities) >= 4
    tools(tmp_path, stack, [*identities, ANNA, TELEPHONE, PASSWORD, USER, PIN])
    bundle = tmp_path / "help.tar.gz"
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = call(stack, "doctor", "--bundle", str(bundle), "--root", str(tmp_path), PATH=path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert bundle.stat().st_mode & 0o077 == 0, "nobody else may read it"
    with tarfile.open(bundle) as archive:
        parts = {member.name: (archive.extractfile(member) or sys.stdin.buffer).read().decode() for member in archive}
    whole = "\n".join(parts.values())
    for kept in ("modem0", "MQTT", "usb 1-1: new high-speed", "paho-mqtt", "result_timeout", "spare", "AT+CSCA=****"):
        assert kept in whole, kept
    for secret in (*identities, ANNA, TELEPHONE, "490154203237518", PASSWORD, USER, PIN, TEXT, "grandmother"):
        assert secret.lstrip("+") not in whole, (secret, [name for name, text in parts.items() if secret in text])


def tools(folder: Path, stack: Stack, secrets: list[str]) -> None:
    """journalctl and dmesg as they would be: the bridge's own log, and secrets where a program of others puts them."""
    log = (stack.bridge.log or folder).read_text()
    lines = [f"a line with {secret} in it, and {secret.lstrip('+')}," for secret in secrets]
    (folder / "log").write_text(log + "\n".join(lines))
    kernel = ["usb 1-1: new high-speed USB device", *(f"usb 1-1: SerialNumber: {secret}" for secret in secrets)]
    (folder / "kernel").write_text("\n".join(kernel))
    for tool, file in (("journalctl", "log"), ("dmesg", "kernel")):
        (folder / tool).write_text(f"#!/bin/sh\ncat {folder}/{file}\n")
        (folder / tool).chmod(0o755)
