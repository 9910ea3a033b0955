"""Writing the WAL back into the database, beside the commits, so that none of them waits for it."""

from __future__ import annotations

import logging
import sqlite3
import threading
from pathlib import Path

from sms_bridge.store.connection import open_checkpointer

log = logging.getLogger(__name__)

ROWS_BETWEEN = 1_500  # changed rows after which the WAL is worth writing back; about 4 MB at most
COMMITS_BETWEEN = 200
HARD_FRAMES = 16_000  # pages in the WAL (64 MB) from which the writer itself waits for a checkpoint


class Checkpointer:
    """A thread that makes passive checkpoints when it is told that enough has changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._due = threading.Event()
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._rows = 0
        self._commits = 0
        self.frames = 0  # in the WAL, as of the last checkpoint

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="journal-checkpoint", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Waits for a running checkpoint."""
        self._stopping = True
        self._due.set()
        if self._thread is not None:
            self._thread.join()

    def changed(self, connection: sqlite3.Connection | None) -> None:
        """The writer has committed. At the hard limit it makes the checkpoint itself: the WAL stays bounded."""
        if connection is None:
            return
        self._commits += 1
        if self._commits < COMMITS_BETWEEN and connection.total_changes - self._rows < ROWS_BETWEEN:
            return
        self._commits = 0
        self._rows = connection.total_changes
        if self.frames >= HARD_FRAMES:
            try:
                connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
                self.frames = 0
            except sqlite3.Error as error:
                log.warning("the journal's log could not be written back: %s", error)
        else:
            self._due.set()

    def _run(self) -> None:
        connection: sqlite3.Connection | None = None
        while True:
            self._due.wait()
            self._due.clear()
            if self._stopping:
                break
            try:
                if connection is None:
                    connection = open_checkpointer(self._path)
                _busy, frames, _written = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                # Even when all was written back: a commit that came in between has kept the log from starting anew.
                self.frames = max(frames, 0)
            except sqlite3.Error as error:
                log.warning("the journal's log could not be written back: %s", error)
        if connection is not None:
            connection.close()
