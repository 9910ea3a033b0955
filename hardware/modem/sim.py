"""The SIM: present, unlocked without burning an attempt, identified (domain A8)."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from hardware.at import commands, counters, parsers
from hardware.at.channel import AtChannel
from hardware.at.types import AtCommandError, Command
from hardware.errors import AtTimeout, HardwareError, ModemError, SimError
from hardware.modem import timeouts
from hardware.modem.config import Marks, ModemConfig, PinLedger, pin_marks
from hardware.modem.dialogue import ask, patiently, refused_as
from hardware.modem.profile import Profile
from hardware.types import ModemStatus, SimStatus

__all__ = ["PinGuard", "SimBlocked", "Unlocked", "read_iccid"]

_LOG = logging.getLogger(__name__)

LEAST_ATTEMPTS = 2  # the last one is for a person
PIN_ATTEMPTS, PUK_ATTEMPTS = 3, 10  # of a SIM that has counted no wrong one (TS 51.011 9.3)

_READY = "READY"
_PIN, _PUK = "SIM PIN", "SIM PUK"
_ALSO_READY = frozenset({"SIM PIN2", "SIM PUK2"})  # of the fixed dialling list: messages go all the same
# What `+CPIN?` refuses with when the SIM itself is the reason (TS 27.007 9.2, TS 27.005 3.2.5).
_REFUSALS = {
    10: "NOT INSERTED", 310: "NOT INSERTED", 11: _PIN, 311: _PIN, 12: _PUK, 316: _PUK,
    5: "PH-SIM PIN", 312: "PH-SIM PIN", 13: "SIM FAILURE", 313: "SIM FAILURE", 15: "SIM WRONG", 315: "SIM WRONG",
    17: "SIM PIN2", 317: "SIM PIN2", 18: "SIM PUK2", 318: "SIM PUK2",
    **dict.fromkeys(range(40, 48), "PH-NET PIN"),
}  # fmt: skip
_WORDS = {"READY": "ready", _PIN: "pin", _PUK: "puk", "NOT INSERTED": "absent"}
_ASK = 'unlock it in a telephone, or send the request sim/unlock with "puk" and a new "pin"'
_SENTENCES = {
    "NOT INSERTED": ("there is no SIM in the modem", "put a SIM in; it is looked at again every minute"),
    _PUK: ("the SIM is blocked and asks for its PUK", f"{_ASK}; the bridge never enters a PUK by itself"),
    "NOT READY": ("the SIM does not get ready", "unplug the modem and plug it in again"),
    "SIM FAILURE": ("the SIM does not work", "clean its contacts, try it in a telephone"),
    "SIM WRONG": ("the modem refuses this SIM", "the modem may be locked to another operator"),
    "PH-SIM PIN": ("the modem is locked to another SIM", "put that SIM in, or have the modem unlocked by its seller"),
}
_LOCKED = ("the modem is locked to another operator", "put a SIM of that operator in, or have the modem unlocked")
_HINTS = {
    "PIN": "correct `pin` in the configuration, or send the request sim/unlock: this one is never tried again",
    "PUK": "the right one is on the card that came with the SIM: this one is never tried again",
}
_UNKNOWN_END = "the PIN was tried before, and how that ended is not known: the modem or the power went away meanwhile"


class SimBlocked(SimError):
    """A person must act before this SIM can be used; `restart`: unless a restart of the modem helps."""

    retryable = False

    def __init__(self, message: str, *, hint: str = "", restart: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.restart = restart


@dataclass(frozen=True, slots=True)
class Unlocked:
    """The answer to a person who gave a PIN or a PUK."""

    sim: str
    pin_attempts_left: int | None
    puk_attempts_left: int | None = None


@dataclass(frozen=True, slots=True)
class _Request:
    """What a person gave; `force`: even the last attempt."""

    pin: str
    puk: str | None
    force: bool
    done: asyncio.Future[Unlocked]


@dataclass(frozen=True, slots=True)
class _Sim:
    """The SIM of one interview."""

    channel: AtChannel
    status: ModemStatus
    profile: Profile
    identity: tuple[str | None, str]  # ICCID, and the modem's where that cannot be read


class PinGuard:
    """One modem's PIN: one attempt ever for a PIN on a SIM, remembered before it is made (domain A8.2)."""

    def __init__(self, ledger: PinLedger) -> None:
        self._ledger = ledger
        self._request: _Request | None = None
        self._given: tuple[str, str] | None = None  # the SIM, and the PIN that a person gave and it took

    async def ask(self, pin: str, puk: str | None, force: bool) -> Unlocked:
        """Use a person's PIN in the next interview. Raises ModemError, SimBlocked, AtArgumentError, TimeoutError."""
        if self._request is not None:
            raise ModemError("another PIN is being tried", hint="wait for its answer")
        commands.enter_pin(pin) if puk is None else commands.enter_puk(puk, pin)  # refuse what is neither
        done: asyncio.Future[Unlocked] = asyncio.get_running_loop().create_future()
        self._request = _Request(pin, puk, force, done)
        try:
            async with asyncio.timeout(timeouts.UNLOCK_PATIENCE):
                return await done
        finally:
            self._request = None

    def failed(self, error: HardwareError) -> None:
        """The connection ended before the SIM was looked at, or because of it: whoever waits hears why."""
        if self._request is not None and not self._request.done.done():
            self._request.done.set_exception(error)

    async def unlock(self, channel: AtChannel, status: ModemStatus, profile: Profile, config: ModemConfig) -> bool:
        """Return when the SIM is ready; at most one attempt ever for a PIN on a SIM. Raises SimBlocked, ModemError.

        True: the modem's own configured PIN was entered and taken, so this is the SIM that it belongs to.
        """
        request = self._request if self._request is not None and not self._request.done.done() else None
        code = await _code(channel)
        status.sim = SimStatus(_WORDS.get(code, "failure"))
        if code == _READY:
            await self._forget_attempt(channel, status, profile, config)
            self.failed(ModemError("the SIM asks for nothing: it is ready"))
            return False
        if code not in (_PIN, _PUK):
            sentence, hint = _SENTENCES.get(
                code, _LOCKED if code.startswith("PH-") else (f"the SIM asks for {code}", "")
            )
            restart = code in ("NOT READY", "SIM FAILURE")
            raise SimBlocked(sentence, hint=hint or "unlock it in a telephone", restart=restart)
        sim = _Sim(channel, status, profile, (await read_iccid(channel, profile), status.imei or status.name))
        status.sim.pin_attempts_left = 0 if code == _PUK else await _attempts(sim)
        own = False
        if code == _PUK:
            await self._unblock(sim, request)
        else:
            own = await self._unlock(sim, request, config)
        if request is not None:
            self._given = (sim.identity[0] or sim.identity[1], request.pin)
            unlocked = Unlocked("ready", await _attempts(sim), await _attempts(sim, puk=True))
            if not request.done.done():
                request.done.set_result(unlocked)
        return own

    async def _unlock(self, sim: _Sim, request: _Request | None, config: ModemConfig) -> bool:
        iccid = sim.identity[0]
        given = request.pin if request is not None else self._given_for(sim)
        pin = given if given is not None else config.pin_for(iccid)
        attempts = sim.status.sim.pin_attempts_left
        if request is not None and request.puk is not None:
            raise SimBlocked("the SIM asks for its PIN, not for the PUK", hint='send "pin" alone')
        if pin is None and config.pin is not None:
            raise SimBlocked(
                "the SIM asks for a PIN, and the one that is configured for this modem is another SIM's",
                hint="put the old SIM back, or add an entry with this SIM's `iccid` and `pin` under `modems:`",
            )
        if pin is None:
            raise SimBlocked(
                "the SIM asks for a PIN and none is configured", hint="set `pin` for this modem, in quotes"
            )
        force = request is not None and request.force
        if attempts is not None and attempts < (1 if force else LEAST_ATTEMPTS):
            raise SimBlocked(
                f"the SIM has {_attempts_left(attempts)} left, which is kept for a person",
                hint='unlock it in a telephone, or send the request sim/unlock with "force": true',
            )
        marks = pin_marks(*sim.identity, pin)
        await self._permit(marks, "PIN", force and attempts is not None and attempts >= PIN_ATTEMPTS)
        await self._enter(sim, commands.enter_pin(pin), marks, attempts, "PIN")
        return given is None and iccid not in config.sim_pins

    async def _unblock(self, sim: _Sim, request: _Request | None) -> None:
        """A PUK and a new PIN, because a person asked for it."""
        left = await _attempts(sim, puk=True)
        sentence, hint = _SENTENCES[_PUK]
        told = f"{sentence} ({_attempts_left(left)} left)" if left is not None else sentence
        if request is None or request.puk is None:
            raise SimBlocked(told, hint=hint)
        if left is not None and left < (1 if request.force else LEAST_ATTEMPTS):
            raise SimBlocked(f"{told}; when that is used up the SIM is dead", hint='"force": true uses it all the same')
        marks = pin_marks(*sim.identity, f"puk {request.puk}")
        await self._permit(marks, "PUK", request.force and left is not None and left >= PUK_ATTEMPTS)
        await self._enter(sim, commands.enter_puk(request.puk, request.pin), marks, left, "PUK")
        await self._accepted(pin_marks(*sim.identity, request.pin), sim.status.name)  # whatever it was before

    def _given_for(self, sim: _Sim) -> str | None:
        """The PIN that a person gave for this SIM since the start."""
        if self._given is not None and self._given[0] == (sim.identity[0] or sim.identity[1]):
            return self._given[1]
        return None

    async def _permit(self, marks: Marks, what: str, force: bool) -> None:
        """Raises SimBlocked if this one was tried on this SIM before.

        `force`: a person wants it, and the SIM has counted no wrong one, so that attempt cannot have been one.
        """
        try:
            tried = any([await self._ledger.tried(key) for key in marks.asked])
            refused = any([await self._ledger.tried(_refused(key)) for key in marks.asked])
        except Exception as error:  # whatever the reason: what nobody remembers may have been tried
            raise SimBlocked(f"the {what} was not entered, as it is not known whether it was tried: {error}") from error
        if refused:
            raise SimBlocked(f"the {what} was tried before and not accepted", hint=_HINTS[what])
        if tried and not force:
            raise SimBlocked(
                _UNKNOWN_END.replace("PIN", what),
                hint='unlock it in a telephone; while all attempts are left, sim/unlock with "force": true does, too',
            )

    async def _enter(self, sim: _Sim, command: Command, marks: Marks, before: int | None, what: str) -> None:
        """Write it once: the ledger knows before the port does (domain A8.2)."""
        try:
            for key in marks.kept:
                await self._ledger.record(key)
        except Exception as error:  # whatever the reason: an attempt that nobody remembers may be made twice
            raise SimBlocked(f"the {what} was not entered, as that cannot be recorded: {error}") from error
        name = sim.status.name
        _LOG.info("%s: entering the %s, one attempt", name, what, extra={"modem": name})
        refused = False
        try:
            await sim.channel.command(command)
        except AtCommandError as error:
            refused = refused_as(error, 16, 12)
            _LOG.warning("%s: the %s was answered with %s", name, what, error.name, extra={"modem": name})
        except AtTimeout:
            await sim.channel.resync()
        code = await _code(sim.channel) if refused else await _settled(sim.channel)
        if code == _READY:
            sim.status.sim = SimStatus("ready")
            await self._accepted(marks, name)
            return
        left = await _attempts(sim, puk=what == "PUK")
        sim.status.sim = SimStatus(_WORDS.get(code, "failure"), 0 if code == _PUK else await _attempts(sim))
        if refused or (what == "PIN" and code == _PUK) or (left is not None and before is not None and left < before):
            await self._remember_refusal(marks)
            shown = f"; {_attempts_left(left)} left" if left is not None else ""
            raise SimBlocked(f"the SIM did not accept the {what}{shown}", hint=_HINTS[what])
        raise SimBlocked(f"the SIM still asks for {code} after the {what} was entered", hint="unlock it in a telephone")

    async def _remember_refusal(self, marks: Marks) -> None:
        try:
            for key in marks.kept:
                await self._ledger.record(_refused(key))
        except Exception as error:  # that it was tried is recorded, and that is what keeps it from the port
            _LOG.warning("that the SIM refused it cannot be recorded: %s", error)

    async def _accepted(self, marks: Marks, name: str) -> None:
        try:
            for key in marks.kept:
                await self._ledger.accepted(key)
                await self._ledger.accepted(_refused(key))
        except Exception as error:  # the modem works; the next power cut will need a person
            _LOG.warning("%s: that the PIN was right cannot be recorded: %s", name, error)

    async def _forget_attempt(
        self, channel: AtChannel, status: ModemStatus, profile: Profile, config: ModemConfig
    ) -> None:
        """The SIM is ready, and the bridge ended between writing its PIN and hearing so: it was the right one."""
        pins = {pin for pin in (config.pin, *config.sim_pins.values()) if pin is not None}
        modem = status.imei or status.name
        try:
            blind = [key for pin in pins for key in pin_marks(None, modem, pin).asked]
            if not any([await self._ledger.tried(key) for key in blind]):
                return
            iccid = await read_iccid(channel, profile)
            pin = config.pin_for(iccid)
            if pin is None:
                return
            marks = pin_marks(iccid, modem, pin)
            if await self._ledger.tried(marks.kept[0]) and not await self._ledger.tried(_refused(marks.kept[0])):
                await self._accepted(marks, status.name)
        except HardwareError:
            raise
        except Exception as error:  # a ledger that cannot be read matters when a PIN is asked for, not now
            _LOG.warning("%s: the memory of PINs cannot be read: %s", status.name, error)


async def read_iccid(channel: AtChannel, profile: Profile) -> str | None:
    """By whichever way the modem knows (domain A2.2); None when it knows none. Usually readable before the PIN."""
    for command in profile.iccid_commands:
        answer = await ask(channel, command)
        if answer is not None and (found := parsers.iccid(answer.lines)) is not None:
            return found
    return None


async def _code(channel: AtChannel) -> str:
    """What the SIM wants: `+CPIN?` in words, whichever way the modem says it; `READY` when it wants nothing."""
    loop = asyncio.get_running_loop()
    end = loop.time() + timeouts.SIM_PATIENCE
    while True:
        code = await _answer(channel)
        if code in _ALSO_READY:
            return _READY
        if code != "NOT READY" or loop.time() >= end:
            return code
        await asyncio.sleep(timeouts.SIM_RETRY)


async def _settled(channel: AtChannel) -> str:
    """The same behind a PIN that was not refused: some modems say OK before they know that they are unlocked."""
    loop = asyncio.get_running_loop()
    end = loop.time() + timeouts.PIN_SETTLE
    while True:
        code = await _code(channel)
        if code != _PIN or loop.time() >= end:
            return code
        await asyncio.sleep(timeouts.SIM_RETRY)


async def _answer(channel: AtChannel) -> str:
    try:
        answer = await patiently(channel, commands.pin_state())
    except AtCommandError as error:
        if error.space is None:
            return _READY  # a modem that does not know +CPIN has no lock to speak of
        if error.code in _REFUSALS:
            return _REFUSALS[error.code]
        raise ModemError(f"the SIM does not get ready: {error.text}") from error
    codes = [code for line in answer.lines if (code := parsers.cpin(line)) is not None]
    if not codes:
        raise ModemError("the modem does not say what state the SIM is in")
    return codes[-1]


async def _attempts(sim: _Sim, *, puk: bool = False) -> int | None:
    """How many are left, by whichever way the modem knows; none of them uses one up (domain A8.1)."""
    ways = sim.profile.attempts_commands
    if puk:
        ways = [commands.puk_attempts() if way.prefix == "+CSIM" else way for way in ways]
    for command in ways:
        answer = await ask(sim.channel, command)
        for line in answer.lines if answer is not None else ():
            if (left := counters.attempts_left(line, puk=puk)) is not None:
                return left
    return None


def _attempts_left(count: int) -> str:
    return f"{count} attempt{'' if count == 1 else 's'}"


def _refused(key: str) -> str:
    return f"{key}:refused"
