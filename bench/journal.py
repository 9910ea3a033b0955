"""What the journal and the core cost: microseconds of CPU an order, a part, a received message; commit latency."""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hardware.pdu import DeliverRequest, decode, encode_deliver
from hardware.types import ReceivedPdu, SendOutcome, SendResult
from sms_bridge.core.dispatcher import Dispatcher
from sms_bridge.core.model import ClaimantView, Finished, SendRequest
from sms_bridge.core.service import Service
from sms_bridge.store import Journal

TEXT = "Front door opened at 17:42:07, motion in the hall. Camera 2 has a recording. Reply STOP to silence this alarm."
BATCH = 64
PARTS = 1500


def run() -> dict[str, Any]:
    """All figures; CPU counts both threads."""
    sys.setswitchinterval(0.0005)
    with tempfile.TemporaryDirectory(prefix="journal-bench") as directory:
        return asyncio.run(_run(Path(directory)))


async def _run(directory: Path) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for name, bench in (("accept", _accept), ("parts", _parts), ("receive", _receive), ("latency", _latency)):
        journal = await Journal.open(directory / name)
        journal.on_outbox(lambda rows, journal=journal: journal.outbox_done([row.seq for row in rows]))  # type: ignore[misc]
        dispatcher = Dispatcher(journal)
        service = Service(journal, dispatcher)
        await service.start()
        figures |= await bench(journal, service, dispatcher)
        await dispatcher.stop()
        await journal.close()
    return figures


async def _timed(work: Callable[[], Awaitable[None]], count: int) -> tuple[float, float]:
    """Wall and CPU microseconds for each of `count`."""
    wall, cpu = time.perf_counter(), time.process_time()
    await work()
    return (time.perf_counter() - wall) / count * 1e6, (time.process_time() - cpu) / count * 1e6


async def _accept(journal: Journal, service: Service, _dispatcher: Dispatcher) -> dict[str, Any]:
    total = 20_000
    requests = [
        SendRequest(to=(f"+3630{1000000 + n % 9999}",), text=f"{TEXT} {n}", id=f"bench-{n}", transaction=n)
        for n in range(total)
    ]

    async def work() -> None:
        pending: set[asyncio.Task[Any]] = set()
        for start in range(0, total, BATCH):
            pending.add(asyncio.create_task(service.submit(requests[start : start + BATCH])))
            if len(pending) >= 3:
                _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.gather(*pending)

    wall, cpu = await _timed(work, total)
    return {"accept_wall_us": wall, "accept_cpu_us": cpu, "accepted_per_s": 1e6 / wall}


async def _parts(journal: Journal, service: Service, dispatcher: Dispatcher) -> dict[str, Any]:
    await service.submit([SendRequest(to=("+36301234567",), text=f"{TEXT} {n}") for n in range(PARTS)])
    modem = ClaimantView("stick", "8936200000000000001")
    commits = journal.commits
    finished: Finished | None = None

    async def work() -> None:
        nonlocal finished
        for n in range(PARTS):
            job = await dispatcher.claim(modem)
            assert await dispatcher.begin(job, 0, finished)
            finished = Finished(job, 0, SendResult(SendOutcome.SENT, mr=n & 255))
        assert finished is not None
        await dispatcher.finish(finished)

    wall, cpu = await _timed(work, PARTS)
    return {"part_wall_us": wall, "part_cpu_us": cpu, "commits_per_part": (journal.commits - commits) / PARTS}


async def _receive(_journal: Journal, service: Service, _dispatcher: Dispatcher) -> dict[str, Any]:
    total = 1500
    now = datetime.now(UTC)
    batch = []
    for n in range(total):
        raw = encode_deliver(DeliverRequest(f"+3630{1000000 + n}", now - timedelta(seconds=n), text=TEXT))[0]
        batch.append(ReceivedPdu(raw, decode(raw), None, "SM", n % 20, "35", "8936200000000000001", "stick", now))

    async def work() -> None:
        for item in batch:
            await service.receive([item])

    wall, cpu = await _timed(work, total)
    return {"receive_wall_us": wall, "receive_cpu_us": cpu}


async def _latency(journal: Journal, _service: Service, _dispatcher: Dispatcher) -> dict[str, Any]:
    """From the loop to the resolved future, for one small durable commit with nothing else to do."""
    taken = []
    for _ in range(600):
        begin = time.perf_counter()
        await journal.write(lambda tx: tx.emit("event", "{}"))
        taken.append((time.perf_counter() - begin) * 1e6)
        await asyncio.sleep(0.001)
    taken.sort()
    return {"commit_p50_us": statistics.median(taken), "commit_p99_us": taken[int(len(taken) * 0.99)]}


if __name__ == "__main__":
    for key, value in run().items():
        print(f"{key:20} {value:10.1f}")
