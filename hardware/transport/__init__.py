"""Serial ports as asyncio objects that can be lost."""

from hardware.transport.holders import Holder, holders_of
from hardware.transport.link import LinkProtocol, ProtocolFactory, SerialLink
from hardware.transport.loopback import LoopbackEnd, loopback
from hardware.transport.opening import open_port
from hardware.transport.trace import TraceLine, WireTrace, redact

__all__ = [
    "Holder",
    "LinkProtocol",
    "LoopbackEnd",
    "ProtocolFactory",
    "SerialLink",
    "TraceLine",
    "WireTrace",
    "holders_of",
    "loopback",
    "open_port",
    "redact",
]
