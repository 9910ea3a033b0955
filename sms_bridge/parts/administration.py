"""What a person asks of the bridge as a whole: options, backups. Handlers for `mqtt.requests`, with errors in words."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from hardware.types import ModemStatus
from sms_bridge.core.errors import CoreError
from sms_bridge.mqtt.requests import Handler, RequestError, text_field
from sms_bridge.parts.backup import Source, make
from sms_bridge.parts.options import Modem, Options
from sms_bridge.routes.console import AtConsole

Statuses = Callable[[], Mapping[str, ModemStatus]]


def option_handlers(options: Options, statuses: Statuses) -> dict[str, Handler]:
    """`options` and `modem/options`."""

    async def change(fields: dict[str, Any]) -> Any:
        return await _told(options.change(_changes(fields)))

    async def change_modem(fields: dict[str, Any]) -> Any:
        name = text_field(fields, "modem", "id", "name")
        status = statuses().get(name)
        if status is None:
            raise RequestError(f"there is no modem {name[:64]!r}; there are: {', '.join(statuses()) or 'none'}")
        return await _told(options.change_modem(Modem(name, status.imei), _changes(fields)))

    return {"options": change, "modem/options": change_modem}


def console_handlers(console: AtConsole, names: Callable[[], Sequence[str]]) -> dict[str, Handler]:
    """`modem/at`, where the configuration allows it."""

    async def ask(fields: dict[str, Any]) -> Any:
        name = text_field(fields, "modem", "id", "name")
        if name not in names():
            raise RequestError(f"there is no modem {name[:64]!r}; there are: {', '.join(names()) or 'none'}")
        return await _told(console.ask(name, text_field(fields, "command")))

    return {"modem/at": ask}


def backup_handler(source: Source) -> Handler:
    """`backup`, one at a time."""
    lock = asyncio.Lock()

    async def handler(fields: dict[str, Any]) -> Any:
        secrets = fields.get("secrets", False)
        if not isinstance(secrets, bool):
            raise RequestError("`secrets` must be true or false")
        async with lock:
            return await _told(make(source, datetime.now(UTC), secrets=secrets))

    return handler


def _changes(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    found = fields.get("options")
    if not isinstance(found, Mapping) or not found:
        raise RequestError(
            '`options` must be an object with what is to change, such as {"options": {"sending": {"max_attempts": 3}}}'
        )
    return found


async def _told(waiting: Awaitable[Any]) -> Any:
    try:
        return await waiting
    except CoreError as error:
        raise RequestError(f"{error}{f' ({error.hint})' if error.hint else ''}") from error
