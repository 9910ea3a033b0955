"""What can go wrong inside the bridge's core, and what a person or a caller may do about it."""

from __future__ import annotations


class CoreError(Exception):
    """Base of the core's errors; `hint` is a sentence for a person, may be empty."""

    retryable: bool = False

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class StoreError(CoreError):
    """Nothing of this was committed: do not acknowledge it, offer it again later."""

    retryable = True


class StoreRefused(CoreError):
    """The journal cannot be opened at all until a person acts."""


class NumberError(CoreError, ValueError):
    """A recipient that cannot be dialled; `code` is the stable code of the rejection."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class RouteError(CoreError):
    """No route can take this message, or not the one that was asked for."""


class MoveError(CoreError):
    """A state was asked to go where the table of moves does not lead: a fault of ours."""
