"""Orders over HTTP to the core: what arrives together shares a commit, and only then it is answered (domain E5.1)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Protocol

from sms_bridge.core.errors import StoreError
from sms_bridge.core.model import Accepted, Rejected, Rejection, SendRequest

log = logging.getLogger(__name__)

BATCH = 256  # orders of one commit, so that no batch holds the loop for more than some milliseconds

Answer = Accepted | Rejected


class SubmitPort(Protocol):
    """What is needed of the core."""

    async def submit(self, batch: list[SendRequest]) -> list[Answer]:
        """Resolves after one durable commit of all of `batch`; raises, and then nothing of it was committed."""


class Orders:
    """Collects orders while a commit is under way. `submit` from any number of tasks."""

    def __init__(self, service: SubmitPort) -> None:
        self._service = service
        self._waiting: list[tuple[SendRequest, asyncio.Future[Answer]]] = []
        self._task: asyncio.Task[None] | None = None

    async def submit(self, request: SendRequest) -> Answer:
        """Resolves after the commit. StoreError: nothing was committed.

        Who stops waiting does not take the order back: it may be in the journal already.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        self._waiting.append((request, future))
        if self._task is None:
            self._task = loop.create_task(self._run(), name="web-orders")
        return await future

    async def stop(self) -> None:
        """Wait for what is under way."""
        while self._task is not None:
            with contextlib.suppress(Exception):
                await asyncio.shield(self._task)

    async def _run(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
                await self._commit(batch)
        finally:
            self._task = None

    async def _commit(self, batch: list[tuple[SendRequest, asyncio.Future[Answer]]]) -> None:
        try:
            answers = await self._service.submit([request for request, _ in batch])
        except StoreError as error:
            for _, future in batch:
                _fail(future, error)
        except Exception:
            log.exception("a batch of orders was not accepted; they are tried one by one")
            for request, future in batch:
                await self._commit_alone(request, future)
        else:
            for (_, future), answer in zip(batch, answers, strict=True):
                if not future.done():
                    future.set_result(answer)

    async def _commit_alone(self, request: SendRequest, future: asyncio.Future[Answer]) -> None:
        try:
            answer = (await self._service.submit([request]))[0]
        except StoreError as error:
            _fail(future, error)
            return
        except Exception as error:
            log.exception("an order was not accepted")
            reason = Rejection("internal", f"this order could not be accepted: {type(error).__name__}", id=request.id)
            answer = Rejected(request.id, [reason])
        if not future.done():
            future.set_result(answer)


def _fail(future: asyncio.Future[Answer], error: Exception) -> None:
    if not future.done():
        future.set_exception(StoreError(str(error)))
