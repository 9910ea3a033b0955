"""The journal itself: commits that are shared, work that waits, files that are old, new, damaged."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sqlite3
import threading
from pathlib import Path

import pytest

from hardware.types import ReceivedPdu
from sms_bridge.core.errors import StoreError, StoreRefused
from sms_bridge.core.inbound import content_key
from sms_bridge.core.model import Cutoffs
from sms_bridge.store import Journal, checkpoint, migrate
from sms_bridge.store import journal as journal_module
from sms_bridge.store.connection import open_writer
from sms_bridge.store.journal import FILE_NAME
from tests.support.desk import ANNA, STICK, ManualClock, deliver, open_desk, sent


@pytest.fixture
async def journal(tmp_path):
    opened = await Journal.open(tmp_path)
    yield opened
    await opened.close()


ALL = 2**62  # a number that no row has reached


def emit(text):
    return lambda tx: tx.emit("event", text)


async def payloads(journal, after=0):
    return [row.payload for row in await journal.outbox_after(after, 10_000)]


async def test_what_was_written_is_there_for_another_connection(journal):
    await journal.write(emit("a"))
    with sqlite3.connect(journal.path) as other:
        assert other.execute("SELECT payload FROM outbox").fetchall() == [("a",)]
    other.close()


async def test_the_settings_that_durability_rests_on(tmp_path):
    connection = open_writer(tmp_path / "x.db")
    values = {
        name: connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous", "foreign_keys", "wal_autocheckpoint", "busy_timeout", "auto_vacuum")
    }
    connection.close()
    assert values == {
        "journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "wal_autocheckpoint": 0, "busy_timeout": 5000,
        "auto_vacuum": 2,
    }  # fmt: skip


async def test_many_writers_share_few_commits(journal):
    before = journal.commits
    await asyncio.gather(*(journal.write(emit(str(n))) for n in range(500)))
    assert journal.commits - before < 50
    assert await payloads(journal) == [str(n) for n in range(500)]


async def test_results_go_to_those_who_asked(journal):
    results = await asyncio.gather(*(journal.write(lambda tx, n=n: n * n) for n in range(50)))
    assert results == [n * n for n in range(50)]


async def test_one_bad_piece_of_work_fails_alone(journal):
    def bad(tx):
        tx.emit("event", "never")
        raise ValueError("mine")

    def bad_sql(tx):
        tx.emit("event", "never")
        tx.add_quarantined(None)

    work = [emit("a"), bad, emit("b"), bad_sql, emit("c")]
    results = await asyncio.gather(*(journal.write(w) for w in work), return_exceptions=True)
    assert [type(r) for r in results] == [type(None), ValueError, type(None), AttributeError, type(None)]
    assert await payloads(journal) == ["a", "b", "c"]


async def test_text_that_is_no_utf8_fails_alone(journal):
    results = await asyncio.gather(
        journal.write(emit("a")), journal.write(emit("\ud800")), journal.write(emit("b")), return_exceptions=True
    )
    assert isinstance(results[1], UnicodeEncodeError)
    assert await payloads(journal) == ["a", "b"]


async def test_the_outbox_tells_its_rows_in_order_after_the_commit(journal):
    told = []
    journal.on_outbox(told.extend)
    for n in range(5):
        await journal.write(emit(str(n)))
    await asyncio.sleep(0.01)
    assert [(row.seq, row.payload) for row in told] == [(n + 1, str(n)) for n in range(5)]
    assert told == await journal.outbox_after(0, 10)


async def test_a_listener_that_fails_does_not_stop_the_journal(journal):
    def fail(rows):
        raise RuntimeError

    told = []
    journal.on_outbox(fail)
    journal.on_outbox(told.extend)
    await journal.write(emit("a"))
    await asyncio.sleep(0.01)
    assert len(told) == 1


async def test_published_rows_go_without_a_commit_of_their_own(journal):
    for n in range(10):
        await journal.write(emit(str(n)))
    commits = journal.commits
    journal.outbox_done([1, 2, 3, 5])
    await asyncio.sleep(0.3)
    assert journal.commits == commits
    await journal.write(lambda tx: None)
    assert journal.commits == commits + 1
    assert await payloads(journal) == ["3", "5", "6", "7", "8", "9"]


async def test_published_rows_go_by_themselves_when_nothing_else_is_written(journal):
    await journal.write(emit("a"))
    journal.outbox_done([1])
    await asyncio.sleep(1.4)
    assert await payloads(journal) == []


async def test_numbers_never_come_twice_even_when_the_outbox_was_emptied(tmp_path):
    for expected in (1, 2, 3):
        journal = await Journal.open(tmp_path)
        await journal.write(emit("x"))
        (row,) = await journal.outbox_after(0, 10)
        assert row.seq == expected
        journal.outbox_done([row.seq])
        await journal.close()


async def test_a_cancelled_wait_does_not_undo_the_work(journal):
    task = asyncio.create_task(journal.write(emit("a")))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await journal.write(lambda tx: None)
    assert await payloads(journal) == ["a"]


async def test_close_commits_all_that_is_queued(tmp_path):
    journal = await Journal.open(tmp_path)
    tasks = [asyncio.create_task(journal.write(emit(str(n)))) for n in range(300)]
    await asyncio.sleep(0)
    journal.later(emit("lazy"))
    await journal.close()
    await asyncio.gather(*tasks)
    with pytest.raises(StoreError):
        await journal.write(emit("late"))
    with pytest.raises(StoreError):
        await journal.read(lambda reader: reader.counts())
    await journal.close()
    again = await Journal.open(tmp_path)
    assert await payloads(again) == [str(n) for n in range(300)] + ["lazy"]
    await again.close()


async def test_no_thread_and_no_file_stays_open(tmp_path):
    threads = set(threading.enumerate())
    journal = await Journal.open(tmp_path)
    await journal.write(emit("a"))
    await journal.read(lambda reader: reader.counts())
    await journal.close()
    assert {t for t in threading.enumerate() if "journal" in t.name} <= threads
    assert open_files(tmp_path) == []
    assert os.listdir(tmp_path) == [FILE_NAME]


def size_of(file: str) -> int:
    return os.path.getsize(file)


def open_files(directory: Path) -> list[str]:
    """What this process holds open below `directory`."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the listing's own descriptor is gone by now
            found.append(os.readlink(f"/proc/self/fd/{name}"))
    return [target for target in found if target.startswith(str(directory))]


async def test_reads_do_not_wait_for_the_writer(journal):
    held, go = threading.Event(), threading.Event()

    def slow(tx):
        held.set()
        go.wait(5)

    task = asyncio.create_task(journal.write(slow))
    await asyncio.to_thread(held.wait, 5)
    assert (await asyncio.wait_for(journal.read(lambda r: r.counts()), 1))["outbox"] == 0
    go.set()
    await task


async def test_a_reader_cannot_write(journal):
    with pytest.raises(StoreError, match="readonly"):
        await journal.read(lambda reader: reader._db.execute("DELETE FROM outbox"))


async def test_the_log_stays_bounded_under_constant_writing(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "ROWS_BETWEEN", 50)
    monkeypatch.setattr(checkpoint, "COMMITS_BETWEEN", 20)
    monkeypatch.setattr(checkpoint, "HARD_FRAMES", 300)
    journal = await Journal.open(tmp_path)
    wal = f"{journal.path}-wal"
    largest = 0
    for _ in range(150):
        await asyncio.gather(*(journal.write(emit("x" * 1000)) for _ in range(8)))
        largest = max(largest, size_of(wal))
    assert largest < 8 * 1024 * 1024
    await journal.close()


async def test_a_backup_is_a_whole_journal(journal, tmp_path):
    await journal.write(emit("a"))
    copy = tmp_path / "copy.db"
    await journal.backup(copy)
    with sqlite3.connect(copy) as other:
        assert other.execute("SELECT payload FROM outbox").fetchall() == [("a",)]
        assert other.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    other.close()


def test_each_schema_file_has_the_next_number():
    # A journal remembers the last number alone: of two files with one number it might get one only.
    numbers = [number for number, _ in migrate.schema_files()]
    assert numbers == list(range(1, len(numbers) + 1))


async def test_a_newer_journal_is_refused_with_a_sentence(tmp_path):
    await (await Journal.open(tmp_path)).close()
    with sqlite3.connect(tmp_path / FILE_NAME) as other:
        other.execute("PRAGMA user_version = 999")
    other.close()
    with pytest.raises(StoreRefused, match=r"newer sms-bridge \(format 999") as caught:
        await Journal.open(tmp_path)
    assert "newer version" in caught.value.hint


async def test_a_directory_that_cannot_be_made_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreRefused) as caught:
        await Journal.open(tmp_path / "file" / "below")
    assert caught.value.hint


async def test_an_older_journal_is_copied_and_brought_up_to_date(tmp_path, monkeypatch):
    journal = await Journal.open(tmp_path)
    await journal.write(emit("old"))
    await journal.close()
    latest = migrate.latest_version()
    files = [*migrate.schema_files(), (latest + 1, "-- more\nCREATE TABLE more (a TEXT) STRICT;\nDROP TABLE more;\n")]
    monkeypatch.setattr(migrate, "schema_files", lambda: files)
    for _ in range(2):
        journal = await Journal.open(tmp_path)
        assert await payloads(journal) == ["old"]
        await journal.close()
    copy = tmp_path / f"{FILE_NAME}.v{latest}"
    with sqlite3.connect(copy) as other:
        assert other.execute("PRAGMA user_version").fetchone() == (latest,)
        assert other.execute("SELECT payload FROM outbox").fetchall() == [("old",)]
    other.close()


async def test_what_an_older_journal_knows_of_received_messages_stays_known(tmp_path, monkeypatch):
    """Its fingerprints stood with the texts."""
    files = migrate.schema_files()
    monkeypatch.setattr(migrate, "schema_files", lambda: [file for file in files if file[0] < 5])
    journal = await Journal.open(tmp_path)
    await journal.close()
    (raw,), clock = deliver("known"), ManualClock()
    key, bad = content_key(STICK.sim, raw), content_key(STICK.sim, "00FF")
    with sqlite3.connect(journal.path) as old:
        old.execute(
            "INSERT INTO inbound VALUES (7, 'x', ?, 'stick', ?, 'whole', 1, 1, 1, 1, NULL, NULL, NULL, '{}')",
            (STICK.sim, ANNA),
        )
        old.execute("INSERT INTO inbound_parts VALUES (9, ?, x'00', 7, 1, ?, 1, 1, 'SM', 1)", (key, raw))
        old.execute("INSERT INTO quarantine VALUES (3, ?, '00FF', 'bad', 'stick', ?, 'SM', 2, 1)", (bad, STICK.sim))
    old.close()
    monkeypatch.undo()
    async with open_desk(tmp_path, clock=clock) as desk:
        await desk.receive(raw)
        item = ReceivedPdu("00FF", None, "bad", "SM", 2, None, STICK.iccid, "stick", clock.datetime)
        await desk.told(desk.service.receive([item]))
        await desk.receive(*deliver("new"))
        assert [message["text"] for message in desk.published("in")] == ["new"]
        assert desk.published("raw") == []
        assert await desk.journal.read(lambda reader: [each.seq for each in reader.inbox(5)]) == [8, 7]


async def test_a_migration_that_fails_changes_nothing(tmp_path, monkeypatch):
    await (await Journal.open(tmp_path)).close()
    broken = [
        *migrate.schema_files(),
        (migrate.latest_version() + 1, "CREATE TABLE more (a TEXT);\nCREATE TABLE orders (a TEXT);\n"),
    ]
    monkeypatch.setattr(migrate, "schema_files", lambda: broken)
    with pytest.raises(StoreRefused, match="orders already exists"):
        await Journal.open(tmp_path)
    monkeypatch.undo()
    journal = await Journal.open(tmp_path)
    assert await payloads(journal) == []
    await journal.close()


def test_a_script_is_split_into_its_statements():
    script = "-- a; comment\nCREATE TABLE a (b TEXT DEFAULT ';');\n\nINSERT INTO a\n  VALUES ('x;y');\n-- end\n"
    assert [s.splitlines()[-1].strip() for s in migrate.statements(script)] == [
        "CREATE TABLE a (b TEXT DEFAULT ';');",
        "VALUES ('x;y');",
    ]
    with pytest.raises(ValueError, match="middle"):
        list(migrate.statements("CREATE TABLE a (b"))


async def make_unclean(directory: Path) -> Path:
    """A journal with content whose process did not close it."""
    async with open_desk(directory) as desk:
        for n in range(50):
            await desk.order(str(n), "x" * 100)
    path = directory / FILE_NAME
    with sqlite3.connect(path) as other:
        other.execute("UPDATE meta SET value = '1' WHERE name = 'open'")
        other.commit()
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    other.close()
    return path


async def test_an_unclean_stop_is_noticed(tmp_path):
    await make_unclean(tmp_path)
    journal = await Journal.open(tmp_path)
    assert journal.opened.unclean
    assert journal.opened.damaged_copy is None
    await journal.close()
    journal = await Journal.open(tmp_path)
    assert not journal.opened.unclean
    await journal.close()


@pytest.mark.parametrize("damage", ["header", "pages", "text"])
async def test_a_damaged_journal_is_moved_aside_and_said_aloud(tmp_path, damage):
    path = await make_unclean(tmp_path)
    content = bytearray(path.read_bytes())
    if damage == "header":
        content[:100] = bytes(100)
    elif damage == "text":
        content[:] = b"not a database at all, but long enough to look like one" * 100
    else:
        content[4096 * 2 :] = b"\xa5" * (len(content) - 4096 * 2)
    path.write_bytes(content)
    journal = await Journal.open(tmp_path)
    copy = journal.opened.damaged_copy
    assert copy is not None
    assert copy.read_bytes() == content
    (event,) = [json.loads(text) for text in await payloads(journal)]
    assert (event["event_type"], event["moved_to"]) == ("journal_damaged", str(copy))
    await journal.close()


async def test_a_large_journal_is_checked_beside_the_start(tmp_path, monkeypatch):
    path = await make_unclean(tmp_path)
    monkeypatch.setattr(journal_module.check, "LARGE", 1)
    journal = await Journal.open(tmp_path)
    assert journal.opened.check_pending
    assert await journal.verify() is None
    await journal.close()
    content = bytearray(path.read_bytes())
    content[-4096 * 4 : -4096 * 2] = b"\xa5" * 8192
    path.write_bytes(content)
    with sqlite3.connect(path) as other:
        problem = other.execute("PRAGMA quick_check(1)").fetchone()[0]
    other.close()
    assert problem != "ok"
    journal = await Journal.open(tmp_path)
    assert await journal.verify() is not None
    await journal.close()


async def test_old_rows_are_purged_in_small_steps_and_open_orders_stay(tmp_path):
    async with open_desk(tmp_path) as desk:
        for n in range(60):
            await desk.order(str(n), modem="absent" if n < 20 else "auto", delivery_key=None)
        for _ in range(40):
            await desk.send(sent())
        future = desk.clock.now() + 1
        cutoffs = Cutoffs(ALL, ALL, ALL, ALL, 0, ALL, ended_before=future)
        gone = [await desk.journal.write(lambda tx: tx.purge(cutoffs, 10)) for _ in range(12)]
        assert sum(gone) == 40
        assert max(gone) == 10
        (kept,) = await desk.service.get("5")
        assert kept["state"] == "queued"
        assert await desk.service.get("30") == []
        assert await desk.journal.read(lambda r: r.attempts(31)) == []
        assert len(await payloads(desk.journal)) == 60 + 80  # what is not published stays
        await desk.order("new")
        assert (await desk.dispatcher.claim(STICK)).order.seq == 61


async def test_purging_gives_space_back(tmp_path):
    async with open_desk(tmp_path) as desk:
        for start in range(0, 4000, 500):
            await asyncio.gather(*(desk.order(f"{start + n}", "x" * 150) for n in range(500)))
        await desk.journal.write(lambda tx: (tx._db.execute("UPDATE orders SET stage = 'done'"), tx.rolled_back()))
        pages = "PRAGMA page_count"
        before = await desk.journal.read(lambda r: r._db.execute(pages).fetchone()[0])
        future = desk.clock.now() + 1
        cutoffs = Cutoffs(ALL, ALL, ALL, ALL, ALL, ALL, ended_before=future)
        for _ in range(12):
            await desk.journal.write(lambda tx: tx.purge(cutoffs, 500))
        after = await desk.journal.read(lambda r: r._db.execute(pages).fetchone()[0])
        assert after < before / 2


async def test_the_queries_of_the_hot_path_use_their_indexes(journal):
    """A query without its index works, and becomes slow only after months."""

    def plans(reader):
        seen = {}
        db = reader._db

        class Spy:
            def execute(self, sql, values=()):
                plan = db.execute(f"EXPLAIN QUERY PLAN {sql}", values).fetchall()
                seen[sql] = " | ".join(row[3] for row in plan)
                return db.execute(sql, values)

        reader._db = Spy()
        try:
            reader.orders_of("x")
            reader.order(1)
            reader.ready("", (0, 0), 10)
            reader.attempts(1)
            reader.next_due()
            reader.counts()
            reader.outbox_after(0, 10)
            reader.known_ids(["a"])
            reader.id_of_delivery("k")
            reader.orders_due(0, 10)
            reader.orders_busy()
            reader.attempts_by_mr("s", 1)
            reader.attempts_unknown("s")
            reader.orphans("s", 1)
            reader.contents([b""])
            reader.avoided(1)
            reader.queues()
            reader.age_notes("orders")
            reader.open_sets("s", "n", 1, 2, 8)
            reader.set_parts(1)
            reader.sets_due(0, 10)
        finally:
            reader._db = db
        return seen

    for sql, plan in (await journal.write(plans)).items():
        for step in plan.split(" | "):
            if step.startswith("SCAN") and "count(*) FROM outbox" not in sql:
                assert "USING" in step or "json_each" in step or "CONSTANT" in step or "LIST" in step, (sql, plan)
            assert "TEMP B-TREE FOR ORDER BY" not in step or "UNION" in sql, (sql, plan)
