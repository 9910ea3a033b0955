"""The configuration's file on the disk: replaced as a whole or not at all, the last version beside it."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

from sms_bridge.config.errors import ConfigError, Problem

FRESH_MODE = 0o600  # it may come to hold PINs


def replace(path: Path, raw: bytes, *, keep: str | None = "bak") -> None:
    """Put `raw` in the place of `path`, durably; `<name>.<keep>` gets what stood there.

    Mode and owner stay. ConfigError with what helps where it cannot be written; then nothing has changed.
    """
    real = path.resolve()  # a link stays a link
    try:
        old = real.read_bytes() if real.exists() else None
        if keep is not None and old is not None:
            _put(real.with_name(f"{real.name}.{keep}"), old, like=real)
        _put(real, raw, like=real if old is not None else None)
    except OSError as error:
        raise _refused(path, error) from error


def _put(path: Path, raw: bytes, *, like: Path | None) -> None:
    fresh = path.with_name(f".{path.name}.{os.getpid()}.new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(fresh, flags, FRESH_MODE), "wb") as out:
            if like is not None:
                stat = like.stat()
                # The owner first: a change of it takes special bits away, never gives any.
                if (stat.st_uid, stat.st_gid) != (os.geteuid(), os.getegid()):
                    os.fchown(out.fileno(), stat.st_uid, stat.st_gid)
                os.fchmod(out.fileno(), stat.st_mode & 0o777)
            out.write(raw)
            out.flush()
            os.fsync(out.fileno())
        fresh.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            fresh.unlink()
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _refused(path: Path, error: OSError) -> ConfigError:
    why = {
        errno.EACCES: "the bridge's user may not write there",
        errno.EPERM: "it belongs to another user",
        errno.EROFS: "it is mounted read-only",
        errno.EBUSY: "it is mounted as a single file",
        errno.ENOSPC: "the disk is full",
    }.get(error.errno or 0, error.strerror or "the disk refuses")
    hint = "put it into a folder that the bridge's user owns, such as its data folder: there it is found too"
    if error.errno == errno.ENOSPC:
        hint = "make room"
    return ConfigError([Problem(str(path), 0, 0, "", f"the file cannot be written: {why}", hint)])
