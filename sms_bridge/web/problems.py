"""What went wrong, as `application/problem+json` (RFC 9457): `code` is stable, `detail` a sentence with the fix."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from starlette.responses import Response

from sms_bridge.core.events import to_json
from sms_bridge.core.model import Rejection

MEDIA_TYPE = "application/problem+json"
STORE_RETRY = 5  # s after which a client may try again what the disk refused

_STATUS = {
    "conflict": 409,
    "payload_too_large": 413,
    "invalid_json": 400,
    "internal": 500,
    "not_found": 404,
    "refused": 409,
    "unavailable": 503,
}
_FIELDS = {
    "no_recipient": "to",
    "invalid_number": "to",
    "unknown_contact": "to",
    "too_many_recipients": "to",
    "unknown_modem": "modem",
    "unknown_route": "route",
    "invalid_id": "id",
    "no_text": "text",
    "empty_text": "text",
    "too_long": "text",
    "not_encodable": "text",
    "invalid_text": "text",
    "invalid_port": "port",
}
_NAMED = re.compile(r"`([a-z_]{1,40})`")


class Problem(Exception):
    """Ends a request with this answer; `more` are further members of it."""

    def __init__(
        self, status: int, code: str, detail: str, *, headers: Mapping[str, str] | None = None, **more: Any
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})
        self.more = more

    def body(self) -> dict[str, Any]:
        return {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            **self.more,
        }

    def response(self) -> Response:
        return Response(to_json(self.body()), self.status, self.headers, MEDIA_TYPE)


def not_stored(why: Exception) -> Problem:
    """The journal did not take it."""
    text = f"nothing was stored: {why}. Send the same request again"
    return Problem(503, "not_stored", text, headers={"Retry-After": str(STORE_RETRY)})


def of_code(code: str, text: str, **more: Any) -> Problem:
    """A refusal with a stable code; what has no status of its own is 422."""
    return Problem(_STATUS.get(code, 422), code, text, **more)


def of_rejections(rejections: Sequence[Rejection], id: str | None = None) -> Problem:
    """An order of which nothing will be sent; the first reason decides."""
    first = rejections[0]
    more: dict[str, Any] = {} if id is None else {"id": id}
    if (field := field_of(first)) is not None:
        more["field"] = field
    if len(rejections) > 1 or first.to is not None:
        more["rejected"] = [as_dict(each) for each in rejections]
    return of_code(first.code, first.text, **more)


def as_dict(rejection: Rejection) -> dict[str, Any]:
    return {"to": rejection.to, "code": rejection.code, "detail": rejection.text, "field": field_of(rejection)}


def field_of(rejection: Rejection) -> str | None:
    """The field of the payload that it speaks about."""
    named = _NAMED.search(rejection.text)
    return named[1] if named else _FIELDS.get(rejection.code)
