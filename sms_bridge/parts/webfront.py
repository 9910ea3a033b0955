"""Puts the web room together: its ports are the core's, the modems' and those of the requests on MQTT."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from typing import TYPE_CHECKING, Any

from sms_bridge.core.errors import StoreError
from sms_bridge.mqtt.requests import DEADLINE, RequestError
from sms_bridge.mqtt.states import modem_payload
from sms_bridge.store.messages import page_of_messages
from sms_bridge.web.access import Gate, Scope, Token
from sms_bridge.web.api import Api
from sms_bridge.web.metrics import Metrics
from sms_bridge.web.ports import Bridge, Figures, Page, Refusal
from sms_bridge.web.server import ListenError, WebServer
from sms_bridge.web.stream import Stream

if TYPE_CHECKING:
    from sms_bridge.parts.web import Parts

log = logging.getLogger(__name__)

# Requests that read the journal do so one after the other: the bridge's own reading must not stand in line behind them.
READING = frozenset({"message/get", "inbox/list"})
LISTEN_RETRY = 30.0  # s until an address that could not be listened on is tried again


class WebFront:
    """What listens, and what it listens for."""

    def __init__(self, parts: Parts, webhooks: Callable[[], Mapping[str, Mapping[str, float]]]) -> None:
        assert parts.settings.web is not None
        self._parts = parts
        self._settings = web = parts.settings.web
        self._stream = Stream()
        self._metrics = Metrics(webhooks)
        gate = Gate(Token(each.name, each.token, frozenset(map(Scope, each.scopes))) for each in web.tokens)
        self._api = Api(self._bridge(), gate, self._stream, self._metrics, max_body=web.max_body)
        self._server = WebServer(
            self._api,
            web.host,
            web.port,
            cert=web.tls.cert if web.tls is not None else None,
            key=web.tls.key if web.tls is not None else None,
            trusted_proxies=web.trusted_proxies,
        )
        self._listening: asyncio.Task[None] | None = None
        self._reading = asyncio.Semaphore(1)
        self._off = ""  # why it does not listen

    async def start(self) -> None:
        """Listens, or says why not and goes on trying."""
        journal = self._parts.journal
        journal.on_outbox(self._stream.added)
        journal.on_outbox(self._metrics.added)
        self._parts.mqtt.states.on_modem = self._stream.modem
        with contextlib.suppress(
            StoreError
        ):  # a disk that is full: who comes back is not told that it missed something
            self._stream.begin(await journal.write(lambda tx: tx.highest("outbox")))
        if not await self._listen():
            self._listening = asyncio.create_task(self._listen_later(), name="web-listen")

    async def stop(self) -> None:
        """Streams end, requests under way are answered, the address is free."""
        self._parts.mqtt.states.on_modem = None
        if self._listening is not None:
            self._listening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._listening
        self._stream.close()
        await self._server.stop()
        await self._api.orders.stop()

    def warnings(self) -> list[str]:
        """What a person should know, as sentences."""
        return [self._off] if self._off else []

    async def _listen(self) -> bool:
        try:
            await self._server.start()
        except ListenError as error:
            said = f"the HTTP interface is off: {error}{f' ({error.hint})' if error.hint else ''}"
            if said != self._off:
                log.error("%s", said)
            self._off = said
            return False
        self._off = ""
        scheme = "https" if self._settings.tls is not None else "http"
        log.info("HTTP interface on %s://%s:%d", scheme, self._settings.host, self._server.port)
        return True

    async def _listen_later(self) -> None:
        while True:
            await asyncio.sleep(LISTEN_RETRY)
            if await self._listen():
                return

    def _bridge(self) -> Bridge:
        parts = self._parts
        return Bridge(
            service=parts.service,
            ask=self._ask,
            requests=lambda: tuple(parts.handlers),
            messages=self._messages,
            modems=self._modems,
            health=parts.health,
            not_ready=self._not_ready,
            figures=self._figures,
        )

    async def _ask(self, name: str, fields: dict[str, Any]) -> Any:
        try:
            async with asyncio.timeout(DEADLINE), self._reading if name in READING else contextlib.nullcontext():
                data = await self._parts.handlers[name](fields)
        except RequestError as error:
            raise Refusal(error.code, str(error)) from error
        return {} if data is None else data

    async def _messages(self, state: str | None, before: int | None, limit: int) -> Page:
        async with self._reading:
            return Page(*await page_of_messages(self._parts.journal, state, before, limit))

    def _modems(self) -> Sequence[Mapping[str, Any]]:
        parts = self._parts
        return [
            modem_payload(status, parts.modems.queue_of(status.name), balance=parts.balances.of(status))
            for status in parts.modems.statuses()
        ]

    def _not_ready(self) -> Sequence[str]:
        parts, reasons = self._parts, []
        if parts.journal.problem:
            reasons.append(f"the journal cannot be written: {parts.journal.problem}")
        health = parts.health()
        if health["status"] == "fail":
            reasons.append(health["reason"] or "no modem is in service")
        if not parts.mqtt.link.connected:
            reasons.append("the MQTT broker is not there")
        return reasons

    async def _figures(self) -> Figures:
        parts = self._parts
        async with self._reading:
            counts, queues = await parts.journal.read(lambda reader: (reader.counts(), reader.queues()))
        return Figures(
            version=metadata.version("sms-bridge"),
            counts=counts,
            queues=queues,
            modems=list(parts.modems.statuses()),
            commits=parts.journal.commits,
            commit_buckets=parts.journal.latency.buckets(),
            commit_seconds=parts.journal.latency.total,
            mqtt_connected=parts.mqtt.link.connected,
            mqtt_connects=parts.mqtt.link.connects,
        )
