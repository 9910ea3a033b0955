"""Delivery receipts as message centres write them: one line a dialect (domain C2)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sms_bridge.routes.smpp import receipts
from sms_bridge.routes.smpp.pdu import Address, Message, Tag
from sms_bridge.routes.smpp.receipts import Receipt, ReceiptState

FROM = Address("36301234567", 1, 1)
S = ReceiptState
UUID = "7f3c1e0a-11ed-4b1e-9d50-0242ac120002"
TAIL = "submit date:1410211530 done date:1410211531"


def deliver(text: str = "", esm_class: int = 0x04, tlvs: tuple[tuple[int, bytes], ...] = ()) -> Message:
    return Message(source=FROM, esm_class=esm_class, octets=text.encode("latin-1"), tlvs=tlvs)


@pytest.mark.parametrize(
    ("text", "message_id", "state", "error"),
    [
        # SMPP 3.4 appendix B, as it stands there.
        (f"id:0123456789 sub:001 dlvrd:001 {TAIL} stat:DELIVRD err:000 text:hello", "0123456789", S.DELIVERED, None),
        (f"id:0123456789 sub:001 dlvrd:000 {TAIL} stat:UNDELIV err:011 text:", "0123456789", S.UNDELIVERABLE, "011"),
        (f"id:0123456789 sub:001 dlvrd:000 {TAIL} stat:EXPIRED err:000 text:x", "0123456789", S.EXPIRED, None),
        (f"id:1 sub:001 dlvrd:000 {TAIL} stat:DELETED err:000 text:x", "1", S.DELETED, None),
        (f"id:1 sub:001 dlvrd:000 {TAIL} stat:ACCEPTD err:000 text:x", "1", S.ACCEPTED, None),
        (f"id:1 sub:001 dlvrd:000 {TAIL} stat:UNKNOWN err:000 text:x", "1", S.UNKNOWN, None),
        (f"id:1 sub:001 dlvrd:000 {TAIL} stat:REJECTD err:069 text:x", "1", S.REJECTED, "069"),
        (f"id:1 sub:001 dlvrd:000 {TAIL} stat:ENROUTE err:000 text:x", "1", S.ENROUTE, None),
        # Seconds in the dates.
        ("id:9 sub:1 dlvrd:1 submit date:141021153000 done date:141021153112 stat:DELIVRD", "9", S.DELIVERED, None),
        # OpenMarket: dates without the blank, no text.
        ("id:A3 sub:001 dlvrd:001 submitdate:1410211530 donedate:1410211531 stat:DELIVRD", "A3", S.DELIVERED, None),
        # Ids as UUIDs, with dashes and in capitals.
        (f"id:{UUID} {TAIL} stat:DELIVRD err:0 Text:Hi", UUID, S.DELIVERED, None),
        # `Text:` with a capital, and fields of ours in the text of the message itself.
        (f"id:12 sub:001 dlvrd:001 {TAIL} stat:DELIVRD err:000 Text:id:99 stat:EXPIRED", "12", S.DELIVERED, None),
        # Missing fields.
        ("id:12 stat:DELIVRD", "12", S.DELIVERED, None),
        ("id:12 dlvrd:001 stat:UNDELIV err:1b", "12", S.UNDELIVERABLE, "1b"),
        # Blanks after the colon, several between the fields.
        ("id: 12  sub: 001  dlvrd: 001  stat: DELIVRD  err: 000", "12", S.DELIVERED, None),
        # Another order.
        ("stat:DELIVRD id:12 err:000", "12", S.DELIVERED, None),
        # Commas and new lines between them.
        ("id:12,sub:001,stat:EXPIRED,err:27", "12", S.EXPIRED, "27"),
        ("id:12\nstat:DELIVRD\nerr:0\n", "12", S.DELIVERED, None),
        # Capitals, whole words.
        ("ID:12 SUB:001 STAT:DELIVERED ERR:000", "12", S.DELIVERED, None),
        ("id:12 stat:UNDELIVERABLE err:5", "12", S.UNDELIVERABLE, "5"),
        ("id:12 stat:REJECTED err:8", "12", S.REJECTED, "8"),
        ("id:12 stat:FAILED err:8", "12", S.UNDELIVERABLE, "8"),
        ("id:12 stat:BUFFERED err:0", "12", S.ENROUTE, None),
        ("id:12 status:delivrd error:000", "12", S.DELIVERED, None),
        # The state as its number.
        ("id:12 sub:001 dlvrd:001 stat:2 err:0", "12", S.DELIVERED, None),
        # A NUL at the end.
        ("id:12 stat:DELIVRD err:000\0", "12", S.DELIVERED, None),
    ],
)  # fmt: skip
def test_texts(text: str, message_id: str, state: ReceiptState, error: str | None) -> None:
    assert receipts.parse(deliver(text)) == Receipt(message_id, state, FROM.text, error)


def test_parameters_count_more_than_the_text() -> None:
    tlvs = ((Tag.RECEIPTED_ID, b"AB12\0"), (Tag.STATE, b"\x05"), (Tag.NETWORK_ERROR, b"\x03\x00\x1b"))
    found = receipts.parse(deliver("id:99 stat:DELIVRD", tlvs=tlvs))
    assert found == Receipt("AB12", S.UNDELIVERABLE, FROM.text, "27")


def test_parameters_alone_are_a_receipt_even_where_nothing_says_so() -> None:
    tlvs = ((Tag.RECEIPTED_ID, b"AB12"), (Tag.STATE, b"\x02"))
    assert receipts.parse(deliver("", esm_class=0, tlvs=tlvs)) == Receipt("AB12", S.DELIVERED, FROM.text, None, False)


def test_the_id_by_parameter_and_the_state_by_text() -> None:
    found = receipts.parse(deliver("id:99 stat:EXPIRED err:000", tlvs=((Tag.RECEIPTED_ID, b"AB12\0"),)))
    assert found is not None
    assert (found.message_id, found.state) == ("AB12", S.EXPIRED)


def test_a_text_that_reads_like_a_receipt_is_one_with_reserve() -> None:
    found = receipts.parse(deliver("id:12 sub:001 stat:DELIVRD err:000", esm_class=0))
    assert found is not None
    assert not found.marked


@pytest.mark.parametrize(
    "message",
    [
        deliver("hello id:12", esm_class=0),
        deliver("my stat:DELIVRD", esm_class=0),
        deliver("id:12 stat:DELIVRD", esm_class=0x08),  # an acknowledgement by a phone's user: a message
        deliver("nothing of it", esm_class=0x04),
        deliver("stat:DELIVRD", esm_class=0x04),
        deliver("valid:12 bestat:DELIVRD", esm_class=0),
    ],
)
def test_what_is_no_receipt(message: Message) -> None:
    assert receipts.parse(message) is None


def test_an_intermediate_receipt_ends_nothing() -> None:
    found = receipts.parse(deliver("id:12 stat:UNDELIV err:27", esm_class=0x20))
    assert found is not None
    assert (found.state, found.final) == (S.ENROUTE, False)


def test_a_receipt_in_ucs2_and_one_in_the_payload() -> None:
    text = "id:12 stat:DELIVRD err:000"
    wide = Message(source=FROM, esm_class=4, data_coding=8, octets=text.encode("utf-16-be"))
    long = Message(source=FROM, esm_class=4, tlvs=((Tag.PAYLOAD, text.encode()),))
    assert receipts.parse(wide) == receipts.parse(long) == Receipt("12", S.DELIVERED, FROM.text)


@given(st.binary(max_size=200), st.sampled_from([0, 4, 0x20]), st.integers(0, 255))
def test_any_octets_are_a_receipt_or_none(octets: bytes, esm_class: int, coding: int) -> None:
    tlvs = ((Tag.RECEIPTED_ID, octets[:20]), (Tag.STATE, octets[:3]))
    for given_tlvs in ((), tlvs):
        message = Message(source=FROM, esm_class=esm_class, data_coding=coding, octets=octets[:254], tlvs=given_tlvs)
        found = receipts.parse(message)
        assert found is None or found.message_id
