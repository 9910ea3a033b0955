"""The GSM 7-bit alphabets and their packing."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.pdu import PduError, gsm7
from hardware.pdu.tables.national import BLANK, LANGUAGES, has_locking, locking_table, single_table

LANGUAGE = st.integers(0, 13)
SEPTETS = st.binary(max_size=255).map(lambda octets: bytes(octet & 0x7F for octet in octets))

# A letter and a digit or sign of each script, with the septet that the standard's annex A gives it.
LOCKING_SAMPLES = {
    1: {"İ": 0x40, "ş": 0x1D, "€": 0x04, "ı": 0x07},
    3: {"ã": 0x7B, "Ç": 0x13, "∞": 0x15, "`": 0x7D, "|": 0x1A},
    4: {"ঁ": 0x00, "ঌ": 0x0B, "হ": 0x4D, "ৎ": 0x60, "ৱ": 0x7F},
    5: {"ઁ": 0x00, "ઍ": 0x0C, "ળ": 0x47, "ૐ": 0x60, "૱": 0x7F},
    6: {"ऎ": 0x0E, "ऩ": 0x3C, "ॐ": 0x60, "ॲ": 0x7B, "ॿ": 0x7F},
    7: {"ಂ": 0x01, "ಡ": 0x24, "ೕ": 0x60, "ೣ": 0x7F},
    8: {"ം": 0x01, "ഴ": 0x48, "ൗ": 0x60, "൹": 0x7F},
    9: {"ଁ": 0x00, "ଵ": 0x49, "ୖ": 0x60, "ୣ": 0x7F},
    10: {"ਁ": 0x00, "ਵ": 0x49, "ੑ": 0x60, "ੴ": 0x7F},
    11: {"ஂ": 0x01, "ன": 0x3C, "ௐ": 0x60, "௹": 0x7F},
    12: {"ఁ": 0x00, "ళ": 0x47, "ౕ": 0x60, "ౣ": 0x7F},
    13: {"ا": 0x00, "ځ": 0x12, "ڱ": 0x4C, "ٔ": 0x60, "ٰ": 0x7F},
}
SINGLE_SAMPLES = {
    0: {"€": 0x65, "\f": 0x0A, "|": 0x40, "\\": 0x2F},
    1: {"Ş": 0x53, "ı": 0x69},
    2: {"Ñ": None, "Á": 0x41, "ú": 0x75},
    3: {"Φ": 0x12, "Ê": 0x1F, "â": 0x7F},
    4: {"০": 0x19, "\u09df": 0x24, "৺": 0x34},
    5: {"।": 0x19, "૯": 0x25},
    6: {"०": 0x1C, "॒": 0x27, "ॱ": 0x3A},
    7: {"೯": 0x25, "ೞ": 0x26, "ೲ": 0x2A},
    8: {"൯": 0x25, "ൺ": 0x2E, "ൿ": 0x34},
    9: {"୪": 0x20, "\u0b5d": 0x27, "ୱ": 0x2C},
    10: {"੯": 0x25, "ੵ": 0x2D},
    11: {"௮": 0x24, "௺": 0x2E},
    12: {"౦": 0x1C, "౿": 0x32, "।": None},
    13: {"؀": 0x19, "۰": 0x1C, "۔": 0x3F},
}


def test_tables_have_128_places_and_keep_what_receivers_rely_on() -> None:
    for language in range(14):
        table = locking_table(language)
        assert len(table) == 128
        assert (table[0x0A], table[0x0D], table[0x1B], table[0x20]) == ("\n", "\r", "\x1b", " ")
        assert table[0x30:0x3A] == "0123456789"
        assert table[0x61:0x7B] == "abcdefghijklmnopqrstuvwxyz"
        assert single_table(language)[0x65] == "€"
        assert 0x1B not in single_table(language)


@pytest.mark.parametrize("language", LOCKING_SAMPLES)
def test_locking_samples(language: int) -> None:
    table = locking_table(language)
    assert {character: table.index(character) for character in LOCKING_SAMPLES[language]} == LOCKING_SAMPLES[language]


@pytest.mark.parametrize("language", SINGLE_SAMPLES)
def test_single_samples(language: int) -> None:
    places = {character: code for code, character in single_table(language).items()}
    assert {character: places.get(character) for character in SINGLE_SAMPLES[language]} == SINGLE_SAMPLES[language]


def test_each_script_is_in_its_own_block() -> None:
    names = {8: "MALAYALAM", 9: "ORIYA", 10: "GURMUKHI", 13: "ARABIC"}
    for language in range(4, 14):
        script = names.get(language, LANGUAGES[language].upper().replace("HINDI", "DEVANAGARI"))
        characters = {*locking_table(language), *single_table(language).values()} - set(gsm7.alphabet().repertoire)
        for character in characters - {BLANK, "\x1b", "*", "।", "॥"}:
            assert unicodedata.name(character).startswith((script, "EXTENDED ARABIC")), hex(ord(character))


def test_spanish_has_no_locking_table() -> None:
    assert [language for language in LANGUAGES if not has_locking(language)] == [2]
    assert locking_table(2) == locking_table(0) == locking_table(99)
    assert single_table(99) == single_table(0)


@pytest.mark.parametrize("locking", range(14))
@pytest.mark.parametrize("single", range(14))
def test_all_characters_survive(locking: int, single: int) -> None:
    for character in gsm7.alphabet(locking, single).repertoire:
        septets = gsm7.encode(character, locking, single)
        assert max(septets) < 128
        assert gsm7.decode(septets, locking, single) == character
        packed = gsm7.pack(gsm7.encode_marked(character, gsm7.alphabet(locking, single)))
        assert gsm7.unpack_exact(packed, len(septets)) == septets


@given(st.text(alphabet=sorted(gsm7.alphabet().repertoire), max_size=200))
def test_default_text_survives(text: str) -> None:
    assert gsm7.decode(gsm7.encode(text)) == text


@given(SEPTETS, LANGUAGE, LANGUAGE)
def test_any_septets_are_text(septets: bytes, locking: int, single: int) -> None:
    text = gsm7.decode(septets, locking, single)
    text.encode("utf-8")
    assert BLANK not in text
    assert "\x1b" not in text
    # Decoding is what a receiver shows: read once more it says the same.
    if set(text) <= gsm7.alphabet(locking, single).repertoire:
        assert gsm7.decode(gsm7.encode(text, locking, single), locking, single) == text


@given(st.text(max_size=60), LANGUAGE, LANGUAGE)
def test_any_text_is_encoded_or_refused_at_its_first_foreign_character(text: str, locking: int, single: int) -> None:
    repertoire = gsm7.alphabet(locking, single).repertoire
    foreign = [index for index, character in enumerate(text) if character not in repertoire]
    if not foreign:
        assert gsm7.decode(gsm7.encode(text, locking, single), locking, single) == text
        return
    with pytest.raises(PduError) as caught:
        gsm7.encode(text, locking, single)
    assert text[caught.value.offset] not in repertoire


@pytest.mark.parametrize(
    ("septets", "text"),
    [
        (b"\x1b", " "),
        (b"a\x1b", "a "),
        (b"\x1b\x1b", " "),
        (b"\x1b\x1ba", " a"),
        (b"\x1b\x1b\x1be", " €"),
        (b"\x1ba", "a"),  # no such escape: the character of the main table
        (b"\x1b\x00", "@"),
        (b"\x1b\x0d", "\r"),
        (b"a\x1beb", "a€b"),
    ],
)
def test_odd_escapes(septets: bytes, text: str) -> None:
    assert gsm7.decode(septets) == text


def test_blank_places_are_spaces() -> None:
    assert gsm7.decode(b"\x00a", 11) == " a"


@pytest.mark.parametrize("text", ["\0", "a\0", "@\0", "€\0", "\x1b", "\x1be", "\ufffe", "\ud800", "😀"])
def test_what_only_looks_like_the_alphabet_is_refused(text: str) -> None:
    with pytest.raises(PduError) as caught:
        gsm7.encode(text)
    assert caught.value.offset == len(text) - 1 if text != "\x1be" else caught.value.offset == 0


def test_at_sign_of_a_single_shift_table_is_the_septet_zero() -> None:
    assert gsm7.encode("@", 4, 4) == b"\x1b\x00"
    assert gsm7.pack(gsm7.encode_marked("a@", gsm7.alphabet(4, 4))) == gsm7.pack(b"a\x1b\x00")


@given(SEPTETS, st.integers(0, 6))
def test_packing_is_undone(septets: bytes, fill: int) -> None:
    septets = septets[:250]
    packed = gsm7.pack(septets, fill)
    assert len(packed) == (-(-(7 * len(septets) + fill) // 8) if septets else 0)
    assert gsm7.unpack_exact(packed, len(septets), fill) == septets
    assert gsm7.unpack(packed, len(septets), fill) == septets


@given(SEPTETS)
def test_packing_agrees_with_the_drawing_of_the_standard(septets: bytes) -> None:
    bits = "".join(f"{septet:07b}"[::-1] for septet in septets)
    bits += "0" * (-len(bits) % 8)
    assert gsm7.pack(septets) == bytes(int(bits[at : at + 8][::-1], 2) for at in range(0, len(bits), 8))


def test_unpacking_without_a_count_drops_what_may_be_padding() -> None:
    assert gsm7.unpack(gsm7.pack(b"abcdefg")) == b"abcdefg"
    assert gsm7.unpack(gsm7.pack(b"abcdefgh")) == b"abcdefgh"
    assert gsm7.unpack(gsm7.pack(b"ab\0")) == b"ab\0"
    assert gsm7.unpack(b"") == b""


def test_ussd_padding_is_a_carriage_return() -> None:
    assert gsm7.unpack_ussd(gsm7.pack(b"abcdefg\r")) == b"abcdefg"
    assert gsm7.unpack_ussd(gsm7.pack(b"abcdef\r")) == b"abcdef\r\0"
    assert gsm7.unpack_ussd(gsm7.pack(b"abc")) == b"abc"
    long = bytes(range(32, 112)) * 4
    assert gsm7.unpack_ussd(b"".join(gsm7.pack(long[at : at + 8]) for at in range(0, len(long), 8))) == long
    assert gsm7.unpack_ussd(b"") == b""
