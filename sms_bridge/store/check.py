"""Whether the file is whole; a damaged one is moved aside, never silently replaced (domain E6)."""

from __future__ import annotations

import logging
import sqlite3
import time
from pathlib import Path

from sms_bridge.store.connection import open_reader

log = logging.getLogger(__name__)

LARGE = 16 * 1024 * 1024  # octets; a card reads this much in under a second, more is checked in the background
_SUFFIXES = ("", "-wal", "-shm")


def is_large(path: Path) -> bool:
    return path.exists() and path.stat().st_size > LARGE


def problem_of(path: Path) -> str | None:
    """SQLite's first complaint about the file; None when it has none."""
    try:
        connection = open_reader(path)
        try:
            rows = connection.execute("PRAGMA quick_check(1)").fetchall()
        finally:
            connection.close()
    except sqlite3.OperationalError:
        raise  # cannot be read now: that says nothing about what is in it
    except sqlite3.DatabaseError as error:
        return str(error)
    first = str(rows[0][0]) if rows else "ok"
    return None if first == "ok" else first


def move_aside_if_damaged(path: Path) -> Path | None:
    """Look at a journal before it is used; returns where a damaged one was moved to."""
    if not path.exists() or path.stat().st_size == 0:
        return None
    if not _needs_check(path):
        return None
    problem = problem_of(path) if not is_large(path) else _header_problem(path)
    if problem is None:
        return None
    target = path.with_name(f"{path.name}.damaged-{time.strftime('%Y%m%dT%H%M%S')}")
    for suffix in _SUFFIXES:
        part = Path(f"{path}{suffix}")
        if part.exists():
            part.rename(f"{target}{suffix}")
    log.critical("the journal is damaged (%s); it was moved to %s and a new one is begun", problem, target)
    return target


def _needs_check(path: Path) -> bool:
    """After a clean stop the file is trusted as long as it can be read at all."""
    try:
        connection = open_reader(path)
        try:
            row = connection.execute("SELECT value FROM meta WHERE name = 'open'").fetchone()
        finally:
            connection.close()
    except sqlite3.DatabaseError:
        return True
    return row is None or row[0] != "0"


def _header_problem(path: Path) -> str | None:
    try:
        connection = open_reader(path)
        try:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
        finally:
            connection.close()
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError as error:
        return str(error)
    return None
