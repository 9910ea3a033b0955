"""The bridge with waits that no configuration may have so short: `hasty CONFIG DATA WAITS`, WAITS in JSON.

Also with a clock that the test sets: `{"clock": {"file": "PATH"}}` names a file with so many seconds to add to it.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import Any

from sms_bridge.app import run
from sms_bridge.config import Settings, load
from sms_bridge.observe.logging import set_up


def main(config: str, data: str, waits: str) -> int:
    """As `sms-bridge run`; `waits`: values by section and key, such as `{"sending": {"result_timeout": 1}}`."""
    settings: Settings = load(Path(config), data_dir=Path(data))
    wanted: dict[str, Any] = json.loads(waits)
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


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
