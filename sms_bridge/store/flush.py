"""Flushes that overlap, for slow disks: a commit need not wait for the flush of the one before it.

SQLite writes a transaction into the WAL and flushes it before COMMIT returns; on a card that takes 10 to 50 ms,
during which nobody else can commit, so that a modem's part waits for another's flush before its own even begins. Here
the WAL is flushed outside SQLite: any flush that began after a transaction was written makes it durable, and several
may be under way. Nobody is told of a commit before such a flush has ended, so what is promised is the same.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

T = TypeVar("T")

THREADS = 4  # as many as modems usually end a send in one flush's time
WEIGHT = 0.2  # of the newest flush in the running mean


class Flusher(Generic[T]):
    """Holds batches back until they are on the disk, then lets go of them in their order."""

    def __init__(self, file: Path, release: Callable[[T, OSError | None], None]) -> None:
        self._file = file
        self._release = release  # called with the lock held, so that the order is kept
        self._waiting: deque[tuple[int, T]] = deque()
        self._changed = threading.Condition(threading.Lock())
        self._written = 0  # changes that were handed over
        self._begun = 0  # changes that a flush which has begun will cover
        self._threads: list[threading.Thread] = []
        self._stopping = False
        self.pace = 0.0  # seconds a flush takes

    def add(self, batch: T, changed: bool) -> None:
        """`batch` was committed; without changes it waits only for those before it, whose work it may have seen."""
        with self._changed:
            if changed:
                self._written += 1
                self._start()
                self._changed.notify()
            elif not self._waiting:
                self._release(batch, None)
                return
            self._waiting.append((self._written, batch))

    def drain(self) -> None:
        """Wait until nothing waits any more."""
        with self._changed:
            while self._waiting:
                self._changed.wait()

    def stop(self) -> None:
        """Flush what waits and end the threads."""
        self.drain()
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _start(self) -> None:
        if len(self._threads) < THREADS:
            thread = threading.Thread(target=self._run, name="journal-flush", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _run(self) -> None:
        while True:
            with self._changed:
                while self._begun == self._written and not self._stopping:
                    self._changed.wait()
                if self._begun == self._written:
                    return
                covered = self._begun = self._written
            began = time.monotonic()
            failure = self._flush()
            with self._changed:
                self.pace += WEIGHT * (time.monotonic() - began - self.pace)
                while self._waiting and self._waiting[0][0] <= covered:
                    self._release(self._waiting.popleft()[1], failure)
                self._changed.notify_all()

    def _flush(self) -> OSError | None:
        try:
            # SQLite holds no locks on the WAL file, so that closing our descriptor drops none.
            descriptor = os.open(self._file, os.O_RDWR)
            try:
                os.fdatasync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            return error
        return None
