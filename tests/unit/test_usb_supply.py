"""Too little voltage on a Raspberry Pi, by each way it can say so."""

from __future__ import annotations

from pathlib import Path

import pytest

from hardware.usb.supply import Supply, read_supply, throttled


@pytest.mark.parametrize(
    ("text", "supply"),
    [
        ("throttled=0x0\n", Supply(now=False, since_boot=False)),
        ("throttled=0x50000\n", Supply(now=False, since_boot=True)),
        ("throttled=0x50005\n", Supply(now=True, since_boot=True)),
        ("50005\n", Supply(now=True, since_boot=True)),
        ("0\n", Supply(now=False, since_boot=False)),
        ("throttled=0x80008\n", Supply(now=False, since_boot=False)),  # too hot, not too little voltage
        ("", None),
        ("VCHI initialization failed\n", None),
        ("throttled=0x\n", None),
        ("throttled=0x123456789\n", None),
    ],
)
def test_what_the_firmware_says(text: str, supply: Supply | None) -> None:
    assert throttled(text) == supply


def test_it_is_said_to_a_person() -> None:
    assert "too little voltage: modems" in str(Supply(now=True, since_boot=None).problem)
    assert "had too little voltage" in str(Supply(now=False, since_boot=True).problem)
    assert Supply(now=False, since_boot=None).problem is None


@pytest.mark.parametrize(
    "place",
    ["soc/soc:firmware", "soc@107c000000/soc@107c000000:firmware", "soc@107c000000/firmware"],
)
async def test_the_firmwares_file(tmp_path: Path, place: str) -> None:
    folder = tmp_path / "devices" / "platform" / place
    folder.mkdir(parents=True)
    (folder / "get_throttled").write_text("50000\n")
    assert await read_supply(tmp_path, "/nowhere/vcgencmd") == Supply(now=False, since_boot=True)


async def test_the_kernels_alarm(tmp_path: Path) -> None:
    for number, (name, alarm) in enumerate([("cpu_thermal", None), ("rpi_volt", "1")]):
        folder = tmp_path / "class" / "hwmon" / f"hwmon{number}"
        folder.mkdir(parents=True)
        (folder / "name").write_text(name + "\n")
        if alarm is not None:
            (folder / "in0_lcrit_alarm").write_text(alarm + "\n")
    assert await read_supply(tmp_path, "/nowhere/vcgencmd") == Supply(now=True, since_boot=None)
    (tmp_path / "class/hwmon/hwmon1/in0_lcrit_alarm").write_text("0\n")
    assert await read_supply(tmp_path, "/nowhere/vcgencmd") == Supply(now=False, since_boot=None)


@pytest.mark.parametrize(
    ("answer", "supply"),
    [
        ("echo throttled=0x50005", Supply(now=True, since_boot=True)),
        ("echo throttled=0x50005; exit 1", None),
        ("echo 'Can not open device file: /dev/vcio'; exit 0", None),
    ],
)
async def test_the_firmwares_program(tmp_path: Path, answer: str, supply: Supply | None) -> None:
    program = tmp_path / "vcgencmd"
    program.write_text(f'#!/bin/sh\n[ "$1" = get_throttled ] || exit 3\n{answer}\n')
    program.chmod(0o755)
    assert await read_supply(tmp_path, str(program)) == supply


async def test_another_machine_says_nothing(tmp_path: Path) -> None:
    assert await read_supply(tmp_path, "/nowhere/vcgencmd") is None
