"""The state of one phone: its SIM, its storages, its settings and where it is registered."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum

from hardware.emulator.faults import Faults
from hardware.emulator.identity import Identity
from hardware.emulator.personality import Personality

SMSC = "+36209300099"
PIN_ATTEMPTS = 3
PUK_ATTEMPTS = 10


class Stat(IntEnum):
    """A stored message's `<stat>` in PDU mode (TS 27.005 3.1)."""

    UNREAD = 0
    READ = 1
    UNSENT = 2
    SENT = 3


@dataclass(slots=True)
class Stored:
    """A message in a slot: hex, SMSC octets included; `length` counts the octets without them."""

    stat: Stat
    pdu: str
    length: int


class Storage:
    """Numbered slots, filled from the lowest free one."""

    def __init__(self, name: str, size: int, first: int) -> None:
        self.name = name
        self.size = size
        self.first = first
        self.slots: dict[int, Stored] = {}

    @property
    def free(self) -> int:
        return self.size - len(self.slots)

    def add(self, message: Stored) -> int | None:
        """The index that `message` got; None: no room."""
        if self.free <= 0:
            return None
        index = next(i for i in range(self.first, self.first + self.size) if i not in self.slots)
        self.slots[index] = message
        return index

    def valid(self, index: int) -> bool:
        return self.first <= index < self.first + self.size


@dataclass(slots=True)
class Settings:
    """What power-up forgets."""

    echo: bool
    cmee: int
    charset: str
    memories: list[str]
    cnmi: tuple[int, ...]
    registration: dict[str, int]
    verbose: bool = True
    quiet: bool = False
    text_mode: bool = False
    csms: int = 0
    cmms: int = 0
    clip: int = 0
    cring: int = 0
    cops_format: int = 0
    fun: int = 1
    more: dict[str, str] = field(default_factory=dict)  # vendor settings, as they were set
    silenced: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Counters:
    """What a bench and a device test ask for."""

    commands: int = 0
    sends: int = 0
    received: int = 0
    refused: int = 0
    garbage: int = 0
    bytes_while_busy: int = 0
    boots: int = 0
    busy_seconds: float = 0.0
    first_activity: float | None = None  # CLOCK_MONOTONIC
    last_activity: float | None = None
    unknown: deque[str] = field(default_factory=lambda: deque(maxlen=50))


class Phone:
    """One phone, without a line and without a network."""

    def __init__(self, index: int, personality: Personality, identity: Identity, faults: Faults) -> None:
        self.index = index
        self.personality = personality
        self.imei = identity.imei
        self.iccid = identity.iccid
        self.imsi = identity.imsi
        self.number = identity.number
        self.faults = faults
        self.smsc = SMSC
        self.storages = {
            name: Storage(name, size, personality.first_index) for name, size in personality.storages.items()
        }
        self.settings = self.power_up_settings()
        self.counters = Counters()
        self.next_mr = index * 31 % 256
        self.powered = True
        self.sim_ready = True
        self.network_ready = True
        self.pin: str | None = None  # what unlocks it; None: not locked
        self._pin_code = ""
        self.pin_enabled = False
        self.pin_attempts = PIN_ATTEMPTS
        self.puk_attempts = PUK_ATTEMPTS
        self.puk_locked = False
        self.uncounted_until = 0.0  # CLOCK_MONOTONIC: the storages count nothing (domain A2.2: E3531)
        self.held_urcs: deque[tuple[str, ...]] = deque(maxlen=100)
        self.last_ussd = ""
        self.on_room: Callable[[], None] = lambda: None  # told when a slot was freed, or service is back

    def power_up(self) -> None:
        """Forget what is volatile; SIM and stored messages stay."""
        self.settings = self.power_up_settings()
        self.held_urcs.clear()
        self.counters.boots += 1
        if self.pin_enabled:
            self.pin = self.pin or self._pin_code
        self.sim_ready = self.network_ready = not self.personality.boot

    def power_up_settings(self) -> Settings:
        """Settings as they are after power-up."""
        it = self.personality
        return Settings(
            echo=it.echo,
            cmee=it.cmee,
            charset=it.charset,
            memories=[it.storage] * 3,
            cnmi=it.cnmi_power_up,
            registration=dict.fromkeys(it.registration, 0),
        )

    def require_pin(self, pin: str, attempts: int) -> None:
        self._pin_code = pin
        self.pin, self.pin_enabled, self.pin_attempts = pin, True, attempts
        self.puk_locked = attempts <= 0

    def release_pin(self) -> None:
        self.pin, self.pin_enabled, self.puk_locked = None, False, False
        self.pin_attempts = PIN_ATTEMPTS

    @property
    def sim_absent(self) -> bool:
        return self.faults.active("sim_absent") is not None

    @property
    def sim_usable(self) -> bool:
        return not self.sim_absent and self.sim_ready and self.pin is None and not self.puk_locked

    @property
    def stat(self) -> int:
        """Registration, TS 27.007 7.2."""
        if fault := self.faults.active("registration"):
            return int(fault.params.get("stat", 0))
        if not self.sim_usable or self.settings.fun != 1:
            return 0
        return 1 if self.network_ready else 2

    @property
    def in_service(self) -> bool:
        """Whether the network reaches it."""
        return self.powered and self.sim_usable and self.settings.fun == 1 and self.stat in (1, 5, 6, 7)

    @property
    def csq(self) -> int:
        if fault := self.faults.active("signal"):
            return int(fault.params.get("csq", 99))
        return 23 - self.index % 8 if self.stat in (1, 5, 6, 7) else 99

    def take_mr(self) -> int:
        """The TP-MR of the next send: the phone's own count, whatever the PDU says."""
        mr = self.next_mr
        self.next_mr = (mr + 1) % 256
        return mr

    def members(self, name: str) -> list[Storage]:
        """The real storages behind a name: `MT` is all of them, in the order they are filled."""
        if name in self.storages:
            return [self.storages[name]]
        return [s for key in ("ME", "SM") if (s := self.storages.get(key))]

    def storage_names(self) -> list[str]:
        both = {"ME", "SM"} <= self.storages.keys()
        return [*self.storages, *(["MT"] if both else [])]

    def usage(self, name: str) -> tuple[int, int]:
        members = self.members(name)
        used = 0 if time.monotonic() < self.uncounted_until else sum(len(s.slots) for s in members)
        return used, sum(s.size for s in members)

    def slots(self, name: str) -> list[tuple[int, Storage, int]]:
        """All messages under a name as (index as the host sees it, real storage, real index)."""
        rows: list[tuple[int, Storage, int]] = []
        offset = 0
        for storage in self.members(name):
            rows += [(offset + i, storage, i) for i in sorted(storage.slots)]
            offset += storage.size
        return rows

    def find(self, name: str, index: int) -> tuple[Storage, int] | None:
        """The slot behind a host's index, empty or not; None: no such slot."""
        for storage in self.members(name):
            if storage.valid(index):
                return storage, index
            index -= storage.size
        return None

    def store(self, message: Stored, name: str) -> tuple[str, int] | None:
        """Put a message away: (storage, index) as the host is told of it, or None when full."""
        if (fault := self.faults.active("storage_full")) and fault.params.get("hard"):
            return None
        offset = 0
        for storage in self.members(name):
            if (index := storage.add(message)) is not None:
                return name, offset + index
            offset += storage.size
        return None
