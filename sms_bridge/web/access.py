"""Who may do what: bearer tokens with scopes (RFC 6750), compared in constant time; failures count (domain E8.7)."""

from __future__ import annotations

import hashlib
import hmac
import logging
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from sms_bridge.web.problems import Problem

log = logging.getLogger(__name__)

FAILURES = 10  # wrong tokens of one client within `WINDOW` that are still answered with 401
WINDOW = 60.0  # s
CLIENTS = 1000  # of which failures are remembered; the one that failed longest ago is forgotten
CHALLENGE = 'Bearer realm="sms-bridge"'


class Scope(StrEnum):
    SEND = "send"  # orders, estimates, cancel
    READ = "read"  # messages, modems, live events
    ADMIN = "admin"  # modems and the bridge itself
    METRICS = "metrics"


@dataclass(frozen=True, slots=True)
class Token:
    """Who has `secret` may do what `scopes` say; `name` is for logs and the journal."""

    name: str
    secret: str = field(repr=False)
    scopes: frozenset[Scope]


class Gate:
    """Looks at the Authorization header. A right token always passes: nobody else's mistakes may hold up an alarm."""

    def __init__(self, tokens: Iterable[Token], now: Callable[[], float] = time.monotonic) -> None:
        self._tokens = [(_digest(token.secret), token) for token in tokens]
        self._now = now
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    def admit(self, authorization: str | None, client: str, *scopes: Scope) -> Token:
        """The token, if it has one of `scopes`. Problem: 401, 403, or 429 after too many wrong ones."""
        token = self._find(authorization)
        if token is None:
            raise self._failed(client, authorization)
        if token.scopes.isdisjoint(scopes):
            has, needed = ", ".join(sorted(token.scopes)), " or ".join(scopes)
            text = f"the token {token.name!r} lacks the scope {needed} (it has: {has}): add it in `web.tokens`"
            raise Problem(403, "missing_scope", text, scope=scopes[0].value)
        return token

    def _find(self, authorization: str | None) -> Token | None:
        kind, _, given = (authorization or "").partition(" ")
        if kind.lower() != "bearer":
            return None
        digest = _digest(given.strip())
        found = None
        for known, token in self._tokens:  # all of them, whatever is found: the time tells nothing
            if hmac.compare_digest(known, digest):
                found = token
        return found

    def _failed(self, client: str, authorization: str | None) -> Problem:
        now = self._now()
        times = self._failures.pop(client, None) or deque(maxlen=FAILURES)
        self._failures[client] = times
        if len(self._failures) > CLIENTS:
            self._failures.popitem(last=False)
        if len(times) == FAILURES and now - times[0] < WINDOW:
            wait = max(1, round(times[0] + WINDOW - now))
            text = f"too many requests without a right token came from {client}: wait {wait} s and correct the token"
            return Problem(429, "too_many_failures", text, headers={"Retry-After": str(wait)})
        times.append(now)
        if len(times) == FAILURES:
            log.warning("%d requests without a right token within a minute or so, from %s", FAILURES, client)
        if authorization is None:
            text = "there is no token: send the header `Authorization: Bearer <token>` with one of `web.tokens`"
        else:
            text = "the token is not right: send `Authorization: Bearer <token>` with one of `web.tokens`"
        return Problem(401, "unauthorized", text, headers={"WWW-Authenticate": CHALLENGE})


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
