"""A backup as one file: the journal, what belongs to it, the configuration, and a manifest that says what is what."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import sqlite3
import tarfile
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from sms_bridge.config import ConfigError
from sms_bridge.core.errors import StoreError

FORMAT = 1
MANIFEST, JOURNAL, CONFIGURATION = "manifest.json", "journal.db", "sms-bridge.yaml"
# Beside the journal: which PINs were tried, and how the broker knows the bridge.
SMALL = ("pins", "client-id")
KEEP = 7  # backups in the data folder; the oldest go
PATTERN = "backup-*.tar.gz"
LEVEL = 3  # of gzip: a Raspberry Pi needs a second for ten megabytes

SECRETS = frozenset("password pin puk token secret totp api_key headers".split())

CopyJournal = Callable[[Path], Awaitable[None]]


@dataclass(slots=True)
class Manifest:
    """What `manifest.json` says."""

    made_at: str  # RFC 3339
    version: str  # of sms-bridge
    journal_format: int
    secrets: bool  # the configuration's passwords and PINs are in it
    files: dict[str, str]  # name -> SHA-256
    left_out: list[str] = field(default_factory=list)  # keys of the configuration
    format: int = FORMAT


@dataclass(frozen=True, slots=True)
class Source:
    """Where the parts of a backup are."""

    folder: Path
    configuration: Path | None
    copy_journal: CopyJournal


async def make(source: Source, now: datetime, *, secrets: bool = False) -> dict[str, Any]:
    """Write `backup-<time>.tar.gz` into the data folder while the bridge runs. StoreError."""
    target = source.folder / f"backup-{now:%Y%m%dT%H%M%SZ}.tar.gz"
    copy = source.folder / f".{target.name}.db"
    loop = asyncio.get_running_loop()
    try:
        await source.copy_journal(copy)
        manifest = await loop.run_in_executor(None, _pack, source, copy, target, now, secrets)
    except OSError as error:
        raise StoreError(
            f"the backup cannot be written: {error.strerror}", hint="Make room or mend the disk."
        ) from error
    finally:
        await loop.run_in_executor(None, lambda: copy.unlink(missing_ok=True))
    return {
        "file": str(target),
        "bytes": target.stat().st_size,
        "secrets": manifest.secrets,
        "left_out": manifest.left_out,
    }


def without_secrets(raw: bytes, file: str) -> tuple[bytes | None, list[str]]:
    """The configuration without passwords and PINs, and the keys that went; None: it cannot be taken apart."""
    from sms_bridge.config.document import read
    from sms_bridge.config.edit import rewrite

    try:
        data = read(raw, file).data
        if not isinstance(data, dict):
            return raw, []
        gone: list[str] = []
        return rewrite(raw, _stripped(data, "", gone), file), gone
    except ConfigError:
        return None, [CONFIGURATION]


def _stripped(value: Any, path: str, gone: list[str]) -> Any:
    if isinstance(value, Mapping):
        kept = {}
        for key, item in value.items():
            here = f"{path}.{key}" if path else str(key)
            # A command without its PIN would be a door without its lock: it goes as a whole.
            unlocked = path == "commands" and isinstance(item, Mapping) and not SECRETS.isdisjoint(item)
            if unlocked or (key in SECRETS and path not in ("contacts", "groups", "commands")):
                gone.append(here)
            else:
                kept[key] = _stripped(item, here, gone)
        return kept
    if isinstance(value, list):
        return [_stripped(item, f"{path}[{index}]", gone) for index, item in enumerate(value)]
    return value


def _pack(source: Source, copy: Path, target: Path, now: datetime, secrets: bool) -> Manifest:
    small = {name: (source.folder / name).read_bytes() for name in SMALL if (source.folder / name).is_file()}
    left_out: list[str] = []
    if source.configuration is not None:
        text: bytes | None = source.configuration.read_bytes()
        if not secrets and text is not None:
            text, left_out = without_secrets(text, str(source.configuration))
        if text is not None:
            small[CONFIGURATION] = text
    with copy.open("rb") as journal:
        digests = {JOURNAL: hashlib.file_digest(journal, "sha256").hexdigest()}
    digests |= {name: hashlib.sha256(raw).hexdigest() for name, raw in small.items()}
    manifest = Manifest(
        now.isoformat(timespec="milliseconds"),
        metadata.version("sms-bridge"),
        _format_of(copy),
        secrets,
        digests,
        left_out,
    )
    fresh = target.with_name(f".{target.name}.new")
    try:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as out:
            with tarfile.open(fileobj=out, mode="w:gz", compresslevel=LEVEL) as archive:
                _add(archive, MANIFEST, json.dumps(asdict(manifest), indent=2).encode(), now)
                for name, raw in small.items():
                    _add(archive, name, raw, now)
                archive.add(copy, JOURNAL, filter=_private)
            out.flush()
            os.fsync(out.fileno())
        fresh.replace(target)
    finally:
        fresh.unlink(missing_ok=True)
    for old in sorted(source.folder.glob(PATTERN))[:-KEEP]:
        old.unlink()
    return manifest


def _add(archive: tarfile.TarFile, name: str, raw: bytes, now: datetime) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mtime, entry.mode = len(raw), int(now.timestamp()), 0o600
    archive.addfile(entry, io.BytesIO(raw))


def _private(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.mode, entry.uid, entry.gid, entry.uname, entry.gname = 0o600, 0, 0, "", ""
    return entry


def _format_of(journal: Path) -> int:
    connection = sqlite3.connect(journal)
    try:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])
    finally:
        connection.close()
