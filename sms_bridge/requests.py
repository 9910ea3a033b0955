"""What `sms/bridge/request/<name>` can ask for, in terms of the service and the modems."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from hardware.modem import Modem
from hardware.pdu import PduError, estimate
from sms_bridge.core.service import Service
from sms_bridge.mqtt.requests import Handler, RequestError, text_field, whole_field
from sms_bridge.store.journal import Journal


def handlers(
    service: Service,
    modems: Mapping[str, Modem],
    health: Callable[[], dict[str, Any]],
    restart: Callable[[], None],
    journal: Journal,
) -> dict[str, Handler]:
    """All requests that this version serves, by name."""

    async def health_check(_fields: dict[str, Any]) -> dict[str, Any]:
        return health()

    async def restart_bridge(_fields: dict[str, Any]) -> None:
        restart()

    async def backup(_fields: dict[str, Any]) -> dict[str, Any]:
        target = journal.path.with_name(f"backup-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.db")
        await journal.backup(target)
        return {"file": str(target)}

    async def message_get(fields: dict[str, Any]) -> dict[str, Any]:
        wanted = text_field(fields, "id")
        return {"messages": _known(wanted, await service.get(wanted))}

    async def message_cancel(fields: dict[str, Any]) -> dict[str, Any]:
        wanted = text_field(fields, "id")
        return {"messages": _known(wanted, await service.cancel(wanted))}

    async def message_resend(fields: dict[str, Any]) -> dict[str, Any]:
        wanted = text_field(fields, "id")
        count = await service.resend(wanted)
        if not count:
            raise RequestError(f"nothing of {wanted} is in the state `unknown`, so there is nothing to resend")
        return {"resent": count}

    async def message_estimate(fields: dict[str, Any]) -> dict[str, Any]:
        return _estimate(text_field(fields, "text", "message", "content"), fields)

    async def inbox_list(fields: dict[str, Any]) -> dict[str, Any]:
        limit = whole_field(fields, "limit", 50, 1, 500)
        before = whole_field(fields, "before", None, 1, 2**62)
        return {"messages": [json.loads(text) for text in await service.inbox(limit or 50, before)]}

    async def modem_interview(fields: dict[str, Any]) -> None:
        await _modem(modems, fields).interview()

    async def modem_reset(fields: dict[str, Any]) -> None:
        await _modem(modems, fields).reset()

    return {
        "health_check": health_check,
        "restart": restart_bridge,
        "backup": backup,
        "message/get": message_get,
        "message/cancel": message_cancel,
        "message/resend": message_resend,
        "message/estimate": message_estimate,
        "inbox/list": inbox_list,
        "modem/interview": modem_interview,
        "modem/reset": modem_reset,
    }


def _known(wanted: str, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if not found:
        raise RequestError(f"there is no message with the id {wanted}")
    return found


def _modem(modems: Mapping[str, Modem], fields: dict[str, Any]) -> Modem:
    name = text_field(fields, "name", "modem", "id")
    if name not in modems:
        raise RequestError(f"there is no modem {name}; there are: {', '.join(modems) or 'none'}")
    return modems[name]


def _estimate(text: str, fields: dict[str, Any]) -> dict[str, Any]:
    encoding = fields.get("encoding", "auto")
    if encoding not in ("auto", "gsm7", "ucs2"):
        raise RequestError("`encoding` must be auto, gsm7 or ucs2")
    try:
        found = estimate(text, encoding=encoding)
    except PduError as error:
        raise RequestError(f"this text cannot be sent: {error.reason}") from None
    return {
        "encoding": found.encoding,
        "parts": found.segments,
        "units": found.units,
        "per_part": found.per_segment,
        "ucs2_characters": found.ucs2_characters,
    }
