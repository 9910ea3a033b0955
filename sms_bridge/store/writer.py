"""The writer thread: closures in, one durable commit for as many as wait, results out on the loop."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sms_bridge.core.commit import Commit
from sms_bridge.core.errors import StoreError
from sms_bridge.core.model import OutboxRow
from sms_bridge.store.checkpoint import Checkpointer
from sms_bridge.store.connection import open_writer, store_error
from sms_bridge.store.latency import Latency
from sms_bridge.store.transaction import SqlTransaction

log = logging.getLogger(__name__)

Work = Callable[[SqlTransaction], Any]

MAX_BATCH = 256  # closures in one commit; more would make the first of them wait
# Modems that share a commit get on with their work at the same instant, and are all done at the same instant again:
# they wait for each other for ever. Where a commit is quick, each has its own, and they drift apart.
FEW = 16  # closures that wait; more are a flood, which is better shared
QUICK = 0.002  # seconds
LAZY_BEFORE = 0.25  # seconds that lazy work is collected before it rides with another commit
LAZY_AFTER = 1.0  # seconds after which it is committed for its own sake
WEIGHT = 0.2  # of the newest commit in the running mean
REOPEN_AFTER = 0.5  # seconds between attempts to open the file again after it failed


class _Item:
    __slots__ = ("commit", "error", "result", "work")

    def __init__(self, work: Work, commit: Commit[Any]) -> None:
        self.work = work
        self.commit = commit
        self.result: Any = None
        self.error: BaseException | None = None


class Writer:
    """Owns the one connection that writes. `submit` and `later` may be called from the loop only."""

    def __init__(
        self,
        path: Path,
        connection: sqlite3.Connection,
        now: Callable[[], int],
        committed: Callable[[list[OutboxRow]], None],
    ) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = connection
        self._now = now
        self._committed = committed
        self._loop: asyncio.AbstractEventLoop | None = None
        self._items: deque[_Item] = deque()
        self._lazy: list[Work] = []
        self._lazy_since = 0.0
        self._done: set[int] = set()
        self._wake = threading.Condition(threading.Lock())
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._checkpointer = Checkpointer(path)
        self._pace = 0.0  # seconds a commit takes, of late
        self._tx = SqlTransaction(connection, now)
        self._failing = ""  # what the disk said last, so that it is logged once
        self.commits = 0
        self.latency = Latency()

    @property
    def problem(self) -> str:
        """What the disk said when the last commit failed; empty while it works."""
        return self._failing

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._checkpointer.start()
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def submit(self, work: Work, then: Callable[[Any], Any] | None = None) -> Commit[Any]:
        """Run `work` in the next commit; `then` on the loop when that is on the disk."""
        commit: Commit[Any] = Commit(then)
        with self._wake:
            if not self._stopping:
                self._items.append(_Item(work, commit))
                self._wake.notify()
                return commit
        commit.settle(None, StoreError("the journal is closed"))
        return commit

    def later(self, work: Work) -> None:
        """Run `work` with some commit soon."""
        with self._wake:
            self._note_lazy()
            self._lazy.append(work)

    def done(self, seqs: list[int]) -> None:
        """These outbox rows may be deleted, with some commit soon."""
        with self._wake:
            self._note_lazy()
            self._done.update(seqs)

    def stop(self) -> None:
        """Commit all that is queued, write the WAL back and end; blocks, so call it in an executor."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        if self._thread is not None:
            self._thread.join()
        self._checkpointer.stop()
        if self._connection is not None:
            try:
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            except sqlite3.Error as error:
                log.warning("the journal's log could not be written back: %s", error)
            self._connection.close()
            self._connection = None

    # The writer thread from here on.

    def _note_lazy(self) -> None:
        if not self._lazy and not self._done:
            self._lazy_since = time.monotonic()
            self._wake.notify()

    def _run(self) -> None:
        while True:
            items, lazy, done = self._next()
            if items is None:
                return
            if not items and not lazy and not done:
                continue
            try:
                self._turn(items, lazy, done)
            except Exception as error:  # a fault of ours: those who wait are told, and the thread lives on
                log.exception("the journal's writer failed")
                for item in items:
                    item.error = item.error or error
                self._report(items, [])

    def _turn(self, items: list[_Item], lazy: list[Work], done: set[int]) -> None:
        self._report(items, self._commit(items, lazy, done))
        self._checkpointer.changed(self._connection)

    def _next(self) -> tuple[list[_Item] | None, list[Work], set[int]]:
        """What to commit next; waits for it."""
        with self._wake:
            while not self._items and not self._stopping:
                timeout = None
                if self._lazy or self._done:
                    timeout = self._lazy_since + LAZY_AFTER - time.monotonic()
                    if timeout <= 0:
                        break
                self._wake.wait(timeout)
            if self._stopping and not self._items and not self._lazy and not self._done:
                return None, [], set()
            count = min(len(self._items), MAX_BATCH)
            if count <= FEW and self._pace < QUICK and not self._stopping:
                count = min(count, 1)
            items = [self._items.popleft() for _ in range(count)]
            # Lazy work rides along, but not with every commit: each makes it touch more pages.
            if items and not self._stopping and time.monotonic() - self._lazy_since < LAZY_BEFORE:
                return items, [], set()
            lazy, self._lazy = self._lazy, []
            done, self._done = self._done, set()
            return items, lazy, done

    def _commit(self, items: list[_Item], lazy: list[Work], done: set[int]) -> list[OutboxRow]:
        """One transaction for all; when one closure fails, each in its own."""
        try:
            self._ensure_open()
            return self._transaction(items, lazy, done)
        except Exception as error:
            if _is_disk(error):
                self._fail(items, lazy, done, error)
                return []
            log.debug("a transaction failed and is taken apart: %s", type(error).__name__)
        return self._one_by_one(items, lazy, done)

    def _transaction(self, items: list[_Item], lazy: list[Work], done: set[int]) -> list[OutboxRow]:
        connection, tx = self._connection, self._tx
        assert connection is not None
        connection.execute("BEGIN IMMEDIATE")
        try:
            tx.started()
            for item in items:
                item.result = item.work(tx)
            if done:
                tx.outbox_delete(list(done))
            for work in lazy:
                work(tx)
            tx.flush()
            began = time.monotonic()
            connection.execute("COMMIT")
        except BaseException:
            tx.rolled_back()
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        took = time.monotonic() - began
        self._pace += WEIGHT * (took - self._pace)
        self.latency.note(took)
        tx.committed()
        self.commits += 1
        if self._failing:
            self._failing = ""
            log.warning("the journal works again")
        return tx.emitted

    def _one_by_one(self, items: list[_Item], lazy: list[Work], done: set[int]) -> list[OutboxRow]:
        rows: list[OutboxRow] = []
        for item in items:
            try:
                rows += self._transaction([item], [], set())
            except Exception as error:
                item.error = store_error(error) if _is_disk(error) else error
        for work in lazy:
            try:
                rows += self._transaction([], [work], set())
            except Exception:
                log.exception("work for the journal was dropped")
        if done:
            self._keep([], done)
        return rows

    def _fail(self, items: list[_Item], lazy: list[Work], done: set[int], error: Exception) -> None:
        """The disk's fault: nothing was committed, everybody is told, lazy work waits."""
        failure = store_error(error)
        if self._failing != str(error):
            self._failing = str(error)
            log.error("%s. %s", failure, failure.hint)
        for item in items:
            item.error = failure
        self._keep(lazy, done)
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if not items:
            time.sleep(REOPEN_AFTER)

    def _keep(self, lazy: list[Work], done: set[int]) -> None:
        if self._stopping:
            return  # once more published is allowed, hanging is not
        with self._wake:
            self._lazy = lazy + self._lazy
            self._done |= done
            self._lazy_since = time.monotonic()

    def _ensure_open(self) -> None:
        if self._connection is None:
            self._connection = open_writer(self._path)
            self._tx = SqlTransaction(self._connection, self._now)

    def _report(self, items: list[_Item], rows: list[OutboxRow]) -> None:
        assert self._loop is not None
        if not items and not rows:
            return
        try:
            self._loop.call_soon_threadsafe(self._resolve, items, rows)
        except RuntimeError:
            log.debug("the loop has ended before the journal")

    # The loop from here on.

    def _resolve(self, items: list[_Item], rows: list[OutboxRow]) -> None:
        """Wake those who wait for the commit first: a modem may be among them; then tell the outbox."""
        assert self._loop is not None
        for item in items:
            item.commit.settle(item.result, item.error)
        if rows:
            self._loop.call_soon(self._committed, rows)


def _is_disk(error: Exception) -> bool:
    """Whether the disk or the file is at fault, not the work."""
    if not isinstance(error, sqlite3.DatabaseError):
        return False
    return not isinstance(error, sqlite3.IntegrityError | sqlite3.DataError | sqlite3.ProgrammingError)
