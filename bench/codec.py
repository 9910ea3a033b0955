"""Codec operations per CPU-second: `python -m bench.codec`. Beside python-gammu, if it can be imported."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import cycle
from typing import Any

from hardware.pdu import DeliverRequest, SubmitRequest, decode, encode, encode_deliver, join

ROUNDS = 7
ROUND_SECONDS = 0.25  # long against the 10 ms of a scheduler tick

_TEXT = ("The quick brown fox jumps over the lazy dog, 0123456789 times. " * 3)[:160]
_THREE_PARTS = (_TEXT * 3)[:400]
_EMOJI = "árvíztűrő tükörfúrógép 👍 " * 2
_MOMENT = datetime(2026, 11, 22, 20, 0, 1, tzinfo=UTC)


def run(rounds: int = ROUNDS) -> dict[str, float]:
    """Medians of `rounds`: encode, encode3, encode_ucs2, decode, join3 (decodes included); gammu_* if it is there."""
    # Numbers and times differ from one operation to the next, so that nothing is measured out of a cache.
    numbers = cycle([f"+3630{number:07d}" for number in range(0, 10_000_000, 4999)])
    moments = [_MOMENT.replace(minute=index % 60, second=index // 60) for index in range(500)]
    requests = [DeliverRequest(next(numbers), moment, _TEXT, smsc="+36309888000") for moment in moments]
    received = cycle([pdu for request in requests for pdu in encode_deliver(request)])
    parts = encode_deliver(DeliverRequest("+36301234567", _MOMENT, _THREE_PARTS, smsc="+36309888000"))
    work: dict[str, Callable[[], object]] = {
        "encode": lambda: encode(SubmitRequest(next(numbers), _TEXT)),
        "encode3": lambda: encode(SubmitRequest(next(numbers), _THREE_PARTS)),
        "encode_ucs2": lambda: encode(SubmitRequest(next(numbers), _EMOJI)),
        "decode": lambda: decode(next(received)),
        "join3": lambda: join([decode(pdu) for pdu in parts]),  # type: ignore[misc]
        **_gammu(next(received)),
    }
    found: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(rounds):
        for name, operation in work.items():
            found[name].append(_rate(operation))
    return {name: round(statistics.median(rates)) for name, rates in found.items()}


def _rate(operation: Callable[[], object]) -> float:
    done, started = 0, time.process_time()
    while (spent := time.process_time() - started) < ROUND_SECONDS:
        for _ in range(500):
            operation()
        done += 500
    return done / spent


def _gammu(pdu: str) -> dict[str, Callable[[], object]]:
    try:
        import gammu  # type: ignore[import-not-found]
    except ImportError:
        return {}
    octets = bytes.fromhex(pdu)
    message: dict[str, Any] = {
        "Text": _TEXT,
        "SMSC": {"Number": "+36309888000", "Name": "", "Format": "Text", "Validity": "NA", "DefaultNumber": ""},
        "Number": "+36301234567",
        "Type": "Submit",
        "Class": -1,
        "Folder": 0,
        "Coding": "Default_No_Compression",
    }
    return {
        "gammu_encode": lambda: gammu.EncodePDU(message, "Submit"),
        "gammu_decode": lambda: gammu.DecodePDU(octets, True),
    }


if __name__ == "__main__":
    print(json.dumps(run(), indent=1))
