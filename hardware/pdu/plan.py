"""Which alphabet a text goes out in, and where it is cut: the fewest parts win, then the fewest octets."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from hardware.pdu.errors import PduError
from hardware.pdu.gsm7 import alphabet, encode_marked
from hardware.pdu.split import MAX_PARTS, UD_OCTETS, cut_octets, cut_septets, cut_ucs2, septet_room, ucs2_room
from hardware.pdu.tables.national import LANGUAGES, has_locking
from hardware.pdu.udh import LOCKING_SHIFT, SINGLE_SHIFT, Ie, build_header, ports_ie

_NUMBERS = {name: number for number, name in LANGUAGES.items()}
_LONGEST = MAX_PARTS * 160  # characters: nothing longer fits, whatever the alphabet
_CONCAT_OCTETS = {8: 5, 16: 6}


@dataclass(slots=True)
class Plan:
    """Pieces are septets (see gsm7.encode_marked) or octets; `ies` go into each part, before the concatenation."""

    encoding: str
    pieces: list[bytes]
    ies: tuple[Ie, ...]
    units: int  # septets, UTF-16 code units or octets of the whole text
    per_part: int  # the same, of each part when there is one or several


@dataclass(slots=True)
class Estimate:
    """What a text costs. `units` and `per_segment` are septets, UTF-16 code units or octets."""

    encoding: str
    segments: int
    units: int
    per_segment: int
    ucs2_characters: str  # those, each once, that the GSM 7-bit alphabet lacks
    language: int | None  # the national table in use
    last_units: int  # of the last segment


def plan(
    content: str | bytes,
    encoding: str,
    national: Iterable[int | str],
    locking: bool,
    fixed: tuple[Ie, ...],
    ref_bits: int,
) -> Plan:
    """The cheapest way; at equal parts the default alphabet, then national tables, then UCS2. PduError."""
    if ref_bits not in _CONCAT_OCTETS:
        raise PduError("ref_bits is 8 or 16")
    if len(content) > _LONGEST:
        raise PduError("the message needs more than 255 parts")
    if isinstance(content, bytes):
        return _octets(content, fixed, ref_bits)
    if encoding == "ucs2":
        return _ucs2(content, fixed, ref_bits)
    if encoding == "8bit":
        return _octets(_unicode(content, "utf-8"), fixed, ref_bits)
    if encoding not in ("auto", "gsm7"):
        raise PduError("the encoding is none of auto, gsm7, ucs2, 8bit")
    found = _attempt(_gsm7, content, 0, 0, fixed, ref_bits)
    if isinstance(found, PduError) or len(found.pieces) > 1:
        for lock, single in _candidates(national, locking):
            other = _attempt(_gsm7, content, lock, single, fixed, ref_bits)
            if isinstance(other, Plan) and (isinstance(found, PduError) or _cost(other) < _cost(found)):
                found = other
    if encoding == "auto" and (isinstance(found, PduError) or found.ies != fixed):
        wide = _attempt(_ucs2, content, fixed, ref_bits)
        if isinstance(found, PduError) or (isinstance(wide, Plan) and len(wide.pieces) < len(found.pieces)):
            found = wide
    if isinstance(found, PduError):
        raise found
    return found


def estimate(
    text: str,
    *,
    encoding: str = "auto",
    national: Iterable[int | str] = (),
    ref_bits: int = 8,
    port: int | None = None,
    locking: bool = True,
) -> Estimate:
    """What `encode` would do with a text, without a number. PduError as there."""
    fixed = () if port is None else (ports_ie(port, 0),)
    made = plan(text, encoding, national, locking, fixed, ref_bits)
    foreign = "".join(dict.fromkeys(character for character in text if character not in alphabet().repertoire))
    shifts = [ie.data[0] for ie in made.ies if ie.iei in (LOCKING_SHIFT, SINGLE_SHIFT)]
    last = len(made.pieces[-1]) // (2 if made.encoding == "ucs2" else 1)
    language = shifts[0] if shifts else None
    return Estimate(made.encoding, len(made.pieces), made.units, made.per_part, foreign, language, last)


def _attempt(maker: Callable[..., Plan], *arguments: object) -> Plan | PduError:
    try:
        return maker(*arguments)
    except PduError as error:
        return error


def _candidates(national: Iterable[int | str], locking: bool) -> Iterable[tuple[int, int]]:
    # Pairs of locking and single shift, those that more phones know first.
    for name in national:
        language = _NUMBERS.get(name, 0) if isinstance(name, str) else name
        if language not in LANGUAGES:
            raise PduError("no such national language")
        yield 0, language
        if locking and has_locking(language):
            yield language, 0
            yield language, language


def _cost(made: Plan) -> tuple[int, int]:
    return len(made.pieces), sum(map(len, made.pieces)) + 4 * len(made.ies) * len(made.pieces)


def _gsm7(text: str, locking: int, single: int, fixed: tuple[Ie, ...], ref_bits: int) -> Plan:
    septets = encode_marked(text, alphabet(locking, single)) if locking or single else encode_marked(text)
    ies = fixed
    if locking:
        ies = (*ies, Ie(LOCKING_SHIFT, bytes((locking,))))
    if single:
        ies = (*ies, Ie(SINGLE_SHIFT, bytes((single,))))
    header = len(build_header(ies)) if ies else 0
    room = septet_room(header)
    if len(septets) <= room:
        return Plan("gsm7", [septets], ies, len(septets), room)
    room = septet_room(_with_concat(header, ref_bits))
    return Plan("gsm7", cut_septets(septets, room), ies, len(septets), room)


def _ucs2(text: str, fixed: tuple[Ie, ...], ref_bits: int) -> Plan:
    octets = _unicode(text, "utf-16-be")
    header = len(build_header(fixed)) if fixed else 0
    room = ucs2_room(header)
    if len(octets) > room:
        room = ucs2_room(_with_concat(header, ref_bits))
    return Plan("ucs2", cut_ucs2(octets, room), fixed, len(octets) // 2, room // 2)


def _octets(octets: bytes, fixed: tuple[Ie, ...], ref_bits: int) -> Plan:
    header = len(build_header(fixed)) if fixed else 0
    room = UD_OCTETS - header
    if len(octets) > room:
        room = UD_OCTETS - _with_concat(header, ref_bits)
    return Plan("8bit", cut_octets(octets, room), fixed, len(octets), room)


def _with_concat(header: int, ref_bits: int) -> int:
    return (header or 1) + _CONCAT_OCTETS[ref_bits]


def _unicode(text: str, codec: str) -> bytes:
    try:
        return text.encode(codec)
    except UnicodeEncodeError as error:
        raise PduError("the text has a lone surrogate", error.start) from None
