"""Flushes that overlap on slow disks: the same promises as when SQLite flushes each commit by itself."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import threading
import time

import pytest

from sms_bridge.core.errors import StoreError
from sms_bridge.store import Journal, flush, writer
from tests.support.desk import STICK, open_desk, sent

real_flush = os.fdatasync


@pytest.fixture
def slow_disk(monkeypatch):
    """Every disk counts as slow."""
    monkeypatch.setattr(writer, "SLOW", 0.0)
    monkeypatch.setattr(writer, "FAST", -1.0)


@pytest.fixture
async def journal(tmp_path, slow_disk):
    opened = await Journal.open(tmp_path)
    await opened.write(emit("first"))
    await opened.write(lambda tx: None)  # the way to flush is chosen after a commit is told
    overlapping = opened._writer._overlapping
    yield opened
    await opened.close()
    assert overlapping


def emit(text):
    return lambda tx: tx.emit("event", text)


async def test_nothing_is_told_before_its_flush_has_ended(journal, monkeypatch):
    go, told = threading.Event(), []
    journal.on_outbox(told.extend)

    def held(descriptor):
        go.wait(5)
        real_flush(descriptor)

    monkeypatch.setattr(flush.os, "fdatasync", held)
    task = asyncio.create_task(journal.write(emit("a")))
    await asyncio.sleep(0.1)
    assert not task.done()
    assert told == []
    go.set()
    await asyncio.wait_for(task, 5)
    await asyncio.sleep(0.01)
    assert [row.payload for row in told] == ["a"]


async def test_what_saw_an_unflushed_commit_waits_for_its_flush(journal, monkeypatch):
    """An answer that rests on something must not be given before that is durable."""
    go = threading.Event()
    monkeypatch.setattr(flush.os, "fdatasync", lambda descriptor: go.wait(5))
    first = asyncio.create_task(journal.write(emit("a")))
    await asyncio.sleep(0.05)
    second = asyncio.create_task(journal.write(lambda tx: len(tx.outbox_after(0, 10))))
    await asyncio.sleep(0.05)
    assert not second.done()
    go.set()
    assert await asyncio.wait_for(second, 5) == 2  # "first" and "a"
    assert first.done()


async def test_rows_are_told_in_order_however_long_each_flush_takes(journal, monkeypatch):
    told = []
    journal.on_outbox(told.extend)
    chance = random.Random(3)
    monkeypatch.setattr(flush.os, "fdatasync", lambda descriptor: time.sleep(chance.random() * 0.02))
    tasks = []
    for n in range(60):
        tasks.append(asyncio.create_task(journal.write(emit(str(n)))))
        await asyncio.sleep(0.002)
    await asyncio.gather(*tasks)
    await asyncio.sleep(0.01)
    assert [row.payload for row in told] == [str(n) for n in range(60)]


async def test_a_commit_does_not_wait_for_the_flush_of_another(journal, monkeypatch):
    monkeypatch.setattr(flush.os, "fdatasync", lambda descriptor: time.sleep(0.2))
    began = time.monotonic()
    tasks = []
    for n in range(3):
        tasks.append(asyncio.create_task(journal.write(emit(str(n)))))
        await asyncio.sleep(0.05)
    await asyncio.gather(*tasks)
    assert time.monotonic() - began < 0.45


async def test_a_flush_that_fails_is_nobodys_success_and_heals(tmp_path, slow_disk, monkeypatch):
    async with open_desk(tmp_path) as desk:
        await desk.order("before")

        def fail(descriptor):
            raise OSError(errno.EIO, "Input/output error")

        monkeypatch.setattr(flush.os, "fdatasync", fail)
        with pytest.raises(StoreError, match="not written") as caught:
            await desk.order("during")
        assert caught.value.hint
        monkeypatch.setattr(flush.os, "fdatasync", real_flush)
        again = await desk.order("during")  # as a broker delivers it again
        assert again.id == "during"
        assert desk.states("during")[0] == "queued"
        assert [row.seq for row in desk.rows] == list(range(1, len(desk.rows) + 1))
        for _ in range(2):
            await desk.send(sent())
        assert [desk.states(id)[-1] for id in ("before", "during")] == ["sent", "sent"]


async def test_a_part_whose_beginning_was_not_flushed_is_not_sent_twice(tmp_path, slow_disk, monkeypatch):
    async with open_desk(tmp_path) as desk:
        await desk.order("a")
        job = await desk.dispatcher.claim(STICK)

        def fail(descriptor):
            raise OSError(errno.EIO, "Input/output error")

        monkeypatch.setattr(flush.os, "fdatasync", fail)
        with pytest.raises(StoreError):
            await desk.dispatcher.begin(job, 0)
        monkeypatch.setattr(flush.os, "fdatasync", real_flush)
        desk.dispatcher.release(job)
        job = await desk.dispatcher.claim(STICK)
        assert not await desk.told(desk.dispatcher.begin(job, 0))
        assert desk.states("a")[-1] == "unknown"


async def test_a_disk_that_became_fast_is_left_to_sqlite_again(journal, monkeypatch):
    monkeypatch.setattr(writer, "SLOW", 100.0)
    monkeypatch.setattr(writer, "FAST", 100.0)
    await journal.write(emit("a"))
    await journal.write(emit("b"))
    await journal.write(lambda tx: None)
    assert not journal._writer._overlapping
    levels = await journal.write(lambda tx: tx._db.execute("PRAGMA synchronous").fetchone())
    assert levels == (2,)


async def test_close_flushes_what_waits(tmp_path, slow_disk, monkeypatch):
    threads = set(threading.enumerate())
    journal = await Journal.open(tmp_path)
    await journal.write(emit("first"))
    monkeypatch.setattr(flush.os, "fdatasync", lambda descriptor: (time.sleep(0.05), real_flush(descriptor)))
    tasks = [asyncio.create_task(journal.write(emit(str(n)))) for n in range(5)]
    await asyncio.sleep(0)
    await journal.close()
    await asyncio.gather(*tasks)
    assert not [t for t in set(threading.enumerate()) - threads if "journal" in t.name]
