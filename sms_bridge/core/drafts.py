"""A received message that is put together, up to what it answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sms_bridge.core.events import received_json
from sms_bridge.core.talk import NOTHING, Heard, Noted

Listen = Callable[[Heard], Noted]


@dataclass(frozen=True, slots=True)
class Draft:
    """`fields` of `received_json` but for the text and what is noted."""

    heard: Heard
    fields: dict[str, Any]

    def said(self, noted: Noted) -> str:
        """As on `sms/in`."""
        text = self.heard.text if noted.text is None else noted.text
        return received_json(**self.fields, text=text, in_reply_to=noted.in_reply_to, reply=noted.reply)


def unheard(heard: Heard) -> Noted:
    """Nobody listens."""
    return NOTHING


def noted_before(payload: str) -> Noted | None:
    """What was published with less of the message; None: nothing was."""
    if not payload:
        return None
    before = json.loads(payload)
    return Noted(before.get("in_reply_to"), before.get("reply"))
