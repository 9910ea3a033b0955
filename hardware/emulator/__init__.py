"""A phone behind a pseudo terminal that programs take for real, and the network it is in."""

from __future__ import annotations

from hardware.emulator.emulator import Emulator
from hardware.emulator.personality import DEFAULT, PersonalityError, names

__all__ = ["DEFAULT", "Emulator", "PersonalityError", "names"]
