"""What a technician types beside a bridge that runs: `modems` and `doctor`, on real processes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.stack import ROOT, Stack, running


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("stack"), modems=2) as started:
        yield started


def call(stack: Stack, *args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sms_bridge", *args, "--config", str(stack.bridge.config)]
    return subprocess.run(command, capture_output=True, text=True, timeout=50, check=False, cwd=ROOT)


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
    assert [(row["configured"], row["live"]["state"]) for row in rows] == [("modem0", "ready"), ("modem1", "ready")]
    assert rows[0]["live"]["imei"] != rows[1]["live"]["imei"]
