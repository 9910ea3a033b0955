"""What a person decides about one modem, and the memory of PINs that were tried."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

from hardware.at import timeouts


def _nothing() -> Mapping[str, str | None]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class ModemConfig:
    """`port`: a device path, `socket://host:port` or `rfc2217://host:port`, "" until attached; times in seconds."""

    name: str
    port: str = ""
    baudrate: int = 115200
    pin: str | None = field(default=None, repr=False)  # of the SIM that belongs into this modem
    pin_sim: str | None = None  # the ICCID of that SIM, once it is known
    sim_pins: Mapping[str, str | None] = field(default_factory=_nothing, repr=False)  # of SIMs, by ICCID
    imei: str | None = None  # what must answer here; None: whatever does
    delete_after_read: bool = True
    sweep_interval: float = 45.0
    init_commands: tuple[str, ...] = ()
    result_timeout: float = timeouts.RESULT
    prompt_timeout: float = timeouts.PROMPT

    @property
    def is_device(self) -> bool:
        """The port is a file that comes and goes with the plug."""
        return "://" not in self.port

    def pin_for(self, iccid: str | None) -> str | None:
        """The PIN to try on this SIM (None: cannot be read before its PIN); never one that is another SIM's."""
        if iccid is not None and iccid in self.sim_pins:
            return self.sim_pins[iccid]
        if iccid is not None and self.pin_sim is not None and iccid != self.pin_sim:
            return None
        return self.pin


class PinLedger(Protocol):
    """Remembers for ever which PIN was tried on which SIM (domain A8.2); keys come from `pin_key`."""

    async def tried(self, key: str) -> bool:
        """This PIN was written to this SIM, and was not seen to be accepted."""

    async def record(self, key: str) -> None:
        """Durable when it returns; called before the PIN is written. Raises when it cannot be kept."""

    async def accepted(self, key: str) -> None:
        """The SIM took it: it may be used again after the next power cut."""


class MemoryPinLedger:
    """A ledger for one process: enough for tests and for SIMs without a PIN."""

    def __init__(self) -> None:
        self._tried: set[str] = set()

    async def tried(self, key: str) -> bool:
        return key in self._tried

    async def record(self, key: str) -> None:
        self._tried.add(key)

    async def accepted(self, key: str) -> None:
        self._tried.discard(key)


def pin_key(identity: str, pin: str) -> str:
    """The ledger's key of a PIN on a SIM: the ICCID, or the IMEI where that cannot be read yet, and a digest."""
    return f"{identity}:{hashlib.sha256(f'{identity}:{pin}'.encode()).hexdigest()[:16]}"
