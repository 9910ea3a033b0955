"""USSD on a modem, for who asks the bridge: requests, and the balance."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from hardware.errors import HardwareError
from hardware.modem import Modem, UssdAnswer
from sms_bridge.core.errors import CoreError

T = TypeVar("T")


class UssdRefused(CoreError):
    """There is no answer; the text and the hint are for a person."""


class UssdDesk:
    """Modems by name. All of it raises UssdRefused."""

    def __init__(self, modem_of: Callable[[str], Modem], heard: Callable[[str, str, str | None], None]) -> None:
        """`heard`: told the modem, the code and the text of an answer."""
        self._modem_of = modem_of
        self._heard = heard

    async def begin(self, modem: str, code: str) -> dict[str, Any]:
        """A code and its answer."""
        answer = await _asked(self._modem_of(modem).ussd(code))
        self._heard(modem, code, answer.text)
        return _told(answer)

    async def go_on(self, modem: str, reply: str) -> dict[str, Any]:
        """A reply to an open menu, and what follows."""
        return _told(await _asked(self._modem_of(modem).ussd_reply(reply)))

    async def end(self, modem: str) -> dict[str, Any]:
        """Close a menu, or give up a wait."""
        if not await _asked(self._modem_of(modem).ussd_cancel()):
            raise UssdRefused("no USSD is under way on this modem")
        return _told(UssdAnswer(None, False))

    async def through(self, modem: str, code: str, replies: Sequence[str]) -> str | None:
        """What the last page of a menu says; the menu is closed then."""
        it = self._modem_of(modem)
        answer = await _asked(it.ussd(code))
        try:
            for reply in replies:
                if not answer.open:
                    raise UssdRefused("the menu ended before the last reply", hint=f"it said: {answer.text}")
                answer = await _asked(it.ussd_reply(reply))
            return answer.text
        finally:
            if answer.open:
                await _asked(it.ussd_cancel())


async def _asked(waiting: Awaitable[T]) -> T:
    try:
        return await waiting
    except HardwareError as error:
        raise UssdRefused(str(error), hint=error.hint) from error


def _told(answer: UssdAnswer) -> dict[str, Any]:
    return {"text": answer.text, "session": "open" if answer.open else "closed"}
