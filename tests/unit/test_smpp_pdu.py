"""The PDU codec: both ways against smpplib, and what it does where that one cuts, guesses or fails (domain C5)."""

from __future__ import annotations

import contextlib
import struct
from typing import Any

import pytest
import smpplib.smpp
from hypothesis import given
from hypothesis import strategies as st

from sms_bridge.routes.smpp import pdu
from sms_bridge.routes.smpp.pdu import Address, Bind, Command, Message, PduError, Status, Tag


class Client:
    """What smpplib wants of a client."""

    def __init__(self, sequence: int = 7) -> None:
        self.sequence = sequence

    def next_sequence(self) -> int:
        return self.sequence


def theirs(command: str, **fields: Any) -> bytes:
    made: bytes = smpplib.smpp.make_pdu(command, client=Client(), **fields).generate()
    return made


def read_by_them(octets: bytes) -> Any:
    return smpplib.smpp.parse_pdu(octets, client=Client(), allow_unknown_opt_params=True)


TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20)
ADDRESSES = st.builds(Address, TEXT, st.integers(0, 6), st.sampled_from([0, 1, 3, 8]))
OCTET = st.integers(0, 255)
TIMES = st.sampled_from(["", "000001000000000R", "261125120000000+"])
MESSAGES = st.builds(
    Message,
    source=ADDRESSES,
    destination=ADDRESSES,
    service_type=st.text(st.characters(min_codepoint=65, max_codepoint=90), max_size=5),
    esm_class=OCTET,
    protocol_id=OCTET,
    priority=OCTET,
    schedule=TIMES,
    validity=TIMES,
    registered_delivery=OCTET,
    replace_if_present=OCTET,
    data_coding=OCTET,
    default_message=OCTET,
    octets=st.binary(max_size=254),
    tlvs=st.lists(st.tuples(st.integers(0, 0xFFFF), st.binary(max_size=30)), max_size=4).map(tuple),
)


@given(MESSAGES)
def test_a_message_comes_back_as_it_was(message: Message) -> None:
    assert pdu.read_message(pdu.message_body(message)) == message


@given(MESSAGES.filter(lambda message: bool(message.octets)))
def test_smpplib_reads_what_we_write(message: Message) -> None:
    message.tlvs = ()
    read = read_by_them(pdu.pack(Command.SUBMIT_SM, 99, pdu.message_body(message)))
    assert (read.command, read.sequence, read.status) == ("submit_sm", 99, 0)
    assert read.source_addr == message.source.text.encode()
    assert (read.source_addr_ton, read.source_addr_npi) == (message.source.ton, message.source.npi)
    assert read.destination_addr == message.destination.text.encode()
    assert (read.dest_addr_ton, read.dest_addr_npi) == (message.destination.ton, message.destination.npi)
    assert (read.service_type, read.esm_class, read.data_coding) == (
        message.service_type.encode(),
        message.esm_class,
        message.data_coding,
    )
    assert (read.registered_delivery, read.protocol_id, read.priority_flag) == (
        message.registered_delivery,
        message.protocol_id,
        message.priority,
    )
    assert (read.schedule_delivery_time, read.validity_period) == (
        message.schedule.encode(),
        message.validity.encode(),
    )
    assert read.short_message == message.octets


def test_we_read_what_smpplib_writes() -> None:
    octets = theirs(
        "deliver_sm",
        source_addr_ton=1,
        source_addr_npi=1,
        source_addr="36301234567",
        dest_addr_ton=3,
        dest_addr_npi=0,
        destination_addr="12345",
        esm_class=4,
        data_coding=8,
        short_message=b"\x00h\x00i",
        receipted_message_id="AB12",
        message_state=2,
        user_message_reference=513,
    )
    frame = pdu.frame_of(octets)
    assert (frame.command, frame.status, frame.sequence) == (Command.DELIVER_SM, 0, 7)
    message = pdu.read_message(frame.body)
    assert message.source == Address("36301234567", 1, 1)
    assert message.destination == Address("12345", 3, 0)
    assert (message.esm_class, message.data_coding, message.octets) == (4, 8, b"\x00h\x00i")
    assert message.tlv(Tag.RECEIPTED_ID) == b"AB12\0"
    assert message.number(Tag.STATE) == 2
    assert message.number(0x0204) == 513


def test_binds_both_ways() -> None:
    ours = Bind("system", "pass", "vma", 0x34, Address("^36", 1, 1))
    read = read_by_them(pdu.pack(Command.BIND_TRANSCEIVER, 1, pdu.bind_body(ours)))
    assert (read.command, read.system_id, read.password, read.system_type) == (
        "bind_transceiver",
        b"system",
        b"pass",
        b"vma",
    )
    assert read.address_range == b"^36"
    octets = theirs("bind_transmitter", system_id="system", password="pass", system_type="vma", interface_version=0x34)
    assert pdu.read_bind(pdu.frame_of(octets).body) == Bind("system", "pass", "vma")


@pytest.mark.parametrize("name", ["submit_sm_resp", "deliver_sm_resp"])
def test_ids_in_responses(name: str) -> None:
    assert pdu.read_message_id(pdu.frame_of(theirs(name, message_id="AB-1")).body) == "AB-1"
    read = read_by_them(pdu.pack(Command.SUBMIT_SM_RESP, 3, pdu.string_body("AB-1")))
    assert (read.command, read.message_id, read.sequence) == ("submit_sm_resp", b"AB-1", 3)


def test_an_id_without_an_end_or_none_at_all_is_still_an_acceptance() -> None:
    assert pdu.read_message_id(b"AB12") == "AB12"
    assert pdu.read_message_id(b"") == ""


@pytest.mark.parametrize("command", [Command.ENQUIRE_LINK, Command.UNBIND, Command.GENERIC_NACK])
def test_pdus_that_are_a_header(command: Command) -> None:
    assert pdu.pack(command, 5) == struct.pack(">IIII", 16, command, 0, 5)
    assert read_by_them(pdu.pack(command, 5)).command == command.name.lower()


@pytest.mark.parametrize(
    ("bind", "words"),
    [
        (Bind("a" * 16, "p"), "system_id has 16 characters; SMPP carries at most 15"),
        (Bind("a", "p" * 9), "password has 9 characters; SMPP carries at most 8"),
        (Bind("a", "p", "t" * 13), "system_type has 13"),
        (Bind("a\0b", "p"), "NUL"),
        (Bind("ő", "p"), "cannot carry"),
    ],
)
def test_what_is_too_long_is_an_error_and_never_cut(bind: Bind, words: str) -> None:
    with pytest.raises(PduError, match=words):
        pdu.bind_body(bind)


@pytest.mark.parametrize(
    "message",
    [
        Message(destination=Address("1" * 21)),
        Message(source=Address("1" * 25)),
        Message(octets=bytes(255)),
        Message(service_type="TOOLONG"),
        Message(validity="soon"),
        Message(source=Address("Ωmega")),
    ],
)
def test_a_message_that_does_not_fit_is_an_error(message: Message) -> None:
    with pytest.raises(PduError):
        pdu.message_body(message)


def test_a_parameter_of_another_size_spoils_nothing() -> None:
    """smpplib loses the whole PDU for a message_state of two octets, and a character without the NUL (domain C5.12)."""
    tlvs = ((Tag.STATE, b"\0\x02"), (Tag.RECEIPTED_ID, b"AB12"), (0x1401, b"vendor"), (Tag.STATE, b""))
    message = pdu.read_message(pdu.message_body(Message(octets=b"x", tlvs=tlvs[:3])))
    assert message.tlvs == tlvs[:3]
    assert message.number(Tag.STATE) == 2
    assert message.tlv(Tag.RECEIPTED_ID) == b"AB12"
    assert message.tlv(0x1401) == b"vendor"
    assert pdu.read_message(pdu.message_body(Message(tlvs=tlvs))).number(Tag.STATE) is None


@pytest.mark.parametrize("garbage", [b"\x04", b"\x04\x24\xff", b"\x04\x24\x00\x09short"])
def test_parameters_that_run_over_the_end_are_told_as_such(garbage: bytes) -> None:
    with pytest.raises(PduError) as caught:
        pdu.read_message(pdu.message_body(Message(octets=b"x")) + garbage)
    assert caught.value.status == Status.INVALID_TLV_STREAM


@given(st.binary(max_size=120))
def test_any_octets_are_a_message_or_a_reason(octets: bytes) -> None:
    for read in (pdu.read_message, pdu.read_data, pdu.read_bind):
        with contextlib.suppress(PduError):
            read(octets)


@given(MESSAGES, st.integers(0, 400))
def test_every_cut_of_a_message_is_one_or_a_reason(message: Message, place: int) -> None:
    body = pdu.message_body(message)
    if place >= len(body):
        assert pdu.read_message(body) == message
    else:
        with contextlib.suppress(PduError):
            assert pdu.read_message(body[:place]) != message


def test_the_content_is_the_payload_where_there_is_no_short_message() -> None:
    assert Message(octets=b"short").content == b"short"
    assert Message(tlvs=((Tag.PAYLOAD, b"long"),)).content == b"long"
    assert Message().content == b""
