"""One modem: found out, set up, kept alive; parts out, messages in."""

from hardware.modem.config import MemoryPinLedger, ModemConfig, PinLedger, pin_key
from hardware.modem.modem import Modem
from hardware.modem.outlets import Outlets, PowerSwitch, PowerTools, RecoveryTools
from hardware.modem.sim import Unlocked

__all__ = [
    "MemoryPinLedger",
    "Modem",
    "ModemConfig",
    "Outlets",
    "PinLedger",
    "PowerSwitch",
    "PowerTools",
    "RecoveryTools",
    "Unlocked",
    "pin_key",
]
