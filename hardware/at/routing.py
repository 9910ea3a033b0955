"""Which handler a line without a question goes to: prefix, and a number of following lines; each line exactly once."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from hardware.at import timeouts
from hardware.at.types import Urc
from hardware.at.urc import KNOWN, WITH_BODY, ends_text, opens_text

_LOGGER = logging.getLogger(__name__)

UrcHandler = Callable[[Urc], None]

HEX_DIGITS: Final = frozenset("0123456789ABCDEFabcdef")
MOST_TEXT_LINES: Final = 50  # of a quoted string: a USSD menu has 182 characters
NEVER_TEXT: Final = ("+CMGS:", "+CMS ERROR:", "+CME ERROR:")  # answers that must not be lost to an unclosed quote


@dataclass(slots=True)
class _Route:
    prefix: str
    following_lines: int
    handlers: list[UrcHandler] = field(default_factory=list)


@dataclass(slots=True)
class _Unfinished:
    """A URC whose following lines have not all come; `missing` 0: those up to the closing quote."""

    text: str
    handlers: list[UrcHandler]
    missing: int
    since: float
    body: list[str] = field(default_factory=list)

    def deliver(self) -> None:
        _deliver(self.handlers, Urc(self.text, tuple(self.body)))


class UrcRouter:
    """Owned by one channel. Handlers run on the loop and must not block; what they raise is logged, never passed on."""

    def __init__(self) -> None:
        self._routes: list[_Route] = []
        self._prefixes = KNOWN
        self._unfinished: _Unfinished | None = None

    def add(self, prefix: str, handler: UrcHandler, following_lines: int) -> Callable[[], None]:
        """Route lines that begin with `prefix` to `handler`; the longest prefix wins. Returns what takes it back."""
        route = next((route for route in self._routes if route.prefix == prefix), None)
        if route is None:
            route = _Route(prefix, following_lines)
            self._routes.append(route)
            self._routes.sort(key=lambda each: -len(each.prefix))
        route.following_lines = max(route.following_lines, following_lines)
        route.handlers.append(handler)
        self._prefixes = (*(each.prefix for each in self._routes), *KNOWN)

        def remove() -> None:
            if handler in route.handlers:
                route.handlers.remove(handler)

        return remove

    def knows(self, line: str) -> bool:
        """`line` begins like an unsolicited one: with a handler's prefix or one known in the field."""
        return line.startswith(self._prefixes)

    @property
    def waiting(self) -> bool:
        """A line that belongs to an earlier URC is still to come."""
        return self._unfinished is not None

    @property
    def in_text(self) -> bool:
        """The next line is somebody's text, in all likelihood."""
        return self._unfinished is not None and not self._unfinished.missing

    def take_body(self, line: str, now: float) -> bool:
        """True: `line` (hex: a PDU) belonged to an earlier URC. Other lines are let through, for `URC_BODY` seconds."""
        unfinished = self._unfinished
        if unfinished is None:
            return False
        if not unfinished.missing:
            return self._take_text(unfinished, line, now)
        if now - unfinished.since > timeouts.URC_BODY:
            self._unfinished = None
            return False
        if not HEX_DIGITS.issuperset(line):
            return False
        unfinished.body.append(line)
        if len(unfinished.body) == unfinished.missing:
            self._unfinished = None
            unfinished.deliver()
        return True

    def _take_text(self, unfinished: _Unfinished, line: str, now: float) -> bool:
        """Any line up to the closing quote, but none that can only be an answer or another URC."""
        stray = line.startswith(NEVER_TEXT) or (line[0] in "+^" and self.knows(line))
        if stray or now - unfinished.since > timeouts.URC_BODY:
            self._unfinished = None
            unfinished.deliver()  # its end is lost
            return False
        unfinished.body.append(line)
        if ends_text(line) or len(unfinished.body) >= MOST_TEXT_LINES:
            self._unfinished = None
            unfinished.deliver()
        return True

    def dispatch(self, line: str, now: float) -> bool:
        """Hand `line` to the handlers of its longest prefix; False: no URC that anybody knows."""
        route = next((route for route in self._routes if _matches(route.prefix, line)), None)
        handlers = list(route.handlers) if route is not None else []  # a copy: a handler may take itself back
        following = route.following_lines if route is not None else WITH_BODY.get(line[: line.find(":") + 1], 0)
        if opens_text(line):
            self._unfinished = _Unfinished(line, handlers, 0, now)
        elif following:
            self._unfinished = _Unfinished(line, handlers, following, now)
        else:
            _deliver(handlers, Urc(line))
        return route is not None or line.startswith(KNOWN)


def _matches(prefix: str, line: str) -> bool:
    """`+CMT` is the beginning of `+CMT: ,23`, not of `+CMTI: "SM",1`."""
    if not line.startswith(prefix):
        return False
    return len(line) == len(prefix) or not (prefix[-1].isalnum() and line[len(prefix)].isalnum())


def _deliver(handlers: list[UrcHandler], urc: Urc) -> None:
    for handler in handlers:
        try:
            handler(urc)
        except Exception:  # a handler's fault must not cost the line that follows
            _LOGGER.exception("The handler of an unsolicited line failed")
