"""The requests `pause` and `resume`."""

from __future__ import annotations

from typing import Any, Protocol

from sms_bridge.mqtt.models import taken
from sms_bridge.mqtt.requests import Handler, answered
from sms_bridge.payloads.switches import PauseRequest, ResumeRequest


class PausePort(Protocol):
    """The pause switch."""

    async def pause(self, reason: str | None = None) -> bool:
        """False: it was paused already."""

    async def resume(self) -> bool:
        """False: it was not paused."""

    def summary(self) -> dict[str, str | None]:
        """`since` and `reason`, null while it is not paused."""


def pause_handlers(port: PausePort) -> dict[str, Handler]:
    """Handlers for `Requests`."""

    async def pause(fields: dict[str, Any]) -> Any:
        wanted = taken(PauseRequest, fields)
        if not wanted.paused:
            return {"paused": False, "changed": await answered(port.resume())}
        changed = await answered(port.pause(wanted.reason))
        return {"paused": True, "changed": changed, **port.summary()}

    async def resume(fields: dict[str, Any]) -> Any:
        taken(ResumeRequest, fields)
        return {"paused": False, "changed": await answered(port.resume())}

    return {"pause": pause, "resume": resume}
