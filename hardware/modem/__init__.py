"""One modem: found out, set up, kept alive; parts out, messages in."""

from hardware.modem.calls import CALL_EVENTS
from hardware.modem.config import MemoryPinLedger, ModemConfig, PinLedger, pin_key
from hardware.modem.modem import Modem
from hardware.modem.outlets import Outlets, PowerSwitch, PowerTools, RecoveryTools
from hardware.modem.sim import Unlocked
from hardware.modem.ussd import UssdAnswer, UssdError

__all__ = [
    "CALL_EVENTS",
    "MemoryPinLedger",
    "Modem",
    "ModemConfig",
    "Outlets",
    "PinLedger",
    "PowerSwitch",
    "PowerTools",
    "RecoveryTools",
    "Unlocked",
    "UssdAnswer",
    "UssdError",
    "pin_key",
]
