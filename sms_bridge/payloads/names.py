"""Names that people give: of modems, aliases and groups."""

from __future__ import annotations

import re

NAME = re.compile(r"[a-z0-9_-]{1,64}\Z")


def is_name(text: str) -> bool:
    """Whether `text` may be the name of a modem, an alias or a group."""
    return bool(NAME.match(text))
