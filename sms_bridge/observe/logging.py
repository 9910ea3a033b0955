"""Sets up the standard library's logging: where lines go, in which form, without ever holding up the event loop."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TextIO

from sms_bridge.core.redaction import redact

MAX_WAITING = 10_000  # lines; a terminal that was stopped with Ctrl-S costs log lines, never a message
FLUSH_DEADLINE = 2.0  # seconds at the end for what still waits
# What journald reads at the start of a line: the syslog priority (sd-daemon(3)).
_PRIORITIES = ((logging.ERROR, "<3>"), (logging.WARNING, "<4>"), (logging.INFO, "<6>"), (0, "<7>"))
_QUIET = ("asyncio",)  # its DEBUG lines tell about selectors


def set_up(
    level: str = "info", *, as_json: bool = False, stream: TextIO | None = None, environ: Mapping[str, str] = os.environ
) -> Writer:
    """Sends all logging to `stream` (stderr), redacted. The caller stops the writer last of all."""
    target = stream if stream is not None else sys.stderr
    writer = Writer(target)
    writer.addFilter(RedactingFilter())
    writer.setFormatter(_formatter(target, as_json, environ))
    root = logging.getLogger()
    for handler in list(root.handlers):
        if isinstance(handler, Writer):
            handler.stop()
    root.addHandler(writer)
    root.setLevel(level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    writer.start()
    return writer


class Writer(logging.Handler):
    """Formats where the call is made, writes in a thread of its own: a slow terminal or disk blocks only that."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._lines: deque[str] = deque()
        self._wake = threading.Condition()
        self._dropped = 0
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        line = self.format(record)
        with self._wake:
            if len(self._lines) >= MAX_WAITING:
                self._dropped += 1
                return
            self._lines.append(line)
            self._wake.notify()

    def stop(self) -> None:
        """Writes what waits, within FLUSH_DEADLINE, and takes the handler off the root logger. Idempotent."""
        logging.getLogger().removeHandler(self)
        with self._wake:
            self._stopping = True
            self._wake.notify()
        if self._thread.is_alive():
            self._thread.join(FLUSH_DEADLINE)
        self.close()

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._lines and not self._stopping:
                    self._wake.wait()
                lines, dropped = list(self._lines), self._dropped
                self._lines.clear()
                self._dropped = 0
                ended = self._stopping
            if dropped:
                lines.append(f"{dropped} log lines were dropped: nobody read them fast enough")
            try:
                self._stream.write("".join(f"{line}\n" for line in lines))
                self._stream.flush()
            except (OSError, ValueError):
                return  # stderr is gone: there is nowhere left to say so
            if ended:
                return


def _formatter(stream: TextIO, as_json: bool, environ: Mapping[str, str]) -> logging.Formatter:
    if as_json:
        return JsonFormatter()
    if _is_journal(stream, environ):
        return JournalFormatter("%(name)s: %(message)s")
    if _is_terminal(stream):
        return logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S")
    formatter = logging.Formatter("%(asctime)sZ %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    return formatter


class RedactingFilter(logging.Filter):
    """Redacts a record for good, its traceback too: whoever handles it next sees no more than we do."""

    _formatter = logging.Formatter()

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            message = record.getMessage()
        except Exception as error:
            message = f"bad log call: {record.msg!r}: {error}"
        record.msg, record.args = redact(message), None
        if record.exc_info and not record.exc_text:
            record.exc_text = self._formatter.formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = redact(record.exc_text)
            record.exc_info = None
        return True


class JournalFormatter(logging.Formatter):
    """Lines as journald wants them: it adds the time, and reads the priority from the first characters."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        priority = next(mark for level, mark in _PRIORITIES if record.levelno >= level)
        return "\n".join(priority + line for line in text.splitlines() or [""])


class JsonFormatter(logging.Formatter):
    """One JSON object per line: ts, level, namespace, message and, where there was one, the traceback."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "namespace": record.name,
            "message": record.getMessage(),
        }
        if record.exc_text:
            entry["traceback"] = record.exc_text
        return json.dumps(entry, ensure_ascii=False)


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except (OSError, ValueError):
        return False


def _is_journal(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """systemd names the device and inode that it connected to its journal; a redirect must not inherit the form."""
    device, _, inode = environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        stat = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return (device, inode) == (str(stat.st_dev), str(stat.st_ino))
