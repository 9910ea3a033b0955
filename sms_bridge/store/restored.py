"""What makes a copy of a journal fit to be the journal again."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sms_bridge.core import holding
from sms_bridge.core.clock import rfc3339
from sms_bridge.core.errors import StoreError
from sms_bridge.core.events import event_json
from sms_bridge.core.model import OutboxKind
from sms_bridge.store.connection import open_writer, store_error
from sms_bridge.store.feed import SILENT
from sms_bridge.store.migrate import latest_version, migrate, version_of
from sms_bridge.store.transaction import SqlTransaction
from sms_bridge.store.upkeep import NUMBERED

# What was numbered after the backup must not come twice: a part's reference is made of the order's number.
LEAP = 1_000_000


@dataclass(frozen=True, slots=True)
class Readied:
    """What became of the orders that were unfinished: `held` wait for a person, `kept` for their time or a modem."""

    held: int
    kept: int
    finished: int


def problem_of(path: Path) -> str | None:
    """Why the copy cannot be used; None: it can."""
    try:
        connection = sqlite3.connect(path)
        try:
            first = str(connection.execute("PRAGMA integrity_check(1)").fetchone()[0])
            version = version_of(connection)
            tables = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'orders'").fetchone()[0]
        finally:
            connection.close()
    except sqlite3.DatabaseError as error:
        return f"the journal in it is damaged: {error}"
    if first != "ok":
        return f"the journal in it is damaged: {first}"
    if not tables or not version:
        return "what is in it is no journal"
    if version > latest_version():
        return f"its journal is of a newer sms-bridge (format {version}, this one knows {latest_version()})"
    return None


def make_ready(path: Path, now: int, made_at: int, *, hold: bool) -> Readied:
    """Bring the copy at `path` to this version, take out what is true of its own time only, hold what is unfinished.

    One transaction; times are UTC ms. StoreError.
    """
    try:
        connection = open_writer(path)
        try:
            copy = migrate(connection, path)
            if copy is not None:
                copy.unlink()
            found = _in_one(connection, now, lambda tx: _orders(connection, tx, now, made_at, hold))
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise store_error(error) from error
    return found


def settle_down(path: Path) -> None:
    """Write the log of the journal at `path` back into it, so that the file alone is all of it. StoreError."""
    try:
        connection = sqlite3.connect(path)
        try:
            busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise store_error(error) from error
    if busy:
        raise StoreError("another program reads the journal", hint="Close it.")


def _in_one(connection: sqlite3.Connection, now: int, work: Callable[[SqlTransaction], Readied]) -> Readied:
    tx = SqlTransaction(connection, lambda: now)
    connection.execute("BEGIN IMMEDIATE")
    tx.started()
    try:
        found = work(tx)
        tx.flush()
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return found


def _orders(connection: sqlite3.Connection, tx: SqlTransaction, now: int, made_at: int, hold: bool) -> Readied:
    if hold:
        tx.set_meta(SILENT, str(tx.highest("outbox")))  # webhooks have answered some of it, and that was sent
    for table in NUMBERED:
        tx.set_meta(f"highest_{table}", str(tx.highest(table) + LEAP))
    # The broker's packet ids have gone on meanwhile: an old one must not make a new order look like an old delivery.
    connection.execute("DELETE FROM delivery_keys")
    if hold:
        # Long told, and overtaken: a state never goes back.
        connection.execute(
            "DELETE FROM outbox WHERE kind = ? "
            "AND json_extract(payload, '$.state') IN ('scheduled', 'queued', 'sending')",
            (OutboxKind.STATUS,),
        )
    unfinished = [row[0] for row in connection.execute("SELECT seq FROM orders WHERE stage <> 'done' ORDER BY seq")]
    finished = connection.execute("SELECT count(*) FROM orders WHERE stage = 'done'").fetchone()[0]
    held = 0
    for seq in unfinished if hold else ():
        order = tx.order(seq)
        if order is not None:
            held += holding.hold(tx, order, now, made_at)
    about = {"made_at": rfc3339(made_at), "held": held}
    tx.emit(OutboxKind.EVENT, event_json("restored", now, about))
    return Readied(held, len(unfinished) - held, finished)
