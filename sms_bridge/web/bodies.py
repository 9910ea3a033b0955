"""Request bodies: read in pieces, never more than is allowed, never for longer than is allowed."""

from __future__ import annotations

import asyncio

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Send

from sms_bridge.web.problems import Problem

BODY_DEADLINE = 20.0  # s for a whole body; 256 kB over a mobile network take ten
# What is still under way when an answer goes out early is thrown away for a while: closing at once would reset the
# connection, and most clients would never see the answer.
LINGER_BYTES = 16 * 1024 * 1024
LINGER = 3.0  # s
_CLOSE = {"Connection": "close"}


async def read_json_body(request: Request, most: int, deadline: float = BODY_DEADLINE) -> bytes:
    """The body of a request that says that it is JSON. Problem: 408, 413, 415."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        text = "the body is not said to be JSON: send the header `Content-Type: application/json`"
        raise Problem(415, "unsupported_media_type", text, headers={"Accept": "application/json"})
    return await read_body(request, most, deadline)


async def read_body(request: Request, most: int, deadline: float = BODY_DEADLINE) -> bytes:
    """At most `most` bytes. Problem: 408 when they come too slowly, 413 when there are more."""
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > most:
        raise _too_large(most)
    pieces, size = [], 0
    try:
        async with asyncio.timeout(deadline):
            async for piece in request.stream():
                size += len(piece)
                if size > most:
                    raise _too_large(most)
                pieces.append(piece)
    except TimeoutError:
        text = f"the body did not arrive within {deadline:g} s: send it whole, at once"
        raise Problem(408, "too_slow", text, headers=_CLOSE) from None
    except ClientDisconnect:
        raise Problem(400, "cut_off", "the body was cut off", headers=_CLOSE) from None
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


async def answer_and_discard(response: Response, receive: Receive, send: Send) -> None:
    """Answer before the body was read; what comes of it is thrown away, within limits, before the connection closes."""
    await send({"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers})
    await send({"type": "http.response.body", "body": response.body, "more_body": True})
    left = LINGER_BYTES
    try:
        async with asyncio.timeout(LINGER):
            while left > 0:
                message = await receive()
                left -= len(message.get("body", b""))
                if message["type"] == "http.disconnect" or not message.get("more_body"):
                    break
    except TimeoutError:
        pass
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def _too_large(most: int) -> Problem:
    # The rest of the body stays unread, so the connection cannot be used again.
    text = f"the body is larger than {most} bytes, which is what `web.max_body` allows"
    return Problem(413, "payload_too_large", text, headers=_CLOSE)
