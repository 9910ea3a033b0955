"""Calls that may block for ever, each in a daemon thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def call_in_thread(name: str, function: Callable[[], T], orphaned: Callable[[T], None]) -> asyncio.Future[T]:
    """Run `function` in a new thread; a result that nobody waits for any more goes to `orphaned`, in a thread again.

    Not an executor: its threads are shared, so that one wedged driver would eat the pool, and joined at exit, so that
    it would keep the process alive.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def deliver(result: T) -> None:
        if future.done():
            _start(name, lambda: orphaned(result))
        else:
            future.set_result(result)

    def fail(error: BaseException) -> None:
        if not future.done():
            future.set_exception(error)

    def run() -> None:
        try:
            result = function()
        except BaseException as error:  # handed to whoever awaits the future
            _on_loop(loop, lambda error=error: fail(error))  # type: ignore[misc]
        else:
            if not _on_loop(loop, lambda: deliver(result)):
                orphaned(result)

    _start(name, run)
    return future


def _on_loop(loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> bool:
    """False: the loop is closed, nobody is there to be told."""
    try:
        loop.call_soon_threadsafe(callback)
    except RuntimeError:
        return False
    return True


def _start(name: str, function: Callable[[], None]) -> None:
    threading.Thread(target=function, name=name, daemon=True).start()
