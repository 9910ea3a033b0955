"""The schema: numbered files, applied in one transaction, never backwards."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from sms_bridge.core.errors import StoreRefused


def schema_files() -> list[tuple[int, str]]:
    """(version, SQL) of every schema file, in order."""
    folder = resources.files("sms_bridge.store") / "schema"
    found = [
        (int(file.name.split("_", 1)[0]), file.read_text(encoding="utf-8"))
        for file in folder.iterdir()
        if file.name.endswith(".sql")
    ]
    return sorted(found)


def latest_version() -> int:
    return schema_files()[-1][0]


def version_of(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def migrate(connection: sqlite3.Connection, path: Path) -> Path | None:
    """Bring the database to the latest version; returns the copy that was made of an older one.

    StoreRefused: it was written by a newer program.
    """
    version = version_of(connection)
    files = schema_files()
    latest = files[-1][0]
    if version > latest:
        raise StoreRefused(
            f"the journal {path} was written by a newer sms-bridge (format {version}, this one knows {latest})",
            hint="Start the newer version again, or move the file away: orders in it would not be sent.",
        )
    if version == latest:
        return None
    copy = _copy(connection, path, version) if version else None
    connection.execute("BEGIN IMMEDIATE")
    try:
        for number, sql in files:
            if number > version:
                for statement in statements(sql):
                    connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {latest}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return copy


def statements(sql: str) -> Iterator[str]:
    """The single statements of a script: sqlite3's executescript would commit first."""
    collected = ""
    for line in sql.splitlines(keepends=True):
        collected += line
        if sqlite3.complete_statement(collected):
            yield collected.strip()
            collected = ""
    if any(line.strip() and not line.strip().startswith("--") for line in collected.splitlines()):
        raise ValueError("the schema file ends in the middle of a statement")


def _copy(connection: sqlite3.Connection, path: Path, version: int) -> Path:
    copy = path.with_name(f"{path.name}.v{version}")
    target = sqlite3.connect(copy)
    try:
        connection.backup(target)
    finally:
        target.close()
    return copy
