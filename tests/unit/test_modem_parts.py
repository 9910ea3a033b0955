"""The pieces of a modem's life that need no modem: back-off, the PIN ledger, the state table."""

from __future__ import annotations

import asyncio
from pathlib import Path

from hardware.modem import MemoryPinLedger, pin_key
from hardware.modem.backoff import Backoff, Node


def test_backoff_doubles_to_its_cap_and_starts_again() -> None:
    backoff = Backoff(first=1.0, cap=8.0)
    delays = [backoff.delay() for _ in range(6)]
    for delay, nominal in zip(delays, (1, 2, 4, 8, 8, 8), strict=True):
        assert 0.8 * nominal <= delay <= 1.2 * nominal
    backoff.reset()
    assert backoff.delay() <= 1.2


async def test_a_wait_ends_when_the_node_comes(tmp_path: Path) -> None:
    path = tmp_path / "ttyUSB0"
    node = Node(str(path))
    assert not node.exists
    waiting = asyncio.create_task(node.wait(asyncio.Event(), 30.0, node.signature()))
    await asyncio.sleep(0.05)
    path.touch()
    assert await asyncio.wait_for(waiting, 2.0) is True


async def test_a_wait_ends_when_the_node_goes_or_is_another(tmp_path: Path) -> None:
    path = tmp_path / "ttyUSB0"
    path.touch()
    node = Node(str(path))
    before = node.signature()
    waiting = asyncio.create_task(node.wait(asyncio.Event(), 30.0, before))
    await asyncio.sleep(0.05)
    path.unlink()
    assert await asyncio.wait_for(waiting, 2.0) is False
    (tmp_path / "other").touch()
    path.touch()
    assert await asyncio.wait_for(node.wait(asyncio.Event(), 5.0, before), 2.0) is True


async def test_a_wait_ends_when_woken_or_over(tmp_path: Path) -> None:
    wake = asyncio.Event()
    for node in (Node(None), Node(str(tmp_path / "none"))):
        wake.clear()
        asyncio.get_running_loop().call_later(0.02, wake.set)
        assert await asyncio.wait_for(node.wait(wake, 30.0, node.signature()), 1.0) is False
        wake.clear()
        assert await asyncio.wait_for(node.wait(wake, 0.02, node.signature()), 1.0) is False


async def test_the_ledger_remembers_the_sim_and_the_pin_but_not_the_pin_itself() -> None:
    ledger = MemoryPinLedger()
    key = pin_key("8936200000123456789", "4711")
    assert "4711" not in key
    await ledger.record(key)
    assert await ledger.tried(key)
    assert not await ledger.tried(pin_key("8936200000123456789", "4712"))
    assert not await ledger.tried(pin_key("8936200000123456780", "4711"))
    await ledger.accepted(key)
    assert not await ledger.tried(key)
