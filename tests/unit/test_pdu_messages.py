"""Whole TPDUs: written, read, split, joined."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.pdu import (
    Concat,
    Deliver,
    DeliverRequest,
    Ie,
    PduError,
    StatusReport,
    StatusReportRequest,
    Submit,
    SubmitRequest,
    decode,
    encode,
    encode_deliver,
    encode_status_report,
    estimate,
    gsm7,
    join,
    without_validity,
)
from sms_bridge.cli.pdu import describe

MOMENT = datetime(2026, 11, 22, 20, 0, 1, tzinfo=timezone(timedelta(hours=-3, minutes=-30)))
NUMBER = "+36301234567"
# Escapes, surrogate pairs, combining marks, both national scripts and plain letters, in any order.
TEXTS = st.text(st.sampled_from("ab@€[]\fñ \n") | st.sampled_from("abж😀é\u0301ğس") | st.characters(codec="utf-8"))


def submit(pdu: str) -> Submit:
    message = decode(pdu, direction="mo")
    assert isinstance(message, Submit)
    return message


def deliver(pdu: str) -> Deliver:
    message = decode(pdu)
    assert isinstance(message, Deliver)
    return message


def received(text: str | None = None, **fields: Any) -> list[Deliver]:
    return [deliver(pdu) for pdu in encode_deliver(DeliverRequest(NUMBER, MOMENT, text, **fields))]


# -- SUBMIT --------------------------------------------------------------------------------------------------


@given(TEXTS, st.sampled_from(["auto", "ucs2"]), st.sampled_from([8, 16]), st.booleans())
def test_texts_survive(text: str, encoding: str, ref_bits: int, port: bool) -> None:
    request = SubmitRequest(NUMBER, text, encoding=encoding, ref=0x1234, ref_bits=ref_bits, port=99 if port else None)
    encoded = encode(request)
    parts = [submit(pdu) for pdu in encoded.pdus]
    assert join(parts).text == text
    assert encoded.lengths == [len(pdu) // 2 - 1 for pdu in encoded.pdus]
    assert encoded.segments == len(parts)
    assert all(length <= 164 for length in encoded.lengths)
    counted = estimate(text, encoding=encoding, ref_bits=ref_bits, port=request.port)
    assert (counted.encoding, counted.segments) == (encoded.encoding, encoded.segments)
    for part in parts:
        assert part.text is not None
        assert "\ufffd" not in part.text or "\ufffd" in text
        assert part.ports == ((99, 0) if port else None)
    if len(parts) > 1:
        ref = 0x34 if ref_bits == 8 else 0x1234
        assert [part.concat for part in parts] == [
            Concat(ref, len(parts), seq, ref_bits) for seq in range(1, len(parts) + 1)
        ]


@given(TEXTS, st.lists(st.integers(1, 13), max_size=3, unique=True), st.booleans())
def test_national_texts_survive_and_never_cost_more(text: str, national: list[int], locking: bool) -> None:
    encoded = encode(SubmitRequest(NUMBER, text * 3, national=national, locking=locking))
    assert join([submit(pdu) for pdu in encoded.pdus]).text == text * 3
    assert encoded.segments <= encode(SubmitRequest(NUMBER, text * 3)).segments


@given(st.binary(max_size=600), st.one_of(st.none(), st.integers(0, 65535)))
def test_data_survives(data: bytes, port: int | None) -> None:
    encoded = encode(SubmitRequest(NUMBER, data=data, port=port, source_port=7 if port else 0))
    joined = join([submit(pdu) for pdu in encoded.pdus])
    assert (joined.data, joined.text, joined.encoding, encoded.encoding) == (data, None, "8bit", "8bit")


def test_escape_pairs_are_not_cut() -> None:
    parts = [submit(pdu) for pdu in encode(SubmitRequest(NUMBER, "a" * 152 + "€" + "b" * 20)).pdus]
    assert [part.text for part in parts] == ["a" * 152, "€" + "b" * 20]


def test_surrogate_pairs_are_not_cut() -> None:
    parts = [submit(pdu) for pdu in encode(SubmitRequest(NUMBER, "ж" * 66 + "😀" + "ж" * 20)).pdus]
    assert [part.text for part in parts] == ["ж" * 66, "😀" + "ж" * 20]


def test_all_fields_of_a_submit() -> None:
    request = SubmitRequest(
        "38000",
        "STOP",
        smsc="+36309888000",
        mr=255,
        validity_minutes=60,
        status_report=True,
        reject_duplicates=True,
        flash=True,
        pid=0x41,
        ies=(Ie(0x70, b"x"),),
    )
    message = submit(encode(request).pdus[0])
    assert (message.smsc, message.number, message.number_type) == ("+36309888000", "38000", "unknown")
    assert (message.mr, message.pid, message.dcs, message.message_class) == (255, 0x41, 0x10, 0)
    assert (message.validity_format, message.validity.seconds) == ("relative", 3600)
    assert (message.status_report, message.reject_duplicates, message.reply_path) == (True, True, False)
    assert message.udh == ((0x70, b"x"),)
    assert message.text == "STOP"
    assert encode(request).lengths == [len(encode(request).pdus[0]) // 2 - 8]


@pytest.mark.parametrize("smsc", [None, "+36209300099"])
@pytest.mark.parametrize(
    "validity", [{"validity_minutes": 60}, {"valid_until": MOMENT}, {"valid_for": timedelta(seconds=90)}]
)
@given(number=st.from_regex(r"\+?[0-9]{3,15}", fullmatch=True), text=TEXTS)
def test_a_pdu_without_its_validity_is_what_would_have_been_encoded_without_it(
    smsc: str | None, validity: dict[str, Any], number: str, text: str
) -> None:
    request = SubmitRequest(number, text=text, smsc=smsc, status_report=True, ref=7)
    plain, limited = encode(request), encode(replace(request, **validity))
    stripped = [without_validity(pdu) for pdu in limited.pdus]
    assert stripped == list(zip(plain.pdus, plain.lengths, strict=True))
    assert [without_validity(pdu) for pdu in plain.pdus] == [None] * plain.segments


@pytest.mark.parametrize(
    "pdu", ["", "0", "zz", "00", "0011", "001100", encode_deliver(DeliverRequest("5", MOMENT, "a"))[0]]
)
def test_what_is_no_submit_has_no_validity_to_lose(pdu: str) -> None:
    with pytest.raises(PduError):
        without_validity(pdu)


@given(st.binary(max_size=40))
def test_any_octets_lose_their_validity_or_are_refused(octets: bytes) -> None:
    try:
        stripped = without_validity(octets.hex())
    except PduError:
        return
    assert stripped is None or without_validity(stripped[0]) is None


def test_validity_formats() -> None:
    message = submit(encode(SubmitRequest(NUMBER, "a", valid_until=MOMENT)).pdus[0])
    assert (message.validity_format, message.validity.until) == ("absolute", MOMENT)
    message = submit(encode(SubmitRequest(NUMBER, "a", valid_for=timedelta(seconds=90))).pdus[0])
    assert (message.validity_format, message.validity.seconds) == ("enhanced", 90)
    message = submit(encode(SubmitRequest(NUMBER, "a")).pdus[0])
    assert (message.validity_format, message.validity.seconds, message.validity.until) == ("none", None, None)


def test_references_of_the_parts() -> None:
    assert [submit(pdu).mr for pdu in encode(SubmitRequest(NUMBER, "a" * 400)).pdus] == [0, 0, 0]
    assert [submit(pdu).mr for pdu in encode(SubmitRequest(NUMBER, "a" * 400, mr=254)).pdus] == [254, 255, 0]


def test_header_without_text() -> None:
    message = submit(encode(SubmitRequest(NUMBER, "", port=1)).pdus[0])
    assert (message.text, message.ports) == ("", (1, 0))
    assert submit(encode(SubmitRequest(NUMBER, "")).pdus[0]).text == ""
    assert submit(encode(SubmitRequest("", "x")).pdus[0]).number == ""


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"text": "a", "data": b"a"},
        {"text": "a", "number": "1\r2"},
        {"text": "a", "smsc": "x"},
        {"text": "a", "encoding": "latin1"},
        {"text": "ж", "encoding": "gsm7"},
        {"text": "a\ud800"},
        {"text": "\udc00", "encoding": "8bit"},
        {"text": "a", "mr": 256},
        {"text": "a", "pid": -1},
        {"text": "a", "dcs": 256},
        {"text": "a", "ref_bits": 7},
        {"text": "a", "port": 65536},
        {"text": "a", "port": 1, "source_port": -1},
        {"text": "a", "message_class": 4},
        {"text": "a", "validity_minutes": 0},
        {"text": "a", "valid_until": MOMENT.replace(tzinfo=None)},
        {"text": "ж", "national": ("klingon",)},
        {"text": "ж", "national": (14,)},
        {"text": "a" * 200, "ies": (Ie(1, bytes(132)),)},
        {"text": "ж" * 200, "ies": (Ie(1, bytes(130)),)},
        {"data": bytes(200), "ies": (Ie(1, bytes(132)),)},
        {"text": "a" * (255 * 153 + 1)},
        {"text": "€" * (255 * 76 + 1)},
        {"text": "😀" * (255 * 33 + 1)},
        {"data": bytes(255 * 134 + 1)},
        {"text": "a" * 262144},
        {"data": bytes(262144)},
    ],
)
def test_what_cannot_be_sent(fields: dict[str, Any]) -> None:
    with pytest.raises(PduError):
        encode(SubmitRequest(**{"number": NUMBER, **fields}))


def test_the_longest_messages() -> None:
    assert encode(SubmitRequest(NUMBER, "a" * (255 * 153))).segments == 255
    assert encode(SubmitRequest(NUMBER, "😀" * (255 * 33))).segments == 255
    assert encode(SubmitRequest(NUMBER, data=bytes(255 * 134))).segments == 255


def test_offsets_of_errors_are_characters() -> None:
    with pytest.raises(PduError) as caught:
        encode(SubmitRequest(NUMBER, "abж", encoding="gsm7"))
    assert (caught.value.offset, str(caught.value)) == (
        2,
        "a character is not in the GSM 7-bit alphabet (at 2)",
    )


# -- which alphabet ------------------------------------------------------------------------------------------


def test_estimate() -> None:
    found = estimate("árvíztűrő tükörfúrógép 👍 ű")
    assert (found.encoding, found.segments, found.units, found.per_segment) == ("ucs2", 1, 27, 70)
    assert found.ucs2_characters == "áíűőúó👍"
    found = estimate("a€" * 60)
    assert (found.encoding, found.segments, found.units, found.per_segment) == ("gsm7", 2, 180, 153)
    assert found.ucs2_characters == ""
    assert estimate("a" * 161, ref_bits=16).per_segment == 152
    assert estimate("a", port=1).per_segment == 152
    assert estimate("").segments == 1


def test_national_tables_are_used_when_allowed() -> None:
    text = "Şişli ğ" * 20
    assert estimate(text).encoding == "ucs2"
    single = estimate(text, national=["turkish"], locking=False)
    assert (single.encoding, single.language, single.segments) == ("gsm7", 1, 2)
    assert estimate(text, national=[1]).segments == 1
    message = submit(encode(SubmitRequest(NUMBER, text, national=[1])).pdus[0])
    assert (message.udh, message.language, message.text) == (((0x25, b"\1"),), 1, text)
    # A character beside them, and it is UCS2 after all.
    assert estimate("ж" + text, national=[1, 2, 3]).encoding == "ucs2"
    with pytest.raises(PduError):
        estimate("ж" + text, national=[1], encoding="gsm7")


def test_national_tables_may_save_parts_of_a_text_that_does_not_need_them() -> None:
    assert estimate("€" * 100).segments == 2
    assert (estimate("€" * 100, national=[1]).segments, estimate("€" * 100, national=[1]).language) == (1, 1)
    assert estimate("a" * 161, national=[1]).language is None


def test_ucs2_wins_when_it_takes_fewer_parts() -> None:
    text = "া" * 45 + "৺" * 25  # one escape pair each for the signs
    assert estimate(text).segments == 1
    assert estimate(text, national=["bengali"], locking=False).encoding == "ucs2"


# -- DELIVER -------------------------------------------------------------------------------------------------


@given(TEXTS, st.sampled_from([8, 16]))
def test_received_texts_survive(text: str, ref_bits: int) -> None:
    parts = received(text, ref=77, ref_bits=ref_bits)
    random.Random(len(text)).shuffle(parts)
    joined = join(parts)
    assert (joined.text, joined.complete, joined.total) == (text, True, len(parts))
    assert all(part.timestamp == MOMENT and part.number == NUMBER for part in parts)


def test_all_fields_of_a_deliver() -> None:
    (message,) = received("Hi 😀", smsc="+36309888000", port=2948, source_port=9200, report_requested=True, pid=3)
    assert (message.type, message.smsc, message.number_type) == ("deliver", "+36309888000", "international")
    assert (message.encoding, message.ports, message.pid) == ("ucs2", (2948, 9200), 3)
    assert (message.more_messages, message.report_requested, message.reply_path) == (False, True, False)
    assert message.timestamp
    assert message.timestamp.utcoffset() == MOMENT.utcoffset()
    pdus = encode_deliver(DeliverRequest("BANK of x", MOMENT, "code"))
    assert deliver(pdus[0]).number == "BANK of x"
    assert deliver(pdus[0]).number_type == "alphanumeric"


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"text": "a"}, "text"),
        ({"text": "a", "message_class": 1}, "text"),
        ({"text": "a", "flash": True}, "flash"),
        ({"text": "ж", "flash": True}, "flash"),
        ({"text": "", "pid": 0x40}, "silent"),
        ({"data": b"x"}, "data"),
        ({"data": b"x", "flash": True}, "data"),
        ({"data": b"\xbe", "port": 2948}, "mms_notification"),
        ({"data": b"x", "port": 5555}, "data"),
        ({"text": "a", "dcs": 0xC8}, "voicemail"),
        ({"text": "a", "dcs": 0xC0}, "voicemail"),
        ({"text": "a", "dcs": 0xC9}, "text"),
        ({"text": "a", "ies": (Ie(1, b"\x00\x02"),)}, "voicemail"),
        ({"text": " ", "number": "_@"}, "voicemail"),
    ],
)
def test_kinds(fields: dict[str, Any], kind: str) -> None:
    request = DeliverRequest(**{"number": NUMBER, "timestamp": MOMENT, **fields})
    assert deliver(encode_deliver(request)[0]).kind == kind


def test_hex_may_be_broken_and_small() -> None:
    (pdu,) = encode_deliver(DeliverRequest(NUMBER, MOMENT, "Hi"))
    wanted = decode(pdu)
    assert decode(pdu.lower()) == wanted
    assert decode(f" {pdu[:7]}\r\n{pdu[7:]}\n") == wanted
    assert decode(bytes.fromhex(pdu)) == wanted
    assert decode(bytearray.fromhex(pdu)) == wanted
    assert decode(pdu[2:], has_smsc=False) == wanted
    assert decode(pdu + "FFFF") == wanted  # what follows is the modem's


@pytest.mark.parametrize(("text", "offset"), [("0x11", 0), ("07915", 2), ("0791zz", 2), ("éé", 0), ("٣٣", 0), ("", 0)])
def test_what_is_no_hex(text: str, offset: int) -> None:
    with pytest.raises(PduError) as caught:
        decode(text)
    assert caught.value.offset == offset


def test_a_truncated_message_is_none() -> None:
    (pdu,) = encode_deliver(DeliverRequest(NUMBER, MOMENT, "Hello", smsc="+36309888000", port=1))
    for octets in range(len(pdu) // 2):
        with pytest.raises(PduError):
            decode(pdu[: 2 * octets])


def test_types_and_directions() -> None:
    (pdu,) = encode_deliver(DeliverRequest(NUMBER, MOMENT, "Hello"))
    assert decode("00" + "07" + pdu[4:]).type == "deliver"  # a reserved type
    assert decode(encode(SubmitRequest(NUMBER, "Hello")).pdus[0]).type == "submit"  # from a phone's storage
    with pytest.raises(PduError) as caught:
        decode(pdu, direction="mo")
    assert caught.value.offset == 1


def test_headers_in_the_user_data() -> None:
    head = "0040" + "0B916303214365F7" + "0000" + "62112202000000"
    assert deliver(head + "00").text == ""  # announced, but there is no user data at all
    assert deliver(head + "06040102000000").text == ""
    for broken in ("01FF", "0205", "0700030102", "0706000301020102"):
        with pytest.raises(PduError):
            decode(head + broken)
    octets = "0040" + "0B916303214365F7" + "0004" + "62112202000000"
    assert deliver(octets + "04027F0041").data == b"A"
    for broken in ("0105", "02037F00"):
        with pytest.raises(PduError):
            decode(octets + broken)


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        ("D83D", "\ufffd"),
        ("DE00", "\ufffd"),
        ("D83D0041", "\ufffdA"),
        ("DE00D83D", "\ufffd\ufffd"),
        ("004100", "A\ufffd"),
        ("D83DDE00", "😀"),
        ("", ""),
    ],
)
def test_ucs2_is_always_text(octets: str, text: str) -> None:
    head = "0000" + "0B916303214365F7" + "0008" + "62112202000000"
    found = deliver(f"{head}{len(octets) // 2:02X}{octets}").text
    assert found == text
    found.encode("utf-8")


# -- joining -------------------------------------------------------------------------------------------------


def parts_of(octets: bytes, cuts: list[int], dcs: int) -> list[Deliver]:
    edges = [0, *cuts, len(octets)]
    parts = []
    for seq in range(1, len(edges)):
        body = octets[edges[seq - 1] : edges[seq]]
        header = bytes((5, 0, 3, 9, len(edges) - 1, seq))
        if dcs == 8:
            data = bytes((len(header) + len(body),)) + header + body
        else:
            data = bytes((7 + len(body),)) + header + gsm7.pack(body, 1)
        head = bytes.fromhex("00" + "40" + "0B916303214365F7") + bytes((0, dcs)) + bytes.fromhex("62112202000000")
        parts.append(deliver((head + data).hex()))
    return parts


@given(st.text(min_size=1, max_size=60), st.lists(st.integers(1, 100), max_size=3))
def test_ucs2_cut_anywhere_joins(text: str, cuts: list[int]) -> None:
    octets = text.encode("utf-16-be", "replace")
    text = octets.decode("utf-16-be")
    cuts = sorted({cut for cut in cuts if cut < len(octets)})
    assert join(parts_of(octets, cuts, 8)[::-1]).text == text


def test_escape_cut_by_a_sloppy_sender_joins() -> None:
    septets = gsm7.encode("price: 5€!")
    parts = parts_of(septets, [septets.index(0x1B) + 1], 0)
    assert parts[0].text == "price: 5 "
    assert join(parts).text == "price: 5€!"


def test_nothing_is_joined_over_a_gap() -> None:
    parts = parts_of("a😀b".encode("utf-16-be"), [4, 5], 8)
    joined = join([parts[2], parts[0]], partial=True)
    assert (joined.missing, joined.total, joined.complete) == ((2,), 3, False)
    assert joined.text == "a\ufffd" + parts[2].text  # type: ignore[operator]
    with pytest.raises(PduError):
        join([parts[2], parts[0]])


def test_repeated_parts_count_once() -> None:
    parts = received("abc " * 100)
    assert join([*parts, parts[0], parts[2]]).text == "abc " * 100


def test_parts_in_several_alphabets() -> None:
    first, second = received("a" * 160 + "b" * 10, ref=5)
    other = received("ж" * 80, ref=5)[1]
    joined = join([first, other])
    assert (joined.encoding, joined.text) == ("ucs2", (first.text or "") + (other.text or ""))
    data = received(data=bytes(200), ref=5)[1]
    joined = join([first, data])
    assert (joined.encoding, joined.text, joined.data) == ("8bit", first.text, data.data)
    assert join([first, second]).data is None


def test_parts_without_an_element_are_joined_as_they_stand() -> None:
    first, second = received("one ")[0], received("two")[0]
    assert join([first, second]).text == "one two"
    assert join([first]).text == "one "


def test_parts_of_different_messages() -> None:
    first, second = received("a" * 200, ref=1)
    strangers = [
        received("a" * 200, ref=2)[1],
        received("a" * 400, ref=1)[1],
        received("a" * 200, ref=1, ref_bits=16)[1],
        received("whole")[0],
        replace(second, number="+1"),
    ]
    for stranger in strangers:
        with pytest.raises(PduError):
            join([first, stranger], partial=True)
    with pytest.raises(PduError):
        join([])


# -- STATUS-REPORT -------------------------------------------------------------------------------------------


@given(st.integers(0, 255), st.integers(0, 255), st.sampled_from([NUMBER, "1234", "BANK"]))
def test_status_reports_survive(mr: int, status: int, number: str) -> None:
    later = MOMENT + timedelta(seconds=5)
    report = decode(encode_status_report(StatusReportRequest(number, mr, MOMENT, later, status, smsc="+361")))
    assert isinstance(report, StatusReport)
    assert (report.type, report.smsc, report.mr, report.number, report.status) == (
        "status_report",
        "+361",
        mr,
        number,
        status,
    )
    assert (report.timestamp, report.discharge) == (MOMENT, later)
    assert (report.pid, report.dcs, report.text, report.data, report.header) == (None, None, None, None, None)
    assert report.delivered == (status == 0)
    assert report.final == (status not in range(0x20, 0x40))


@pytest.mark.parametrize(
    ("options", "pid", "dcs", "text", "data"),
    [
        ("00", None, None, None, None),
        ("0000", None, None, None, None),
        ("0141", 0x41, None, None, None),
        ("0207", None, 7, None, None),
        ("070000026131", 0, 0, "ab", None),
        ("040361F118", None, None, "abc", None),
        ("060402FFFE", None, 4, None, b"\xff\xfe"),
        ("81800100", 0, None, None, None),
        ("78", None, None, None, None),
    ],
)
def test_optional_fields_of_a_report(
    options: str, pid: int | None, dcs: int | None, text: str | None, data: bytes | None
) -> None:
    pdu = encode_status_report(StatusReportRequest(NUMBER, 1, MOMENT, MOMENT))
    report: Any = decode(pdu + options)
    assert (report.pid, report.dcs, report.text, report.data) == (pid, dcs, text, data)


@pytest.mark.parametrize("options", ["01", "02", "0300", "04", "0405", "80", "8081"])
def test_optional_fields_that_are_cut(options: str) -> None:
    pdu = encode_status_report(StatusReportRequest(NUMBER, 1, MOMENT, MOMENT))
    with pytest.raises(PduError):
        decode(pdu + options)


def test_requests_that_no_report_can_carry() -> None:
    for request in (
        StatusReportRequest(NUMBER, 256, MOMENT, MOMENT),
        StatusReportRequest(NUMBER, 1, MOMENT, MOMENT, status=-1),
        StatusReportRequest(NUMBER, 1, MOMENT.replace(tzinfo=None), MOMENT),
    ):
        with pytest.raises(PduError):
            encode_status_report(request)


# -- anything ------------------------------------------------------------------------------------------------

_HEADS = st.sampled_from(
    [b"", b"\0", b"\0\x04\x0b\x91\x81\0\x55\x15\x12\xf2", b"\0\x40\x04\x91\x21\x43\0\0" + bytes(7)]
)


def decoded(pdu: bytes | str, **options: Any) -> Any:
    """The message, or None for a PduError that is in order."""
    try:
        return decode(pdu, **options)
    except PduError as error:
        caught = error
    assert caught.reason
    assert 0 <= caught.offset <= len(pdu)
    return None


@given(_HEADS, st.binary(max_size=200), st.sampled_from(["mt", "mo"]), st.booleans())
def test_any_octets_are_a_message_or_a_pdu_error(head: bytes, octets: bytes, direction: str, has_smsc: bool) -> None:
    message = decoded(head + octets, direction=direction, has_smsc=has_smsc)
    if message is None:
        return
    for value in (message.text, message.number, message.smsc):
        (value or "").encode("utf-8")
    if message.type != "status_report":
        assert join([message], partial=True).text == message.text
        assert (message.text is None) != (message.data is None)
        assert message.mwi is None or message.mwi.kind in ("voicemail", "fax", "email", "other")
    describe(message)


@given(st.text(max_size=100))
def test_any_string_is_a_message_or_a_pdu_error(text: str) -> None:
    decoded(text)


@given(st.data())
def test_a_damaged_message_is_a_message_or_a_pdu_error(data: st.DataObject) -> None:
    pdus = encode_deliver(DeliverRequest("Sender", MOMENT, "x€" * 100, port=9, smsc="+361"))
    octets = bytearray.fromhex(data.draw(st.sampled_from(pdus)))
    for _ in range(data.draw(st.integers(1, 3))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    decoded(bytes(octets))


@given(
    st.builds(
        SubmitRequest,
        number=st.text(max_size=25) | st.just(NUMBER),
        text=st.none() | st.text(st.characters(), max_size=300),
        data=st.none() | st.binary(max_size=300),
        smsc=st.none() | st.text(max_size=5),
        encoding=st.sampled_from(["auto", "gsm7", "ucs2", "8bit", "x"]),
        mr=st.integers(-1, 256),
        ref=st.integers(),
        ref_bits=st.sampled_from([8, 16, 9]),
        validity_minutes=st.none() | st.integers(),
        port=st.none() | st.integers(-1, 65536),
        national=st.lists(st.integers(-1, 14) | st.sampled_from(["urdu", "x"]), max_size=2),
        ies=st.lists(st.builds(Ie, st.integers(-1, 256), st.binary(max_size=150)), max_size=2).map(tuple),
        message_class=st.none() | st.integers(-1, 4),
    )
)
def test_any_request_is_encoded_or_refused(request: SubmitRequest) -> None:
    try:
        encoded = encode(request)
    except PduError:
        return
    assert encoded.segments == len(encoded.pdus) == len(encoded.lengths)
    assert all(pdu == pdu.upper() for pdu in encoded.pdus)
    for pdu in encoded.pdus:
        assert submit(pdu).number == request.number


def test_utc_is_written_as_it_is() -> None:
    (message,) = [deliver(pdu) for pdu in encode_deliver(DeliverRequest("1", datetime(2026, 1, 2, tzinfo=UTC), "a"))]
    assert message.timestamp == datetime(2026, 1, 2, tzinfo=UTC)
