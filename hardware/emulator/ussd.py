"""What the network answers to USSD codes: pages and menus of pages, in the encoding of the phone (TS 27.007 7.15)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hardware.emulator import wire
from hardware.emulator.general import shown, ucs2_hex
from hardware.emulator.phone import Phone

DELAY = 0.3
MOST_PAGES = 100  # of one definition

_GSM7, _UCS2 = 15, 72


@dataclass(frozen=True, slots=True)
class Page:
    """One answer after `delay` seconds; `answer` None: silence. `mode` is that of `+CUSD`, 1 with a `menu` by reply."""

    answer: str | None
    mode: int = 0
    menu: Mapping[str, Page] = field(default_factory=dict)
    delay: float = DELAY


UNKNOWN = Page("", 4)
WRONG_CHOICE = Page("", 2)

PAGES: dict[str, Page] = {
    "*100#": Page("Balance: 1500.00 HUF, valid until 2031-01-31"),
    "*111#": Page(
        "My account\n1 Balance\n2 Data\n0 Exit",
        1,
        {
            "1": Page("Egyenlege: 1.234,50 Ft. Lejár: 2031.01.31."),
            "2": Page("Data\n1 1 GB\n2 5 GB", 1, {"1": Page("Ordered: 1 GB"), "2": Page("Ordered: 5 GB")}),
            "0": Page("Bye", 2),
        },
    ),
}
"""What every emulated SIM's network knows from the start."""


def page(data: Mapping[str, Any]) -> Page:
    """A page out of JSON: `answer`, `mode`, `menu`, `delay`. ValueError says what is wrong."""
    return _page(data, [MOST_PAGES])


class UssdService:
    """One phone's USSD: its codes, and the session that is open."""

    def __init__(
        self,
        phone: Phone,
        say: Callable[[str], None],
        later: Callable[[float, Callable[[], None]], asyncio.TimerHandle],
        never: Callable[[asyncio.TimerHandle], None],
    ) -> None:
        self.pages = dict(PAGES)
        self._phone = phone
        self._say = say
        self._later = later
        self._never = never
        self._open: Page | None = None
        self._answer: asyncio.TimerHandle | None = None

    @property
    def under_way(self) -> bool:
        """An answer is owed, or a menu is open."""
        return self._answer is not None or self._open is not None

    def take(self, text: str) -> None:
        """`AT+CUSD=1,"<text>"`: a code, or a choice where a menu is open."""
        if self._phone.personality.ussd == "packed_hex":
            try:
                text = wire.unpack_septets(bytes.fromhex(text))
            except ValueError:
                text = ""
        if self._open is not None:
            self.push(self._open.menu.get(text, WRONG_CHOICE))
        else:
            self.push(self.pages.get(text, UNKNOWN))

    def push(self, said: Page) -> None:
        """The network says `said`, asked or not."""
        self.cancel()
        if said.answer is not None:
            self._answer = self._later(said.delay, lambda: self._tell(said))

    def cancel(self) -> None:
        """`AT+CUSD=2`, or the phone restarts."""
        self._open = None
        if self._answer is not None:
            self._never(self._answer)
            self._answer = None

    def _tell(self, said: Page) -> None:
        self._answer = None
        self._open = said if said.mode == 1 else None
        if not said.answer:
            self._say(f"+CUSD: {said.mode}")
            return
        plain = said.answer.isascii()
        if not plain:
            text = ucs2_hex(said.answer)
        elif self._phone.personality.ussd == "packed_hex":
            text = wire.pack_septets(said.answer).hex().upper()
        else:
            text = shown(self._phone, said.answer)
        self._say(f'+CUSD: {said.mode},"{text}",{_GSM7 if plain else _UCS2}')


def _page(data: Any, left: list[int]) -> Page:
    left[0] -= 1
    if left[0] < 0:
        raise ValueError(f"at most {MOST_PAGES} pages")
    if not isinstance(data, Mapping):
        raise ValueError('a page is an object such as {"answer": "500 Ft"}')
    answer, menu = data.get("answer"), data.get("menu") or {}
    if answer is not None and not isinstance(answer, str):
        raise ValueError("`answer` is a string, or null for no answer at all")
    if not isinstance(menu, Mapping):
        raise ValueError("`menu` is an object of replies and their pages")
    mode = data.get("mode", 1 if menu else 0)
    if mode not in (0, 1, 2, 3, 4, 5):
        raise ValueError("`mode` is 0 to 5")
    delay = float(data.get("delay", DELAY))
    if not 0 <= delay <= 600:
        raise ValueError("`delay` is 0 to 600 seconds")
    return Page(answer, int(mode), {str(key): _page(value, left) for key, value in menu.items()}, delay)
