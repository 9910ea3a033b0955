"""Orders as submit_sm PDUs: alphabets, cutting, numbers, times (domain C1)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.pdu import gsm7
from hardware.pdu.udh import parse_header
from sms_bridge.routes.smpp import submit
from sms_bridge.routes.smpp.pdu import Address, Message, PduError, Tag, message_body, read_message
from sms_bridge.routes.smpp.submit import Charset, Kind, LongMessages, Style, Wanted

TO = "+36301234567"


def made(style: Style | None = None, **fields: Any) -> list[Message]:
    found = submit.messages(Wanted(to=TO, source=Address("ACME", 5, 0), **fields), style or Style())
    for message in found:
        assert read_message(message_body(message)) == message  # all of them can be written
    return found


def one(style: Style | None = None, **fields: Any) -> Message:
    (message,) = made(style, **fields)
    return message


@pytest.mark.parametrize(
    ("charset", "text", "coding", "octets"),
    [
        (Charset.GSM7, "é@{", 0, b"\x05\x00\x1b\x28"),
        (Charset.GSM7_PACKED, "hellohello", 0, bytes.fromhex("e8329bfd4697d9ec37")),
        (Charset.LATIN1, "é@{", 0, b"\xe9@{"),
        (Charset.ASCII, "a@{", 0, b"a@{"),
        (Charset.ASCII, "é", 8, b"\x00\xe9"),  # this centre's alphabet lacks it
        (Charset.LATIN1, "Δ", 8, b"\x03\x94"),
        (Charset.GSM7, "ő", 8, b"\x01\x51"),
        (Charset.GSM7, "😀", 8, b"\xd8\x3d\xde\x00"),
    ],
)
def test_alphabets(charset: Charset, text: str, coding: int, octets: bytes) -> None:
    message = one(Style(charset=charset), text=text)
    assert (message.data_coding, message.octets, message.esm_class) == (coding, octets, 0)


def test_gsm7_asked_for_and_not_possible_is_an_error() -> None:
    with pytest.raises(PduError):
        made(text="ő", encoding="gsm7")
    with pytest.raises(PduError, match="latin1"):
        made(Style(charset=Charset.LATIN1), text="Δ", encoding="gsm7")


def test_ucs2_asked_for() -> None:
    assert one(text="a", encoding="ucs2").octets == b"\0a"


def test_data_and_ports() -> None:
    message = one(data=b"\x00\xff")
    assert (message.data_coding, message.octets) == (4, b"\x00\xff")
    message = one(data=b"\x01", port=2948)
    assert message.esm_class == 0x40
    assert parse_header(message.octets[1:7]).ports == (2948, 0)
    message = one(Style(LongMessages.SAR), data=b"\x01", port=2948)
    assert (message.esm_class, message.octets, message.number(Tag.DESTINATION_PORT)) == (0, b"\x01", 2948)


@pytest.mark.parametrize(
    ("charset", "text", "coding", "unit"),
    [
        (Charset.GSM7, "a", 0xF0, None),
        (Charset.GSM7, "ő", 0x18, None),
        (Charset.LATIN1, "a", 0, 1),
        (Charset.LATIN1, "ő", 0x18, None),
    ],
)
def test_flash(charset: Charset, text: str, coding: int, unit: int | None) -> None:
    message = one(Style(charset=charset), text=text, flash=True)
    assert (message.data_coding, message.number(0x0005)) == (coding, unit)


@pytest.mark.parametrize("charset", Charset)
def test_a_long_text_in_parts_with_a_header(charset: Charset) -> None:
    text = ("{} brackets cost two septets " * 20)[:400]
    messages = made(Style(charset=charset), text=text, reference=0x1FE)
    assert [message.esm_class for message in messages] == [0x40] * len(messages)
    for number, message in enumerate(messages, start=1):
        concat = parse_header(message.octets[1:6]).concat
        assert concat is not None
        assert (concat.ref, concat.total, concat.seq) == (0xFE, len(messages), number)
    assert joined(messages, charset) == text


def joined(messages: list[Message], charset: Charset) -> str:
    if messages[0].data_coding == 8:
        return b"".join(message.octets[6:] for message in messages).decode("utf-16-be")
    bodies = []
    for message in messages:
        body = message.octets[6:]
        match charset:
            case Charset.GSM7:
                bodies.append(gsm7.decode(body))
            case Charset.GSM7_PACKED:
                bodies.append(gsm7.decode(gsm7.unpack(body, None, 1)))
            case _:
                bodies.append(body.decode("latin-1"))
    return "".join(bodies)


@given(st.text(st.sampled_from("ab{€ő😀é\n"), min_size=1, max_size=700), st.sampled_from(Charset))
def test_every_text_comes_together_again(text: str, charset: Charset) -> None:
    payload = made(Style(LongMessages.PAYLOAD, charset), text=text)
    assert len(payload) == 1
    messages = made(Style(charset=charset), text=text)
    for message in messages:
        assert len(message.octets) <= 160
        if message.data_coding == 8:
            body = message.octets[6 if message.esm_class else 0 :]
            body.decode("utf-16-be")  # no half of a pair
        elif charset is Charset.GSM7:
            assert not message.octets.endswith(b"\x1b")
    if len(messages) > 1:
        assert joined(messages, charset) == text


def test_a_long_text_by_sar_parameters() -> None:
    messages = made(Style(LongMessages.SAR), text="x" * 400, reference=0x12345)
    assert [len(message.octets) for message in messages] == [153, 153, 94]
    assert [message.number(Tag.SAR_SEQUENCE) for message in messages] == [1, 2, 3]
    assert {message.number(Tag.SAR_TOTAL) for message in messages} == {3}
    assert {message.number(Tag.SAR_REFERENCE) for message in messages} == {0x2345}
    assert {message.esm_class for message in messages} == {0}


def test_a_long_text_as_one_payload() -> None:
    message = one(Style(LongMessages.PAYLOAD), text="x" * 400)
    assert (message.octets, message.tlv(Tag.PAYLOAD)) == (b"", b"x" * 400)
    packed = one(Style(LongMessages.PAYLOAD, Charset.GSM7_PACKED), text="x" * 600).tlv(Tag.PAYLOAD)
    assert packed is not None
    assert gsm7.decode(gsm7.unpack_exact(packed[:210], 240)) == "x" * 240
    short = one(Style(LongMessages.PAYLOAD), text="x")
    assert (short.octets, short.tlvs) == (b"x", ())


@pytest.mark.parametrize(
    ("sender", "address"),
    [
        ("+36201112222", Address("36201112222", 1, 1)),
        ("06201112222", Address("06201112222", 2, 1)),
        ("123", Address("123", 3, 0)),
        ("123456", Address("123456", 3, 0)),
        ("1234567", Address("1234567", 2, 1)),
        ("ACME", Address("ACME", 5, 0)),
        ("Elf elf elf", Address("Elf elf elf", 5, 0)),
        ("", Address("", 0, 0)),
    ],
)
def test_senders(sender: str, address: Address) -> None:
    assert submit.source_address(sender) == address


def test_an_account_may_say_what_kind_a_sender_is() -> None:
    assert submit.source_address("12345", Kind(6, 0)) == Address("12345", 6, 0)
    assert submit.source_address("ACME", Kind(5, 1)) == Address("ACME", 5, 1)


@pytest.mark.parametrize(
    ("sender", "words"),
    [("Twelve chars", "at most 11"), ("ő", "character"), ("Δ", "character"), ("+" + "1" * 16, "15")],
)
def test_senders_that_cannot_be(sender: str, words: str) -> None:
    with pytest.raises(PduError, match=words):
        submit.source_address(sender)


@pytest.mark.parametrize(
    ("number", "address"),
    [
        ("+36301234567", Address("36301234567", 1, 1)),
        ("36301234567", Address("36301234567", 2, 1)),
        ("12345", Address("12345", 3, 0)),
        ("+1" + "2" * 19, Address("1" + "2" * 19, 1, 1)),
    ],
)
def test_recipients(number: str, address: Address) -> None:
    assert submit.destination_address(number) == address


def test_a_recipient_of_25_digits_is_an_error_and_never_cut() -> None:
    with pytest.raises(PduError, match="25 digits; SMPP carries at most 20"):
        submit.destination_address("+" + "1" * 25)


def test_the_rest_of_a_submit() -> None:
    message = one(Style(service_type="CMT", destination=Kind(0, 1)), text="x", validity=3661)
    assert (message.service_type, message.registered_delivery) == ("CMT", 1)
    assert message.validity == "000000010101000R"
    assert (message.destination.ton, message.destination.npi) == (0, 1)
    assert one(text="x", report=False).registered_delivery == 0
    assert one(text="x").validity == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "000000000001000R"),
        (60, "000000000100000R"),
        (86_400, "000001000000000R"),
        (31 * 86_400, "000100000000000R"),
        (10**9, "001124000000000R"),
    ],
)
def test_relative_times(seconds: int, text: str) -> None:
    assert submit.relative_time(seconds) == text


def test_what_is_left_out_at_a_second_try() -> None:
    message = one(Style(charset=Charset.LATIN1), text="x", flash=True, validity=60)
    assert submit.without_times(message).validity == ""
    bare = submit.without_tlvs(message)
    assert bare is not None
    assert (bare.tlvs, bare.octets) == ((), b"x")
    assert submit.without_tlvs(one(text="x")) is None  # they were not what it minds
    assert submit.without_tlvs(one(Style(LongMessages.PAYLOAD), text="x" * 400)) is None  # it would be empty
