"""The bridge with waits that no configuration may have so short: `hasty CONFIG DATA WAITS`, WAITS in JSON.

Besides sections of the settings, WAITS may have
`{"clock": {"file": "PATH"}}`: a file with so many seconds to add to the time;
`{"modules": {"hardware.modem.timeouts": {"REST": 20}}}`: other constants;
`{"tasks": {"file": "PATH"}}`: SIGUSR2 has it write there how many tasks run;
`{"die": {"file": "PATH"}}`: once the file is there, `{"commit": 2, "when": "before"}`, its second commit kills it.
"""

from __future__ import annotations

import asyncio
import dataclasses
import importlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from sms_bridge.config import Settings, load
from sms_bridge.observe.logging import set_up
from sms_bridge.store.transaction import SqlTransaction
from sms_bridge.store.writer import Writer


def main(config: str, data: str, waits: str) -> int:
    """As `sms-bridge run`; `waits`: values by section and key, such as `{"sending": {"result_timeout": 1}}`."""
    settings: Settings = load(Path(config), data_dir=Path(data))
    wanted: dict[str, Any] = json.loads(waits)
    for module, values in wanted.pop("modules", {}).items():
        for name, value in values.items():
            found = importlib.import_module(module)
            assert hasattr(found, name), f"{module} has no {name}"
            setattr(found, name, value)
    if (tasks := wanted.pop("tasks", None)) is not None:
        tell_tasks(Path(tasks["file"]))
    if (die := wanted.pop("die", None)) is not None:
        die_at_commits(Path(die["file"]))
    from sms_bridge.app import run  # after the constants, which are defaults of some of its functions

    if (clock := wanted.pop("clock", None)) is not None:
        set_clock_by(Path(clock["file"]))
    sections: dict[str, Any] = {}
    for name, values in wanted.items():
        group = getattr(settings, name)
        typed = {key: Path(value) if isinstance(getattr(group, key), Path) else value for key, value in values.items()}
        sections[name] = dataclasses.replace(group, **typed)
    writer = set_up(settings.logging.level, as_json=settings.logging.json)
    try:
        return run(dataclasses.replace(settings, **sections))
    finally:
        writer.stop()


def set_clock_by(file: Path) -> None:
    """This process lives so many seconds off as `file` says."""
    right = time.time_ns
    time.time_ns = lambda: right() + int(float(file.read_text()) * 1e9)


def tell_tasks(file: Path) -> None:
    """On SIGUSR2 the number of tasks is in `file`."""

    def write(*_: Any) -> None:
        try:
            file.write_text(str(len(asyncio.all_tasks())))
        except RuntimeError:  # no loop runs yet
            file.write_text("0")

    signal.signal(signal.SIGUSR2, write)


def die_at_commits(arm: Path) -> None:
    """SIGKILL in the moment that `arm` says: before the COMMIT of a transaction, all else done, or right after it.

    Counted are those that write an order or an attempt, from when `arm` is there.
    """
    transaction, flush = Writer._transaction, SqlTransaction.flush
    counted, touched = 0, False

    def touching(inner: Any) -> Any:
        def write(*arguments: Any) -> Any:
            nonlocal touched
            touched = True
            return inner(*arguments)

        return write

    def due(when: str) -> bool:
        wanted = json.loads(arm.read_text())
        return bool(wanted["commit"] == counted and wanted["when"] == when)

    def flushing(tx: SqlTransaction) -> None:
        nonlocal counted
        flush(tx)
        if touched and arm.exists():
            counted += 1
            if due("before"):
                os.kill(os.getpid(), signal.SIGKILL)

    def transacting(*arguments: Any) -> Any:
        nonlocal touched
        touched = False
        rows = transaction(*arguments)
        if touched and arm.exists() and due("after"):
            os.kill(os.getpid(), signal.SIGKILL)
        return rows

    for name in ("add_orders", "add_attempt", "save_attempt"):
        setattr(SqlTransaction, name, touching(getattr(SqlTransaction, name)))
    SqlTransaction.flush = flushing  # type: ignore[method-assign]
    Writer._transaction = transacting  # type: ignore[method-assign]


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
