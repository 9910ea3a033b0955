"""An account at a message centre, in virtual time: binds that are kept up, refusals, throttling (domain C3, C4)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from sms_bridge.routes.smpp import pdu
from sms_bridge.routes.smpp.account import Account, AccountSettings, Delivery, Link
from sms_bridge.routes.smpp.pdu import Address, Bind, Message, Status
from sms_bridge.routes.smpp.session import Answer, SessionSettings
from tests.support import smsc as centre
from tests.support.wire import join

pytestmark = pytest.mark.looptime

BODY = pdu.message_body(Message(destination=Address("36301234567", 1, 1), octets=b"x"))


class Rig:
    """An account and its centre."""

    def __init__(self, **changed: Any) -> None:
        self.smsc = centre.Smsc()
        self.answers: list[Answer] = []
        self.late_answers: list[Answer] = []
        self.deliveries: list[Delivery] = []
        self.changes: list[tuple[Link, str]] = []
        self.tried: list[float] = []
        self.reachable = True
        self.wanted = 0  # messages still to submit, as room comes
        bind = Bind("bridge", changed.pop("password", "secret"))
        settings = AccountSettings("backup", "smsc.example", 2775, bind, **changed)
        self.account = Account(settings, self, connect=self.connect, random=lambda: 0.5)

    async def connect(self, protocol: asyncio.Protocol, _where: SessionSettings) -> None:
        self.tried.append(asyncio.get_running_loop().time())
        if not self.reachable:
            raise ConnectionRefusedError(111, "Connection refused")
        join(protocol, centre.Link(self.smsc))

    def answered(self, answers: list[Answer]) -> None:
        self.answers += answers

    def late(self, answers: list[Answer]) -> None:
        self.late_answers += answers

    def received(self, deliveries: list[Delivery]) -> None:
        self.deliveries += deliveries
        for delivery in deliveries:
            delivery.reply(Status.OK)

    def ready(self) -> None:
        room = min(self.account.room, self.wanted)
        if room:
            self.wanted -= self.account.submit([(BODY, None)] * room)

    def changed(self, link: Link, reason: str) -> None:
        self.changes.append((link, reason))

    def submit(self, count: int) -> None:
        self.wanted += count
        self.ready()

    @property
    def sent(self) -> int:
        return len(self.smsc.submits)


@asynccontextmanager
async def running(**changed: Any) -> AsyncIterator[Rig]:
    rig = Rig(**changed)
    rig.account.start()
    await asyncio.sleep(0.1)
    yield rig
    rig.smsc.faults.mute = False
    await rig.account.stop()


async def test_it_binds_submits_within_its_window_and_unbinds() -> None:
    async with running(window=3) as rig:
        assert rig.account.link is Link.BOUND
        rig.smsc.faults.latency = 0.02
        assert rig.account.room == 3
        rig.submit(30)
        assert rig.account.pending == 3
        await asyncio.sleep(0.21)
        assert rig.sent == 30
    assert len(rig.smsc.of_kind("unbind")) == 1
    assert [answer.status for answer in rig.answers] == [0] * 30


async def test_what_has_no_room_is_said_to_be_not_sent() -> None:
    async with running(window=3) as rig:
        assert rig.account.submit([(BODY, n) for n in range(5)]) == 3
    assert rig.account.submit([(BODY, None)]) == 0
    assert rig.account.room == 0


async def test_a_pair_of_binds_and_several() -> None:
    async with running(separate=True, binds=2, window=5) as rig:
        assert sorted(entry["command"] for entry in rig.smsc.of_kind("bind")) == [1, 1, 2, 2]
        assert rig.account.room == 10
        rig.smsc.deliver_text("36301234567", "123", "OK")
        rig.submit(10)
        await asyncio.sleep(1)
        assert rig.sent == 10
        assert len(rig.deliveries) == 1


async def test_a_centre_that_is_away_is_tried_1_2_4_to_60_seconds_apart() -> None:
    rig = Rig()
    rig.reachable = False
    rig.account.start()
    await asyncio.sleep(250)
    gaps = [round(after - before) for before, after in zip(rig.tried, rig.tried[1:], strict=False)]
    assert gaps[:8] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert rig.account.link is Link.DOWN
    assert "connection refused" in rig.account.reason
    rig.reachable = True
    await asyncio.sleep(61)
    assert rig.account.link is Link.BOUND
    await rig.account.stop()


@pytest.mark.parametrize("status", [0x0E, 0x0F, 0x53])
async def test_a_wrong_password_stops_and_is_told_once(status: int) -> None:
    rig = Rig()
    rig.smsc.faults.bind_refuse, rig.smsc.faults.bind_status = 1000, status
    rig.account.start()
    await asyncio.sleep(3600)
    assert [link for link, _ in rig.changes] == [Link.REFUSED]
    assert "is wrong" in rig.changes[0][1]
    assert 10 <= len(rig.tried) <= 13
    assert min(after - before for before, after in zip(rig.tried, rig.tried[1:], strict=False)) >= 300
    rig.smsc.faults.bind_refuse = 0
    await asyncio.sleep(400)
    assert rig.account.link is Link.BOUND
    await rig.account.stop()


async def test_a_session_that_the_centre_still_holds_is_waited_for() -> None:
    rig = Rig()
    rig.smsc.faults.bind_refuse, rig.smsc.faults.bind_status = 2, 0x05
    rig.account.start()
    await asyncio.sleep(200)
    assert min(after - before for before, after in zip(rig.tried, rig.tried[1:], strict=False)) >= 60
    assert rig.account.link is Link.BOUND
    assert Link.REFUSED not in [link for link, _ in rig.changes]
    await rig.account.stop()


async def test_a_lost_connection_is_unknown_for_what_was_under_way_and_comes_back() -> None:
    async with running() as rig:
        rig.smsc.faults.drop_responses = 4
        rig.submit(4)
        await asyncio.sleep(0.1)
        rig.smsc.links[0].cut()
        await asyncio.sleep(0.1)
        assert [answer.status for answer in rig.answers] == [None] * 4
        assert (rig.account.link, rig.account.room) == (Link.DOWN, 0)
        await asyncio.sleep(2)
        assert rig.account.link is Link.BOUND
        rig.submit(1)
        await asyncio.sleep(0.1)
        assert rig.answers[-1].status == 0


async def test_after_the_centre_took_its_leave_ten_seconds_pass() -> None:
    async with running() as rig:
        rig.smsc.links[0].send(pdu.Command.UNBIND)
        await asyncio.sleep(9)
        assert len(rig.tried) == 1
        await asyncio.sleep(3)
        assert rig.account.link is Link.BOUND


async def test_no_more_a_second_than_the_account_allows() -> None:
    async with running(rate=10.0, window=50) as rig:
        rig.submit(100)
        await asyncio.sleep(5)
        assert 48 <= rig.sent <= 52
        await asyncio.sleep(5.5)
        assert rig.sent == 100


async def test_a_throttling_storm_slows_down_and_loses_nothing() -> None:
    async with running(window=50) as rig:
        rig.smsc.faults.refuse, rig.smsc.faults.refuse_status = 120, 0x58
        rig.wanted = 50
        rig.ready()
        start = asyncio.get_running_loop().time()
        while rig.sent < 50 and asyncio.get_running_loop().time() - start < 600:
            refused = sum(answer.status == 0x58 for answer in rig.answers)
            rig.wanted = 50 - rig.sent - rig.account.pending
            rig.ready()
            await asyncio.sleep(0.1)
        assert rig.sent == 50
        assert refused == 120
        assert rig.account.window < 50
        assert rig.account.rate is not None


async def test_a_full_queue_halves_the_window_and_rests() -> None:
    async with running(window=8) as rig:
        rig.smsc.faults.refuse, rig.smsc.faults.refuse_status = 8, 0x14
        rig.submit(8)
        await asyncio.sleep(0.1)
        assert rig.account.window == 4
        assert rig.account.room == 0
        rig.submit(8)
        await asyncio.sleep(60)
        assert rig.sent == 8


async def test_an_end_while_it_waits_to_connect() -> None:
    rig = Rig()
    rig.reachable = False
    rig.account.start()
    await asyncio.sleep(10)
    start = asyncio.get_running_loop().time()
    await rig.account.stop()
    await rig.account.stop()
    assert asyncio.get_running_loop().time() == start


async def test_an_end_with_answers_that_never_come_takes_fifteen_seconds_at_most() -> None:
    async with running() as rig:
        rig.smsc.faults.mute = True
        rig.submit(5)
        await asyncio.sleep(0.1)
        start = asyncio.get_running_loop().time()
        await rig.account.stop()
        assert asyncio.get_running_loop().time() - start <= 15.1
        assert [answer.status for answer in rig.answers] == [None] * 5


async def test_a_bind_that_may_not_send_is_made_anew() -> None:
    async with running() as rig:
        rig.smsc.faults.refuse, rig.smsc.faults.refuse_status = 1, 0x04
        rig.submit(1)
        await asyncio.sleep(5)
        assert len(rig.tried) == 2
        assert rig.account.link is Link.BOUND
