"""Whether a Raspberry Pi has too little voltage: modems that send take 2 A for a moment (domain A13)."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hardware.transport.threads import call_in_thread
from hardware.usb.ports import SYSFS
from hardware.usb.timeouts import TOOL_DEADLINE

UNDERVOLTAGE_NOW: Final = 1 << 0
UNDERVOLTAGE_SINCE_BOOT: Final = 1 << 16
# The firmware's own file; what stands before `soc` and behind it differs between models and kernels.
FIRMWARE: Final = ("devices/platform/soc*/soc*:firmware/get_throttled", "devices/platform/soc*/*firmware/get_throttled")
FIX: Final = (
    "use the power supply that was made for this Raspberry Pi, and a USB hub with a supply of its own for the modems"
)


@dataclass(frozen=True, slots=True)
class Supply:
    """`now`: the voltage is too low; `since_boot`: it was at some time, None where that is not remembered."""

    now: bool
    since_boot: bool | None

    @property
    def problem(self) -> str | None:
        """A sentence for a person, with `FIX`; None: nothing is wrong."""
        if self.now:
            return "the Raspberry Pi has too little voltage: modems restart or are lost while they send"
        if self.since_boot:
            return "the Raspberry Pi had too little voltage since it was started: modems may have restarted"
        return None


async def read_supply(sysfs: Path = SYSFS, vcgencmd: str = "vcgencmd") -> Supply | None:
    """The state of the supply; None: this is no Raspberry Pi, or it does not say."""
    return await call_in_thread("power supply", lambda: supply(sysfs, vcgencmd), _nothing)


def supply(sysfs: Path = SYSFS, vcgencmd: str = "vcgencmd") -> Supply | None:
    """As `read_supply`; blocking, for milliseconds as a rule."""
    for pattern in FIRMWARE:
        for file in sorted(sysfs.glob(pattern)):
            if (found := throttled(_text(file))) is not None:
                return found
    for hwmon in sorted(sysfs.glob("class/hwmon/hwmon*")):
        if _text(hwmon / "name").strip() == "rpi_volt" and (alarm := _text(hwmon / "in0_lcrit_alarm").strip()):
            return Supply(alarm != "0", None)  # of the last two seconds; nothing else is remembered there
    return throttled(_ask(vcgencmd))


def throttled(text: str) -> Supply | None:
    """The firmware's answer, as its file (`50005`) or vcgencmd (`throttled=0x50005`) gives it; None: it is none."""
    found = re.fullmatch(r"(?:throttled=)?(?:0x)?([0-9a-fA-F]{1,8})", text.strip())
    if found is None:
        return None
    bits = int(found[1], 16)
    return Supply(bool(bits & UNDERVOLTAGE_NOW), bool(bits & UNDERVOLTAGE_SINCE_BOOT))


def _ask(vcgencmd: str) -> str:
    try:
        done = subprocess.run(
            [vcgencmd, "get_throttled"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TOOL_DEADLINE,
            check=False,
            env={"PATH": os.environ.get("PATH", os.defpath)},
        )
    except (OSError, subprocess.TimeoutExpired):  # not a Pi, or not allowed
        return ""
    return done.stdout.decode(errors="replace") if done.returncode == 0 else ""


def _text(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""


def _nothing(_result: Supply | None) -> None:
    return
