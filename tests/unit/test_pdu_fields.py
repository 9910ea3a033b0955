"""Addresses, time stamps, validity periods, coding schemes, headers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.pdu import Concat, Ie, PduError, gsm7
from hardware.pdu.address import read_address, read_smsc, write_address, write_smsc
from hardware.pdu.dcs import DCS, make_dcs
from hardware.pdu.timestamp import read_timestamp, write_timestamp
from hardware.pdu.udh import build_header, concat_ie, parse_header, ports_ie
from hardware.pdu.validity import (
    read_validity,
    relative_octet,
    relative_seconds,
    write_enhanced,
)

NUMBERS = st.from_regex(r"\+[0-9*#abc]{1,20}|[0-9*#]{1,20}", fullmatch=True)


# -- addresses -----------------------------------------------------------------------------------------------


@given(NUMBERS)
def test_numbers_survive(number: str) -> None:
    octets = write_address(number)
    assert octets[0] == len(number.removeprefix("+"))
    assert read_address(octets, 0) == (number, "international" if number[0] == "+" else "unknown", len(octets))
    assert read_smsc(write_smsc(number) + b"\0") == (number, len(write_smsc(number)))


@given(st.text(alphabet="@AbcXYZ Ä£_-&zå", min_size=1, max_size=11))
def test_alphanumeric_senders_survive(name: str) -> None:
    read, kind, end = read_address(octets := write_address(name, alphanumeric=True), 0)
    assert (kind, end) == ("alphanumeric", len(octets))
    # Eight characters of which the last is "@" look like seven and padding.
    assert read == (name[:-1] if len(name) == 8 and name[-1] == "@" else name)


def test_both_lengths_of_a_seven_character_sender() -> None:
    telekom = gsm7.pack(b"Telekom")
    assert read_address(bytes((13, 0xD0)) + telekom, 0)[0] == "Telekom"
    assert read_address(bytes((14, 0xD0)) + telekom, 0)[0] == "Telekom"


@pytest.mark.parametrize(
    ("octets", "number", "kind"),
    [
        ("0080", "", "unknown"),
        ("0091", "", "international"),
        ("00D0", "", "alphanumeric"),
        ("03A121F3", "123", "national"),
        ("03B121F3", "123", "network"),
        ("03C121F3", "123", "subscriber"),
        ("03E121F3", "123", "abbreviated"),
        ("03F121F3", "123", "reserved"),
        ("058121CDFE", "12bac", "unknown"),
        ("0481F1F3", "1", "unknown"),  # an F ends a number early
        ("0281BA", "*#", "unknown"),
        ("0381DCFE", "abc", "unknown"),
        ("018005", "50", "unknown"),  # a length in octets
        ("0101F1", "1", "unknown"),  # no extension bit
    ],
)
def test_addresses_of_all_kinds(octets: str, number: str, kind: str) -> None:
    assert read_address(bytes.fromhex(octets), 0)[:2] == (number, kind)


def test_filler_of_an_odd_number() -> None:
    octets = bytes.fromhex("03812130")
    assert read_address(octets, 0, any_filler=True)[0] == "120"
    with pytest.raises(PduError) as caught:
        read_address(octets, 0)
    assert caught.value.offset == 3


@pytest.mark.parametrize(
    ("octets", "offset"), [("1581" + "11" * 11, 0), ("0A9121", 3), ("0691", 2), ("FF91" + "11" * 140, 0)]
)
def test_addresses_that_are_none(octets: str, offset: int) -> None:
    with pytest.raises(PduError) as caught:
        read_address(bytes.fromhex(octets), 0)
    assert caught.value.offset == offset


@pytest.mark.parametrize(
    "number",
    [
        "+",
        "1" * 21,
        "+" + "1" * 21,
        "12\r",
        "12\n",
        "1\x1a",
        "1\x1b",
        '1"',
        "1;2",
        "+36 30",
        "anna",
        "٣",
        "²",
        "++1",
        "1+",
    ],
)
def test_numbers_that_are_none(number: str) -> None:
    with pytest.raises(PduError):
        write_address(number)
    with pytest.raises(PduError):
        write_smsc(number)


def test_alphanumeric_sender_has_eleven_characters_of_the_alphabet() -> None:
    assert len(write_address("Hello World", alphanumeric=True)) == 12
    for name in ("Hello World!", "€€€€€€", "日本"):
        with pytest.raises(PduError):
            write_address(name, alphanumeric=True)


@pytest.mark.parametrize(("octets", "smsc", "start"), [("0000", None, 1), ("018111", None, 2), ("0391FFFF11", None, 4)])
def test_no_service_centre(octets: str, smsc: str | None, start: int) -> None:
    assert read_smsc(bytes.fromhex(octets)) == (smsc, start)


def test_service_centres() -> None:
    assert write_smsc(None) == write_smsc("") == b"\0"
    assert read_smsc(bytes.fromhex("04D061F11804")) == ("abc", 5)
    for octets in ("0D91" + "11" * 30, "0791", "07911111111111"):
        with pytest.raises(PduError):
            read_smsc(bytes.fromhex(octets))


# -- time stamps ---------------------------------------------------------------------------------------------


@given(
    st.datetimes(datetime(1990, 1, 1), datetime(2069, 12, 31)),  # noqa: DTZ001
    st.integers(-79, 79),
)
def test_time_stamps_survive(moment: datetime, quarters: int) -> None:
    moment = moment.replace(microsecond=0, tzinfo=timezone(timedelta(minutes=15 * quarters)))
    octets = write_timestamp(moment)
    read = read_timestamp(b"\xaa" + octets, 1)
    assert read is not None
    year = moment.year if moment.year >= 2000 else moment.year + 100  # the nineties are read as the next ones
    assert (read, read.utcoffset()) == (moment.replace(year=year), moment.utcoffset())


@pytest.mark.parametrize(
    "octets", ["00000000000000", "FFFFFFFFFFFFFF", "62030142520000", "62202142520000", "62111199999900"]
)
def test_dates_that_do_not_exist_are_none(octets: str) -> None:
    assert read_timestamp(bytes.fromhex(octets), 0) is None


@pytest.mark.parametrize(
    ("octets", "offset"), [("F2111122222200", 0), ("62111122F22200", 4), ("621111222222A0", 6), ("6211", 2), ("", 0)]
)
def test_digits_that_are_none(octets: str, offset: int) -> None:
    with pytest.raises(PduError) as caught:
        read_timestamp(bytes.fromhex(octets), 0)
    assert caught.value.offset == offset


def test_zone_of_a_report_may_be_one_digit() -> None:
    moment = read_timestamp(bytes.fromhex("621111222222A0"), 0, any_zone=True)
    assert moment is not None
    assert moment.utcoffset() == timedelta(hours=2, minutes=30)
    assert read_timestamp(bytes.fromhex("620000222222A0"), 0, any_zone=True) is None


def test_clocks_that_were_never_set() -> None:
    assert read_timestamp(bytes.fromhex("07101000000000"), 0) == datetime(1970, 1, 1, tzinfo=UTC)
    assert read_timestamp(bytes.fromhex("08106000000000"), 0) == datetime(1980, 1, 6, tzinfo=UTC)


def test_time_stamps_that_cannot_be_written() -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    for zone in (None, timezone(timedelta(minutes=7)), timezone(timedelta(hours=20))):
        with pytest.raises(PduError):
            write_timestamp(moment.replace(tzinfo=zone))


# -- validity ------------------------------------------------------------------------------------------------


def test_relative_periods_are_never_cut_short() -> None:
    seconds = [relative_seconds(octet) for octet in range(256)]
    assert seconds == sorted(seconds)
    assert (seconds[0], seconds[143], seconds[167], seconds[196], seconds[255]) == (
        300,
        43200,
        86400,
        2592000,
        38102400,
    )
    assert [relative_octet(value) for value in seconds] == list(range(256))
    assert relative_octet(301) == 1
    assert relative_octet(0.5) == 0
    assert relative_octet(10**12) == 255


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_periods_are_positive(seconds: float) -> None:
    with pytest.raises(PduError):
        relative_octet(seconds)


@pytest.mark.parametrize("seconds", [1, 255, 256, 3661, 359999])
def test_enhanced_periods_survive(seconds: int) -> None:
    octets = write_enhanced(timedelta(seconds=seconds), single_shot=seconds == 1)
    assert len(octets) == 7
    validity, end = read_validity(1, octets, 0)
    assert (validity.format, validity.seconds, validity.single_shot, end) == ("enhanced", seconds, seconds == 1, 7)


@pytest.mark.parametrize(
    ("octets", "seconds"),
    [
        ("00000000000000", None),
        ("01A50000000000", 82800),
        ("02000000000000", None),
        ("04000000000000", None),
        ("81000100000000", 600),  # one more octet of indicator
        ("81808080808080", None),
        ("83000203040000", 20 * 3600 + 30 * 60 + 40),
    ],
)
def test_enhanced_formats(octets: str, seconds: int | None) -> None:
    assert read_validity(1, bytes.fromhex(octets), 0)[0].seconds == seconds


def test_long_enhanced_period_is_a_relative_one() -> None:
    assert write_enhanced(timedelta(days=30))[:2] == bytes((1, relative_octet(30 * 86400)))
    with pytest.raises(PduError):
        write_enhanced(timedelta(0))


@pytest.mark.parametrize(("vpf", "octets"), [(1, "03F12154000000"), (1, "0100"), (3, "6211"), (3, "F2111122222200")])
def test_broken_periods(vpf: int, octets: str) -> None:
    with pytest.raises(PduError):
        read_validity(vpf, bytes.fromhex(octets), 0)


# -- coding schemes ------------------------------------------------------------------------------------------


def test_all_coding_schemes() -> None:
    encodings = [dcs.encoding for dcs in DCS]
    for general in (0x00, 0x10, 0x40, 0x50):
        assert encodings[general : general + 16] == ["gsm7"] * 4 + ["8bit"] * 4 + ["ucs2"] * 4 + ["gsm7"] * 4
    for compressed in (0x20, 0x30, 0x60, 0x70):
        assert encodings[compressed : compressed + 16] == ["8bit"] * 16
        assert all(dcs.compressed for dcs in DCS[compressed : compressed + 16])
    assert encodings[0x80:0xE0] == ["gsm7"] * 96
    assert encodings[0xE0:0xF0] == ["ucs2"] * 16
    assert encodings[0xF0:] == (["gsm7"] * 4 + ["8bit"] * 4) * 2
    classes = [dcs.message_class for dcs in DCS]
    assert classes[0x10:0x14] == classes[0x58:0x5C] == classes[0xF4:0xF8] == [0, 1, 2, 3]
    assert classes[0x00:0x10] == classes[0x80:0x90] == [None] * 16


def test_message_waiting() -> None:
    waiting = DCS[0xC8].mwi, DCS[0xD1].mwi, DCS[0xEA].mwi, DCS[0xDF].mwi
    assert [(mwi.kind, mwi.active, mwi.store) for mwi in waiting if mwi] == [
        ("voicemail", True, False),
        ("fax", False, True),
        ("email", True, True),
        ("other", True, True),
    ]


def test_made_coding_schemes() -> None:
    assert [make_dcs("gsm7", None), make_dcs("ucs2", None), make_dcs("8bit", None)] == [0x00, 0x08, 0x04]
    assert [make_dcs("gsm7", 0), make_dcs("ucs2", 0), make_dcs("8bit", 3)] == [0x10, 0x18, 0x17]


# -- headers -------------------------------------------------------------------------------------------------


def test_concatenation_and_ports() -> None:
    header = parse_header(bytes.fromhex("0804CA4E0301050415B3FDE824010D250103"))
    assert header.concat == Concat(0xCA4E, 3, 1, 16)
    assert (header.ports, header.port_bits) == ((5555, 65000), 16)
    assert (header.single, header.locking) == (13, 3)
    assert [ie.iei for ie in header.ies] == [8, 5, 0x24, 0x25]
    header = parse_header(bytes.fromhex("0003C301010402F0E2"))
    assert header.concat == Concat(195, 1, 1, 8)
    assert (header.ports, header.port_bits) == ((240, 226), 8)


@pytest.mark.parametrize("body", ["0003010000", "0003010001", "0003010002", "00020101", "080401020001"])
def test_concatenations_that_make_no_sense_are_ignored(body: str) -> None:
    header = parse_header(bytes.fromhex(body))
    assert header.concat is None
    assert len(header.ies) == 1


def test_the_last_of_two_counts() -> None:
    assert parse_header(bytes.fromhex("0003010201080400050202")).concat == Concat(5, 2, 2, 16)
    assert parse_header(bytes.fromhex("0504000100020402F0E2")).ports == (240, 226)


def test_unknown_languages_are_the_default() -> None:
    header = parse_header(bytes.fromhex("24010E2501FF240100"))
    assert (header.single, header.locking) == (0, 0)
    # Read as decimal by some encoders; with another size these are pictures.
    assert parse_header(bytes.fromhex("180101190102")).single == 1
    assert parse_header(bytes.fromhex("18020101")).single == 0


def test_special_indication() -> None:
    mwi = parse_header(bytes.fromhex("01028003")).mwi
    assert mwi is not None
    assert (mwi.kind, mwi.active, mwi.store, mwi.waiting) == ("voicemail", True, True, 3)


@pytest.mark.parametrize(("body", "offset"), [("00", 7), ("0005", 7), ("000301", 7), ("7000000301020101", 14)])
def test_elements_that_run_over(body: str, offset: int) -> None:
    with pytest.raises(PduError) as caught:
        parse_header(bytes.fromhex(body), 7)
    assert caught.value.offset == offset


@given(st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=20)), max_size=5))
def test_headers_survive(elements: list[tuple[int, bytes]]) -> None:
    ies = tuple(Ie(*element) for element in elements)
    octets = build_header(ies)
    assert parse_header(octets[1:]).ies == ies
    assert octets[:1] == (bytes((len(octets) - 1,)) if ies else b"")


@pytest.mark.parametrize(
    "ies", [[Ie(1, bytes(139))], [Ie(256, b"")], [Ie(1, bytes(100)), Ie(1, bytes(100))], [Ie(-1, b"")]]
)
def test_headers_that_do_not_fit(ies: list[Ie]) -> None:
    with pytest.raises(PduError):
        build_header(ies)


def test_made_elements() -> None:
    assert concat_ie(Concat(1, 2, 1, 8)) == (0, bytes.fromhex("010201"))
    assert concat_ie(Concat(0x1234, 2, 1, 16)) == (8, bytes.fromhex("12340201"))
    assert ports_ie(2948, 9200) == (5, bytes.fromhex("0B8423F0"))
