"""What differs between families of modems, as data: one JSON file each in `profiles/`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from hardware.at import commands
from hardware.at.types import Command


@dataclass(frozen=True, slots=True)
class Profile:
    """One family. `manufacturer`/`model`: lower-case words to look for; the other fields as in the files."""

    name: str
    manufacturer: tuple[str, ...] = ()
    model: tuple[str, ...] = ()
    init: tuple[str, ...] = ()  # lines written after the identity is known; refusals are tolerated
    boot_urcs: tuple[str, ...] = ()  # besides those that every modem may say
    ready_urcs: tuple[str, ...] = ()  # messages can be handled from here on
    sim_urcs: tuple[str, ...] = ()  # the SIM came or went
    attempts: str = ""  # prefix of the vendor's PIN counter
    iccid: str = ""  # prefix of the vendor's ICCID answer
    result_timeout: float = 0.0  # seconds at least, for a network that is slow by nature
    pdu_delay: float = 0.0  # seconds between the prompt and the PDU (domain A3.4)
    ussd: str = "text"  # or "packed": septets in hex, both ways, whatever +CSCS says (domain A11)
    ussd_alone: bool = False  # a message fails while a USSD is under way (domain A2.2)

    def matches(self, manufacturer: str, model: str) -> bool:
        """Any of the family's words is in what the modem says of itself."""
        return any(word in manufacturer.lower() for word in self.manufacturer) or any(
            word in model.lower() for word in self.model
        )

    @property
    def init_commands(self) -> list[Command]:
        return [commands.raw(line) for line in self.init]

    @property
    def iccid_commands(self) -> list[Command]:
        """All ways to ask, this family's own first."""
        return sorted(commands.ICCID_COMMANDS, key=lambda command: command.prefix != self.iccid)

    @property
    def attempts_commands(self) -> list[Command]:
        """All ways to ask, this family's own first."""
        return sorted(commands.ATTEMPTS_LEFT, key=lambda command: command.prefix != self.attempts)


GENERIC = Profile("generic")


def find(manufacturer: str | None, model: str | None) -> Profile:
    """The first family that knows this modem, else the generic one."""
    words = manufacturer or "", model or ""
    return next((profile for profile in shipped() if profile.matches(*words)), GENERIC)


@cache
def shipped() -> tuple[Profile, ...]:
    """All families, in the order of their file names."""
    folder = resources.files("hardware.modem") / "profiles"
    found = []
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.name.endswith(".json"):
            data = json.loads(entry.read_text(encoding="utf-8"))
            values: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in data.items()}
            found.append(Profile(name=entry.name.removesuffix(".json"), **values))
    return tuple(found)
