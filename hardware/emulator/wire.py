"""The octets a network handles: enough of TS 23.040 to carry a message on, not to read it.

Written apart from `hardware.pdu` on purpose: the network passes user data on as it came, so that a mistake of
the codec cannot hide behind its own mirror image.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

MAX_TPDU = 164
"""The longest SMS-SUBMIT: 12 octets of address, 7 of validity, 140 of user data and the fixed ones."""

_SEMI_OCTETS = "0123456789*#abc"
_SRR = 0x20
_UDHI = 0x40


class WireError(ValueError):
    """Octets that a phone refuses before they reach the air."""


@dataclass(frozen=True, slots=True)
class Submit:
    """An SMS-SUBMIT (TS 23.040 9.2.2.2), cut into fields; `address` is the TP-DA as it stands."""

    first: int
    mr: int
    address: bytes
    number: str
    pid: int
    dcs: int
    udl: int
    user_data: bytes

    @property
    def status_report(self) -> bool:
        return bool(self.first & _SRR)

    @property
    def has_header(self) -> bool:
        return bool(self.first & _UDHI)


def without_smsc(pdu: bytes) -> bytes:
    """The TPDU of whatever octets: all of them where no SMSC field can be told."""
    try:
        return split_smsc(pdu)[1]
    except WireError:
        return pdu


def split_smsc(pdu: bytes) -> tuple[bytes, bytes]:
    """The SMSC field (its length octet included) and the TPDU; raises `WireError`."""
    if not pdu or pdu[0] > 11 or len(pdu) < pdu[0] + 2:
        raise WireError("no SMSC field, or one that is longer than the message")
    return pdu[: pdu[0] + 1], pdu[pdu[0] + 1 :]


def parse_submit(tpdu: bytes) -> Submit:
    """Cut an SMS-SUBMIT into fields; raises `WireError` where a phone would say CMS 304."""
    if len(tpdu) < 7 or len(tpdu) > MAX_TPDU:
        raise WireError("too short or too long")
    first = tpdu[0]
    if first & 3 != 1:
        raise WireError("not an SMS-SUBMIT")
    digits = tpdu[2]
    end = 4 + (digits + 1) // 2
    if not 0 < digits <= 20:
        raise WireError("address length")
    validity = {0: 0, 0x10: 1, 0x08: 7, 0x18: 7}[first & 0x18]
    body = end + 2 + validity
    if len(tpdu) < body + 1:
        raise WireError("cut off before the user data")
    pid, dcs, udl = tpdu[end], tpdu[end + 1], tpdu[body]
    user_data = tpdu[body + 1 :]
    if len(user_data) != user_data_octets(dcs, udl):
        raise WireError("user data length")
    return Submit(first, tpdu[1], tpdu[2:end], address_digits(tpdu[2:end]), pid, dcs, udl, user_data)


def user_data_octets(dcs: int, udl: int) -> int:
    """How many octets TP-UDL announces: it counts septets in the 7-bit alphabet (TS 23.040 9.2.3.16)."""
    return (udl * 7 + 7) // 8 if is_gsm7(dcs) else udl


def is_gsm7(dcs: int) -> bool:
    """Whether the data coding scheme means packed septets (TS 23.038 4)."""
    group = dcs >> 4
    if group < 8:
        return not dcs & 0x20 and dcs >> 2 & 3 in (0, 3)
    if group == 15:
        return not dcs & 4
    return group != 14


def message_class(dcs: int) -> int | None:
    """The message class that a DCS carries (TS 23.038 4), or None."""
    group = dcs >> 4
    if (group < 8 and dcs & 0x10) or group == 15:
        return dcs & 3
    return None


def address_digits(field: bytes) -> str:
    """Address field (length in digits, type, semi-octets) as `+36…` or bare digits."""
    count, kind = field[0], field[1]
    digits = "".join(_SEMI_OCTETS[n] if n < 15 else "" for octet in field[2:] for n in (octet & 15, octet >> 4))[:count]
    return ("+" if kind & 0x70 == 0x10 else "") + digits


def address_field(number: str) -> bytes:
    """`+36…` or bare digits as an address field; raises `WireError` for anything else."""
    digits = number.removeprefix("+").lower()
    if not 0 < len(digits) <= 20 or any(d not in _SEMI_OCTETS for d in digits):
        raise WireError(f"not a number: {number!r}")
    kind = 0x91 if number.startswith("+") else 0x81
    return bytes((len(digits), kind)) + _semi_octets(digits)


def smsc_field(number: str) -> bytes:
    """A service centre's number as the octets in front of a TPDU; empty number: one zero octet."""
    if not number:
        return b"\x00"
    field = address_field(number)
    return bytes((len(field) - 1,)) + field[1:]


def timestamp(when: datetime) -> bytes:
    """TP-SCTS (TS 23.040 9.2.3.11) of an aware time, in its own zone."""
    offset = when.utcoffset()
    quarters = int(offset.total_seconds()) // 900 if offset else 0
    digits = when.strftime("%y%m%d%H%M%S") + f"{abs(quarters):02d}"
    octets = bytearray(_semi_octets(digits))
    if quarters < 0:
        octets[6] |= 0x08
    return bytes(octets)


def deliver_of(submit: Submit, sender: str, when: datetime) -> bytes:
    """The SMS-DELIVER that the recipient of `submit` is sent; user data untouched (TS 23.040 9.2.2.1)."""
    first = 0x04 | (_UDHI if submit.has_header else 0) | (_SRR if submit.status_report else 0)
    head = bytes((first,)) + address_field(sender) + bytes((submit.pid, submit.dcs))
    return head + timestamp(when) + bytes((submit.udl,)) + submit.user_data


def status_report(mr: int, address: bytes, sent: datetime, done: datetime, status: int) -> bytes:
    """The SMS-STATUS-REPORT for message reference `mr` to `address` (TS 23.040 9.2.2.3)."""
    return bytes((0x06, mr)) + address + timestamp(sent) + timestamp(done) + bytes((status,))


def _semi_octets(digits: str) -> bytes:
    values = [_SEMI_OCTETS.index(d) for d in digits]
    if len(values) % 2:
        values.append(15)
    return bytes(low | high << 4 for low, high in zip(values[::2], values[1::2], strict=True))


def pack_septets(text: str) -> bytes:
    """ASCII letters, digits and plain punctuation as packed septets; where the GSM alphabet differs, `?`.

    Seven spare bits hold a CR (TS 23.038 6.1.2.3.1).
    """
    value = 0
    if len(text) % 8 == 7:
        text += "\r"
    for position, char in enumerate(text):
        plain = char if char in _PLAIN else "?"
        value |= ord(plain) << 7 * position
    return value.to_bytes((len(text) * 7 + 7) // 8, "little")


def unpack_septets(octets: bytes) -> str:
    """The other way, of all whole septets; a CR that only pads is dropped (TS 23.038 6.1.2.3.1)."""
    value = int.from_bytes(octets, "little")
    text = "".join(chr(value >> 7 * i & 0x7F) for i in range(len(octets) * 8 // 7))
    return text.rstrip("\r\x00")


_PLAIN = frozenset("\r !\"#%&'()*+,-./:;<=>?\nABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
