"""The HTTP interface on a real core and journal: in this process, with or without a socket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from hardware.types import ModemStatus
from sms_bridge.mqtt.handlers import make_handlers
from sms_bridge.mqtt.requests import RequestError
from sms_bridge.mqtt.states import modem_payload
from sms_bridge.store.messages import page_of_messages
from sms_bridge.web.access import Gate, Scope, Token
from sms_bridge.web.api import Api
from sms_bridge.web.metrics import Metrics
from sms_bridge.web.ports import Bridge, Figures, Page, Refusal
from sms_bridge.web.stream import Stream
from tests.support.desk import Desk, open_desk

MAX_BODY = 4096
TOKENS = {name: f"{name}-token-0123456789" for name in ("all", *Scope)}


@dataclass
class WebDesk:
    desk: Desk
    api: Api
    stream: Stream
    metrics: Metrics
    client: httpx.AsyncClient
    modems: list[ModemStatus] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)  # why it is not ready

    async def call(self, method: str, path: str, token: str = "all", **more: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {TOKENS[token]}"} | more.pop("headers", {})
        return await self.desk.told(self.client.request(method, path, headers=headers, **more))

    async def send(self, order: dict[str, Any], token: str = "all", **headers: str) -> httpx.Response:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.call("POST", "/api/v1/messages", token, json=order, headers=names)


@asynccontextmanager
async def open_web(folder: Path, **options: Any) -> AsyncIterator[WebDesk]:
    async with open_desk(folder, **options) as desk:
        modems = [ModemStatus("stick-1", imei="860461024123456", iccid="8936304444000012345", number="+36205550001")]
        reasons: list[str] = []
        stream, metrics = Stream(), Metrics()
        for listener in (stream.added, metrics.added):
            desk.journal.on_outbox(listener)
        gate = Gate(
            [Token("all", TOKENS["all"], frozenset(Scope))]
            + [Token(name.value, TOKENS[name], frozenset({name})) for name in Scope]
        )
        api = Api(_bridge(desk, modems, reasons), gate, stream, metrics, max_body=MAX_BODY)
        transport = httpx.ASGITransport(api)
        async with httpx.AsyncClient(transport=transport, base_url="http://bridge") as client:
            yield WebDesk(desk, api, stream, metrics, client, modems, reasons)
        stream.close()
        await api.orders.stop()


def _bridge(desk: Desk, modems: Sequence[ModemStatus], reasons: list[str]) -> Bridge:
    done: list[str] = []

    async def interview(name: str) -> dict[str, Any]:
        done.append(name)
        return {"asked": done}

    handlers = make_handlers(desk.service, modems=lambda: [modem.name for modem in modems], interview=interview)

    async def ask(name: str, fields: dict[str, Any]) -> Any:
        try:
            return await handlers[name](fields)
        except RequestError as error:
            raise Refusal(error.code, str(error)) from error

    async def messages(state: str | None, before: int | None, limit: int) -> Page:
        return Page(*await page_of_messages(desk.journal, state, before, limit))

    async def figures() -> Figures:
        counts, queues = await desk.journal.read(lambda reader: (reader.counts(), reader.queues()))
        journal = desk.journal
        latency = journal.latency
        return Figures("1.2.3", counts, queues, modems, journal.commits, latency.buckets(), latency.total, True, 1)

    return Bridge(
        service=desk.service,
        ask=ask,
        requests=lambda: tuple(handlers),
        messages=messages,
        modems=lambda: [modem_payload(modem) for modem in modems],
        health=lambda: {"status": "pass"},
        not_ready=lambda: reasons,
        figures=figures,
    )
