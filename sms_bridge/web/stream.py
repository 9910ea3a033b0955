"""Live events as Server-Sent Events (HTML 9.2): bounded for each client; a slow one is dropped, not waited for."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterable, Sequence

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from sms_bridge.core.model import OutboxKind, OutboxRow
from sms_bridge.web.problems import Problem

KEPT = 1000  # events that a client that comes back may have missed
BUFFER = 2 * KEPT  # events that one client may be behind
HEARTBEAT = 15.0  # s; proxies close what is silent for a minute
MOST = 32  # clients at once
RETRY_MS = 3000  # after which a browser comes back

KINDS = {OutboxKind.IN: "received", OutboxKind.STATUS: "status", OutboxKind.EVENT: "bridge", OutboxKind.RAW: "raw"}
MODEM = "modem"
ALL = frozenset({*KINDS.values(), MODEM})


class Stream:
    """Tells all clients what the outbox and the modems tell. `added` and `modem` never wait."""

    def __init__(self) -> None:
        self.dropped = 0
        self._clients: set[_Client] = set()
        self._kept: deque[OutboxRow] = deque(maxlen=KEPT)
        self._forgotten = 0  # the highest number that is no longer kept
        self._closed = False

    @property
    def clients(self) -> int:
        return len(self._clients)

    def begin(self, seq: int) -> None:
        """What was committed up to `seq` is before this process's time."""
        self._forgotten = max(self._forgotten, seq)

    def added(self, rows: Sequence[OutboxRow]) -> None:
        """From the journal, after a commit."""
        for row in rows:
            if len(self._kept) == KEPT:
                self._forgotten = self._kept[0].seq
            self._kept.append(row)
        for client in self._clients:
            client.put_rows(rows)

    def modem(self, payload: str) -> None:
        """A modem has changed; the payload of `sms/modem/<name>`. It has no number, so it is not told again."""
        for client in self._clients:
            if MODEM in client.kinds:
                client.put(_frame(MODEM, payload))

    def close(self) -> None:
        """End all streams, so that the server can stop."""
        self._closed = True
        for client in self._clients:
            client.end("the bridge stops")

    def response(self, kinds: str | None, last_event_id: str | None) -> Response:
        """The stream of `kinds` (separated by commas; None: all), from behind `last_event_id`. Problem."""
        wanted = ALL if kinds is None else frozenset(kinds.split(","))
        if unknown := wanted - ALL:
            shown = "".join(c if c.isprintable() else "\ufffd" for c in min(unknown)[:40])
            text = f"there are no events of the kind {shown!r}; `kinds` takes: {', '.join(sorted(ALL))}"
            raise Problem(422, "invalid_field", text, field="kinds")
        if len(self._clients) >= MOST or self._closed:
            text = f"{len(self._clients)} clients have streams open, which is the most: close one"
            raise Problem(503, "too_many_streams", text, headers={"Retry-After": "30"})
        return _Response(self, wanted, last_event_id)

    def join(self, client: _Client, last: int | None) -> None:
        """From now on `client` is told; first of what it has missed."""
        if last is not None:
            if last < self._forgotten:
                client.put(_frame("gap", '{"hint":"events were missed: see GET /api/v1/messages and /api/v1/inbox"}'))
            client.put_rows([row for row in self._kept if row.seq > last])
        self._clients.add(client)

    def leave(self, client: _Client) -> None:
        self._clients.discard(client)
        self.dropped += client.slow


class _Client:
    """What waits for one client."""

    def __init__(self, kinds: frozenset[str]) -> None:
        self.kinds = kinds
        self.slow = False
        self.over = ""  # why it ends
        self._frames: deque[bytes] = deque()
        self._news = asyncio.Event()

    def put_rows(self, rows: Iterable[OutboxRow]) -> None:
        for row in rows:
            kind = KINDS.get(row.kind, "")
            if kind in self.kinds:
                self.put(_frame(kind, row.payload, row.seq))

    def put(self, frame: bytes) -> None:
        if self.over:
            return
        if len(self._frames) >= BUFFER:
            self.slow = True
            self.end("this client is too slow: it comes back with Last-Event-ID")
            return
        self._frames.append(frame)
        self._news.set()

    def end(self, why: str) -> None:
        self.over = self.over or why
        self._news.set()

    async def next(self) -> bytes:
        """What to write next; b"" at the end."""
        if not self._frames and not self.over:
            self._news.clear()
            try:
                async with asyncio.timeout(HEARTBEAT):
                    await self._news.wait()
            except TimeoutError:
                return b": still here\n\n"
        if self.over:
            return b""
        found = b"".join(self._frames)
        self._frames.clear()
        return found


class _Response(Response):
    """Ends when the client is gone; one that does not read is cut off by the server (`server.Lookout`)."""

    def __init__(self, stream: Stream, kinds: frozenset[str], last_event_id: str | None) -> None:
        super().__init__(media_type="text/event-stream")
        self._stream = stream
        self._kinds = kinds
        self._last = int(last_event_id) if last_event_id and last_event_id.isdecimal() else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"x-accel-buffering", b"no")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        client = _Client(self._kinds)
        self._stream.join(client, self._last)
        gone = asyncio.create_task(_until_gone(client, receive), name="web-stream-watch")
        try:
            await _write(send, f"retry: {RETRY_MS}\n\n".encode())
            while frame := await client.next():
                await _write(send, frame)
            await _write(send, f": {client.over}\n\n".encode(), last=True)
        finally:
            self._stream.leave(client)
            gone.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await gone


async def _until_gone(client: _Client, receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    client.end("gone")


async def _write(send: Send, data: bytes, *, last: bool = False) -> None:
    await send({"type": "http.response.body", "body": data, "more_body": not last})


def _frame(kind: str, payload: str, seq: int | None = None) -> bytes:
    """One event; payloads are JSON on one line."""
    id = f"id: {seq}\n" if seq is not None else ""
    return f"{id}event: {kind}\ndata: {payload}\n\n".encode("utf-8", "replace")
