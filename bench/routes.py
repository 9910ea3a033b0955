"""Many orders of one route, durably: what the core and the journal cost a message when the peer answers at once."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from hardware.types import SendOutcome, SendResult
from sms_bridge.core.dispatcher import Dispatcher
from sms_bridge.core.model import ClaimantView, Finished, Job, Receipt, SendRequest
from sms_bridge.core.routes import Routes
from sms_bridge.core.routing import RouteHealth
from sms_bridge.core.service import Service
from sms_bridge.core.states import ReceiptState
from sms_bridge.store import Journal

ROUTE = "smpp:bench"
TEXT = "Front door opened at 17:42:07, motion in the hall. Camera 2 has a recording."
MESSAGES = 10_000
BATCH = 200
WINDOW = 50
SENT = SendResult(SendOutcome.SENT)


def run() -> dict[str, Any]:
    """All figures; CPU counts both threads."""
    sys.setswitchinterval(0.0001)
    with tempfile.TemporaryDirectory(prefix="routes-bench") as directory:
        return asyncio.run(_run(Path(directory)))


async def _run(directory: Path) -> dict[str, Any]:
    journal = await Journal.open(directory)
    journal.on_outbox(lambda rows: journal.outbox_done([row.seq for row in rows]))
    routes = Routes()
    routes.add(ROUTE)
    dispatcher = Dispatcher(journal, routes=routes)
    service = Service(journal, dispatcher)
    await service.start()
    routes.set_health(ROUTE, RouteHealth(True))
    for start in range(0, MESSAGES, BATCH):
        await service.submit([_request(n) for n in range(start, start + BATCH)])
    commits = journal.commits
    wall, cpu = time.perf_counter(), time.process_time()
    await _Claimant(dispatcher).run()
    figures = {
        "sent_per_s": MESSAGES / (time.perf_counter() - wall),
        "sent_cpu_us": (time.process_time() - cpu) / MESSAGES * 1e6,
        "messages_per_commit": MESSAGES / (journal.commits - commits),
    }
    at = time.time_ns() // 1_000_000
    receipts = [Receipt(ROUTE, f"{n:x}", _number(n), ReceiptState.DELIVERED, None, at) for n in range(MESSAGES)]
    wall, cpu = time.perf_counter(), time.process_time()
    for start in range(0, MESSAGES, WINDOW):
        await service.receive_receipts(receipts[start : start + WINDOW])
    figures["receipts_per_s"] = MESSAGES / (time.perf_counter() - wall)
    figures["receipts_cpu_us"] = (time.process_time() - cpu) / MESSAGES * 1e6
    await dispatcher.stop()
    await journal.close()
    return figures


class _Claimant:
    """`WINDOW` messages are with a peer that answers at once; outcomes are committed beside the next messages."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._view = ClaimantView(ROUTE, route=ROUTE)
        self._free = WINDOW
        self._answered = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        while self._answered < MESSAGES:
            jobs = self._dispatcher.claim_many(self._view, self._free)
            if jobs:
                self._free -= len(jobs)
                self._tasks.add(asyncio.create_task(self._send(jobs)))
            if self._tasks:
                _, self._tasks = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
            else:
                await self._dispatcher.wait_for_work(self._view)
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _send(self, jobs: list[Job]) -> None:
        begun = await self._dispatcher.begin_many(jobs)
        assert all(begun)
        self._tasks.add(asyncio.create_task(self._finish([Finished(job, 0, SENT, _id(job)) for job in jobs])))
        self._free += len(jobs)
        self._answered += len(jobs)

    async def _finish(self, finished: list[Finished]) -> None:
        await self._dispatcher.finish_many(finished)


def _request(n: int) -> SendRequest:
    return SendRequest(to=(_number(n),), text=TEXT, id=f"bench-{n}", route=ROUTE)


def _number(n: int) -> str:
    return f"+3630{1_000_000 + n}"


def _id(job: Job) -> str:
    return f"{job.order.seq - 1:x}"


if __name__ == "__main__":
    for key, value in run().items():
        print(f"{key:20} {value:10.1f}")
