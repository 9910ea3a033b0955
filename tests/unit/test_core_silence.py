"""A SIM whose messages are accepted and dropped: no report ever, while reports are known to come (domain B4)."""

from __future__ import annotations

from pathlib import Path

import pytest

from hardware.types import Action
from sms_bridge.core import silence
from sms_bridge.core.model import Handed
from sms_bridge.core.settings import SilenceSettings
from tests.support.desk import OTHER, STICK, open_desk, refused, sent

HOUR = 3_600_000
NOW = 1000 * HOUR
THREE = SilenceSettings(unreported=3, report_time=3600.0)


def log(text: str, *, step: int = HOUR, took: int = 5000) -> list[Handed]:
    """`"a1+ b2-"`, oldest first: SIM a to number 1, reported; SIM b to number 2, not. Newest first comes out."""
    words = text.split()
    at = NOW - len(words) * step
    made = []
    for word in words:
        sim, number, reported = word[0], word[1], word[2] == "+"
        made.append(Handed(sim, f"+361{number}", at, reported, took if reported else None))
        at += step
    return made[::-1]


@pytest.mark.parametrize(
    ("sent_by", "found"),
    [
        ("", {}),
        ("a1+ a2+", {"a": False}),
        ("a1- a2- a3-", {}),  # nobody gets reports here: perhaps the network gives none
        ("a1- a2- a3- b1+ b2+", {"a": True, "b": False}),
        ("b1+ a1- a2- a3-", {"b": False}),  # what the other got was before
        ("a1+ a1- a2- a3-", {"a": True}),  # this very SIM used to get them
        ("a1+ a1- a2-", {"a": False}),  # two are no run
        ("a1- a2- a3- a4+", {"a": False}),
        ("a1- a2- b9+ a3- a3-", {"a": True, "b": False}),
        # A telephone that is off: one number proves nothing.
        ("a1+ a7- a7- a7- a7-", {}),
        ("a7- a7- b1+ a7- a7-", {"b": False}),
        ("a7- a7- a7- b7+", {"a": True, "b": False}),  # it is not off
        ("a1- a2- a3- b1- b2- b3- c1+", {"a": True, "b": True, "c": False}),
    ],
)
def test_which_sims_are_silent(sent_by: str, found: dict[str, bool]) -> None:
    assert silence.unreported(log(sent_by), NOW, THREE) == found


def test_what_is_young_is_not_missing() -> None:
    parts = log("a1- a2- a3- b1+ b2+", step=HOUR // 5)
    assert silence.unreported(parts, NOW, THREE) == {"b": False}
    assert silence.unreported(parts, NOW + HOUR, THREE) == {"a": True, "b": False}


def test_a_slow_network_is_given_more_time() -> None:
    parts = log("a1- a2- a3- b1+ b2+", took=2 * HOUR)  # three times two hours
    assert silence.unreported(parts, NOW, THREE) == {"b": False}
    assert silence.unreported(parts, NOW + 4 * HOUR, THREE) == {"a": True, "b": False}
    endless = log("a1- a2- a3- b1+ b2+", took=100 * HOUR)
    assert silence.unreported(endless, NOW + 24 * HOUR, THREE) == {"a": True, "b": False}, "a day is enough"


async def test_the_journal_knows_what_was_taken_and_what_was_reported(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        for number, modem in enumerate((STICK, OTHER, STICK)):
            await desk.order(f"n{number}", to=(f"+3630123456{number}",))
            await desk.send(sent(number + 1), modem=modem)
            desk.clock.forward(10)
        await desk.report(2, number="+36301234561", modem=OTHER, after=-20)
        await desk.order("unwanted", delivery_report=False)
        await desk.send(sent(9))
        await desk.order("refused")
        await desk.send(refused(Action.FAIL))
        await desk.order("long", text="x" * 300)
        await desk.send(sent(10), sent(11))
        await desk.order("waits")
        handed = await desk.journal.read(lambda reader: reader.handed(100, 100))
        assert [(part.sim == STICK.sim, part.recipient[-1], part.reported, part.took) for part in handed] == [
            (True, "7", False, None),
            (True, "7", False, None),
            (True, "2", False, None),
            (False, "1", True, 20_000),
            (True, "0", False, None),
        ]
        assert len(await desk.journal.read(lambda reader: reader.handed(100, 2))) == 2
        assert await desk.journal.read(lambda reader: reader.handed(1, 100)) == [], "the latest order was not sent"
        found = await desk.journal.read(lambda reader: silence.look(reader, desk.clock.now() + HOUR, THREE))
        assert found == {STICK.sim: True, OTHER.sim: False}
        await desk.report(3, number="+36301234562", modem=STICK)
        found = await desk.journal.read(lambda reader: silence.look(reader, desk.clock.now() + HOUR, THREE))
        assert found == {STICK.sim: False, OTHER.sim: False}
