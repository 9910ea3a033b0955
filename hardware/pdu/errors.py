"""The one exception of the codec."""

from __future__ import annotations


class PduError(ValueError):
    """Octets that are no TPDU, or a request that no TPDU can carry.

    `offset` counts octets from the start of what was decoded, or characters of the text that was encoded.
    """

    def __init__(self, reason: str, offset: int = 0) -> None:
        super().__init__(f"{reason} (at {offset})")
        self.reason = reason
        self.offset = offset
