"""What can go wrong below the bridge, and what a person or a policy may do about it."""

from __future__ import annotations

from enum import StrEnum


class Scope(StrEnum):
    """What an error speaks about: the thing to take out of service, not the message alone."""

    MESSAGE = "message"
    SIM = "sim"
    MODEM = "modem"
    ROUTE = "route"


class HardwareError(Exception):
    """Base of all errors of the modem stack; `hint` is a sentence for a person, may be empty."""

    retryable: bool = True
    scope: Scope = Scope.MODEM

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class TransportError(HardwareError):
    """The port cannot be opened, or was lost."""


class PortMissing(TransportError):
    """There is no such device (ENOENT, ENODEV, ENXIO), or nobody listens at that address."""


class PortBusy(TransportError):
    """Another program holds the port (EBUSY, EAGAIN on the lock)."""


class PortForbidden(TransportError):
    """We may not open the port (EACCES, EPERM)."""


class PortLost(TransportError):
    """The port was open and is gone (EIO, hang-up, unplugged)."""


class PortWedged(TransportError):
    """The kernel did not give the port back within its deadline."""


class AtError(HardwareError):
    """A command did not end in OK."""


class AtTimeout(AtError):
    """No final result within the command's deadline."""


class AtArgumentError(AtError, ValueError):
    """An argument that must not reach a port: CR, LF, ESC, Ctrl-Z, a quote, or a wrong form."""

    retryable = False
    scope = Scope.MESSAGE


class ModemError(HardwareError):
    """The modem answers, but cannot be used as it is."""


class WrongModem(ModemError):
    """Another modem answers on this port than the one that was there: the ports were numbered anew."""


class SimError(HardwareError):
    """The SIM is missing, locked, blocked or refused."""

    scope = Scope.SIM
