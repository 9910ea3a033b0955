"""The journal: SQLite behind an asyncio face. Store first, then acknowledge."""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from sms_bridge.core.clock import Clock, SystemClock
from sms_bridge.core.commit import Commit
from sms_bridge.core.errors import StoreError, StoreRefused
from sms_bridge.core.events import event_json
from sms_bridge.core.model import OutboxKind, OutboxRow
from sms_bridge.core.ports import Reader, Transaction
from sms_bridge.store import check
from sms_bridge.store.connection import open_reader, open_writer, store_error
from sms_bridge.store.latency import Latency
from sms_bridge.store.migrate import migrate
from sms_bridge.store.transaction import SqlReader, SqlTransaction
from sms_bridge.store.writer import Writer

log = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")

FILE_NAME = "journal.db"
READERS = 2
_OPEN_MARK = "open"  # row of `meta`: set while a process works with the journal


@dataclass(frozen=True, slots=True)
class Opened:
    """How the journal was found."""

    unclean: bool  # the last process did not close it
    damaged_copy: Path | None  # a damaged journal was moved there and this one started empty
    old_copy: Path | None  # the copy made before a migration
    check_pending: bool  # it is large: its integrity is still to be checked, see `verify`


class Journal:
    """Implements `core.ports.Journal`. Open with `await Journal.open(directory)`, end with `await close()`."""

    def __init__(self, path: Path, writer: Writer, opened: Opened, clock: Clock) -> None:
        self.path = path
        self.opened = opened
        self._writer = writer
        self._clock = clock
        self._callbacks: list[Callable[[list[OutboxRow]], None]] = []
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="journal-read")
        self._local = threading.local()
        self._reader_connections: list[sqlite3.Connection] = []
        self._closed = False

    @classmethod
    async def open(cls, directory: Path, *, clock: Clock | None = None) -> Journal:
        """Open or create the journal in `directory`; StoreRefused when a person must act first."""
        clock = clock or SystemClock()
        path = directory / FILE_NAME
        loop = asyncio.get_running_loop()
        connection, opened = await loop.run_in_executor(None, _open_file, path)
        journal: Journal
        writer = Writer(path, connection, clock.now, lambda rows: journal._tell(rows))
        journal = cls(path, writer, opened, clock)
        writer.start()
        if opened.damaged_copy is not None:
            event = event_json("journal_damaged", clock.now(), {"moved_to": str(opened.damaged_copy)})
            await journal.write(lambda tx: tx.emit(OutboxKind.EVENT, event))
        return journal

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in the writer thread; returns its result after the durable commit it shares."""
        result: T = await self._writer.submit(work)
        return result

    def commit(self, work: Callable[[Transaction], T], then: Callable[[T], R]) -> Commit[R]:
        """As `write`, but begun at once and finished whoever waits; `then` makes the result of it, on the loop."""
        return self._writer.submit(work, then)

    async def read(self, work: Callable[[Reader], T]) -> T:
        """Run `work` on a read-only connection in a thread of its own."""
        if self._closed:
            raise StoreError("the journal is closed")
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, work)

    def later(self, work: Callable[[Transaction], object]) -> None:
        self._writer.later(work)

    def on_outbox(self, callback: Callable[[list[OutboxRow]], None]) -> None:
        self._callbacks.append(callback)

    async def outbox_after(self, seq: int, limit: int) -> list[OutboxRow]:
        return await self.read(lambda reader: _outbox(reader, seq, limit))

    def outbox_done(self, seqs: Sequence[int]) -> None:
        self._writer.done(list(seqs))

    async def verify(self) -> str | None:
        """Check the whole file's integrity beside all else; returns what is wrong with it."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, check.problem_of, self.path)

    async def backup(self, target: Path) -> None:
        """A consistent copy while the journal is in use."""
        await asyncio.get_running_loop().run_in_executor(self._readers, _backup, self.path, target)

    @property
    def commits(self) -> int:
        """Durable commits since it was opened."""
        return self._writer.commits

    @property
    def latency(self) -> Latency:
        """How long they took."""
        return self._writer.latency

    @property
    def problem(self) -> str:
        """Why nothing can be committed just now; empty while all is well."""
        return self._writer.problem

    async def close(self) -> None:
        """Commit all that is queued, mark the stop as clean, close the file; idempotent."""
        if self._closed:
            return
        self._closed = True
        try:
            await self._writer.submit(lambda tx: tx.set_meta(_OPEN_MARK, "0"))
        except StoreError as error:
            log.error("the journal could not be closed in order: %s. %s", error, error.hint)
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self._shut)
        # The results of the last commits are on their way to the loop: let them arrive.
        await asyncio.sleep(0)

    def _shut(self) -> None:
        self._readers.shutdown(wait=True)
        for connection in self._reader_connections:
            connection.close()
        self._writer.stop()

    def _read(self, work: Callable[[Reader], T]) -> T:
        reader: SqlReader | None = getattr(self._local, "reader", None)
        if reader is None:
            connection = open_reader(self.path)
            self._reader_connections.append(connection)
            reader = self._local.reader = SqlReader(connection)
            self._local.connection = connection
        connection = self._local.connection
        try:
            connection.execute("BEGIN")
            try:
                return work(reader)
            finally:
                connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise store_error(error) from error

    def _tell(self, rows: list[OutboxRow]) -> None:
        for callback in self._callbacks:
            try:
                callback(rows)
            except Exception:
                log.exception("a listener of the outbox failed")


def _open_file(path: Path) -> tuple[sqlite3.Connection, Opened]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        damaged = check.move_aside_if_damaged(path)
        connection = open_writer(path)
    except sqlite3.Error as error:
        raise _refused(path, error) from error
    except OSError as error:
        raise StoreRefused(
            f"the journal's directory {path.parent} cannot be used: {error.strerror}",
            hint="Check that the directory exists and belongs to the bridge's user.",
        ) from error
    try:
        old_copy = migrate(connection, path)
        tx = SqlTransaction(connection, lambda: 0)
        unclean = tx.meta(_OPEN_MARK) == "1"
        if not unclean:
            tx.set_meta(_OPEN_MARK, "1")
    except sqlite3.Error as error:
        connection.close()
        raise _refused(path, error) from error
    except BaseException:
        connection.close()
        raise
    os.chmod(path, 0o600)
    pending = unclean and check.is_large(path)
    return connection, Opened(unclean, damaged, old_copy, pending)


def _refused(path: Path, error: sqlite3.Error) -> StoreRefused:
    hint = store_error(error).hint
    if os.statvfs(path.parent).f_flag & os.ST_RDONLY:
        hint = f"{path.parent} is on a read-only file system: check the card or disk, then start again."
    return StoreRefused(f"the journal {path} cannot be opened: {error}", hint=hint)


def _outbox(reader: Reader, seq: int, limit: int) -> list[OutboxRow]:
    assert isinstance(reader, SqlReader)
    return reader.outbox_after(seq, limit)


def _backup(path: Path, target: Path) -> None:
    source = open_reader(path)
    try:
        copy = sqlite3.connect(target)
        try:
            # One view for all steps: else each commit meanwhile begins the copy anew, for ever on a busy bridge.
            source.execute("BEGIN")
            source.execute("SELECT count(*) FROM meta").fetchone()
            source.backup(copy, pages=256, sleep=0.01)
        finally:
            copy.close()
    except sqlite3.Error as error:
        raise store_error(error) from error
    finally:
        source.close()
