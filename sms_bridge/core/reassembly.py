"""Which message in pieces a part belongs to (domain E4.3). Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hardware.pdu import Concat
from sms_bridge.core.model import InboundPart, InboundSet


@dataclass(frozen=True, slots=True)
class Place:
    """Where a part goes: into `found`, or into a new set when that is None."""

    found: InboundSet | None
    repeated: bool = False  # the set has this very part


def usable(concat: Concat | None) -> Concat | None:
    """A concatenation that makes sense and has more than one part; all else is a single message."""
    if concat is None or concat.total <= 1 or not 1 <= concat.seq <= concat.total:
        return None
    return concat


def place(
    candidates: Sequence[tuple[InboundSet, Sequence[InboundPart]]],
    number: int,
    body_key: bytes,
    sent_at: int | None,
    received_at: int,
    gap_ms: int,
) -> Place:
    """The set among `candidates` (same SIM, sender, reference, total) that lacks this part and is of its time.

    References are used anew: a part that differs from the one in its place, or is older or newer by more
    than `gap_ms`, is of another message.
    """
    fits: list[tuple[int, int, InboundSet]] = []
    for inbound, parts in candidates:
        distance = _distance(parts, sent_at, received_at)
        if distance > gap_ms:
            continue
        same = [part for part in parts if part.number == number]
        if any(part.body_key == body_key for part in same):
            return Place(inbound, repeated=True)
        if not same:
            fits.append((distance, -inbound.seq, inbound))
    return Place(min(fits, key=lambda fit: fit[:2])[2]) if fits else Place(None)


def _distance(parts: Sequence[InboundPart], sent_at: int | None, received_at: int) -> int:
    """Milliseconds to the nearest part, by the service centre's clock where both have its time."""
    distances = [
        abs(part.sent_at - sent_at)
        if part.sent_at is not None and sent_at is not None
        else abs(part.received_at - received_at)
        for part in parts
    ]
    return min(distances, default=0)
