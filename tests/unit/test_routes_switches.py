"""Plugs that obey a topic: what is off is on again, whatever happens in between."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from sms_bridge.routes import switches
from sms_bridge.routes.switches import PowerSwitches


@dataclass(frozen=True)
class Plug:
    topic: str = "plug/set"
    off: str = '{"state":"OFF"}'
    on: str = '{"state":"ON"}'


class Broker:
    """Takes orders, or does not."""

    def __init__(self) -> None:
        self.there = True
        self.orders: list[tuple[str, str]] = []

    async def publish(self, topic: str, payload: str) -> bool:
        self.orders.append((topic, payload))
        return self.there


def switch_of(modem: str) -> Plug | None:
    return Plug() if modem.startswith("stick") else None


async def test_off_and_on(tmp_path: Path) -> None:
    broker, memory = Broker(), tmp_path / "switched-off"
    it = PowerSwitches(switch_of, broker.publish, memory)
    assert await it.power("stick-1", False)
    assert json.loads(memory.read_text()) == {"plug/set": '{"state":"ON"}'}
    assert await it.power("stick-1", True)
    assert not memory.exists()
    assert broker.orders == [("plug/set", '{"state":"OFF"}'), ("plug/set", '{"state":"ON"}')]
    assert not await it.power("cabinet", False), "it has none"
    assert len(broker.orders) == 2


async def test_what_is_written_down_first_is_not_switched_off_when_it_cannot_be(tmp_path: Path) -> None:
    broker = Broker()
    it = PowerSwitches(switch_of, broker.publish, tmp_path / "no such folder" / "switched-off")
    assert not await it.power("stick-1", False)
    assert broker.orders == []
    assert await it.power("stick-1", True), "on is always allowed"


async def test_a_bridge_that_was_killed_has_its_plug_switched_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(switches, "RETRY", 0.01)
    broker, memory = Broker(), tmp_path / "switched-off"
    await PowerSwitches(switch_of, broker.publish, memory).power("stick-1", False)
    broker.there = False  # it starts after the bridge
    after = asyncio.create_task(PowerSwitches(lambda _modem: None, broker.publish, memory).restore())
    while len(broker.orders) < 4:  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    assert memory.exists()
    broker.there = True
    await asyncio.wait_for(after, 2.0)
    assert set(broker.orders[1:]) == {("plug/set", '{"state":"ON"}')}
    assert not memory.exists()


@pytest.mark.parametrize("left", [b"", b"\0\0\0", b"[1]", b'{"plug/set": 1}', b"\xff"])
async def test_what_a_power_cut_left_of_the_memory_does_no_harm(tmp_path: Path, left: bytes) -> None:
    broker, memory = Broker(), tmp_path / "switched-off"
    memory.write_bytes(left)
    await PowerSwitches(switch_of, broker.publish, memory).restore()
    assert broker.orders == []


async def test_an_order_that_the_broker_did_not_take_is_still_remembered(tmp_path: Path) -> None:
    broker, memory = Broker(), tmp_path / "switched-off"
    it = PowerSwitches(switch_of, broker.publish, memory)
    broker.there = False
    assert not await it.power("stick-1", False)
    assert not await it.power("stick-1", True)
    assert memory.exists(), "it may have been taken all the same"
    broker.there = True
    assert await it.power("stick-1", True)
    assert not memory.exists()
