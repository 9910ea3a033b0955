"""Whatever comes over HTTP, the answer is a problem or a result, and never a fault of ours."""

from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.examples import examples
from tests.support.web_rig import TOKENS, WebDesk, open_web

SCRAPS = st.sampled_from(
    ["/api/v1/messages", "/api/v1/messages/", "/resend", "/api/v1/inbox", "/api/v1/modems/", "stick-1", "/reset", "%00",
     "%ff", "%2F", "?before=", "?limit=1&limit=x", "?state=queued", "//", "/..", "/api/v1/requests/", "message/get",
     "/events?kinds=x", "\u0151", "?=&&", "/health", ";", "/metrics"]
)  # fmt: skip
PATHS = st.lists(SCRAPS, min_size=1, max_size=4).map(lambda parts: "/" + "".join(parts).lstrip("/"))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from(
    ["id", "to", "text", "modem", "limit", "before", "data", "send_at", "encoding", "transaction", "x"]
)
BODIES = st.binary(max_size=40) | st.dictionaries(KEYS, VALUES, max_size=5).map(lambda body: json.dumps(body).encode())
METHODS = st.sampled_from(["GET", "POST", "DELETE", "HEAD", "OPTIONS", "PUT", "BREW"])
KINDS = st.sampled_from(["application/json", "text/plain", "application/json; charset=x", ""])
HEADERS = st.dictionaries(
    st.sampled_from(["Idempotency-Key", "Last-Event-ID", "X-Forwarded-For", "Accept"]),
    st.binary(max_size=20),
    max_size=2,
)

Request = tuple[str, str, bytes, str, dict[str, bytes]]


@settings(max_examples=examples(40, 400))
@given(st.lists(st.tuples(METHODS, PATHS, BODIES, KINDS, HEADERS), min_size=1, max_size=12))
def test_nothing_that_comes_in_is_a_fault_of_ours(requests: list[Request]) -> None:
    async def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with open_web(Path(folder)) as web:
                for request in requests:
                    await _try(web, request)

    asyncio.run(run())


async def _try(web: WebDesk, request: Request) -> None:
    """By ASGI itself: a client library would refuse to send most of it."""
    method, target, body, kind, more = request
    path, _, query = target.partition("?")
    headers = [(b"authorization", f"Bearer {TOKENS['all']}".encode()), (b"content-type", kind.encode())]
    headers += [(b"content-length", str(len(body)).encode())]
    headers += [(name.lower().encode(), value) for name, value in more.items()]
    scope: dict[str, Any] = {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": query.encode(),
        "headers": headers, "root_path": "", "scheme": "http", "http_version": "1.1", "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }  # fmt: skip
    sent: list[dict[str, Any]] = []
    parts = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        return parts.pop() if parts else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await web.api(scope, receive, send)
    status = sent[0]["status"]
    assert status not in (500, 504), (request, sent[1:])
    text = b"".join(message.get("body", b"") for message in sent[1:])
    if status >= 400:
        assert json.loads(text)["status"] == status
    assert sent[-1]["type"] == "http.response.body"
