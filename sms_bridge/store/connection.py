"""Opening the database file: one writer, readers, and what SQLite's errors mean to a person."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from sms_bridge.core.errors import StoreError

BUSY_TIMEOUT_MS = 5_000  # only a backup or a person's sqlite3 shell ever holds the file
JOURNAL_SIZE_LIMIT = 4 * 1024 * 1024  # octets the WAL file keeps after it was written back
CACHE_KIB = 1_024
READER_CACHE_KIB = 256  # in WAL mode each commit of the writer empties it

_HINTS = (
    ("full", "The disk is full: free some space; the bridge goes on by itself."),
    ("readonly", "The file system is read-only: check the card or disk; the bridge goes on by itself."),
    ("disk i/o", "The disk does not write: check the card or disk, and the free space."),
    ("unable to open", "Check that the directory exists and belongs to the bridge's user."),
    ("locked", "Another program holds the journal: close it."),
    ("malformed", "The journal is damaged: restart the bridge, which will move it aside."),
    ("not a database", "The journal is damaged: restart the bridge, which will move it aside."),
)


def open_writer(path: Path) -> sqlite3.Connection:
    """The connection that writes; every commit is on the disk when it returns."""
    connection = _connect(f"file:{_quoted(path)}?mode=rwc")
    # Must come before the first table; makes later deletes give space back.
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    # Checkpoints are made by a thread of their own, so that no commit waits for one.
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute(f"PRAGMA journal_size_limit = {JOURNAL_SIZE_LIMIT}")
    return connection


def open_reader(path: Path) -> sqlite3.Connection:
    """A connection that cannot write."""
    return _connect(f"file:{_quoted(path)}?mode=ro", READER_CACHE_KIB)


def open_checkpointer(path: Path) -> sqlite3.Connection:
    """A connection for checkpoints only."""
    connection = _connect(f"file:{_quoted(path)}?mode=rw", READER_CACHE_KIB)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    return connection


def store_error(error: Exception) -> StoreError:
    """SQLite's words as a sentence with what to do."""
    words = str(error)
    lowered = words.lower()
    hint = next((hint for sign, hint in _HINTS if sign in lowered), "")
    return StoreError(f"the journal did not take it: {words}", hint=hint)


def _connect(uri: str, cache_kib: int = CACHE_KIB) -> sqlite3.Connection:
    connection = sqlite3.connect(
        uri,
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        timeout=BUSY_TIMEOUT_MS / 1000,
        cached_statements=256,
    )
    connection.execute(f"PRAGMA cache_size = -{cache_kib}")
    return connection


def _quoted(path: Path) -> str:
    return str(path.absolute()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
