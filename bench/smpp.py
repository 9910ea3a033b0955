"""Submits a second through one SMPP account, each journalled durably, and what each costs; the centre is a process."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sms_bridge.core.model import OutboxRow, SendRequest
from sms_bridge.routes.smpp import pdu
from sms_bridge.routes.smpp.pdu import Address, Bind, Message
from sms_bridge.routes.smpp.session import Answer, Received, Session, SessionSettings
from tests.support.smpp_rig import Rig, core
from tests.support.stack import ROOT, stop_process

RUNS = ((1, 0.02, 150), (10, 0.02, 1500), (50, 0.02, 6000), (50, 0.0, 20_000))  # window, seconds, messages
BATCH = 500
DEADLINE = 300.0
_BODY = pdu.message_body(Message(destination=Address("36301234567", 1, 1), octets=b"x" * 110))


@dataclass
class Figures:
    """Of one run."""

    window: int
    latency: float
    messages: int
    per_second: float
    bare: float  # the same without a journal: what window ÷ round trip is on this machine, in this minute
    reached: float
    cpu_us: float  # of this process, all threads, a message


def run() -> list[dict[str, Any]]:
    """All runs, each in a journal and with a message centre of its own."""
    return [vars(asyncio.run(_one(*each))) for each in RUNS]


async def _one(window: int, latency: float, messages: int) -> Figures:
    with tempfile.TemporaryDirectory(prefix="bench") as directory:
        folder = Path(directory)
        command = [sys.executable, "-m", "tests.support.smsc", "--dir", str(folder / "smsc"), "--no-ledger"]
        command += ["--receipts", "none", "--latency", str(latency)]
        smsc = await asyncio.to_thread(subprocess.Popen, command, stdout=subprocess.PIPE, cwd=ROOT)
        try:
            assert smsc.stdout is not None
            port = json.loads(smsc.stdout.readline())["port"]
            bare = await _bare(port, window, messages)
            async with core(folder / "data", port, window=window, started=False) as rig:
                rate, cpu = await _measure(rig, messages)
            return Figures(window, latency, messages, rate, bare, rate / bare, cpu)
        finally:
            stop_process(smsc)
            assert smsc.stdout is not None
            smsc.stdout.close()


class _Refill:
    """Submits the next one for each answer, and does nothing else."""

    def __init__(self, messages: int) -> None:
        self.left = messages
        self.answers = messages
        self.done = asyncio.Event()

    def answered(self, session: Session, answers: list[Answer]) -> None:
        count = min(self.left, len(answers))
        self.left -= count
        self.answers -= len(answers)
        if count:
            session.submit([(_BODY, None)] * count)
        if not self.answers:
            self.done.set()

    def late(self, session: Session, answers: list[Answer]) -> None: ...

    def received(self, session: Session, messages: list[Received]) -> None: ...

    def writable(self, session: Session) -> None: ...


async def _bare(port: int, window: int, messages: int) -> float:
    refill = _Refill(messages)
    session = Session(SessionSettings("127.0.0.1", port, Bind("bridge", "secret")), refill)
    await session.open()
    began = time.perf_counter()
    refill.left -= window
    session.submit([(_BODY, None)] * window)
    async with asyncio.timeout(DEADLINE):
        await refill.done.wait()
    rate = messages / (time.perf_counter() - began)
    await session.close(0)
    return rate


async def _measure(rig: Rig, messages: int) -> tuple[float, float]:
    """The orders are in the journal first; then the account connects, and they go."""
    for start in range(0, messages, BATCH):
        await rig.service.submit([_order(number) for number in range(start, min(start + BATCH, messages))])
    sent, began, cpu = 0, 0.0, 0.0
    done = asyncio.Event()

    def count(rows: list[OutboxRow]) -> None:
        nonlocal sent, began, cpu
        if not began and any('"sending"' in row.payload for row in rows):
            began, cpu = time.perf_counter(), time.process_time()
        sent += sum('"state": "sent"' in row.payload or '"state":"sent"' in row.payload for row in rows)
        if sent >= messages:
            done.set()

    rig.journal.on_outbox(count)
    await rig.smpp.start(rig.service)
    async with asyncio.timeout(DEADLINE):
        await done.wait()
    elapsed, cpu = time.perf_counter() - began, time.process_time() - cpu
    return messages / elapsed, cpu * 1e6 / messages


def _order(number: int) -> SendRequest:
    to = f"+3630{1_000_000 + number}"
    text = f"message {number} " + "x" * 100
    return SendRequest(id=f"b{number}", to=(to,), text=text, route="smpp:backup", delivery_report=False)
