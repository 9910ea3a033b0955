"""What `web` and `webhooks` are set to. Apart from their schema: who has no file does not pay for voluptuous."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

SCOPES = ("send", "read", "admin", "metrics")
DEFAULT_SCOPES = ("send", "read")
DEFAULT_EVENTS = ("received",)

ExistingFile = Callable[[str, str], Path]
"""The file under a key of `tls`; says so when it is not there."""

Secret = Callable[[Mapping[str, Any], str, int], str | None]
"""Of an entry in the list of that name and its place there: the secret, from whichever key holds it."""


@dataclass(frozen=True, slots=True)
class TokenSettings:
    """Who may do what; `token` is given by itself, in a file, or in an environment variable."""

    name: str
    token: str = field(repr=False)
    scopes: tuple[str, ...] = DEFAULT_SCOPES


@dataclass(frozen=True, slots=True)
class WebTlsSettings:
    cert: Path | None = None
    key: Path | None = None


@dataclass(frozen=True, slots=True)
class WebSettings:
    """The HTTP interface; it is off where there is no `web:`."""

    host: str = "127.0.0.1"
    port: int = 8780
    tls: WebTlsSettings | None = None
    tokens: tuple[TokenSettings, ...] = ()
    trusted_proxies: tuple[str, ...] = ()  # whose X-Forwarded-For is believed
    max_body: int = 256 * 1024  # bytes


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """Where events are told to."""

    name: str
    url: str
    events: tuple[str, ...] = DEFAULT_EVENTS
    secret: str | None = field(default=None, repr=False)
    timeout: float = 10.0
    give_up: float = 3 * 86_400.0  # after which an event that it does not take is dropped
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    reply: bool = True  # its answer to a received message may be sent


def web_settings(data: dict[str, Any], existing: ExistingFile, secret: Secret) -> WebSettings:
    given = dict(data)
    if "tls" in given:
        given["tls"] = WebTlsSettings(**{key: existing(key, name) for key, name in given["tls"].items()})
    tokens = []
    for index, entry in enumerate(given.pop("tokens", [])):
        token = secret(entry, "tokens", index)
        scopes = tuple(entry.get("scopes", DEFAULT_SCOPES))
        tokens.append(TokenSettings(entry.get("name", f"token-{index + 1}"), token or "", scopes))
    given["trusted_proxies"] = tuple(given.get("trusted_proxies", ()))
    return WebSettings(tokens=tuple(tokens), **given)


def webhook_settings(entry: dict[str, Any], index: int, secret: Secret) -> WebhookSettings:
    given = {key: value for key, value in entry.items() if key not in ("secret", "secret_file", "env")}
    given.setdefault("name", f"webhook-{index + 1}")
    if "events" in given:
        given["events"] = tuple(given["events"])
    if "headers" in given:
        given["headers"] = MappingProxyType(given["headers"])
    return WebhookSettings(secret=secret(entry, "webhooks", index), **given)
