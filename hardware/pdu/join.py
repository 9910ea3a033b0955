"""Parts to one message: octets and septets are joined first and decoded once (TS 23.040 9.2.3.24.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hardware.pdu.decode import decode_user_data
from hardware.pdu.errors import PduError
from hardware.pdu.messages import Deliver, Submit
from hardware.pdu.udh import Concat


@dataclass(slots=True)
class Joined:
    """`text` is None when all parts are 8-bit, `data` is None when none is."""

    encoding: str  # of the first part that needs more than GSM 7-bit
    text: str | None
    data: bytes | None
    total: int
    missing: tuple[int, ...]  # sequence numbers
    parts: tuple[Deliver | Submit, ...]  # in their order, each once

    @property
    def complete(self) -> bool:
        """Nothing is missing."""
        return not self.missing


def join(parts: Sequence[Deliver | Submit], *, partial: bool = False) -> Joined:
    """Parts in any order, of a repeated one the first; PduError for gaps unless `partial`, and for strangers.

    Parts without a concatenation element are joined as they stand.
    """
    if not parts:
        raise PduError("there is no part to join")
    numbered = [(part.concat, part) for part in parts]
    if all(concat is None for concat, _ in numbered):
        ordered = dict(enumerate(parts, start=1))
        total = len(parts)
    else:
        ordered, total = _ordered(numbered)
    missing = tuple(seq for seq in range(1, total + 1) if seq not in ordered)
    if missing and not partial:
        raise PduError(f"{len(missing)} of {total} parts are missing")
    text, data = _contents(ordered)
    encodings = [part.encoding for part in ordered.values()]
    encoding = next((name for name in encodings if name != "gsm7"), "gsm7")
    return Joined(encoding, text, data, total, missing, tuple(ordered.values()))


def _ordered(
    numbered: list[tuple[Concat | None, Deliver | Submit]],
) -> tuple[dict[int, Deliver | Submit], int]:
    found: dict[int, Deliver | Submit] = {}
    keys = set()
    for concat, part in numbered:
        if concat is None:
            raise PduError("a part has no concatenation element, another one has")
        keys.add((concat.ref, concat.bits, concat.total, part.type, part.number))
        found.setdefault(concat.seq, part)
    if len(keys) > 1:
        raise PduError("the parts are of different messages")
    return dict(sorted(found.items())), next(iter(keys))[2]


def _contents(ordered: dict[int, Deliver | Submit]) -> tuple[str | None, bytes | None]:
    texts: list[str] = []
    data: list[bytes] = []
    for run in _runs(ordered):
        octets = b"".join(part.user_data for part in run)
        text, raw = decode_user_data(run[0].encoding, octets, run[0].header)
        if text is not None:
            texts.append(text)
        if raw is not None:
            data.append(raw)
    return ("".join(texts) if texts else None), (b"".join(data) if data else None)


def _runs(ordered: dict[int, Deliver | Submit]) -> list[list[Deliver | Submit]]:
    # A run ends where the alphabet changes or a part is missing: no character crosses that.
    runs: list[list[Deliver | Submit]] = []
    expected: object = None
    for seq, part in ordered.items():
        alphabet = part.encoding, part.header.locking, part.header.single
        if (seq, alphabet) == expected:
            runs[-1].append(part)
        else:
            runs.append([part])
        expected = seq + 1, alphabet
    return runs
