"""USSD texts as real modems write them, and the codes that may be sent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.errors import AtArgumentError
from hardware.modem.ussd import MOVES, UssdState
from hardware.modem.ussd_codes import UssdCodes, is_code
from hardware.modem.ussd_text import Dialect
from hardware.pdu import PduError, cbs, gsm7

HUAWEI = {"packs": True}


def ucs2(text: str) -> str:
    return text.encode("utf-16-be").hex().upper()


def packed(text: str) -> str:
    return cbs.encode_packed(text).hex().upper()


@pytest.mark.parametrize(
    ("dcs", "alphabet"),
    [
        (0, "gsm7"), (1, "gsm7"), (15, "gsm7"), (0x10, "gsm7"), (0x11, "ucs2"), (0x12, "gsm7"), (0x20, "gsm7"),
        (0x24, "gsm7"), (0x3F, "gsm7"), (0x40, "gsm7"), (0x44, "8bit"), (0x48, "ucs2"), (0x4C, "gsm7"), (0x58, "ucs2"),
        (0x68, "8bit"), (0x80, "gsm7"), (0x94, "8bit"), (0x98, "ucs2"), (0xA0, "gsm7"), (0xD0, "gsm7"), (0xE0, "8bit"),
        (0xF0, "gsm7"), (0xF4, "8bit"), (0xFF, "8bit"),
    ],
)  # fmt: skip
def test_the_groups_of_the_coding_scheme(dcs: int, alphabet: str) -> None:
    """TS 23.038 5."""
    assert cbs.alphabet(dcs) == alphabet


@pytest.mark.parametrize(
    ("text", "octets"),
    [
        ("*100#", "AA180C3602"),
        ("1234567", "31D98C56B3DD1A"),  # seven spare bits hold a CR, not an @ (TS 23.038 6.1.2.3.1)
        ("12345678", "31D98C56B3DD70"),
        ("1234567\r", "31D98C56B3DD1A0D"),  # a CR that is meant, at the octet boundary
    ],
)
def test_packing_of_ussd(text: str, octets: str) -> None:
    assert packed(text) == octets


def test_padding_is_no_text() -> None:
    assert cbs.decode_packed(bytes.fromhex("31D98C56B3DD1A")) == "1234567"
    assert cbs.decode_packed(gsm7.pack(b"1234567")) == "1234567"  # padded with zeros, against the standard
    assert cbs.decode_packed(bytes.fromhex("E5770DCA9BB9"), cbs.GSM7_ANY_LANGUAGE).startswith("e")
    assert cbs.decode_packed(cbs.encode_packed("en\rHello"), 0x10) == "Hello"
    assert cbs.decode_ucs2(b"\xe5\x77" + "Szia".encode("utf-16-be"), 0x11) == "Szia"


@given(st.text(alphabet="abcdefgh @€{1ő", max_size=40))
def test_what_is_packed_comes_back(text: str) -> None:
    try:
        octets = cbs.encode_packed(text)
    except PduError:
        assert "ő" in text
        return
    assert cbs.decode_packed(octets).rstrip("@\r") == text.rstrip("@\r")


@pytest.mark.parametrize(
    ("modem", "raw", "dcs", "text"),
    [
        ({}, "Your balance is 12.50 EUR", 15, "Your balance is 12.50 EUR"),  # SIM800, IRA
        ({"charset": "IRA"}, "1 Balance\r\n2 Data\r\n", 15, "1 Balance\n2 Data"),
        ({}, ucs2("Egyenlege: 1500 Ft, ő"), 72, "Egyenlege: 1500 Ft, ő"),  # EC25
        ({}, ucs2("1500"), 72, "1500"),
        ({}, ucs2("Баланс: 100 р."), 72, "Баланс: 100 р."),
        ({}, ucs2("您的余额"), 72, "您的余额"),
        ({"charset": "UCS2"}, ucs2("Balance 12.50"), 15, "Balance 12.50"),
        ({"charset": "UCS2"}, ucs2("1500"), 15, "1500"),
        ({}, ucs2("Balance 12.50"), 15, "Balance 12.50"),  # says GSM, writes UCS2
        ({}, ucs2("1500"), None, "1500"),
        ({}, ucs2("1500 Ftő"), 72, "1500 Ftő"),  # digits only, in hex
        ({}, ucs2("1500 Ftő"), 15, "1500 Ftő"),
        ({}, ucs2("رصيدك 15 د"), 15, "رصيدك 15 د"),
        ({}, "e577" + ucs2("Szia"), 0x11, "Szia"),
        ({}, "en\r\nHello", 0x10, "Hello"),
        (HUAWEI, packed("Your balance is 12.50 EUR"), 15, "Your balance is 12.50 EUR"),  # E173
        (HUAWEI, packed("Egyenlege: 1500Ft"), 0, "Egyenlege: 1500Ft"),
        (HUAWEI, ucs2("Egyenlege: 1500 Ft, ő"), 72, "Egyenlege: 1500 Ft, ő"),
        (HUAWEI, "Your balance is 12.50 EUR", 15, "Your balance is 12.50 EUR"),  # E3372 with other firmware
        ({}, packed("Your balance is 12.50 EUR"), 15, "Your balance is 12.50 EUR"),  # a family that nobody knows
        ({"charset": "GSM"}, "Ec\x05nt \x7f", 15, "Ecént à"),  # septets as they are
        ({"charset": "PCCP437"}, "caf\x82", 15, "café"),
        ({"charset": "UTF-8"}, "caf\xc3\xa9", 15, "café"),
        ({"charset": "8859-1"}, "caf\xe9", 15, "café"),
        ({}, b"Hello".hex(), 0x44, "Hello"),
        ({}, "\x01\x02 x\x7f", 15, "x"),
        ({}, "", 15, ""),
    ],
)
def test_answers_of_real_modems(modem: dict[str, object], raw: str, dcs: int | None, text: str) -> None:
    assert Dialect(**modem).read(raw, dcs) == text  # type: ignore[arg-type]


@pytest.mark.parametrize("modem", [{}, HUAWEI, {"charset": "UCS2"}, {"charset": "IRA"}, {"charset": "GSM"}])
@pytest.mark.parametrize("dcs", [None, 0, 15, 72, 0x44])
@pytest.mark.parametrize(
    "digits", ["0", "12", "1500", "50", "123456", "12345678", "00361234", "36301234567890", "8936200000123456789012"]
)
def test_plain_digits_are_never_taken_for_hex(modem: dict[str, object], dcs: int | None, digits: str) -> None:
    assert Dialect(**modem).read(digits, dcs) == digits  # type: ignore[arg-type]


@pytest.mark.parametrize("word", ["DEAD", "FACE", "ADDED", "BEEF CAFE", "C0FFEE", "1A2B3C4D"])
@pytest.mark.parametrize("modem", [{}, HUAWEI])
def test_words_of_hex_letters_stay_words(modem: dict[str, object], word: str) -> None:
    assert Dialect(**modem).read(word, 15) == word  # type: ignore[arg-type]


def test_a_modem_that_was_seen_to_pack_means_hex_by_digits_too() -> None:
    dialect = Dialect(packs=True)
    assert dialect.read("31", 15) == "31"
    assert dialect.read(packed("1 Balance, 2 Data"), 15) == "1 Balance, 2 Data"
    assert dialect.read("31", 15) == "1"


@given(st.text(max_size=60), st.integers(0, 255) | st.none(), st.booleans(), st.sampled_from(["", "GSM", "UCS2"]))
def test_any_answer_reads_as_something_that_can_be_shown(text: str, dcs: int | None, packs: bool, charset: str) -> None:
    found = Dialect(packs=packs, charset=charset).read(text, dcs)
    assert "\r" not in found
    assert "\x00" not in found
    assert not any("\ud800" <= character <= "\udfff" for character in found)


@given(st.text(alphabet="0123456789ABCDEF", max_size=60), st.integers(0, 255), st.booleans())
def test_any_hex_reads_as_something(raw: str, dcs: int, packs: bool) -> None:
    Dialect(packs=packs).read(raw, dcs)


@pytest.mark.parametrize(
    ("modem", "text", "wire"),
    [
        ({}, "*100#", 'AT+CUSD=1,"*100#",15'),
        (HUAWEI, "*100#", 'AT+CUSD=1,"AA180C3602",15'),
        (HUAWEI, 'a "b"', f'AT+CUSD=1,"{packed(chr(97) + " " + chr(34) + "b" + chr(34))}",15'),
        (HUAWEI, "ő", 'AT+CUSD=1,"0151",72'),
        ({"charset": "UCS2"}, "*1#", 'AT+CUSD=1,"002A00310023",15'),
        ({"charset": "UCS2"}, "ő", 'AT+CUSD=1,"0151",72'),
        ({"charset": "IRA"}, "a@b", 'AT+CUSD=1,"a@b",15'),
    ],
)
def test_codes_and_replies_as_modems_want_them(modem: dict[str, object], text: str, wire: str) -> None:
    assert Dialect(**modem).write(text).text == wire  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("charset", "text"), [("IRA", "ő"), ("IRA", 'a"b'), ("GSM", "a@b"), ("", "{}"), ("IRA", "a;b")]
)
def test_what_a_modem_cannot_be_given_is_refused(charset: str, text: str) -> None:
    with pytest.raises(AtArgumentError):
        Dialect(charset=charset).write(text)


@pytest.mark.parametrize("code", ["*100#", "#100#", "*#100#", "*1345#", "*12345#", "#123#"])
def test_short_service_codes_may_be_sent(code: str) -> None:
    assert UssdCodes().may_send(code)


@pytest.mark.parametrize(
    "code",
    [
        "*21*36301234567#", "**21*36301234567#", "*21#", "#21#", "##21#", "**61*1234#", "*62*1#", "**67*1#", "*002#",
        "##002#", "**002*1#", "*004#", "#004#", "*33*0000#", "#330#", "*35#", "*43#", "*31#", "#31#36301234567#",
        "**04*0000*1111*1111#", "**03**0000*1111*1111#", "*042*1*2*2#", "*140*100*36301234567#", "*100*1#", "*100",
        "100#", "100", "1", "", "*", "#", "*100#\r", "*100#\nAT", " *100#", "*100# ", "*12a#", "*123456#", "*ӏ00#",
        "*#06#", "*351#", "*#21#", "+36301234567",
    ],
)  # fmt: skip
def test_what_diverts_calls_changes_a_pin_or_moves_money_is_not_sent(code: str) -> None:
    assert not UssdCodes().may_send(code)


def test_the_list_allows_what_it_names_and_no_more() -> None:
    codes = UssdCodes(["*102*{digits}#", "**21*36301234567#", "*1*{digits}*{digits}#"])
    for code in ("*102*1#", "*102*12345678901234567890#", "**21*36301234567#", "*1*2*3#", "*100#"):
        assert codes.may_send(code), code
    for code in ("*102*#", "*102#1", "*102*1*2#", "*102*" + "1" * 21 + "#", "**21*36301234568#", "*1*2#", "*21#"):
        assert not codes.may_send(code), code


def test_a_reply_that_is_a_code_must_be_allowed_too() -> None:
    codes = UssdCodes()
    assert all(codes.may_reply(text) for text in ("1", "*", "#", "yes", "*100#", "#1", "1#"))
    assert not codes.may_reply("**21*36301234567#")
    assert UssdCodes(["**21*{digits}#"]).may_reply("**21*36301234567#")


@given(st.text(max_size=30))
def test_only_digits_stars_hashes_and_plus_make_a_code(text: str) -> None:
    assert is_code(text) == (bool(text) and set(text) <= set("0123456789*#+"))


def test_every_ussd_state_has_its_moves() -> None:
    assert set(MOVES) == set(UssdState)
    for state in set(UssdState) - {UssdState.IDLE}:
        assert UssdState.IDLE in MOVES[state]
