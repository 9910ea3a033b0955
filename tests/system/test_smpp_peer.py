"""Our accounts at a message centre that somebody else wrote: the npm package `smpp`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from sms_bridge.routes.smpp import pdu, receipts, submit
from sms_bridge.routes.smpp.account import Account, AccountSettings, Delivery, Link
from sms_bridge.routes.smpp.arrivals import message_of
from sms_bridge.routes.smpp.pdu import Address, Bind, Status
from sms_bridge.routes.smpp.session import Answer
from sms_bridge.routes.smpp.submit import Charset, LongMessages, Style, Wanted
from tests.support.node_smsc import NodeSmsc

pytestmark = pytest.mark.peer

DEADLINE = 10.0  # seconds for two processes on a loaded machine


class Told:
    """What an account tells."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.deliveries: list[Delivery] = []
        self.links: list[Link] = []

    def answered(self, answers: list[Answer]) -> None:
        self.answers += answers

    def late(self, answers: list[Answer]) -> None:
        raise AssertionError("nothing is late here")

    def received(self, deliveries: list[Delivery]) -> None:
        self.deliveries += deliveries
        for delivery in deliveries:
            delivery.reply(Status.OK)

    def ready(self) -> None:
        pass

    def changed(self, link: Link, reason: str) -> None:
        self.links.append(link)


@pytest.fixture
def node() -> Iterator[NodeSmsc]:
    with NodeSmsc() as smsc:
        yield smsc


@asynccontextmanager
async def account(node: NodeSmsc, password: str = "secret", **changed: Any) -> AsyncIterator[tuple[Account, Told]]:
    told = Told()
    settings = AccountSettings("node", "127.0.0.1", node.port, Bind("bridge", password), **changed)
    made = Account(settings, told)
    made.start()
    await until(lambda: told.links)
    try:
        yield made, told
    finally:
        await made.stop()


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not condition():  # noqa: ASYNC110 # what happens in another process sets no event
            await asyncio.sleep(0.01)


def bodies(style: Style, **fields: Any) -> list[tuple[bytes, Any]]:
    wanted = Wanted(to="+36301234567", source=Address("ACME", 5, 0), **fields)
    return [(pdu.message_body(message), n) for n, message in enumerate(submit.messages(wanted, style))]


@pytest.mark.parametrize(
    ("style", "fields"),
    [
        (Style(), {"text": "plain @ text"}),
        (Style(), {"text": "árvíztűrő 😀"}),
        (Style(), {"text": "long " * 60, "validity": 600}),
        (Style(LongMessages.SAR), {"text": "long " * 60}),
        (Style(LongMessages.PAYLOAD, Charset.LATIN1), {"text": "long " * 60}),
    ],
)
async def test_submits_answers_and_receipts(node: NodeSmsc, style: Style, fields: dict[str, Any]) -> None:
    async with account(node) as (sender, told):
        parts = bodies(style, **fields)
        assert sender.submit(parts) == len(parts)
        await until(lambda: len(told.answers) == len(told.deliveries) == len(parts))
    await until(lambda: node.of_kind("unbind"))  # what it printed is read by a thread
    submits = node.of_kind("submit")
    assert [entry["to"] for entry in submits] == ["36301234567"] * len(parts)
    assert {entry["from"] for entry in submits} == {"ACME"}
    assert "".join(entry["text"] for entry in submits) == fields["text"]
    assert [answer.status for answer in told.answers] == [0] * len(parts)
    assert [answer.message_id for answer in told.answers] == [entry["id"] for entry in submits]
    found = [receipts.parse(delivery.message) for delivery in told.deliveries]
    assert sorted(receipt.message_id.lower() for receipt in found if receipt) == sorted(e["id"] for e in submits)
    assert {receipt.state for receipt in found if receipt} == {receipts.ReceiptState.DELIVERED}


@pytest.mark.parametrize("text", ["OK", "rendben, árvíztűrő", "😀" * 40])
async def test_messages_come_in(node: NodeSmsc, text: str) -> None:
    async with account(node) as (_, told):
        node.do("deliver", **{"from": "36301234567", "to": "36201112222", "text": text})
        await until(lambda: told.deliveries and node.of_kind("deliver_resp"))
    assert node.of_kind("deliver_resp")[0]["status"] == 0
    found = message_of(told.deliveries[0].message, "smpp:node", Charset.GSM7, 0, may_repeat=False)
    assert (found.sender, found.recipient, found.text) == ("+36301234567", "+36201112222", text)


async def test_it_takes_its_leave_and_a_question_is_answered(node: NodeSmsc) -> None:
    async with account(node) as (sender, told):
        node.do("enquire")
        await until(lambda: node.of_kind("enquire_resp"))
        node.do("unbind")
        await until(lambda: node.of_kind("unbind_resp"))
        await until(lambda: told.links[-1] is Link.DOWN)
        assert not sender.is_up


async def test_a_wrong_password(node: NodeSmsc) -> None:
    async with account(node, "wrong") as (sender, told):
        assert told.links == [Link.REFUSED]
        assert "the password is wrong" in sender.reason
        assert len(node.of_kind("bind")) == 1
