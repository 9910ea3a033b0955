"""Writes the schemas and the AsyncAPI document: `python -m sms_bridge.payloads.published docs` (`make docs`)."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from sms_bridge.payloads import asyncapi
from sms_bridge.payloads.requests import REQUESTS
from sms_bridge.payloads.schemas import SCHEMAS
from sms_bridge.payloads.told import Event, Health, Info, Listed, LogLine, Modem, Raw

FOLDER = "schemas"
TOLD: dict[str, type[BaseModel]] = {
    "raw": Raw,
    "modem": Modem,
    "bridge_modems_entry": Listed,
    "bridge_info": Info,
    "bridge_health": Health,
    "bridge_event": Event,
    "bridge_logging": LogLine,
}


def files() -> dict[str, str]:
    """Text by path below `docs`."""
    models = {**SCHEMAS, **TOLD}
    for name, kind in REQUESTS.items():
        flat = name.replace("/", "_")
        models |= {f"request_{flat}": kind.request, f"answer_{flat}": kind.answer}
    found = {f"{FOLDER}/{name}.schema.json": _text(model) for name, model in models.items()}
    return {**found, "asyncapi.yaml": asyncapi.text()}


def write(directory: Path) -> None:
    """Write all of them below `directory`; schemas that are no longer made are removed."""
    wanted = files()
    (directory / FOLDER).mkdir(parents=True, exist_ok=True)
    for old in (directory / FOLDER).glob("*.schema.json"):
        if f"{FOLDER}/{old.name}" not in wanted:
            old.unlink()
    for name, text in wanted.items():
        (directory / name).write_text(text, encoding="utf-8")


def _text(model: type[BaseModel]) -> str:
    schema: dict[str, Any] = {"$schema": "https://json-schema.org/draft/2020-12/schema", **model.model_json_schema()}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    write(Path(sys.argv[1]))
