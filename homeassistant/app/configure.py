"""The options of the app's page into the bridge's configuration, and the broker of Home Assistant into the environment.

usage: configure.py DATA CONFIG. What a person, or the request `options`, wrote into CONFIG stays, with its comments;
what the page says is merged into it. The broker's password is not written there: the Supervisor knows it.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from sms_bridge.config import ConfigError, files, load
from sms_bridge.config.document import read
from sms_bridge.config.edit import merge, rewrite

DEADLINE = 10.0  # s for the Supervisor, which answers in milliseconds
NAMES = {"host": "HOST", "port": "PORT", "username": "USERNAME", "password": "PASSWORD"}


def main(data: Path, config: Path) -> int:
    options = json.loads((data / "options.json").read_text(encoding="utf-8"))
    broker = options.get("mqtt") or {}
    if not broker.get("host"):
        broker = from_supervisor()
    write_environment(data / "broker.env", broker)
    try:
        write_configuration(config, options)
    except ConfigError as error:
        # The bridge would say the same and end: the app's log has it either way.
        print("\n".join(str(problem) for problem in error.problems), file=sys.stderr)
        return 1
    return 0


def from_supervisor() -> dict[str, Any]:
    """The broker that Home Assistant offers; empty where there is none."""
    base, token = os.environ.get("SUPERVISOR_URL", "http://supervisor"), os.environ.get("SUPERVISOR_TOKEN", "")
    request = urllib.request.Request(f"{base}/services/mqtt", headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request, timeout=DEADLINE) as answer:
            found = json.load(answer)
    except (urllib.error.URLError, OSError, ValueError) as error:
        print(
            f"Home Assistant offers no broker ({error}): install the Mosquitto app, then restart this one",
            file=sys.stderr,
        )
        return {}
    data = found.get("data") if isinstance(found, dict) else None
    return data if isinstance(data, dict) else {}


def write_environment(file: Path, broker: dict[str, Any]) -> None:
    """Lines for a shell; nobody else reads them."""
    lines = [
        f"export SMS_BRIDGE_MQTT_{name}={shlex.quote(str(broker[key]))}\n"
        for key, name in NAMES.items()
        if broker.get(key)
    ]
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as out:
        out.writelines(lines)


def write_configuration(config: Path, options: dict[str, Any]) -> None:
    """Merge the page's options into the file. ConfigError with what is wrong."""
    wanted: dict[str, Any] = {}
    if options.get("default_region"):
        wanted["default_region"] = options["default_region"].upper()
    if options.get("log_level"):
        wanted["logging"] = {"level": options["log_level"]}
    contacts = {entry["name"]: entry["number"] for entry in options.get("contacts") or []}
    if contacts:
        wanted["contacts"] = contacts
    config.parent.mkdir(parents=True, exist_ok=True)
    raw = config.read_bytes() if config.exists() else b""
    old = read(raw, str(config)).data or {}
    # The page of the bridge, for Home Assistant alone: the container's port is not published.
    fresh = {"web": {"host": "0.0.0.0", "port": 8780}} if "web" not in old else {}
    merged = merge(old, {**fresh, **wanted})
    if merged != old:
        text = rewrite(raw, merged, str(config))
        load(config, raw=text)
        files.replace(config, text)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
