"""`web` and `webhooks`: their schema, and what no single value of them shows."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any

import voluptuous as vol

from sms_bridge.config.document import KeyPath
from sms_bridge.config.kinds import NAME, Choice, Duration, Flag, ListOf, MapOf, Section, Text, Whole, Wrong
from sms_bridge.config.sections.websettings import SCOPES
from sms_bridge.core.states import OrderState

MIN_TOKEN = 16  # characters: nobody guesses as many
EVENTS = ("received", "raw", "bridge", "status", *OrderState)
_FILE = Text(r"[^\x00-\x1f]{1,1024}", "the path of a file", hint=lambda _: "write a path such as /etc/sms-bridge/token")
_NAME = Text(NAME, "a name of a-z, 0-9, - and _ with at most 32 characters")
_ENV = Text(r"[A-Za-z_][A-Za-z0-9_]{0,63}", "the name of an environment variable")
_TOKEN = Text(
    rf"[\x21-\x7e]{{{MIN_TOKEN},256}}",
    f"{MIN_TOKEN} to 256 characters without spaces, in quotes",
    hint=lambda _: "`openssl rand -hex 24` makes one",
)
_SECRET = Text(
    r"[^\x00-\x1f]{8,256}", "8 to 256 characters, in quotes", hint=lambda _: "`openssl rand -hex 24` makes one"
)
_URL = Text(
    r"https?://(?:[A-Za-z0-9][A-Za-z0-9._-]{0,252}|\[[0-9a-fA-F:.]{2,45}\])(?::[0-9]{1,5})?(?:[/?][\x21-\x7e]{0,1000})?",
    "an address such as https://house.example/sms",
    hint=lambda text: f"write http://{text}" if text and "://" not in text and " " not in text else "",
)
_HEADER = Text(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}", "the name of a header, such as Authorization")
_VALUE = Text(r"[\x20-\x7e]{1,1024}", "the value of a header, in quotes")


class _Address(Text):
    def __call__(self, value: Any) -> str:
        text = super().__call__(value)
        try:
            ipaddress.ip_network(text, strict=False)
        except ValueError:
            raise Wrong("must be an address or a network", "write 192.168.1.2 or 192.168.1.0/24") from None
        return text


def _opt(key: str, description: str) -> Any:
    return vol.Optional(key, description=description)


TOKEN = Section(
    {
        _opt("name", "who has it, for the log; without it token-1, token-2, …"): _NAME,
        _opt("token", f"at least {MIN_TOKEN} characters, in quotes"): _TOKEN,
        _opt("token_file", "a file that holds the token alone"): _FILE,
        _opt("env", "the environment variable that holds it"): _ENV,
        _opt("scopes", "what it allows"): ListOf(Choice(*SCOPES), len(SCOPES), "- send"),
    },
    "token_file: /etc/sms-bridge/token",
    one_of=("token", "token_file", "env"),
)


def web(host: Text) -> Section:
    """The section `web`; a host is what it is elsewhere too."""
    return Section(
        {
            _opt("host", "the address to listen on; 0.0.0.0 for all of them"): host,
            _opt("port", "the port to listen on"): Whole(1, 65_535),
            _opt("tls", "HTTPS"): Section(
                {
                    _opt("cert", "PEM file of the certificate, with those that signed it"): _FILE,
                    _opt("key", "PEM file of its key, without a password"): _FILE,
                },
                "cert: /etc/sms-bridge/cert.pem",
            ),
            _opt("tokens", "who may do what; without one there is nothing but /health"): ListOf(
                TOKEN, 64, "- token_file: /etc/sms-bridge/token"
            ),
            _opt("trusted_proxies", "addresses or networks whose X-Forwarded-For is believed"): ListOf(
                _Address(r"[0-9a-fA-F:.]{2,45}(?:/[0-9]{1,3})?", "an address or a network"), 32, "- 192.168.1.2"
            ),
            _opt("max_body", "bytes that a request may have"): Whole(1024, 1024 * 1024),
        },
        "port: 8780",
    )


WEBHOOK = Section(
    {
        _opt("name", "for the log and the metrics; what it has not got yet goes by it"): _NAME,
        vol.Required("url", description="where events are posted to"): _URL,
        _opt("events", "received, raw, bridge, status, or single states such as delivered"): ListOf(
            Choice(*EVENTS), len(EVENTS), "- received"
        ),
        _opt("secret", "signs each delivery (HMAC-SHA256)"): _SECRET,
        _opt("secret_file", "a file that holds the secret alone"): _FILE,
        _opt("env", "the environment variable that holds it"): _ENV,
        _opt("timeout", "wait for its answer"): Duration(1, 60),
        _opt("give_up", "an event that it does not take for so long is dropped"): Duration(3600, 30 * 86_400),
        _opt("headers", "more headers, such as Authorization"): MapOf(_HEADER, _VALUE, 20, 'Authorization: "Bearer …"'),
        _opt("reply", "false: nothing that it answers is sent"): Flag(),
    },
    "url: https://house.example/sms",
)


def cross_checks(data: dict[str, Any]) -> Iterator[tuple[KeyPath, str, str]]:
    """Names that clash, keys that belong together. Works on data that may be wrong elsewhere."""
    found = data.get("web")
    web = found if isinstance(found, dict) else {}
    tls = web.get("tls")
    if isinstance(tls, dict) and ("cert" not in tls or "key" not in tls):
        yield ("web", "tls"), "needs cert and key", "write both, each the path of a PEM file"
    yield from _same_names(web.get("tokens"), ("web", "tokens"), "token")
    webhooks = data.get("webhooks")
    yield from _same_names(webhooks, ("webhooks",), "webhook")
    for index, entry in enumerate(webhooks if isinstance(webhooks, list) else ()):
        given = [key for key in ("secret", "secret_file", "env") if isinstance(entry, dict) and key in entry]
        if len(given) > 1:
            yield ("webhooks", index, given[1]), f"stands beside {given[0]}", "keep one of the two"


def _same_names(entries: Any, path: KeyPath, default: str) -> Iterator[tuple[KeyPath, str, str]]:
    seen: dict[str, int] = {}
    for index, entry in enumerate(entries if isinstance(entries, list) else ()):
        name = entry.get("name", f"{default}-{index + 1}") if isinstance(entry, dict) else None
        if isinstance(name, str):
            if name in seen:
                where = f"{path[-1]}[{seen[name]}]"
                yield (*path, index, "name"), f"{where} is called so too", "each needs a name of its own"
            seen.setdefault(name, index)
