"""Puts the webhooks together: the feed in the journal, the HTTP client, the core that sends replies."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from importlib import metadata
from typing import TYPE_CHECKING, Any

from sms_bridge.config.sections.websettings import WebhookSettings
from sms_bridge.core.errors import StoreError
from sms_bridge.store.feed import Feed, Place
from sms_bridge.web.delivery import Poster
from sms_bridge.web.replies import Replies
from sms_bridge.web.webhooks import Hook, Webhook, Webhooks

if TYPE_CHECKING:
    from sms_bridge.parts.web import Parts

log = logging.getLogger(__name__)

STORE_RETRY = 5.0  # s until a feed that the disk refused is tried again


class WebhookFront:
    """All webhooks of the configuration."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._hooks = [_hook(each) for each in parts.settings.webhooks]
        self._feed = Feed(parts.journal)
        self._poster = Poster(f"sms-bridge/{metadata.version('sms-bridge')}")
        self._webhooks = Webhooks(())
        self._gone: list[str] = []  # said of those that are not even begun with
        self._opening: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Returns at once; a disk that is full delays webhooks only."""
        self._parts.journal.on_outbox(self._added)
        await self._poster.start()
        self._opening = asyncio.create_task(self._open(), name="webhooks-open")

    async def stop(self) -> None:
        """What is under way is posted again after the next start. Idempotent."""
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        await self._webhooks.stop()
        await self._poster.stop()

    def figures(self) -> dict[str, dict[str, float]]:
        return self._webhooks.figures()

    def warnings(self) -> list[str]:
        """What a person should know, as sentences."""
        return self._gone + self._webhooks.warnings()

    def _added(self, rows: Any) -> None:
        self._webhooks.added(rows)

    async def _open(self) -> None:
        places = await self._places()
        for name, place in places.items():
            if place.disabled:
                self._gone.append(f"the webhook {name} has answered 410 Gone: change its url, or remove it")
                log.warning("%s", self._gone[-1])
        service = self._parts.service
        replies = Replies(service, self._tell, self._parts.modems.own_numbers)
        self._webhooks = Webhooks(
            [
                Webhook(
                    hook, places[hook.name].seen, self._feed, self._poster, replies, self._tell, self._parts.clock.now
                )
                for hook in self._hooks
                if not places[hook.name].disabled
            ]
        )
        self._webhooks.start()
        log.info("webhooks: %s", ", ".join(hook.name for hook in self._hooks))

    async def _places(self) -> Mapping[str, Place]:
        while True:
            try:
                return await self._feed.open({hook.name: (hook.url, hook.kinds) for hook in self._hooks})
            except StoreError as error:
                log.error("the webhooks wait for the journal: %s", error)
                await asyncio.sleep(STORE_RETRY)

    async def _tell(self, event: str, data: Mapping[str, Any]) -> None:
        await self._parts.service.event(event, **data)


def _hook(settings: WebhookSettings) -> Hook:
    return Hook(
        name=settings.name,
        url=settings.url,
        events=frozenset(settings.events),
        secret=settings.secret,
        timeout=settings.timeout,
        give_up=settings.give_up,
        headers=settings.headers,
        reply=settings.reply,
    )
