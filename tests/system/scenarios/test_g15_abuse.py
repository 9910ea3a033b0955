"""Domain G15: what must not reach a port, and what must not go on for ever.

The commands refuse the same in tests/unit/test_at_commands.py whoever asks, a service centre's number too.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.scenes import order, submitted
from tests.support.stack import Stack

HOSTILE = ("\r", "\n", "\x1a", "\x1b", '"', ";", "\x00", "\rAT+CMGD=1,4\r", '",145\rAT+CFUN=0;')
REQUESTS = (
    ("modem/ussd", "code", "*100#{}"),
    ("modem/ussd", "code", "*100{}#"),
    ("modem/ussd", "reply", "1{}"),
    ("sim/unlock", "pin", "1234{}"),
    ("modem/interview", "modem", "modem0{}"),
    ("modem/reset", "step", "cfun{}"),
)


@pytest.mark.parametrize("bad", HOSTILE, ids=ascii)
def test_nothing_that_ends_a_command_gets_near_a_port(stack: Stack, bad: str) -> None:
    before = stack.emulation.do("stats", modem=0)
    since = len(stack.observer.seen)
    for number, to in enumerate((f"+3630123{bad}4567", f"+36301234567{bad}", f"{bad}+36301234567")):
        id = f"bad {number} {bad!a}"
        order(stack, id, to=to)
        status = stack.observer.wait_for("status", lambda p, i=id: p["id"] == i, since=since).payload  # type: ignore[misc]
        # White space around a number is no attack, it is dialled without.
        assert status["state"] == "rejected" or to.strip() == "+36301234567", status
    for name, key, value in REQUESTS:
        fields: dict[str, Any] = {"modem": "modem0", key: value.format(bad)}
        assert stack.observer.request(name, **fields)["status"] == "error", (name, fields)
    text = f"text {bad} may hold anything but NUL"
    order(stack, f"after {bad!a}", text=text, modem="modem0")
    stack.observer.wait_state(f"after {bad!a}", "rejected" if bad == "\0" else "sent")
    after = stack.emulation.do("stats", modem=0)
    assert after["garbage_lines"] == before["garbage_lines"]
    assert after["unknown_commands"] == before["unknown_commands"]
    assert [line["text"] for line in submitted(stack, text)] == ([] if bad == "\0" else [text])
