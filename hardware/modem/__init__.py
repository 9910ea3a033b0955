"""One modem: found out, set up, kept alive; parts out, messages in."""

from hardware.modem.config import MemoryPinLedger, ModemConfig, PinLedger, pin_key
from hardware.modem.modem import Modem

__all__ = ["MemoryPinLedger", "Modem", "ModemConfig", "PinLedger", "pin_key"]
