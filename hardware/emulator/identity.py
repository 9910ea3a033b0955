"""Numbers that make one emulated phone unlike any other: IMEI, ICCID, IMSI, own number."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

_PLMN = "00101"  # TS 23.122's test network: no SIM of a real operator can be mistaken for ours
_ISSUER = "893601"
_COUNTRY = "+3620"


@dataclass(frozen=True, slots=True)
class Identity:
    imei: str  # 15 digits, the last is Luhn's
    iccid: str  # 19 digits, the last is Luhn's
    imsi: str  # 15 digits
    number: str  # E.164


def identity(tac: str, seed: int, index: int) -> Identity:
    """The same numbers for the same `seed` and `index`, others for others; `tac` is 8 digits, index < 1000."""
    base = 555 if seed == 0 else int.from_bytes(hashlib.sha256(str(seed).encode()).digest()[:4]) % 9000 + 1000
    serial = f"{base % 1000:03d}{index:03d}"
    imei, iccid = tac + serial, f"{_ISSUER}{base:06d}{index:06d}"
    return Identity(
        imei=imei + luhn(imei),
        iccid=iccid + luhn(iccid),
        imsi=f"{_PLMN}{base:05d}{index:05d}",
        number=f"{_COUNTRY}{base:04d}{index:03d}" if base > 999 else f"{_COUNTRY}{base}{index:04d}",
    )


def luhn(digits: str) -> str:
    """The check digit that belongs behind `digits` (ISO/IEC 7812)."""
    total = 0
    for position, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 if position % 2 else 2)
        total += value - 9 if value > 9 else value
    return str(-total % 10)
