"""GSM 7-bit alphabets: default, its extension, and the 13 national languages (TS 23.038 6.2.1, annexes A.2 and A.3).

The Indic tables share a frame (Latin letters, digits, punctuation) around slots that each language fills.
A language is written as its slots in order of the code, as offsets into its Unicode block; `..` is a blank.
"""

from __future__ import annotations

BLANK = "\0"
ESCAPE = 0x1B

LANGUAGES = {
    1: "turkish",
    2: "spanish",
    3: "portuguese",
    4: "bengali",
    5: "gujarati",
    6: "hindi",
    7: "kannada",
    8: "malayalam",
    9: "oriya",
    10: "punjabi",
    11: "tamil",
    12: "telugu",
    13: "urdu",
}

_DEFAULT = (
    "@£$¥èéùìòÇ\nØø\rÅå"
    "Δ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ"
    " !\"#¤%&'()*+,-./"
    "0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNO"
    "PQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmno"
    "pqrstuvwxyzäöñüà"
)

_TURKISH = (
    "@£$¥€éùıòÇ\nĞğ\rÅå"
    "Δ_ΦΓΛΩΠΨΣΘΞ\x1bŞşßÉ"
    " !\"#¤%&'()*+,-./"
    "0123456789:;<=>?"
    "İABCDEFGHIJKLMNO"
    "PQRSTUVWXYZÄÖÑÜ§"
    "çabcdefghijklmno"
    "pqrstuvwxyzäöñüà"
)

_PORTUGUESE = (
    "@£$¥êéúíóç\nÔô\rÁá"
    "Δ_ªÇÀ∞^\\€Ó|\x1bÂâÊÉ"
    " !\"#º%&'()*+,-./"
    "0123456789:;<=>?"
    "ÍABCDEFGHIJKLMNO"
    "PQRSTUVWXYZÃÕÚÜ§"
    "~abcdefghijklmno"
    "pqrstuvwxyzãõ`üà"
)

# "_" marks a slot.
_LOCKING_FRAME = (
    "__________\n__\r__"
    "___________\x1b____"
    " !______)(__,_._"
    "0123456789:;___?"
    "________________"
    "________________"
    "_abcdefghijklmno"
    "pqrstuvwxyz_____"
)

# Language: the block, then the slots of rows 0, 1, 2, 3, 4, 5, and the slots 60 and 7B to 7F.
_LOCKING_SLOTS: dict[int, tuple[int, str]] = {
    4: (
        0x0980,
        "01 02 03 05 06 07 08 09 0A 0B 0C .. .. 0F"
        " 10 .. .. 13 14 15 16 17 18 19 1A 1B 1C 1D 1E"
        " 1F 20 21 22 23 24 25 26 27 28"
        " .. 2A 2B"
        " 2C 2D 2E 2F 30 .. 32 .. .. .. 36 37 38 39 3C 3D"
        " 3E 3F 40 41 42 43 44 .. .. 47 48 .. .. 4B 4C 4D"
        " 4E 57 5C 5D 70 71",
    ),
    5: (
        0x0A80,
        "01 02 03 05 06 07 08 09 0A 0B 0C 0D .. 0F"
        " 10 11 .. 13 14 15 16 17 18 19 1A 1B 1C 1D 1E"
        " 1F 20 21 22 23 24 25 26 27 28"
        " .. 2A 2B"
        " 2C 2D 2E 2F 30 .. 32 33 .. 35 36 37 38 39 3C 3D"
        " 3E 3F 40 41 42 43 44 45 .. 47 48 49 .. 4B 4C 4D"
        " 50 60 61 62 63 71",
    ),
    6: (
        0x0900,
        "01 02 03 05 06 07 08 09 0A 0B 0C 0D 0E 0F"
        " 10 11 12 13 14 15 16 17 18 19 1A 1B 1C 1D 1E"
        " 1F 20 21 22 23 24 25 26 27 28"
        " 29 2A 2B"
        " 2C 2D 2E 2F 30 31 32 33 34 35 36 37 38 39 3C 3D"
        " 3E 3F 40 41 42 43 44 45 46 47 48 49 4A 4B 4C 4D"
        " 50 72 7B 7C 7E 7F",
    ),
    7: (
        0x0C80,
        ".. 02 03 05 06 07 08 09 0A 0B 0C .. 0E 0F"
        " 10 .. 12 13 14 15 16 17 18 19 1A 1B 1C 1D 1E"
        " 1F 20 21 22 23 24 25 26 27 28"
        " .. 2A 2B"
        " 2C 2D 2E 2F 30 31 32 33 .. 35 36 37 38 39 3C 3D"
        " 3E 3F 40 41 42 43 44 .. 46 47 48 .. 4A 4B 4C 4D"
        " 55 56 60 61 62 63",
    ),
    8: (
        0x0D00,
        ".. 02 03 05 06 07 08 09 0A 0B 0C .. 0E 0F"
        " 10 .. 12 13 14 15 16 17 18 19 1A 1B 1C 1D 1E"
        " 1F 20 21 22 23 24 25 26 27 28"
        " .. 2A 2B"
        " 2C 2D 2E 2F 30 31 32 33 34 35 36 37 38 39 .. 3D"
        " 3E 3F 40 41 42 43 44 .. 46 47 48 .. 4A 4B 4C 4D"
        " 57 60 61 62 63 79",
    ),
    9: (
        0x0B00,
        "01 02 03 05 06 07 08 09 0A 0B 0C .. .. 0F"
        " 10 .. .. 13 14 15 16 17 18 19 1A 1B 1C 1D 1E"
        " 1F 20 21 22 23 24 25 26 27 28"
        " .. 2A 2B"
        " 2C 2D 2E 2F 30 .. 32 33 .. 35 36 37 38 39 3C 3D"
        " 3E 3F 40 41 42 43 44 .. .. 47 48 .. .. 4B 4C 4D"
        " 56 57 60 61 62 63",
    ),
    10: (
        0x0A00,
        "01 02 03 05 06 07 08 09 0A .. .. .. .. 0F"
        " 10 .. .. 13 14 15 16 17 18 19 1A 1B 1C 1D 1E"
        " 1F 20 21 22 23 24 25 26 27 28"
        " .. 2A 2B"
        " 2C 2D 2E 2F 30 .. 32 33 .. 35 36 .. 38 39 3C .."
        " 3E 3F 40 41 42 .. .. .. .. 47 48 .. .. 4B 4C 4D"
        " 51 70 71 72 73 74",
    ),
    11: (
        0x0B80,
        ".. 02 03 05 06 07 08 09 0A .. .. .. 0E 0F"
        " 10 .. 12 13 14 15 .. .. .. 19 1A .. 1C .. 1E"
        " 1F .. .. .. 23 24 .. .. .. 28"
        " 29 2A .."
        " .. .. 2E 2F 30 31 32 33 34 35 36 37 38 39 .. .."
        " 3E 3F 40 41 42 .. .. .. 46 47 48 .. 4A 4B 4C 4D"
        " 50 57 70 71 72 79",
    ),
    12: (
        0x0C00,
        "01 02 03 05 06 07 08 09 0A 0B 0C .. 0E 0F"
        " 10 .. 12 13 14 15 16 17 18 19 1A 1B 1C 1D 1E"
        " 1F 20 21 22 23 24 25 26 27 28"
        " .. 2A 2B"
        " 2C 2D 2E 2F 30 31 32 33 .. 35 36 37 38 39 .. 3D"
        " 3E 3F 40 41 42 43 44 .. 46 47 48 .. 4A 4B 4C 4D"
        " 55 56 60 61 62 63",
    ),
    13: (
        0x0600,
        "27 22 28 7B 80 7E A6 2A C2 7F 79 7D 7A 7C"
        " 2B 2C 81 84 83 85 86 87 2D 2E 2F 8C 88 89 8A"
        " 8F 8D 30 31 91 93 99 32 96 98"
        " 9A 33 34"
        " 35 36 37 38 39 41 42 A9 AA AB AF B3 B1 44 45 46"
        " BA BB BC 48 C4 D5 C1 BE 21 CC D0 D2 4D 50 4F 57"
        " 54 55 51 53 56 70",
    ),
}

_EXTENSION = {0x0A: "\f", 0x14: "^", 0x28: "{", 0x29: "}", 0x2F: "\\", 0x3C: "[", 0x3D: "~", 0x3E: "]", 0x40: "|"}

_SINGLE_DEFAULT = {**_EXTENSION, 0x65: "€"}

_SINGLE_TURKISH = {
    **_SINGLE_DEFAULT,
    0x0D: "\n",
    0x47: "Ğ",
    0x49: "İ",
    0x53: "Ş",
    0x63: "ç",
    0x67: "ğ",
    0x69: "ı",
    0x73: "ş",
}

_SINGLE_SPANISH = {
    **_SINGLE_DEFAULT,
    0x09: "ç",
    0x0D: "\n",
    0x41: "Á",
    0x49: "Í",
    0x4F: "Ó",
    0x55: "Ú",
    0x61: "á",
    0x69: "í",
    0x6F: "ó",
    0x75: "ú",
}

_SINGLE_PORTUGUESE = {
    **_SINGLE_DEFAULT,
    0x05: "ê",
    0x09: "ç",
    0x0B: "Ô",
    0x0C: "ô",
    0x0D: "\n",
    0x0E: "Á",
    0x0F: "á",
    0x12: "Φ",
    0x13: "Γ",
    0x15: "Ω",
    0x16: "Π",
    0x17: "Ψ",
    0x18: "Σ",
    0x19: "Θ",
    0x1F: "Ê",
    0x41: "À",
    0x49: "Í",
    0x4F: "Ó",
    0x55: "Ú",
    0x5B: "Ã",
    0x5C: "Õ",
    0x61: "Â",
    0x69: "í",
    0x6F: "ó",
    0x75: "ú",
    0x7B: "ã",
    0x7C: "õ",
    0x7F: "â",
}

_SINGLE_FRAME = {
    **_SINGLE_DEFAULT,
    **dict(enumerate("@£$¥¿\"¤%&'\f*+\r-/<=>¡^¡_#*")),
    **dict(enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZ", start=0x41)),
}

# The slots of the Indic and Urdu single shift tables: 19 to 27, 2A to 2E, 30 to 3F without the frame.
_SINGLE_SLOTS = (
    0x19, 0x1A, 0x1C, 0x1D, 0x1E, 0x1F,
    0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27,
    0x2A, 0x2B, 0x2C, 0x2D, 0x2E,
    0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3A, 0x3B, 0x3F,
)  # fmt: skip

# Language: absolute code points of the slots, `....` blank. 0964 and 0965 are the danda and the double danda.
_SINGLE_INDIC: dict[int, str] = {
    4: "09E6 09E7 09E8 09E9 09EA 09EB 09EC 09ED 09EE 09EF 09DF 09E0 09E1 09E2"
    " 09E3 09F2 09F3 09F4 09F5 09F6 09F7 09F8 09F9 09FA",
    5: "0964 0965 0AE6 0AE7 0AE8 0AE9 0AEA 0AEB 0AEC 0AED 0AEE 0AEF",
    6: "0964 0965 0966 0967 0968 0969 096A 096B 096C 096D 096E 096F 0951 0952"
    " 0953 0954 0958 0959 095A 095B 095C 095D 095E 095F 0960 0961 0962 0963 0970 0971",
    7: "0964 0965 0CE6 0CE7 0CE8 0CE9 0CEA 0CEB 0CEC 0CED 0CEE 0CEF 0CDE 0CF1 0CF2",
    8: "0964 0965 0D66 0D67 0D68 0D69 0D6A 0D6B 0D6C 0D6D 0D6E 0D6F 0D70 0D71"
    " 0D72 0D73 0D74 0D75 0D7A 0D7B 0D7C 0D7D 0D7E 0D7F",
    9: "0964 0965 0B66 0B67 0B68 0B69 0B6A 0B6B 0B6C 0B6D 0B6E 0B6F 0B5C 0B5D 0B5F 0B70 0B71",
    10: "0964 0965 0A66 0A67 0A68 0A69 0A6A 0A6B 0A6C 0A6D 0A6E 0A6F 0A59 0A5A 0A5B 0A5C 0A5E 0A75",
    11: "0964 0965 0BE6 0BE7 0BE8 0BE9 0BEA 0BEB 0BEC 0BED 0BEE 0BEF 0BF3 0BF4 0BF5 0BF6 0BF7 0BF8 0BFA",
    12: ".... .... 0C66 0C67 0C68 0C69 0C6A 0C6B 0C6C 0C6D 0C6E 0C6F 0C58 0C59 0C78 0C79 0C7A 0C7B 0C7C 0C7D 0C7E 0C7F",
    13: "0600 0601 06F0 06F1 06F2 06F3 06F4 06F5 06F6 06F7 06F8 06F9 060C 060D"
    " 060E 060F 0610 0611 0612 0613 0614 061B 061F 0640 0652 0658 066B 066C 0672 0673 06CD 06D4",
}


def locking_table(language: int) -> str:
    """The 128 characters of the alphabet that a locking shift selects; 0, or a language without one: the default."""
    if language == 1:
        return _TURKISH
    if language == 3:
        return _PORTUGUESE
    if language not in _LOCKING_SLOTS:
        return _DEFAULT
    block, slots = _LOCKING_SLOTS[language]
    characters = (BLANK if slot == ".." else chr(block + int(slot, 16)) for slot in slots.split())
    return "".join(next(characters) if place == "_" else place for place in _LOCKING_FRAME)


def single_table(language: int) -> dict[int, str]:
    """What follows an escape: septet to character; 0, or an unknown language: the default extension."""
    if language == 1:
        return _SINGLE_TURKISH
    if language == 2:
        return _SINGLE_SPANISH
    if language == 3:
        return _SINGLE_PORTUGUESE
    if language not in _SINGLE_INDIC:
        return _SINGLE_DEFAULT
    points = zip(_SINGLE_SLOTS, _SINGLE_INDIC[language].split(), strict=False)
    return {**_SINGLE_FRAME, **{slot: chr(int(point, 16)) for slot, point in points if point != "...."}}


def has_locking(language: int) -> bool:
    """Spanish (2) has a single shift table only."""
    return language in (1, 3) or language in _LOCKING_SLOTS
