"""Likenesses in the GSM alphabet for characters that it lacks. What is not here is looked up in Unicode's own tables.

Whatever the GSM 7-bit default alphabet and its extension have (TS 23.038 6.2.1) is never replaced.
"""

from __future__ import annotations

# Longer than a character: before all else.
SEQUENCES = {"°C": "C", "°F": "F", "\r\n": "\n"}

_PUNCTUATION = {
    "'": "\u2018\u2019\u201a\u201b\u2032\u02b9\u02bb\u02bc\u2039\u203a`\u00b4",
    '"': "\u201c\u201d\u201e\u201f\u2033«»\u300c\u300d",
    "-": "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u2043",
    "...": "\u2026",
    " ": "\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000\t",
    "\n": "\u2028\u2029\u0085\u000b",
    "": "\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff\ufe0e\ufe0f\u202a\u202b\u202c\u202d\u202e\u2066\u2067"
    "\u2068\u2069",
    "*": "\u2022\u2217\u2605\u2606\u25cf",
    ".": "\u00b7\u2027",
    ",": "\u3001",
    "/": "\u2044\u2215\u00f7",
    "!": "\u203c",
    "?": "\u2047",
}
_SYMBOLS = {
    "×": "x", "±": "+/-", "≤": "<=", "≥": ">=", "≠": "!=", "≈": "~", "→": "->", "←": "<-", "↔": "<->", "⇒": "=>",
    "↑": "^", "✓": "OK", "✔": "OK", "✗": "X", "✘": "X", "°": "deg", "º": "o", "ª": "a", "µ": "u", "‰": "o/oo",
    "¢": "c", "©": "(C)", "®": "(R)", "\u2122": "TM", "№": "No", "†": "+", "¦": "|", "√": "sqrt", "∞": "inf",
    "₽": "RUB", "₺": "TL", "₴": "UAH", "₫": "VND", "₿": "BTC", "∆": "Δ", "∑": "Σ", "∏": "Π",
}  # fmt: skip
_LATIN = {
    # The Hungarian long ones have their short kin in the alphabet: nothing of the word is lost.
    "ő": "ö", "Ő": "Ö", "ű": "ü", "Ű": "Ü",
    "ł": "l", "Ł": "L", "đ": "d", "Đ": "D", "ı": "i", "œ": "oe", "Œ": "OE", "ð": "d", "Ð": "D", "þ": "th", "Þ": "Th",
    "ħ": "h", "Ħ": "H", "ŋ": "ng", "Ŋ": "NG", "ĸ": "k", "ŧ": "t", "Ŧ": "T", "ə": "e", "Ə": "E", "ẞ": "SS", "ĳ": "ij",
    "ŉ": "'n", "ƒ": "f", "ǿ": "ø", "Ǿ": "Ø", "ǽ": "æ", "Ǽ": "Æ", "ǻ": "å", "Ǻ": "Å",
}  # fmt: skip
_GREEK = dict(zip("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "ABEZHIKMNOPTYX", strict=True)) | dict(
    # Small letters are sent as capitals, as all Greek telephones did.
    zip("αβγδεζηθικλμνξοπρστυφχψως", "ABΓΔEZHΘIKΛMNΞOΠPΣTYΦXΨΩΣ", strict=True)
)
# As passports and road signs have it (BGN/PCGN), without signs that no keyboard has.
_CYRILLIC = {
    "а": "a", "б": "b", "в": "v", "г": "g", "д": "d", "е": "e", "ё": "yo", "ж": "zh", "з": "z", "и": "i", "й": "y",
    "к": "k", "л": "l", "м": "m", "н": "n", "о": "o", "п": "p", "р": "r", "с": "s", "т": "t", "у": "u", "ф": "f",
    "х": "kh", "ц": "ts", "ч": "ch", "ш": "sh", "щ": "shch", "ъ": "", "ы": "y", "ь": "", "э": "e", "ю": "yu", "я": "ya",
    "ђ": "dj", "ј": "j", "љ": "lj", "њ": "nj", "ћ": "c", "џ": "dz", "ѓ": "gj", "ќ": "kj", "ѕ": "dz",
    "і": "i", "ї": "yi", "є": "ye", "ґ": "g", "ў": "u",
}  # fmt: skip
# Where a language writes a letter in its own way; the rest as above.
_OF_LANGUAGE = {
    "uk": {"г": "h", "и": "y", "х": "kh", "щ": "shch", "’": ""},
    "be": {"г": "h", "и": "i", "ў": "w"},
    "bg": {"х": "h", "щ": "sht", "ъ": "a", "ь": "y"},
    "sr": {"х": "h", "ц": "c", "ч": "c", "ш": "s", "ж": "z", "ђ": "dj"},
    "mk": {"х": "h", "ц": "c", "ч": "ch", "ж": "zh"},
    "de": {"ÿ": "y"},
}


def _upper(table: dict[str, str]) -> dict[str, str]:
    """With capitals: of several letters only the first is one."""
    return table | {
        letter.upper(): kin[:1].upper() + kin[1:] for letter, kin in table.items() if letter.upper() != letter
    }


KIN: dict[str, str] = {
    **{character: kin for kin, characters in _PUNCTUATION.items() for character in characters},
    **_SYMBOLS,
    **_LATIN,
    **_GREEK,
    **_upper(_CYRILLIC),
}
OF_LANGUAGE: dict[str, dict[str, str]] = {language: _upper(table) for language, table in _OF_LANGUAGE.items()}
