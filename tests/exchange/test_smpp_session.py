"""One connection with a message centre, in virtual time and in memory (domain C1, C4, G13)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sms_bridge.routes.smpp import pdu
from sms_bridge.routes.smpp.framing import LONGEST
from sms_bridge.routes.smpp.pdu import Address, Bind, Command, Message, Status
from sms_bridge.routes.smpp.session import (
    Answer,
    Received,
    Refused,
    Role,
    Session,
    SessionSettings,
    State,
    Unreachable,
)
from tests.support.examples import NO_HANG, examples
from tests.support.smsc import Link, Smsc, split_pdus
from tests.support.wire import Pipe, join

pytestmark = pytest.mark.looptime

BIND = Bind("bridge", "secret")
BODY = pdu.message_body(Message(destination=Address("36301234567", 1, 1), octets=b"x", registered_delivery=1))
QUIET_BODY = pdu.message_body(Message(destination=Address("36301234567", 1, 1), octets=b"x"))


class Told:
    """What a session tells."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.late_answers: list[Answer] = []
        self.messages: list[Received] = []
        self.reply_with: int | None = Status.OK

    def answered(self, session: Session, answers: list[Answer]) -> None:
        self.answers += answers

    def late(self, session: Session, answers: list[Answer]) -> None:
        self.late_answers += answers

    def received(self, session: Session, messages: list[Received]) -> None:
        self.messages += messages
        if self.reply_with is not None:
            for message in messages:
                session.reply(message, self.reply_with)

    def writable(self, session: Session) -> None:
        pass


class Rig:
    """A session and a centre; `pipe` is the session's end, `back` the centre's."""

    def __init__(self, **changed: Any) -> None:
        self.smsc = Smsc()
        self.told = Told()
        self.pipe: Pipe
        self.back: Pipe
        self.session = Session(
            SessionSettings("smsc.example", 2775, changed.pop("bind", BIND), **changed), self.told, self.connect
        )

    async def connect(self, protocol: asyncio.Protocol, _where: SessionSettings) -> None:
        self.pipe, self.back = join(protocol, Link(self.smsc))

    async def settle(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)

    def submit(self, *tokens: Any, body: bytes = QUIET_BODY) -> None:
        self.session.submit([(body, token) for token in tokens])

    def sent(self, command: int) -> list[pdu.Frame]:
        return [frame for frame in split_pdus(bytes(self.pipe.written)) if frame.command == command]

    async def inject(self, octets: bytes) -> None:
        self.back.write(octets)
        await self.settle()


@pytest.fixture
def rig() -> Rig:
    """Not open yet: a fixture's time is not virtual. A session has neither tasks nor files to be left behind."""
    return Rig()


@pytest.mark.parametrize(
    ("role", "command"),
    [
        (Role.TRANSCEIVER, Command.BIND_TRANSCEIVER),
        (Role.TRANSMITTER, Command.BIND_TRANSMITTER),
        (Role.RECEIVER, Command.BIND_RECEIVER),
    ],
)
async def test_binds(role: Role, command: Command) -> None:
    rig = Rig(role=role)
    await rig.session.open()
    assert rig.session.state is State.BOUND
    assert rig.session.can_submit is (role is not Role.RECEIVER)
    assert [entry["command"] for entry in rig.smsc.of_kind("bind")] == [command]
    await rig.session.close(1)
    assert rig.smsc.of_kind("unbind")
    assert (await rig.session.closed()).reason == "the bridge ends it"


async def test_a_refused_bind_says_why() -> None:
    rig = Rig(bind=Bind("bridge", "wrong"))
    with pytest.raises(Refused, match="the password is wrong") as caught:
        await rig.session.open()
    assert caught.value.status == 0x0E
    assert rig.session.state is State.CLOSED


async def test_a_centre_that_does_not_answer_the_bind(looptime: float) -> None:
    rig = Rig()
    rig.smsc.faults.mute = True
    with pytest.raises(Unreachable, match="did not answer the bind"):
        await rig.session.open()
    assert 29 < asyncio.get_running_loop().time() < 31


async def test_a_network_that_fails_is_told_in_words() -> None:
    async def connect(_protocol: asyncio.Protocol, _where: SessionSettings) -> None:
        raise ConnectionRefusedError(111, "Connection refused")

    session = Session(SessionSettings("smsc.example", 2775, BIND), Told(), connect)
    with pytest.raises(Unreachable, match=r"smsc\.example:2775: connection refused"):
        await session.open()


async def test_submits_are_written_at_once_and_answered_together(rig: Rig) -> None:
    await rig.session.open()
    rig.submit(*range(10))
    assert rig.session.pending == 10
    assert [frame.sequence for frame in rig.sent(Command.SUBMIT_SM)] == list(range(2, 12))
    await rig.settle()
    assert [(answer.token, answer.status) for answer in rig.told.answers] == [(n, 0) for n in range(10)]
    assert len({answer.message_id for answer in rig.told.answers}) == 10
    assert rig.session.pending == 0


async def test_answers_in_another_order_find_their_submits(rig: Rig) -> None:
    await rig.session.open()
    rig.smsc.faults.reverse = 5
    rig.submit(*range(5))
    await rig.settle()
    ids = {entry["octets"]: entry["id"] for entry in rig.smsc.submits}
    assert [answer.token for answer in rig.told.answers] == [4, 3, 2, 1, 0]
    assert len(ids) == 1
    by_token = sorted((answer.token, int(answer.message_id, 16)) for answer in rig.told.answers)
    assert [number for _, number in by_token] == [entry["id"] for entry in rig.smsc.submits]


async def test_a_refusal_is_told_with_its_status(rig: Rig) -> None:
    await rig.session.open()
    rig.smsc.faults.refuse, rig.smsc.faults.refuse_status = 1, 0x0B
    rig.submit("a", "b")
    await rig.settle()
    assert [(answer.token, answer.status) for answer in rig.told.answers] == [("a", 0x0B), ("b", 0)]


async def test_a_generic_nack_for_a_submit_is_its_refusal(rig: Rig) -> None:
    await rig.session.open()
    rig.smsc.faults.nack = 1
    rig.submit("a")
    await rig.settle()
    assert [(answer.token, answer.status) for answer in rig.told.answers] == [("a", 0x03)]
    assert rig.session.state is State.BOUND


async def test_a_generic_nack_for_nothing_ends_the_session(rig: Rig) -> None:
    await rig.session.open()
    await rig.inject(pdu.pack(Command.GENERIC_NACK, 0, b"", Status.INVALID_LENGTH))
    assert "did not understand" in (await rig.session.closed()).reason


async def test_no_answer_in_a_minute_is_unknown_and_a_late_one_is_told_as_late(rig: Rig) -> None:
    await rig.session.open()
    rig.smsc.faults.late_responses, rig.smsc.faults.late_by = 1, 90.0
    rig.submit("a")
    await asyncio.sleep(20)
    rig.submit("b")
    await asyncio.sleep(39)
    assert [answer.token for answer in rig.told.answers] == ["b"]
    await asyncio.sleep(2)
    unknown = rig.told.answers[-1]
    assert (unknown.token, unknown.status) == ("a", None)
    assert "60 s" in unknown.why
    await asyncio.sleep(40)
    assert [(answer.token, answer.status) for answer in rig.told.late_answers] == [("a", 0)]
    assert len(rig.smsc.submits) == 2


async def test_a_lost_connection_makes_what_is_under_way_unknown(rig: Rig) -> None:
    await rig.session.open()
    rig.smsc.faults.drop_responses = 2
    rig.submit("a", "b", "c")
    await rig.settle()
    rig.smsc.links[0].cut()
    await rig.session.closed()
    assert [(answer.token, answer.status) for answer in rig.told.answers] == [("c", 0), ("a", None), ("b", None)]
    assert not rig.session.can_submit


async def test_sequence_numbers_wrap_to_one_and_leave_out_those_under_way(rig: Rig) -> None:
    await rig.session.open()
    rig.smsc.faults.drop_responses = 1
    rig.submit("held")
    held = rig.sent(Command.SUBMIT_SM)[0].sequence
    rig.session._sequence = pdu.LAST_SEQUENCE - 1
    rig.submit(*range(held + 2))
    sequences = [frame.sequence for frame in rig.sent(Command.SUBMIT_SM)][1:]
    assert sequences == [pdu.LAST_SEQUENCE, *(n for n in range(1, held + 3) if n != held)]
    await rig.settle()
    assert [answer.token for answer in rig.told.answers] == list(range(held + 2))


async def test_a_question_is_answered_at_once_whatever_is_under_way(rig: Rig) -> None:
    await rig.session.open()
    rig.smsc.faults.drop_responses = 100
    rig.submit(*range(100))
    await rig.inject(pdu.pack(Command.ENQUIRE_LINK, 77))
    assert [frame.sequence for frame in rig.sent(Command.ENQUIRE_LINK_RESP)] == [77]


async def test_silence_is_asked_about_and_ends_the_session_when_it_stays(rig: Rig) -> None:
    await rig.session.open()
    await asyncio.sleep(100)
    assert 2 <= len(rig.smsc.of_kind("enquire_link")) <= 3
    assert rig.session.state is State.BOUND
    rig.smsc.faults.deaf = True
    start = asyncio.get_running_loop().time()
    ended = await rig.session.closed()
    assert "whether it is still there" in ended.reason
    assert asyncio.get_running_loop().time() - start <= 30 + 2 * 10


async def test_a_half_open_connection_is_found_out(rig: Rig) -> None:
    await rig.session.open()
    rig.smsc.faults.drop_responses = 1
    rig.submit("a")
    rig.back.holding = True
    start = asyncio.get_running_loop().time()
    await rig.session.closed()
    assert asyncio.get_running_loop().time() - start <= 55
    assert [(answer.token, answer.status) for answer in rig.told.answers] == [("a", None)]


async def test_half_a_pdu_for_an_hour_is_silence(rig: Rig) -> None:
    await rig.session.open()
    await rig.inject(pdu.pack(Command.DELIVER_SM, 5, BODY * 3)[:20])
    start = asyncio.get_running_loop().time()
    await rig.session.closed()
    assert asyncio.get_running_loop().time() - start <= 55


async def test_an_octet_now_and_then_is_no_sign_of_life(rig: Rig) -> None:
    await rig.session.open()
    rig.smsc.faults.deaf = True
    start = asyncio.get_running_loop().time()
    for octet in pdu.pack(Command.DELIVER_SM, 5, BODY * 20):
        rig.back.write(bytes((octet,)))
        await asyncio.sleep(1)
        if rig.session.state is not State.BOUND:
            break
    assert asyncio.get_running_loop().time() - start <= 55


@pytest.mark.parametrize("length", [3, 15, LONGEST + 1, 2**32 - 1])
async def test_a_bad_length_ends_the_session_with_its_reason(rig: Rig, length: int) -> None:
    await rig.session.open()
    await rig.inject(length.to_bytes(4, "big") + bytes(20))
    assert str(length) in (await rig.session.closed()).reason


async def test_an_unknown_command_is_refused_and_the_session_goes_on(rig: Rig) -> None:
    await rig.session.open()
    await rig.inject(pdu.pack(0x00010203, 9) + pdu.pack(Command.SUBMIT_SM, 10, BODY) + pdu.pack(0x80007777, 11))
    nacks = rig.sent(Command.GENERIC_NACK)
    assert [(nack.sequence, nack.status) for nack in nacks] == [(9, 0x03), (10, 0x03)]
    assert rig.session.state is State.BOUND


async def test_garbage_parameters_cost_that_message_alone(rig: Rig) -> None:
    await rig.session.open()
    good = pdu.pack(Command.DELIVER_SM, 22, BODY)
    await rig.inject(pdu.pack(Command.DELIVER_SM, 20, BODY + b"\x04\x24\xff\xff") + pdu.pack(5, 21, b"\0") + good)
    answers = [(frame.sequence, frame.status) for frame in rig.sent(Command.DELIVER_SM_RESP)]
    assert answers == [(20, 0xC0), (21, 0x02), (22, 0)]
    assert [found.sequence for found in rig.told.messages] == [22]


async def test_a_message_is_answered_when_it_is_said_to_be(rig: Rig) -> None:
    await rig.session.open()
    rig.told.reply_with = None
    rig.smsc.deliver_text("36301234567", "36201112222", "OK")
    await rig.settle()
    assert rig.sent(Command.DELIVER_SM_RESP) == []
    rig.session.reply(rig.told.messages[0], Status.TEMPORARY_APP_ERROR)
    await rig.settle()
    assert [entry["status"] for entry in rig.smsc.of_kind("deliver_resp")] == [0x64]
    await asyncio.sleep(1)
    rig.session.reply(rig.told.messages[1], Status.OK)
    await rig.settle()
    assert rig.smsc.undelivered == {}
    assert rig.told.messages[0].message.octets == rig.told.messages[1].message.octets == b"OK"


async def test_data_sm_is_a_message_too(rig: Rig) -> None:
    await rig.session.open()
    head = b"\0" + b"\1\1" + b"36301234567\0" + b"\1\1" + b"123\0" + b"\0\0\0"
    await rig.inject(pdu.pack(Command.DATA_SM, 8, head + pdu.tlv_octets(((pdu.Tag.PAYLOAD, b"long"),))))
    assert rig.told.messages[0].message.content == b"long"
    assert [frame.sequence for frame in rig.sent(Command.DATA_SM_RESP)] == [8]


async def test_the_centre_takes_its_leave(rig: Rig) -> None:
    await rig.session.open()
    rig.smsc.faults.late_responses, rig.smsc.faults.late_by = 1, 2.0
    rig.submit("a")
    await rig.settle()
    rig.smsc.links[0].send(Command.UNBIND)
    await rig.settle()
    assert len(rig.sent(Command.UNBIND_RESP)) == 1
    assert not rig.session.can_submit
    ended = await rig.session.closed()
    assert ended.unbound
    assert [(answer.token, answer.status) for answer in rig.told.answers] == [("a", 0)]


async def test_the_centre_takes_its_leave_and_does_not_wait(rig: Rig) -> None:
    await rig.session.open()
    rig.smsc.faults.drop_responses = 1
    rig.submit("a")
    rig.smsc.links[0].send(Command.UNBIND)
    start = asyncio.get_running_loop().time()
    assert (await rig.session.closed()).unbound
    assert asyncio.get_running_loop().time() - start <= 6
    assert [(answer.token, answer.status) for answer in rig.told.answers] == [("a", None)]


async def test_taking_leave_waits_for_answers_then_unbinds(rig: Rig) -> None:
    await rig.session.open()
    rig.smsc.faults.latency = 3.0
    rig.submit("a", "b")
    closing = asyncio.create_task(rig.session.close(10.0))
    await rig.settle()
    assert not rig.session.can_submit
    assert rig.sent(Command.UNBIND) == []
    await closing
    assert [answer.status for answer in rig.told.answers] == [0, 0]
    assert len(rig.sent(Command.UNBIND)) == 1


async def test_taking_leave_from_a_centre_that_is_silent_ends_in_time(rig: Rig) -> None:
    await rig.session.open()
    rig.smsc.faults.mute = True
    rig.submit("a")
    start = asyncio.get_running_loop().time()
    await rig.session.close(10.0)
    assert asyncio.get_running_loop().time() - start <= 15.1
    assert [(answer.token, answer.status) for answer in rig.told.answers] == [("a", None)]


async def test_a_receipt_may_come_before_the_response(rig: Rig) -> None:
    await rig.session.open()
    rig.smsc.faults.receipts = "before"
    rig.submit("a", body=BODY)
    await rig.settle()
    assert b"stat:DELIVRD" in rig.told.messages[0].message.octets
    assert [answer.status for answer in rig.told.answers] == [0]


async def test_more_than_is_stored_in_time_is_not_read(rig: Rig) -> None:
    await rig.session.open()
    rig.told.reply_with = None
    body = pdu.message_body(Message(tlvs=((pdu.Tag.PAYLOAD, bytes(60_000)),)))
    for number in range(60):
        rig.back.write(pdu.pack(Command.DELIVER_SM, number + 1, body))
    await rig.settle()
    assert 30 < len(rig.told.messages) < 40
    answered = 0
    while answered < 60:
        for found in rig.told.messages[answered:]:
            rig.session.reply(found, Status.OK)
            answered += 1
        await rig.settle()
    assert rig.session._inbound_octets == 0


async def test_a_centre_that_numbers_everything_alike_is_read_on(rig: Rig) -> None:
    await rig.session.open()
    rig.told.reply_with = None
    await rig.inject(pdu.pack(Command.DELIVER_SM, 1, BODY) * 3)
    for found in rig.told.messages:
        rig.session.reply(found, Status.OK)
    assert len(rig.told.messages) == 3
    assert rig.session._inbound_octets == 0


@pytest.mark.parametrize("chunk", [1, 2, 7, 16])
async def test_any_cut_of_the_stream_gives_the_same(chunk: int) -> None:
    rig = Rig()
    await rig.session.open()
    rig.back.chunk = chunk
    rig.submit(*range(3), body=BODY)
    await asyncio.sleep(1)
    assert [answer.token for answer in rig.told.answers] == [0, 1, 2]
    assert len(rig.told.messages) == 3
    await rig.session.close(1)


@settings(max_examples=examples(60, 5000))
@given(
    st.lists(st.binary(max_size=60) | st.builds(pdu.pack, st.integers(0, 2**32 - 1), st.integers(0, 20)), max_size=8)
)
def test_nothing_that_comes_in_breaks_more_than_the_session(pieces: list[bytes]) -> None:
    async def play() -> None:
        rig = Rig()
        await rig.session.open()
        rig.submit("a")
        for piece in pieces:
            rig.back.write(piece)
        await rig.settle()
        await rig.session.close(0)
        assert len(rig.told.answers) == 1

    asyncio.run(asyncio.wait_for(play(), NO_HANG))
