"""A process that works with a journal as the bridge does, and is killed in the middle of it, again and again.

`python -m tests.support.journal_child DIRECTORY ROUNDS SEED`: forks a worker per round, kills it with
SIGKILL after a moment, and lets a last one finish in order. Files in DIRECTORY, each line one fact that survived the
kill: `acked` (ids that were accepted durably), `ledger` (parts as a network saw them), `stored` (texts of received
messages that were deleted from the SIM), `published` (outbox rows as a broker got them). A kill may tear the line that
is being written: `read_facts` leaves such a line out.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import signal
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hardware.pdu import DeliverRequest, decode, encode_deliver
from hardware.types import Action, ReceivedPdu, SendError, SendOutcome, SendResult
from sms_bridge.core.dispatcher import Dispatcher
from sms_bridge.core.model import ClaimantView, Finished, OutboxRow, SendRequest
from sms_bridge.core.routes import Routes
from sms_bridge.core.routing import RoutingSettings
from sms_bridge.core.service import Service
from sms_bridge.core.settings import CoreSettings
from sms_bridge.store import Journal
from tests.support.paper_route import PaperRoute

ANNA = "+36301234567"
START = datetime(2026, 11, 22, tzinfo=UTC)
LONGEST = 0.12  # seconds a worker lives at most
SETTINGS = CoreSettings(retry_base=0.005, retry_cap=0.01, window=20)


class Worker:
    def __init__(self, directory: Path, seed: int, last: bool) -> None:
        self.directory = directory
        self.round = seed
        self.random = random.Random(seed)
        self.last = last
        self.files = {
            name: os.open(directory / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            for name in ("acked", "ledger", "stored", "published")
        }

    def note(self, file: str, *facts: object) -> None:
        # SIGKILL may end a write at a page's border: what is torn stands alone on its line, and never happened
        os.write(self.files[file], b"\n" + json.dumps(facts).encode() + b"\n")

    async def run(self) -> None:
        self.journal = await Journal.open(self.directory / "data")
        self.journal.on_outbox(self.publish)
        self.routes = Routes(RoutingSettings(settle=0.0, back_after=0.0))
        self.routes.add("smpp:paper")
        self.dispatcher = Dispatcher(self.journal, SETTINGS, routes=self.routes)
        self.service = Service(self.journal, self.dispatcher, SETTINGS)
        for row in await self.journal.outbox_after(0, 100_000):
            self.publish([row])
        await self.service.start()
        modems = [self.modem(ClaimantView(f"stick{n}", f"893620000000000{n:04}")) for n in range(2)]
        PaperRoute("smpp:paper", self.dispatcher, lambda job, part: self.answer(job.order.id, part)).start()
        if self.last:
            self.routes.modems_in_service(["stick0", "stick1"])
            await self.finish(modems)
        else:
            await asyncio.gather(self.submit(), self.receive(), self.weather(), *modems)

    async def weather(self) -> None:
        """The modems come and go: what waits for them is the other route's then."""
        while True:
            self.routes.modems_in_service(["stick0", "stick1"][: self.random.randint(0, 2)])
            await asyncio.sleep(self.random.random() * 0.01)

    async def finish(self, modems: list) -> None:
        tasks = [asyncio.create_task(modem) for modem in modems]
        for _ in range(2000):
            await asyncio.sleep(0.01)
            if not self.dispatcher.sending and not (await self.journal.read(lambda r: r.counts()))["ready"]:
                break
        await self.dispatcher.stop()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.journal.close()

    def publish(self, rows: list[OutboxRow]) -> None:
        for row in rows:
            self.note("published", row.seq, row.kind, row.payload)
        self.journal.outbox_done([row.seq for row in rows])

    async def submit(self) -> None:
        for n in itertools.count():
            ids = [f"{self.round}-{n}-{k}" for k in range(self.random.randint(1, 4))]
            text = "x" * self.random.choice([10, 10, 200, 400])
            await self.service.submit([SendRequest(id=id, to=(ANNA,), text=text) for id in ids])
            self.note("acked", *ids)
            await asyncio.sleep(self.random.random() * 0.004)

    async def receive(self) -> None:
        sim: list[tuple[str, str]] = []  # (text, PDU) still in storage
        for n in itertools.count():
            text = f"{self.round}-{n} " + "y" * self.random.choice([10, 250])
            at = START + timedelta(seconds=self.round * 1000 + n)
            sim += [(text, raw) for raw in encode_deliver(DeliverRequest(ANNA, at, text=text, ref=n))]
            batch = [
                ReceivedPdu(raw, decode(raw), None, "SM", i, "35", "8936", "stick0", datetime.now(UTC))
                for i, (_, raw) in enumerate(sim)
            ]
            await self.service.receive(batch)
            if self.random.random() < 0.7:  # else the deletion is lost, and all is read again
                for text in {text for text, _ in sim}:
                    self.note("stored", text)
                sim = []
            await asyncio.sleep(self.random.random() * 0.004)

    async def modem(self, view: ClaimantView) -> None:
        finished: Finished | None = None
        while True:
            job = self.dispatcher.try_claim(view)
            if job is None:
                if finished is not None:
                    await self.dispatcher.finish(finished)
                    finished = None
                job = await self.dispatcher.claim(view)
            part = job.after(None)
            while part is not None:
                if not await self.dispatcher.begin(job, part.index, finished):
                    finished = None
                    break
                finished = Finished(job, part.index, await self.network(job.order.id, part.index))
                part = job.after(finished)

    async def network(self, id: str, part: int) -> SendResult:
        result = self.answer(id, part)
        await asyncio.sleep(self.random.random() * 0.003)
        return result

    def answer(self, id: str, part: int) -> SendResult:
        chance = 1.0 if self.last else self.random.random()
        if chance < 0.2:
            error = SendError("cms_41", "temporary failure", Action.RETRY_SAME)
            return SendResult(SendOutcome.NOT_SENT, error=error)
        self.note("ledger", id, part)
        if chance < 0.3:
            return SendResult(SendOutcome.UNKNOWN, error=SendError("timeout", "no result", Action.UNKNOWN))
        return SendResult(SendOutcome.SENT, mr=self.random.randrange(256))


def read_facts(directory: Path, name: str, rounds: int) -> list[list[Any]]:
    """The facts of one file; a kill may tear one line at most, a fact whose step was not finished then."""
    facts, torn = [], []
    for line in filter(None, (directory / name).read_bytes().split(b"\n")):
        try:
            facts.append(json.loads(line))
        except ValueError:
            torn.append(line)
    if len(torn) > rounds:
        raise ValueError(f"{name}: {len(torn)} torn lines after {rounds} kills")
    return facts


def main() -> int:
    directory, rounds, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    moments = random.Random(seed)
    for number in range(rounds):
        child = os.fork()
        if child == 0:
            asyncio.run(Worker(directory, seed * 1000 + number, last=False).run())
            os._exit(1)  # it never ends by itself
        time.sleep(0.02 + moments.random() * LONGEST)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    asyncio.run(Worker(directory, seed * 1000 + rounds, last=True).run())
    return 0


if __name__ == "__main__":
    sys.exit(main())
