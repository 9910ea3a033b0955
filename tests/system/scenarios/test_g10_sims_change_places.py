"""Domain G10: identical sticks without serial numbers change plugs, and their SIMs change sticks.

Names follow the IMEI, quota and conversations follow the ICCID. Sticks that are pulled in every state, and that nothing
leaks in 500 cycles, are tests/system/test_plug_cycles.py; renumbered ttys are tests/device/test_pool.py.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from hardware.at import timeouts as at_timeouts
from hardware.pool import timeouts
from hardware.types import ModemState
from sms_bridge.core.choice import Reason
from sms_bridge.core.model import SendRequest
from sms_bridge.core.quota import NO_LIMITS, Limits
from tests.support.house_rig import House, house
from tests.support.scenes import ANNA

ONE, TWO = "quectel-1", "quectel-2"
PLUGS = ("1-1", "1-2")


@pytest.fixture(autouse=True)
def swift(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(at_timeouts, "QUIET", 0.02)
    monkeypatch.setattr(timeouts, "LISTEN", 0.01)
    return


async def put(it: House, plugs: tuple[str, str]) -> None:
    for index, path in enumerate(plugs):
        it.sticks.put(index, path)
        await it.until(lambda path=path: it.state_in(path) is ModemState.READY)  # type: ignore[misc]


async def exchange(it: House) -> None:
    """Sticks into each other's plug, SIMs into each other's stick."""
    for path in PLUGS:
        it.sticks.pull(path)
        await it.until(lambda path=path: path not in it.pool._plugged)  # type: ignore[misc]
    first, second = (modem.phone for modem in it.emulator.modems)
    first.iccid, second.iccid = second.iccid, first.iccid
    await put(it, (PLUGS[1], PLUGS[0]))


async def order(it: House, id: str, to: str = ANNA, modem: str = "auto") -> None:
    await it.service.submit([SendRequest(id=id, to=(to,), text=id, modem=modem, delivery_report=False)])


def reasons(it: House) -> dict[str, str]:
    """Why each modem would, or would not, write to Anna."""
    return {row["modem"]: row["reason"] for row in it.dispatcher.explain(ANNA, 1)}


def stored(it: House) -> int:
    return sum(len(storage.slots) for modem in it.emulator.modems for storage in modem.storages().values())


def sims(it: House) -> Counter[str]:
    rows = [json.loads(line) for line in it.emulator.ledger_path.read_text().splitlines()]
    return Counter(row["iccid"] for row in rows if row["kind"] == "submit" and row["accepted"])


async def test_a_sim_that_is_full_is_full_in_any_stick(tmp_path: Path) -> None:
    async with house(tmp_path, quota=Limits(per_day=2)) as it:
        await put(it, PLUGS)
        full, other = (modem.phone.iccid for modem in it.emulator.modems)
        for number in range(2):
            await order(it, f"first {number}", f"+3630111000{number}", ONE)
            await it.until(lambda n=number: it.states.get(f"first {n}") == "sent")  # type: ignore[misc]
        await exchange(it)
        assert (it.pool.modems[ONE].status.iccid, it.pool.modems[TWO].status.iccid) == (other, full)
        await order(it, "waits", "+36301110005", TWO)
        for number in range(2):
            await order(it, f"second {number}", f"+3630111001{number}")
            await it.until(lambda n=number: it.states.get(f"second {n}") == "sent")  # type: ignore[misc]
        await order(it, "waits too", "+36301110006")
        await it.until(lambda: it.states.get("waits too") == "queued")
        assert sims(it) == {full: 2, other: 2}
        assert it.states["waits"] == "queued"


async def test_a_conversation_goes_with_its_sim(tmp_path: Path) -> None:
    async with house(tmp_path, quota=NO_LIMITS) as it:
        await put(it, PLUGS)
        known = it.emulator.modems[0].phone.iccid
        it.emulator.deliver(0, ANNA, "are you there?")
        await it.until(lambda: it.published("in") and not stored(it))
        await exchange(it)
        await it.until(lambda: Reason.STICKY in reasons(it).get(TWO, ""))
        await order(it, "yes")
        await it.until(lambda: it.states.get("yes") == "sent")
        assert sims(it) == {known: 1}
        assert it.published("status")[-1]["modem"] == TWO
