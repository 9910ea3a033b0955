"""Messages that routes other than modems received: each once, whole, under the route's name."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from hardware.pdu import Concat
from sms_bridge.core.clock import to_ms
from sms_bridge.core.model import InboundMessage
from sms_bridge.core.settings import CoreSettings
from tests.support.desk import ANNA, START, open_desk

ROUTE = "smpp:backup"
AT = to_ms(START)


@pytest.fixture
async def desk(tmp_path):
    async with open_desk(tmp_path) as opened:
        yield opened


def message(text: str | None = "Hello", **fields) -> InboundMessage:
    known = {"route": ROUTE, "sender": ANNA, "recipient": "36201112222", "text": text, "data": None}
    return InboundMessage(**{**known, "encoding": "gsm7", "received_at": AT, **fields})


async def receive(desk, *messages):
    await desk.told(desk.service.receive_messages(messages))


async def test_a_message_is_published_under_the_name_of_its_route(desk):
    sent_at = datetime(2026, 11, 22, 18, 59, tzinfo=UTC)
    await receive(desk, message(sent_at=sent_at))
    (seen,) = desk.published("in")
    assert (seen["route"], seen["modem"], seen["from"], seen["text"]) == (ROUTE, None, ANNA, "Hello")
    assert (seen["to"], seen["sent_at"], seen["type"]) == ("36201112222", "2026-11-22T18:59:00+00:00", "text")


async def test_what_has_a_name_comes_once(desk):
    await receive(desk, message(key="17"), message(key="17"))
    await receive(desk, message(key="17", received_at=AT + 3_600_000))
    await receive(desk, message(key="18"), message(key="17", route="smpp:other"))
    assert len(desk.published("in")) == 3


async def test_without_a_name_the_same_content_within_five_minutes_comes_once(desk):
    """domain C2.3"""
    await receive(desk, message(), message(received_at=AT + 299_000))
    assert len(desk.published("in")) == 1
    await receive(desk, message(received_at=AT + 301_000))
    assert len(desk.published("in")) == 2


async def test_in_a_session_that_was_never_lost_the_same_words_twice_are_two_messages(desk):
    await receive(desk, message("OK", may_repeat=False), message("OK", may_repeat=False))
    assert len(desk.published("in")) == 2


async def test_parts_are_put_together_in_any_order_and_a_torn_pair_is_whole_again(desk):
    text = "x" * 66 + "😀 end"
    units = text.encode("utf-16-be")
    halves = [units[:134].decode("utf-16-be", "surrogatepass"), units[134:].decode("utf-16-be", "surrogatepass")]
    parts = [
        message(half, encoding="ucs2", concat=Concat(7, 2, seq, 8), may_repeat=False)
        for seq, half in enumerate(halves, 1)
    ]
    await receive(desk, parts[1])
    assert desk.published("in") == []
    await receive(desk, parts[1], parts[0])
    (seen,) = desk.published("in")
    assert (seen["text"], seen["parts"], seen["partial"]) == (text, 2, False)


async def test_what_lacks_a_part_for_long_is_published_as_it_is(tmp_path):
    async with open_desk(tmp_path, CoreSettings(reassembly_timeout=60.0)) as desk:
        await receive(desk, message("second", concat=Concat(7, 2, 2, 16)))
        desk.clock.forward(61)
        await desk.tick()
        (seen,) = desk.published("in")
        assert (seen["text"], seen["partial"], seen["missing"], seen["route"]) == ("second", True, [1], ROUTE)


async def test_data_keeps_its_octets(desk):
    await receive(desk, replace(message(None), data=b"\x00\xff", encoding="8bit", port=2948))
    (seen,) = desk.published("in")
    assert (seen["type"], seen["data"], seen["text"], seen["port"]) == ("data", "AP8=", None, 2948)
