"""One POST to a webhook, and what its answer means. The only place that knows the HTTP client."""

from __future__ import annotations

import asyncio
import email.utils
import hashlib
import hmac
import logging
import os
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

import httpx

MAX_ANSWER = 16 * 1024  # bytes that are read of it
SIGNATURE, TIMESTAMP = "X-SMS-Bridge-Signature", "X-SMS-Bridge-Timestamp"
EVENT, EVENT_ID = "X-SMS-Bridge-Event", "X-SMS-Bridge-Event-Id"
# The event itself is at fault, as the other side sees it; anything else that fails may be mended there.
REFUSALS = frozenset({400, 413, 415, 422})
_THROTTLED = frozenset({429, 503})


@dataclass(frozen=True, slots=True)
class Taken:
    """2xx."""

    answer: bytes


@dataclass(frozen=True, slots=True)
class Gone:
    """410: nobody wants to be told any more."""


@dataclass(frozen=True, slots=True)
class Refused:
    """It says that this event is wrong."""

    reason: str


@dataclass(frozen=True, slots=True)
class Later:
    """It did not work; `wait` is for how long it asked, in s."""

    reason: str
    wait: float | None = None


Outcome = Taken | Gone | Refused | Later


class Target(Protocol):
    """What of a webhook's settings a delivery needs."""

    @property
    def secret(self) -> str | None: ...
    @property
    def timeout(self) -> float: ...
    @property
    def headers(self) -> Mapping[str, str]: ...


class Post(Protocol):
    """Posts one event; raises nothing."""

    async def __call__(self, url: str, body: bytes, *, event_id: str, event: str, hook: Target) -> Outcome: ...


class Poster:
    """Implements `Post`. Addresses come from the configuration alone, and no redirect leads elsewhere."""

    def __init__(self, agent: str) -> None:
        self._agent = agent
        self._client: httpx.AsyncClient | None = None

    async def start(self) -> None:
        # Its log has whole addresses, and people put tokens into those.
        for name in ("httpx", "httpcore"):
            logging.getLogger(name).setLevel(logging.WARNING)
        # Reading the system's authorities takes a while.
        trust = await asyncio.get_running_loop().run_in_executor(None, ssl.create_default_context)
        self._client = httpx.AsyncClient(
            verify=trust,
            trust_env=False,
            follow_redirects=False,
            limits=httpx.Limits(max_connections=64, max_keepalive_connections=16),
        )

    async def stop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def __call__(self, url: str, body: bytes, *, event_id: str, event: str, hook: Target) -> Outcome:
        assert self._client is not None, "not started"
        headers = {**hook.headers, "Content-Type": "application/json", "User-Agent": self._agent}
        headers |= {EVENT: event, EVENT_ID: event_id}
        if hook.secret is not None:
            stamp = str(int(time.time()))
            headers |= {TIMESTAMP: stamp, SIGNATURE: signature(hook.secret, stamp, body)}
        try:
            async with (
                asyncio.timeout(hook.timeout),  # in all: the client's own are for each step
                self._client.stream("POST", url, content=body, headers=headers, timeout=hook.timeout) as response,
            ):
                return await _outcome(response)
        except TimeoutError:
            return Later(f"it did not answer within {hook.timeout:g} s")
        except httpx.TimeoutException:
            return Later(f"it did not answer within {hook.timeout:g} s")
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            return Later(f"it cannot be reached: {_innermost(error)}")


def signature(secret: str, stamp: str, body: bytes) -> str:
    """`sha256=` and the hex HMAC-SHA256 over timestamp, full stop, body."""
    digest = hmac.new(secret.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    return f"sha256={digest}"


async def _outcome(response: httpx.Response) -> Outcome:
    status = response.status_code
    if 200 <= status < 300:
        return Taken(await _answer(response))
    if status == 410:
        return Gone()
    if 300 <= status < 400:
        return Later(f"it answered {status}: write the address that it leads to")
    if status in REFUSALS:
        return Refused(f"it answered {status}")
    wait = _retry_after(response.headers.get("retry-after")) if status in _THROTTLED else None
    return Later(f"it answered {status}", wait)


async def _answer(response: httpx.Response) -> bytes:
    """What is too long to be a reply is none."""
    found = b""
    async for piece in response.aiter_bytes():
        found += piece
        if len(found) > MAX_ANSWER:
            return b""
    return found


def _retry_after(value: str | None) -> float | None:
    """Seconds, from seconds or a date (RFC 9110 10.2.3)."""
    if value is None:
        return None
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        return max(0.0, (email.utils.parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


def _innermost(error: BaseException) -> str:
    """What the system said, without the address."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    if isinstance(error, ssl.SSLError):
        return f"TLS: {getattr(error, 'verify_message', None) or error.reason}"
    if isinstance(error, socket.gaierror):
        return "its name is not known"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return type(error).__name__
