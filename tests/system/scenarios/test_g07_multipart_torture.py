"""Domain G7: parts out of order, twice, missing, of two senders under one reference, with 8 and 16 bits, with numbers
that make no sense, and a kill -9 in the middle. tests/unit/test_core_inbound.py has each of them alone.
"""

from __future__ import annotations

import random
import signal
from pathlib import Path

import pytest

from hardware.pdu.udh import Ie
from tests.support.oracle import tagged
from tests.support.scenes import parts_of, wait_drained
from tests.support.stack import running, wait_until

REF = 77
SENDERS = ("+36301110001", "+36301110002", "+36301110003")


@pytest.mark.slow
def test_whatever_comes_in_whatever_order_the_texts_are_right(tmp_path: Path) -> None:
    dice = random.Random(7)
    whole = {f"{sender}.{bits}": tagged(f"w{sender[1:]}x{bits}", 4, "ucs2") for sender in SENDERS for bits in (8, 16)}
    pdus: list[str] = []
    for sender in SENDERS:
        for bits in (8, 16):
            text = whole[f"{sender}.{bits}"]
            parts = parts_of(text, REF, sender, ref_bits=bits, encoding="ucs2")
            pdus += [*parts, dice.choice(parts)]
    cut = tagged("cut", 3, "ucs2")
    first, _, third = parts_of(cut, REF + 1, SENDERS[0], encoding="ucs2")
    odd = [_numbered(number, total) for number, total in ((0, 3), (4, 3), (1, 0), (255, 255))]
    pdus += [first, third, *odd]
    dice.shuffle(pdus)
    waits = {"inbound": {"reassembly_timeout": 2.0, "sweep_interval": 1.0}}
    with running(tmp_path, waits=waits) as stack:
        for number, pdu in enumerate(pdus):
            stack.emulation.do("deliver_pdu", modem=0, pdu=pdu)
            if number in (10, 25):
                wait_until(lambda: len(stack.emulation.do("inbox", modem=0)["messages"]) < 8, 20, "it is reading")
                stack.bridge.stop(signal.SIGKILL)
                stack.bridge.start()
        stack.emulation.do("deliver", modem=0, **{"from": SENDERS[0], "text": "the next one"})
        wait_drained(stack)
        stack.observer.wait_for("in", lambda p: p["text"] == "the next one")
        for text in whole.values():
            found = stack.observer.wait_for("in", lambda p, t=text: p["text"] == t).payload  # type: ignore[misc]
            assert (found["parts"], found["partial"], found["missing"]) == (4, False, [])
        missing = stack.observer.wait_for("in", lambda p: "#cut#" in p["text"] and p["partial"]).payload
        assert (missing["parts"], missing["missing"]) == (3, [2])
        for number, total in ((0, 3), (4, 3), (1, 0)):
            stack.observer.wait_for("in", lambda p, n=number, t=total: p["text"] == f"odd {n} of {t}")  # type: ignore[misc]
        alone = stack.observer.wait_for("in", lambda p: p["text"] == "odd 255 of 255").payload
        assert (alone["parts"], alone["partial"], len(alone["missing"])) == (255, True, 254)
        ids: dict[str, set[str]] = {}
        for payload in stack.observer.of("in"):
            ids.setdefault(payload["text"], set()).add(payload["id"])
        assert all(len(found) == 1 for found in ids.values()), "nothing came twice under two ids"
        texts = {text for text in ids if "#w" in text}
        assert texts == set(whole.values()), "nothing came that nobody wrote"


def _numbered(number: int, total: int) -> str:
    """One part that says it is `number` of `total`."""
    concat = Ie(0, bytes((200 + number % 8, total, number)))
    [pdu] = parts_of(f"odd {number} of {total}", 0, SENDERS[2], ies=(concat,))
    return pdu
