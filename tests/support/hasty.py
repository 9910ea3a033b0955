"""The bridge with waits that no configuration may have so short: `hasty CONFIG DATA WAITS`, WAITS in JSON."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from sms_bridge.app import run
from sms_bridge.config import Settings, load
from sms_bridge.observe.logging import set_up


def main(config: str, data: str, waits: str) -> int:
    """As `sms-bridge run`; `waits`: values by section and key, such as `{"sending": {"result_timeout": 1}}`."""
    settings: Settings = load(Path(config), data_dir=Path(data))
    sections: dict[str, Any] = {}
    for name, values in json.loads(waits).items():
        group = getattr(settings, name)
        typed = {key: Path(value) if isinstance(getattr(group, key), Path) else value for key, value in values.items()}
        sections[name] = dataclasses.replace(group, **typed)
    writer = set_up(settings.logging.level, as_json=settings.logging.json)
    try:
        return run(dataclasses.replace(settings, **sections))
    finally:
        writer.stop()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
