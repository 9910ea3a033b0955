"""A route that hands messages to a list: the batch face of the dispatcher, with the peer's answers made up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from hardware.types import SendResult
from sms_bridge.core.dispatcher import Dispatcher
from sms_bridge.core.errors import StoreError
from sms_bridge.core.model import ClaimantView, Finished, Job
from sms_bridge.core.routing import Capabilities, RouteHealth

WINDOW = 20


class PaperRoute:
    """`answer` is asked for each part after it was committed as being sent; it is the peer."""

    def __init__(self, name: str, dispatcher: Dispatcher, answer: Callable[[Job, int], SendResult]) -> None:
        self.name = name
        self.capabilities = Capabilities()
        self._dispatcher = dispatcher
        self._answer = answer
        self._health = RouteHealth(True)
        self._task: asyncio.Task[None] | None = None

    def health(self) -> RouteHealth:
        return self._health

    def start(self) -> None:
        self._dispatcher.routes.set_health(self.name, self._health)
        self._task = asyncio.create_task(self._run())

    async def stop(self, grace: float) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _run(self) -> None:
        view = ClaimantView(self.name, route=self.name)
        while True:
            await self._dispatcher.wait_for_work(view)
            jobs = self._dispatcher.claim_many(view, WINDOW)
            try:
                begun = await self._dispatcher.begin_many(jobs)
            except StoreError:
                for job in jobs:
                    self._dispatcher.release(job)
                continue
            finished = [
                Finished(job, index, self._answer(job, index), f"{self.name}-{job.order.seq}-{index}")
                for job, may in zip(jobs, begun, strict=True)
                if may
                for index in job.wanted
            ]
            if finished:
                await self._dispatcher.finish_many(finished)
