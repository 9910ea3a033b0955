"""What a serial port looks like from above: bytes out, bytes in, and it can be lost."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Protocol

from hardware.errors import PortLost


class LinkProtocol(Protocol):
    """Whoever reads a link; all calls come on the loop."""

    def connection_made(self, link: SerialLink) -> None:
        """The link may be written to from now on."""

    def data_received(self, data: bytes) -> None:
        """Any bytes, cut anywhere."""

    def connection_lost(self, error: PortLost | None) -> None:
        """Called once; None: it was given up with `abort()`."""


ProtocolFactory = Callable[[], LinkProtocol]


class SerialLink(abc.ABC):
    """One open connection to a modem; used once, never reopened."""

    def __init__(self, port: str) -> None:
        self.port = port

    @abc.abstractmethod
    def write(self, data: bytes) -> None:
        """Send `data` without waiting; silently dropped once the link is closing."""

    @abc.abstractmethod
    def abort(self) -> None:
        """Give the port up at once; never blocks, idempotent. `connection_lost` follows."""

    @abc.abstractmethod
    async def wait_closed(self, timeout: float) -> bool:
        """After `abort()` or a loss: True once the kernel has the port; False: not in `timeout` seconds (wedged)."""

    @property
    @abc.abstractmethod
    def is_closing(self) -> bool:
        """Lost, or given up."""
