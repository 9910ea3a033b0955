"""Live events: who gets what, who missed what, who is too slow."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from sms_bridge.core.model import OutboxRow
from sms_bridge.web import stream as stream_module
from sms_bridge.web.problems import Problem
from sms_bridge.web.stream import BUFFER, KEPT, MOST, Stream


class Reader:
    """A client of one stream, which may stop reading."""

    def __init__(self) -> None:
        self.text = ""
        self.over = False
        self.may_write = asyncio.Event()
        self.may_write.set()
        self.gone = asyncio.Event()

    async def send(self, message: dict) -> None:
        await self.may_write.wait()
        self.text += message.get("body", b"").decode()
        self.over = message["type"] == "http.response.body" and not message["more_body"]

    async def receive(self) -> dict:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    def events(self) -> list[tuple[str, str]]:
        """(id, kind) of each."""
        found = []
        for block in self.text.split("\n\n"):
            fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
            if "event" in fields:
                json.loads(fields["data"])
                found.append((fields.get("id", ""), fields["event"]))
        return found


@asynccontextmanager
async def reading(stream: Stream, kinds: str | None = None, last: str | None = None) -> AsyncIterator[Reader]:
    reader = Reader()
    response = stream.response(kinds, last)
    task = asyncio.create_task(response({"type": "http"}, reader.receive, reader.send))
    await asyncio.sleep(0.01)
    try:
        yield reader
    finally:
        reader.may_write.set()
        reader.gone.set()
        await asyncio.wait_for(task, 5)


def row(seq: int, kind: str = "status") -> OutboxRow:
    return OutboxRow(seq, kind, json.dumps({"event_type": "x", "text": "two\nlines \u2028"}))


async def told(stream: Stream, *rows: OutboxRow) -> None:
    stream.added(rows)
    await asyncio.sleep(0.01)


async def test_each_client_gets_the_kinds_it_wants_in_order():
    stream = Stream()
    async with reading(stream) as everything, reading(stream, "received,modem") as some:
        await told(stream, row(7), row(8, "in"), row(9, "event"), row(10, "raw"))
        stream.modem('{"name":"stick-1"}')
        await asyncio.sleep(0.01)
        assert everything.events() == [
            ("7", "status"),
            ("8", "received"),
            ("9", "bridge"),
            ("10", "raw"),
            ("", "modem"),
        ]
        assert some.events() == [("8", "received"), ("", "modem")]
        assert stream.clients == 2
    assert stream.clients == 0


async def test_who_comes_back_gets_what_was_missed():
    stream = Stream()
    stream.begin(4)
    await told(stream, row(5), row(6, "in"), row(7))
    async with reading(stream, None, "5") as back, reading(stream, "status", "4") as statuses, reading(stream) as new:
        await told(stream, row(8))
        assert back.events() == [("6", "received"), ("7", "status"), ("8", "status")]
        assert statuses.events() == [("5", "status"), ("7", "status"), ("8", "status")]
        assert new.events() == [("8", "status")]


async def test_who_missed_more_than_is_kept_is_told_of_the_gap():
    stream = Stream()
    stream.begin(4)
    async with reading(stream, None, "3") as early:
        assert early.events() == [("", "gap")]
    await told(stream, *(row(seq) for seq in range(5, KEPT + 15)))
    async with reading(stream, None, "13") as late, reading(stream, None, "nonsense") as odd:
        assert late.events()[0] == ("", "gap")
        assert odd.events() == []
    async with reading(stream, None, str(KEPT + 10)) as just:
        assert [id for id, _ in just.events()] == [str(seq) for seq in range(KEPT + 11, KEPT + 15)]


async def test_a_slow_client_is_dropped_and_nobody_waits():
    stream = Stream()
    async with reading(stream) as slow, reading(stream) as quick:
        slow.may_write.clear()
        for n in range(BUFFER + 10):
            await told(stream, row(n + 1)) if n % 100 == 0 else stream.added([row(n + 1)])
        await asyncio.sleep(0.01)
        assert len(quick.events()) == BUFFER + 10
        slow.may_write.set()
        await asyncio.sleep(0.01)
        assert slow.over
        assert ": this client is too slow" in slow.text
        assert len(slow.events()) < BUFFER
        assert (stream.clients, stream.dropped) == (1, 1)


async def test_silence_is_broken_by_heartbeats(monkeypatch):
    monkeypatch.setattr(stream_module, "HEARTBEAT", 0.02)
    async with reading(Stream()) as client:
        await asyncio.sleep(0.1)
        assert client.text.count(": still here") >= 2
        assert client.text.startswith("retry: ")


async def test_the_end_of_the_bridge_ends_all_streams():
    stream = Stream()
    async with reading(stream) as client:
        stream.close()
        await asyncio.sleep(0.01)
        assert client.over
        with pytest.raises(Problem):
            stream.response(None, None)


async def test_too_many_clients_and_unknown_kinds_are_refused():
    stream = Stream()
    with pytest.raises(Problem) as caught:
        stream.response("received,everything", None)
    assert caught.value.status == 422
    async with reading(stream), reading(stream):
        for n in range(MOST - 2):
            stream.join(stream_module._Client(frozenset()), n)
        with pytest.raises(Problem) as caught:
            stream.response(None, None)
        assert caught.value.status == 503
