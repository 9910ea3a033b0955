"""What commands by SMS there are, as the configuration says; and a command on its way to the broker."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Argument:
    """A word of a command that may differ: one of `choices`, a whole number from `low` to `high`, else any word."""

    name: str
    choices: tuple[str, ...] = ()
    low: int | None = None
    high: int | None = None


@dataclass(frozen=True, slots=True)
class CommandPlan:
    """One command. Times are seconds."""

    name: str
    text: str  # words and {arguments}
    senders: tuple[str, ...]  # numbers, @contacts and @groups
    topic: str
    arguments: tuple[Argument, ...] = ()
    payload: str | None = None  # None: a JSON object with all there is
    pin: str | None = field(default=None, repr=False)
    totp: bytes | None = field(default=None, repr=False)
    confirm: float | None = None  # the sender is asked, and has this long to say yes
    answer: str | None = None
    denied: str | None = None
    limit: tuple[int, float] = (10, 3600.0)  # so often in which time, for each sender
    attempts: int = 3  # wrong PINs or codes in a row, after which a sender is locked out
    lockout: float = 3600.0
    expires: float = 60.0  # from its acceptance until the broker has it; later it is not executed
    max_age: float = 300.0  # from the network's time stamp until it is read


@dataclass(frozen=True, slots=True)
class Dispatch:
    """A command that is to be published. The journal's row."""

    seq: int  # 0 until stored
    command: str
    message: str  # the id of the received message
    contact: str | None
    topic: str
    payload: str
    expires_at: int  # UTC ms
