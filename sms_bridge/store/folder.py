"""The data folder belongs to one process: two that work with one journal would send everything twice."""

from __future__ import annotations

import fcntl
import logging
import os
from pathlib import Path
from types import TracebackType

from sms_bridge.core.errors import StoreRefused

log = logging.getLogger(__name__)

FILE_NAME = "lock"


class FolderLock:
    """Held from `take` to `release`, or until the process ends, however that comes about."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE_NAME
        self._fd = -1

    def take(self) -> FolderLock:
        """StoreRefused with the process that holds it."""
        try:
            fd = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreRefused(
                f"{self._file} cannot be opened: {error.strerror}",
                hint="Check that the folder belongs to the bridge's user.",
            ) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            pid = os.pread(fd, 20, 0).decode("ascii", "replace").strip()
            os.close(fd)
            raise StoreRefused(
                f"a bridge works in {self._file.parent} already{f' (process {pid})' if pid.isdigit() else ''}",
                hint="Stop it first, or give this one a folder of its own.",
            ) from error
        except OSError as error:  # a file system without locks: no reason to send nothing
            log.warning(
                "%s cannot be locked (%s): see to it that one bridge works in it", self._file.parent, error.strerror
            )
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode("ascii"), 0)
        self._fd = fd
        return self

    def release(self) -> None:
        """Idempotent."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> FolderLock:
        return self.take()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.release()
