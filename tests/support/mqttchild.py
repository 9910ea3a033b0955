"""A bridge of MQTT and journal alone, as a child to be killed: python -m tests.support.mqttchild DIR PORT MODE VERSION.

MODE `run` works; `before` stops before the first commit, `after` between the commit and its PUBACK.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from sms_bridge.core.model import Accepted, Rejected, SendRequest
from tests.support.mqttlab import Core, core, room


class Stuck(Core):
    """Tells its parent where it stands, and stays there."""

    mode = "run"

    async def submit(self, batch: list[SendRequest]) -> list[Accepted | Rejected]:
        if self.mode == "before":
            print("before", flush=True)
            await asyncio.sleep(600)
        answers = await super().submit(batch)
        if self.mode == "after":
            print("after", flush=True)
            await asyncio.sleep(600)
        return answers


async def main(directory: Path, port: int, mode: str, protocol: str) -> None:
    async with core(directory) as heart:
        stuck = Stuck(heart.journal, heart.dispatcher)
        stuck.mode = mode
        async with room(directory, stuck, port, protocol=protocol):
            print("ready", flush=True)
            await asyncio.sleep(600)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]))
