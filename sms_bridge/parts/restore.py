"""A backup becomes the data folder again. Nothing of what was there is lost, nothing unfinished is sent by itself."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tarfile
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import IO

from sms_bridge.core.errors import CoreError, StoreError
from sms_bridge.parts.backup import CONFIGURATION, FORMAT, JOURNAL, MANIFEST, SMALL, Manifest
from sms_bridge.store import restored
from sms_bridge.store.folder import FolderLock
from sms_bridge.store.restored import Readied

MAX_SMALL = 1024 * 1024  # octets
MAX_JOURNAL = 64 * 1024**3
NAMES = (MANIFEST, JOURNAL, CONFIGURATION, *SMALL)
SESSION = "mqtt-session"  # its packet ids are of the present time only


class RestoreError(CoreError):
    """Nothing was changed, or what was is said."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What was done, for a person."""

    manifest: Manifest
    orders: Readied
    aside: Path | None  # where what was there before is kept
    configuration: Path | None  # the one of the backup, beside the present one


def restore(archive: Path, folder: Path, now: datetime, *, hold: bool = True) -> Restored:
    """Put the backup `archive` into the data folder. RestoreError, StoreError, StoreRefused (a bridge runs there)."""
    _make_folder(folder)
    with FolderLock(folder):
        staging = folder / f".restore-{os.getpid()}"
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(mode=0o700)
        try:
            manifest = _unpack(archive, staging)
            problem = restored.problem_of(staging / JOURNAL)
            if problem is not None:
                raise RestoreError(f"{archive} cannot be used: {problem}")
            made_at = int(_moment(manifest.made_at, archive).timestamp() * 1000)
            orders = restored.make_ready(staging / JOURNAL, int(now.timestamp() * 1000), made_at, hold=hold)
            return _put(staging, folder, manifest, orders, now)
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            raise RestoreError(f"{where}{error.strerror or error}", hint="Nothing was lost; try again.") from error
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise RestoreError(f"{folder} cannot be made: {error.strerror}") from error


def _unpack(archive: Path, staging: Path) -> Manifest:
    """Only what a backup has, by its own names: a tar from elsewhere may hold anything."""
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for entry in tar:
                if entry.name not in NAMES or not entry.isreg() or (staging / entry.name).exists():
                    raise RestoreError(f"{archive} is no backup of sms-bridge: it has {entry.name[:64]!r}")
                if entry.size > (MAX_JOURNAL if entry.name == JOURNAL else MAX_SMALL):
                    raise RestoreError(f"{archive} is no backup of sms-bridge: {entry.name} is too large")
                source = tar.extractfile(entry)
                assert source is not None
                _copy(source, staging / entry.name)
    except FileNotFoundError:
        raise RestoreError(f"there is no file {archive}") from None
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise RestoreError(f"{archive} is no backup of sms-bridge, or was cut off: {error}") from error
    manifest = _manifest(staging, archive)
    for name, digest in manifest.files.items():
        file = staging / name
        if name not in NAMES or not file.is_file():
            raise RestoreError(f"{archive} is not whole: {name[:64]} is missing")
        with file.open("rb") as raw:
            if hashlib.file_digest(raw, "sha256").hexdigest() != digest:
                raise RestoreError(f"{archive} is damaged: {name} is not what it was")
    if JOURNAL not in manifest.files:
        raise RestoreError(f"{archive} is not whole: {JOURNAL} is missing")
    return manifest


def _copy(source: IO[bytes], target: Path) -> None:
    with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as out:
        shutil.copyfileobj(source, out, 1024 * 1024)
        out.flush()
        os.fsync(out.fileno())


def _manifest(staging: Path, archive: Path) -> Manifest:
    try:
        found = json.loads((staging / MANIFEST).read_bytes())
        if found.get("format") != FORMAT:
            raise RestoreError(f"{archive} is of a newer sms-bridge, or no backup", hint="Restore it with that one.")
        manifest = Manifest(**{one.name: found[one.name] for one in fields(Manifest)})
        texts = [text for pair in manifest.files.items() for text in pair] + manifest.left_out
        if not all(isinstance(text, str) and text.isprintable() for text in texts):
            raise TypeError
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RestoreError(f"{archive} is no backup of sms-bridge: it has no manifest") from error
    return manifest


def _moment(text: str, archive: Path) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise ValueError
    except (ValueError, TypeError):
        raise RestoreError(f"{archive} does not say when it was made") from None
    return moment


def _put(staging: Path, folder: Path, manifest: Manifest, orders: Readied, now: datetime) -> Restored:
    """Everything is ready in `staging`: from here on only names change, so that a power cut leaves one or the other."""
    journal = folder / JOURNAL
    aside = folder / f"before-restore-{now:%Y%m%dT%H%M%SZ}"
    there = journal.exists() or any((folder / name).exists() for name in (*SMALL, SESSION))
    if there:
        aside.mkdir(mode=0o700)
    if journal.exists():
        _keep_journal(journal, aside)
    _keep_pins(folder / "pins", staging / "pins")
    for name in SMALL:  # copied, not moved: without the list of PINs one would be tried twice
        if (folder / name).exists():
            shutil.copy2(folder / name, aside / name)
    if (folder / SESSION).exists():
        (folder / SESSION).rename(aside / SESSION)
    _own_like(folder, *staging.iterdir(), *([aside, *aside.iterdir()] if there else []))
    for name in (*SMALL, JOURNAL):
        if (staging / name).exists():
            (staging / name).replace(folder / name)
    configuration = None
    if (staging / CONFIGURATION).exists():
        configuration = folder / f"{CONFIGURATION}.restored"
        (staging / CONFIGURATION).replace(configuration)
    _sync(folder)
    return Restored(manifest, orders, aside if there else None, configuration)


def _keep_journal(journal: Path, aside: Path) -> None:
    """The old one stays in its place until the new one takes it: a log of the old must never meet the new."""
    try:
        restored.settle_down(journal)
    except StoreError:
        pass  # damaged, perhaps the very reason for all this: its log is kept beside it
    try:
        os.link(journal, aside / journal.name)
    except OSError:
        shutil.copy2(journal, aside / journal.name)  # a file system without links
    for suffix in ("-wal", "-shm"):
        log = journal.with_name(journal.name + suffix)
        if log.exists():
            log.rename(aside / log.name)


def _keep_pins(present: Path, staged: Path) -> None:
    """A PIN that was tried since the backup must not be tried once more."""
    keys = {key for file in (present, staged) if file.exists() for key in file.read_text(encoding="ascii").split()}
    if keys:
        staged.write_text("".join(f"{key}\n" for key in sorted(keys)), encoding="ascii")


def _own_like(folder: Path, *paths: Path) -> None:
    """Root restores for the service: what it writes belongs to whom the folder belongs."""
    if os.geteuid() == 0:
        stat = folder.stat()
        for path in paths:
            os.chown(path, stat.st_uid, stat.st_gid)


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
