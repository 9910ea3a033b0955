"""Which commands a phone knows: the personality's own answers first, then the standard ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from hardware.emulator import general, sms
from hardware.emulator.language import CommandError, Token
from hardware.emulator.phone import Phone

Handler = Callable[["Commands", Token], list[str]]

_HANDLERS: dict[str, Handler] = {**general.HANDLERS, **sms.HANDLERS}
_NEED_SIM = {"+CIMI", "+CSCA", "+CNUM", "+CRSM", "+CSIM", "+CPMS", *sms.HANDLERS} - sms.WITHOUT_SIM


class Services(Protocol):
    """What a command may set going outside the phone."""

    def acknowledge(self, ok: bool) -> bool:
        """The host's +CNMA; False: nothing waits for one."""

    def ussd(self, code: str) -> None: ...
    def reboot(self) -> None: ...
    def hang_up(self) -> None: ...
    def urc(self, *lines: str) -> None: ...
    def room(self) -> None:
        """A slot is free again, or the phone is back in service."""

    def mark(self, event: str) -> None: ...


class Commands:
    """The command table of one phone."""

    def __init__(self, phone: Phone, services: Services) -> None:
        self.phone = phone
        self.services = services
        self._afterwards: list[Callable[[], None]] = []

    def run(self, token: Token) -> list[str]:
        """Information lines of one command; raises `CommandError`, `Prompt`, `Wait`."""
        it = self.phone.personality
        self._guard(token)
        if any(chatter.silence == "AT" + token.key for chatter in it.chatter):
            self.phone.settings.silenced.add("AT" + token.key)
        if (lines := it.answers.get(token.key)) is not None:
            return [self.fill(line) for line in lines]
        if token.name in it.iccid and token.op in ("", "?"):
            return [self.fill(it.iccid[token.name])]
        if token.name in it.pin_counter and token.op in ("?", "", "="):
            return [self.fill(it.pin_counter[token.name])]
        handler = _HANDLERS.get(token.name)
        if handler is not None and (not token.name.endswith("REG") or token.name in it.registration):
            return handler(self, token)
        if token.name in it.accepts and token.op in ("", "=", "?"):
            return self._accept(token)
        self.phone.counters.unknown.append("AT" + token.key)
        if it.unknown_answer != "ERROR":
            raise CommandError(text=it.unknown_answer)
        raise CommandError

    def fill(self, line: str) -> str:
        """A personality's line with this phone's own values."""
        if "{" not in line:
            return line
        phone = self.phone
        for name, value in (
            ("imei", phone.imei),
            ("iccid", phone.iccid),
            ("imsi", phone.imsi),
            ("csq", str(phone.csq)),
            ("stat", str(phone.stat)),
            ("pin", str(phone.pin_attempts)),
            ("puk", str(phone.puk_attempts)),
            ("pin_state", pin_state(phone)),
            ("rssi_dbm", str(-113 + 2 * phone.csq)),
        ):
            line = line.replace("{" + name + "}", value)
        return line

    def afterwards(self, action: Callable[[], None]) -> None:
        """Have `action` done when the answer of this command line is out."""
        self._afterwards.append(action)

    def after_answer(self) -> None:
        """The answer is out: do what was put off until then."""
        actions, self._afterwards = self._afterwards, []
        for action in actions:
            action()

    def _guard(self, token: Token) -> None:
        """The SIM's state, as SMS and SIM commands meet it (CMS 3xx, CME 1x)."""
        phone = self.phone
        if token.name in phone.personality.iccid and not (phone.sim_ready and not phone.sim_absent):
            raise CommandError("CME", 10 if phone.sim_absent else 14)
        busy = token.name in _NEED_SIM or token.name == "+CPIN"
        if not busy or token.op == "=?":
            return
        sms_space = token.name in sms.HANDLERS
        if phone.faults.active("sim_busy") and phone.faults.take("sim_busy"):
            raise CommandError("CMS", 314) if sms_space else CommandError("CME", 14)
        if token.name == "+CPIN":
            return
        for broken, cms, cme in (
            (phone.sim_absent, 310, 10),
            (phone.puk_locked, 316, 12),
            (phone.pin is not None, 311, 11),
            (not phone.sim_ready, 314, 14),
        ):
            if broken and not (token.name == "+CSIM" and cme in (11, 12)):
                raise CommandError("CMS", cms) if sms_space else CommandError("CME", cme)

    def _accept(self, token: Token) -> list[str]:
        """A vendor's setting: kept, and told again."""
        settings = self.phone.settings
        if token.op == "?":
            if token.name not in settings.more:
                raise CommandError
            return [f"{token.name}: {settings.more[token.name]}"]
        settings.more[token.name] = token.args
        return []


def pin_state(phone: Phone) -> str:
    """What `+CPIN?` says."""
    return "SIM PUK" if phone.puk_locked else "SIM PIN" if phone.pin is not None else "READY"
