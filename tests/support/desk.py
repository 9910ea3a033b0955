"""The core on a real journal, with a clock that the test owns."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from hardware.pdu import DeliverRequest, StatusReportRequest, decode, encode_deliver, encode_status_report
from hardware.types import Action, ReceivedPdu, SendError, SendOutcome, SendResult
from sms_bridge.core.dispatcher import Dispatcher
from sms_bridge.core.model import ClaimantView, Finished, Job, OutboxRow, SendRequest
from sms_bridge.core.service import Service
from sms_bridge.core.settings import CoreSettings
from sms_bridge.store import Journal, rows
from sms_bridge.store.transaction import SqlReader

T = TypeVar("T")

ANNA = "+36301234567"
STICK = ClaimantView("stick", "8936200000000000142")
OTHER = ClaimantView("other", "8936200000000000267")
CHECKED = 20  # of the rows that the writer remembers
START = datetime(2026, 11, 22, 19, 0, tzinfo=UTC)


class ManualClock:
    """Stands still until it is told to go on. Its machine was started in 1970, or at the last `reboot`."""

    def __init__(self, at: datetime = START) -> None:
        self._up = int(at.timestamp() * 1000)  # ms since the machine was started
        self._wall = self._offset = 0  # what the machine's clock, and what `now`, adds to that
        self._boots = 1

    def now(self) -> int:
        return self._up + self._offset

    def monotonic(self) -> float:
        return self._up / 1000

    def boot(self) -> str:
        return f"boot-{self._boots}"

    def astray(self) -> int:
        return self._wall - self._offset

    def adopt(self, by: int) -> None:
        self._offset += by

    def forward(self, seconds: float) -> None:
        self._up += int(seconds * 1000)

    def learn(self, at: datetime) -> None:
        """The machine learns the time: no time passes."""
        self._wall = int(at.timestamp() * 1000) - self._up

    def restart(self) -> None:
        """A new process begins with what the machine's clock says."""
        self._offset = self._wall

    def reboot(self, at: datetime) -> None:
        """The machine was off for a while, and starts with this time."""
        self._boots += 1
        self._up = 0
        self.learn(at)
        self.restart()

    @property
    def datetime(self) -> datetime:
        """What the machine's clock says."""
        return datetime.fromtimestamp((self._up + self._wall) / 1000, UTC)


@dataclass
class Desk:
    journal: Journal
    dispatcher: Dispatcher
    service: Service
    clock: ManualClock
    rows: list[OutboxRow] = field(default_factory=list)

    def published(self, kind: str) -> list[dict[str, Any]]:
        return [json.loads(row.payload) for row in self.rows if row.kind == kind]

    def statuses(self, id: str | None = None) -> list[dict[str, Any]]:
        return [s for s in self.published("status") if id is None or s["id"] == id]

    def states(self, id: str) -> list[str]:
        return [status["state"] for status in self.statuses(id)]

    async def order(self, id: str, text: str = "hello", to: tuple[str, ...] = (ANNA,), **fields: Any) -> Any:
        return (await self.submit(SendRequest(id=id, text=text, to=to, **fields)))[0]

    async def submit(self, *requests: SendRequest) -> list[Any]:
        return await self.told(self.service.submit(requests))

    async def tick(self) -> None:
        await self.told(self.service.tick())

    async def told(self, work: Awaitable[T]) -> T:
        """Let the outbox tell its listeners too, which it does one turn of the loop after a commit."""
        result = await work
        for _ in range(3):
            await asyncio.sleep(0)
        return result

    async def send(self, *results: SendResult, modem: ClaimantView = STICK, job: Job | None = None) -> Job:
        """Claim and send one job with these results, as a worker would; the last one is committed alone."""
        job = job or await self.dispatcher.claim(modem)
        finished: Finished | None = None
        part = job.after(None)
        for result in results:
            assert part is not None, "more results than parts"
            assert await self.dispatcher.begin(job, part.index, finished)
            finished = Finished(job, part.index, result)
            part = job.after(finished)
        if finished is not None:
            await self.told(self.dispatcher.finish(finished))
        return job

    async def report(
        self, mr: int, status: int = 0, *, number: str = ANNA, modem: ClaimantView = STICK, after: float = 0.0
    ) -> None:
        """A status report whose message the network took `after` seconds from now."""
        scts = self.clock.datetime + timedelta(seconds=after)
        await self.receive(encode_status_report(StatusReportRequest(number, mr, scts, scts, status)), modem=modem)

    async def receive(self, *raws: str, modem: ClaimantView = STICK, storage: str = "SM", first: int = 1) -> None:
        """One batch, as a modem's sweep finds it."""
        batch = [self.pdu(raw, modem, storage, first + n) for n, raw in enumerate(raws)]
        await self.told(self.service.receive(batch))

    def pdu(self, raw: str, modem: ClaimantView = STICK, storage: str = "SM", index: int | None = 1) -> ReceivedPdu:
        return ReceivedPdu(raw, decode(raw), None, storage, index, "352", modem.iccid, modem.name, self.clock.datetime)


def deliver(text: str = "OK", sender: str = ANNA, at: datetime = START, **fields: Any) -> list[str]:
    """The PDUs of a received message."""
    return encode_deliver(DeliverRequest(sender, at, text=text, **fields))


def sent(mr: int = 1) -> SendResult:
    return SendResult(SendOutcome.SENT, mr=mr)


def refused(action: Action, code: str = "cms_1", retry_after: float | None = None) -> SendResult:
    return SendResult(SendOutcome.NOT_SENT, error=SendError(code, "refused", action, retry_after))


def unknown(code: str = "timeout") -> SendResult:
    return SendResult(SendOutcome.UNKNOWN, error=SendError(code, "no result", Action.UNKNOWN))


FAST = CoreSettings(retry_base=0.01, retry_cap=0.02)


@asynccontextmanager
async def open_desk(
    directory: Path, settings: CoreSettings = FAST, clock: ManualClock | None = None, **wiring: Any
) -> AsyncIterator[Desk]:
    clock = clock or ManualClock()
    journal = await Journal.open(directory, clock=clock)
    limits = {key: wiring.pop(key) for key in ("limits_of", "routes") if key in wiring}
    dispatcher = Dispatcher(journal, settings, clock, **limits)
    service = Service(journal, dispatcher, settings, clock, **wiring)
    desk = Desk(journal, dispatcher, service, clock)
    journal.on_outbox(desk.rows.extend)
    _compare_memory(journal)
    try:
        await service.start()
        yield desk
    finally:
        await dispatcher.stop()
        await journal.close()


def _compare_memory(journal: Journal) -> None:
    """After each commit: what the writer remembers of rows is what SQLite has."""
    tx = journal._writer._tx
    committed = tx.committed

    def compare() -> None:
        committed()
        for seq, row in list(tx._recent._orders.items())[-CHECKED:]:
            order = SqlReader.order(tx, seq)
            assert order is not None
            assert rows.order_values(order, seq) == row
        for seq, known in list(tx._recent._attempts.items())[-CHECKED:]:
            assert [rows.attempt_values(attempt) for attempt in SqlReader.attempts(tx, seq)] == known

    tx.committed = compare  # type: ignore[method-assign]
