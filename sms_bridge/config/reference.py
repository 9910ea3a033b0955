"""Every key of the configuration as one page, made from the schema: `python -m sms_bridge.config.reference > …`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

from sms_bridge.config.kinds import spoken
from sms_bridge.config.schema import json_schema

_HEAD = """\
# Every key

Made from the schema by `make docs`: change that, not this page. [configuration.md](configuration.md) says what the
keys are for; `sms-bridge config schema` prints all of this for an editor. `[]` stands for each entry of a list,
`<name>` for a name of one's own.

| key | takes | default | |
|---|---|---|---|
"""


def page() -> str:
    """The page as Markdown."""
    schema = json_schema()
    return _HEAD + "".join(f"{row}\n" for row in _rows(schema, ""))


def _rows(rule: dict[str, Any], path: str) -> Iterator[str]:
    for name, inner in rule.get("properties", {}).items():
        here = f"{path}.{name}" if path else name
        required = "required" if name in rule.get("required", ()) else _default(inner)
        yield f"| `{here}` | {_takes(inner)} | {required} | {_cell(inner.get('description', ''))} |"
        yield from _below(inner, here)


def _below(rule: dict[str, Any], here: str) -> Iterator[str]:
    for part in (rule, *rule.get("anyOf", ())):
        yield from _rows(part, here)
        items, values = part.get("items"), part.get("additionalProperties")
        if isinstance(items, dict):
            yield from _rows(items, f"{here}[]")
        if isinstance(values, dict):
            yield from _rows(values, f"{here}.<name>")


def _takes(rule: dict[str, Any]) -> str:
    """What may be written, in a few words."""
    if "anyOf" in rule:
        return " or ".join(dict.fromkeys(_takes(part) for part in rule["anyOf"]))
    if "enum" in rule:
        return ", ".join(dict.fromkeys(f"`{value}`" for value in rule["enum"]))
    kinds = rule.get("type", "anything")
    kind = next((one for one in kinds if one != "null"), "anything") if isinstance(kinds, list) else kinds
    if kind in ("integer", "number"):
        what = "whole number" if kind == "integer" else "number"
        return f"{what}, {_figure(rule.get('minimum'))} to {_figure(rule.get('maximum'))}"
    if kind == "string":
        return "time such as `10m`" if "[smhd]" in rule.get("pattern", "") else "text"
    if kind == "array":
        return f"list of {_takes(rule['items'])}" if rule.get("items") and "properties" not in rule["items"] else "list"
    if kind == "object":
        return "names with values" if "properties" not in rule else "group"
    return {"boolean": "true or false"}.get(kind, kind)


def _figure(value: Any) -> str:
    return "any" if value is None else f"{value:,.12g}".replace(",", " ")


def _default(rule: dict[str, Any]) -> str:
    if "default" not in rule:
        return ""
    value = rule["default"]
    if isinstance(value, int | float) and not isinstance(value, bool) and "time such" in _takes(rule):
        return f"`{spoken(value)}`"
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(page())
