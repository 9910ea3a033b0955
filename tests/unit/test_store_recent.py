"""What the writer remembers is what the database has; the desk compares them after each commit of every core test."""

from __future__ import annotations

import asyncio

import pytest

from sms_bridge.core.commit import Commit
from sms_bridge.core.errors import StoreError
from sms_bridge.core.model import Finished
from sms_bridge.core.service import Cutoffs
from sms_bridge.core.states import OrderState
from sms_bridge.store import recent
from tests.support.desk import STICK, open_desk, sent


async def test_a_transaction_that_is_taken_back_leaves_no_memory(tmp_path):
    async with open_desk(tmp_path) as desk:
        await desk.order("a")
        job = await desk.dispatcher.claim(STICK)

        def spoil(tx):
            order = tx.order(job.order.seq)
            order.state = OrderState.FAILED
            tx.save_order(order)
            raise ValueError("mine")

        with pytest.raises(ValueError, match="mine"):
            await desk.journal.write(spoil)
        assert await desk.dispatcher.begin(job, 0)
        await desk.told(desk.dispatcher.finish(Finished(job, 0, sent())))
        assert desk.states("a") == ["queued", "sending", "sent"]


async def test_rows_that_were_purged_are_forgotten(tmp_path):
    async with open_desk(tmp_path) as desk:
        await desk.order("a")
        await desk.send(sent())
        desk.clock.forward(100)
        now = desk.clock.now()
        assert await desk.journal.write(lambda tx: tx.purge(Cutoffs(now, 0, 0, 0, 0), 100))
        assert await desk.journal.write(lambda tx: (tx.order(1), tx.attempts(1))) == (None, [])


async def test_the_memory_is_bounded_and_what_it_lost_is_read_again(tmp_path, monkeypatch):
    monkeypatch.setattr(recent, "SIZE", 3)
    async with open_desk(tmp_path) as desk:
        for n in range(10):
            await desk.order(str(n), to=("+36301234567",))
        for n in range(10):
            await desk.send(sent(n))
        assert [desk.states(str(n))[-1] for n in range(10)] == ["sent"] * 10


async def test_what_follows_a_commit_happens_though_nobody_waits(tmp_path):
    async with open_desk(tmp_path) as desk:
        seen = []
        waiting = asyncio.create_task(_wait(desk.journal.commit(lambda tx: tx.emit("event", "{}"), seen.append)))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await desk.journal.write(lambda tx: None)
        assert seen == [None]


async def test_a_commit_tells_all_who_wait_and_those_who_come_later(tmp_path):
    commit: Commit[str] = Commit(lambda number: f"made {number}")
    with pytest.raises(RuntimeError):
        commit.result()
    waiting = [asyncio.create_task(_wait(commit)) for _ in range(3)]
    await asyncio.sleep(0)
    commit.settle(7, None)
    assert [*await asyncio.gather(*waiting), await commit] == ["made 7"] * 4


async def test_a_commit_that_failed_says_so_each_time(tmp_path):
    followed: list[object] = []
    commit: Commit[None] = Commit(followed.append)
    commit.settle(None, StoreError("full"))
    for _ in range(2):
        with pytest.raises(StoreError, match="full"):
            await commit
    assert not followed


async def _wait(commit):
    return await commit
