"""Somebody's program that webhooks are posted to: what it got, and whatever it is told to answer."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Post:
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Receiver:
    url: str = ""
    posts: list[Post] = field(default_factory=list)
    answers: deque[tuple[int, str, dict[str, str]] | None] = field(default_factory=deque)  # None: never
    usual: tuple[int, str, dict[str, str]] | None = (200, "OK", {})
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    def will(self, status: int, body: str = "", **headers: str) -> None:
        """The next answer that is not yet planned."""
        self.answers.append((status, body, headers))

    async def wait(self, count: int, deadline: float = 5.0) -> list[Post]:
        """Once it has got so many posts in all."""
        await self.until(lambda: len(self.posts) >= count, deadline)
        return self.posts

    async def until(self, condition: Callable[[], bool], deadline: float = 5.0) -> None:
        async with asyncio.timeout(deadline):
            while not condition():
                self.arrived.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.02):
                        await self.arrived.wait()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._one(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in head[1:] if line)}
        self.posts.append(Post(headers, await reader.readexactly(int(headers["content-length"]))))
        self.arrived.set()
        answer = self.answers.popleft() if self.answers else self.usual
        if answer is None:
            await reader.read()  # until the other side gives up
            return False
        status, body, more = answer
        lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body.encode())}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in more.items()]
        writer.write(("\r\n".join(lines) + "\r\n\r\n" + body).encode())
        await writer.drain()
        return True


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    tasks: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.suppress(asyncio.CancelledError):  # which asyncio 3.11 would complain of
            await receiver.serve(reader, writer)
        tasks.discard(task)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    try:
        yield receiver
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
