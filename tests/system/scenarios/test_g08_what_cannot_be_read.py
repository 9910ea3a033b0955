"""Domain G8: messages that cannot be understood, and kinds that are no text. Kept, told, deleted; the next is unharmed.

The decoder under any octets is tests/unit/test_pdu_messages.py; an empty slot is tests/unit/test_at_parsers.py.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from hardware.pdu import DeliverRequest, encode_deliver
from tests.support.scenes import ANNA, wait_drained
from tests.support.stack import Stack

PLAIN = "07916303000000F0040B916303214365F700"  # SMSC, DELIVER, +36301234567, PID 0; the DCS follows
AT = "62112261521304"  # 2026-11-22
Check = Callable[[dict[str, Any]], bool]


def pdu(**fields: Any) -> str:
    [only] = encode_deliver(DeliverRequest(ANNA, datetime.now(UTC), **fields))
    return only


CRAFTED: dict[str, tuple[str, str, Check]] = {
    "cut in the address": ("07916303000000F0040B9163", "raw", lambda p: bool(p["reason"])),
    "user data that is missing": (f"{PLAIN}00{AT}20C834", "raw", lambda p: bool(p["reason"])),
    "no octets to speak of": ("00", "raw", lambda p: bool(p["reason"])),
    "UCS2 of an odd length": (f"{PLAIN}08{AT}03004100", "in", lambda p: p["text"].startswith("A")),
    "half a surrogate pair": (f"{PLAIN}08{AT}060041D83D0042", "in", lambda p: p["text"][0] + p["text"][-1] == "AB"),
    "an MMS notification": (pdu(data=b"\x01\x06\x03", port=2948), "in", lambda p: p["type"] == "mms_notification"),
    "a silent one": (pdu(text="ssh", pid=0x40), "in", lambda p: p["type"] == "silent"),
    "class 0": (pdu(text="flash!", flash=True), "in", lambda p: p["type"] == "flash" and p["class"] == 0),
    "class 2, for the SIM": (pdu(text="for the SIM", message_class=2), "in", lambda p: p["class"] == 2),
    "nothing in it": (pdu(text=""), "in", lambda p: p["text"] == ""),
    "control characters": (pdu(text="a\x00\u202eb\n", encoding="ucs2"), "in", lambda p: p["text"] == "a\x00\u202eb\n"),
}


@pytest.mark.parametrize("what", CRAFTED)
def test_it_is_told_and_deleted_and_the_next_one_comes(stack: Stack, what: str) -> None:
    crafted, topic, fits = CRAFTED[what]
    since = len(stack.observer.seen)
    stack.emulation.do("deliver_pdu", modem=0, pdu=crafted)
    stack.emulation.do("deliver", modem=0, **{"from": ANNA, "text": f"after {what}"})
    after = stack.observer.wait_for("in", lambda p: p["text"] == f"after {what}", since=since)
    assert after.payload["partial"] is False
    found = stack.observer.wait_for(topic, lambda p: p.get("text") != f"after {what}", since=since).payload
    assert fits(found), found
    wait_drained(stack)
