"""The name of the broker's session: what is used and what stands in the file are one, however connections follow."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sms_bridge.core.model import Accepted, Rejection, SendRequest
from sms_bridge.mqtt.client import Delivery
from sms_bridge.mqtt.connection import Session
from sms_bridge.mqtt.intake import Intake
from sms_bridge.mqtt.topics import Incoming, Kind, Topics

NEW, RESUMED = Session(False, 5, None, 20), Session(True, 5, None, 20)


class Bench:
    """An intake whose orders end here; `connection` is all that it needs of one."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.taken: list[SendRequest] = []
        self.connection: Any = SimpleNamespace(up=True, ack=lambda mid, qos: None)
        self.intake = Intake(self, Topics(), epoch_file=file, drop=lambda reason: None, respond=lambda *_: None)

    async def submit(self, batch: list[SendRequest]) -> list[Any]:
        self.taken += batch
        return [Accepted("a", 1) for _ in batch]

    async def reject(self, rejection: Rejection) -> None:
        raise AssertionError(rejection)

    async def used(self) -> str:
        """The name under which an order is recognised now."""
        before = len(self.taken)
        message = Delivery(b"sms/out", b'{"to":"+36301234567","text":"x"}', 1, 7, False, False, {})
        self.intake.message(self.connection, message, Incoming(Kind.OUT))
        while len(self.taken) == before:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        key = self.taken[-1].delivery_key
        assert key is not None
        return key.partition(":")[0]

    @property
    def kept(self) -> str:
        return self.file.read_text().strip()


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    made = Bench(tmp_path / "data" / "mqtt-session")
    await made.intake.start()
    yield made
    await made.intake.stop()


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is slow for whoever comes first."""
    make, first = Path.mkdir, [0.3]

    def mkdir(path: Path, *args: Any, **kwargs: Any) -> None:
        time.sleep(first.pop() if first else 0)
        make(path, *args, **kwargs)

    monkeypatch.setattr(Path, "mkdir", mkdir)


@pytest.mark.parametrize("sessions", [(NEW, NEW), (NEW, RESUMED), (NEW, RESUMED, NEW), (NEW, NEW, RESUMED)])
async def test_two_quick_connections_leave_one_name(bench: Bench, slow: None, sessions: tuple[Session, ...]) -> None:
    for session in sessions:
        bench.intake.link_up(bench.connection, session)
        await asyncio.sleep(0.05)
        bench.intake.link_down()
    bench.intake.link_up(bench.connection, RESUMED)
    used = await bench.used()
    await asyncio.sleep(0.4)
    assert bench.kept == used


async def test_a_resumed_session_keeps_its_name_and_a_new_one_has_another(bench: Bench) -> None:
    names = []
    for session in (NEW, RESUMED, NEW):
        bench.intake.link_up(bench.connection, session)
        names.append(await bench.used())
        assert bench.kept == names[-1]
    assert names[0] == names[1] != names[2]


async def test_the_next_process_finds_the_name(bench: Bench, tmp_path: Path) -> None:
    bench.intake.link_up(bench.connection, NEW)
    used = await bench.used()
    other = Bench(bench.file)
    await other.intake.start()
    other.intake.link_up(other.connection, RESUMED)
    assert await other.used() == used
    await other.intake.stop()


async def test_a_name_that_could_not_be_written_stays_and_is_written_later(bench: Bench) -> None:
    bench.intake.link_up(bench.connection, NEW)
    old = await bench.used()
    obstacle = bench.file.with_name(bench.file.name + ".new")
    obstacle.mkdir()
    bench.intake.link_up(bench.connection, NEW)
    used = await bench.used()
    assert used != old
    bench.intake.link_up(bench.connection, RESUMED)
    assert await bench.used() == used  # not the old session's, which still stands in the file
    obstacle.rmdir()
    bench.intake.link_up(bench.connection, RESUMED)
    assert await bench.used() == used == bench.kept
