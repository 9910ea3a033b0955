"""A process whose disk becomes full, or read-only, under its journal. Prints what happened as JSON.

`python -m tests.support.journal_full DIRECTORY tmpfs|rlimit`; "tmpfs" must be allowed to mount.
"""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

from sms_bridge.core.dispatcher import Dispatcher
from sms_bridge.core.errors import StoreError, StoreRefused
from sms_bridge.core.model import ClaimantView, SendRequest
from sms_bridge.core.service import Service
from sms_bridge.store import Journal

SMALL = 2 * 1024 * 1024
STICK = ClaimantView("stick", "8936200000000000142")


def limit(directory: Path, how: str, octets: int | None) -> None:
    if how == "tmpfs":
        size = f"size={octets or 64 * 1024 * 1024}"
        mounted = str(directory) in Path("/proc/self/mounts").read_text()
        options = f"remount,{size}" if mounted else size
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(directory)], check=True)
    else:
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (octets or hard, hard))


async def fill(directory: Path, how: str) -> dict[str, Any]:
    limit(directory, how, SMALL)
    journal = await Journal.open(directory)
    dispatcher = Dispatcher(journal)
    service = Service(journal, dispatcher)
    await service.start()
    acked, refused, hints = [], [], set()

    async def submit(id: str) -> None:
        try:
            await service.submit([SendRequest(id=id, to=("+36301234567",), text="x" * 5000)])
            acked.append(id)
        except StoreError as error:
            refused.append(id)
            hints.add(error.hint)

    number = 0
    while len(refused) < 5:
        await submit(f"full-{number}")
        number += 1
    job = await asyncio.wait_for(dispatcher.claim(STICK), 5)
    try:
        begun = await dispatcher.begin(job, 0)
    except StoreError:
        begun = None
        dispatcher.release(job)
    limit(directory, how, None)
    await submit("after")
    job = await asyncio.wait_for(dispatcher.claim(STICK), 5)
    begun_after = await dispatcher.begin(job, 0)
    again = [
        (await service.submit([SendRequest(id=id, to=("+36301234567",), text="x" * 5000)]))[0] for id in refused[:2]
    ]
    await dispatcher.stop()
    await journal.close()
    journal = await Journal.open(directory)
    kept = {id: bool(await journal.read(lambda r, id=id: r.orders_of(id))) for id in [*acked, *refused]}
    problem = await journal.verify()
    await journal.close()
    return {
        "acked": acked,
        "refused": refused,
        "hints": sorted(hints),
        "begun": begun,
        "begun_after": begun_after,
        "again_repeated": [result.repeated for result in again],
        "kept": kept,
        "problem": problem,
    }


async def read_only(directory: Path) -> dict[str, Any]:
    limit(directory, "tmpfs", None)
    await (await Journal.open(directory)).close()
    await asyncio.to_thread(subprocess.run, ["mount", "-o", "remount,ro", str(directory)], check=True)
    try:
        await (await Journal.open(directory)).close()
    except StoreRefused as error:
        return {"refused": str(error), "hint": error.hint}
    return {}


def main() -> int:
    directory, how = Path(sys.argv[1]), sys.argv[2]
    try:
        work = read_only(directory) if how == "read-only" else fill(directory, how)
        print(json.dumps(asyncio.run(work)))
    finally:
        if how != "rlimit":
            subprocess.run(["umount", str(directory)], check=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
