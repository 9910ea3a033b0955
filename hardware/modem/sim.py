"""The SIM: present, unlocked without burning an attempt, identified (domain A8)."""

from __future__ import annotations

import asyncio
import logging

from hardware.at import commands, parsers
from hardware.at.channel import AtChannel
from hardware.at.types import AtCommandError
from hardware.errors import AtTimeout, ModemError, SimError
from hardware.modem import timeouts
from hardware.modem.config import ModemConfig, PinLedger, pin_key
from hardware.modem.dialogue import ask, patiently, refused_as
from hardware.modem.profile import Profile
from hardware.types import ModemStatus, SimStatus

__all__ = ["SimBlocked", "read_iccid", "unlock"]

_LOG = logging.getLogger(__name__)

LEAST_ATTEMPTS = 2  # the last one is for a person

_READY = "READY"
# What `+CPIN?` refuses with when the SIM itself is the reason (TS 27.007 9.2, TS 27.005 3.2.5).
_REFUSALS = {
    10: "NOT INSERTED", 310: "NOT INSERTED", 11: "SIM PIN", 311: "SIM PIN", 12: "SIM PUK", 316: "SIM PUK",
    5: "PH-SIM PIN", 312: "PH-SIM PIN", 13: "SIM FAILURE", 313: "SIM FAILURE", 15: "SIM WRONG", 315: "SIM WRONG",
}  # fmt: skip
_WORDS = {"READY": "ready", "SIM PIN": "pin", "SIM PUK": "puk", "NOT INSERTED": "absent"}
_SENTENCES = {
    "NOT INSERTED": ("there is no SIM in the modem", "put a SIM in; it is looked at again every minute"),
    "SIM PUK": ("the SIM is blocked and asks for its PUK", "unlock it in a telephone; the bridge never enters a PUK"),
    "NOT READY": ("the SIM does not get ready", "unplug the modem and plug it in again"),
    "SIM FAILURE": ("the SIM does not work", "clean its contacts, try it in a telephone"),
    "SIM WRONG": ("the modem refuses this SIM", "the modem may be locked to another operator"),
}


class SimBlocked(SimError):
    """A person must act before this SIM can be used."""

    retryable = False


async def unlock(
    channel: AtChannel, status: ModemStatus, profile: Profile, config: ModemConfig, ledger: PinLedger
) -> bool:
    """Return when the SIM is ready; at most one attempt ever for a PIN on a SIM. Raises SimBlocked, ModemError.

    True: the modem's own PIN was entered and taken, so this is the SIM that it belongs to.
    """
    code = await _code(channel)
    status.sim = SimStatus(_WORDS.get(code, "failure"))
    if code == _READY:
        return False
    if code != "SIM PIN":
        sentence, hint = _SENTENCES.get(code, (f"the SIM asks for {code}", "unlock it in a telephone"))
        raise SimBlocked(sentence, hint=hint)
    attempts = status.sim.pin_attempts_left = await _attempts_left(channel, profile)
    iccid = await read_iccid(channel, profile)
    pin = config.pin_for(iccid)
    if pin is None and config.pin is not None:
        raise SimBlocked(
            "the SIM asks for a PIN, and the one that is configured for this modem is another SIM's",
            hint="put the old SIM back, or add an entry with this SIM's `iccid` and `pin` under `modems:`",
        )
    if pin is None:
        raise SimBlocked("the SIM asks for a PIN and none is configured", hint="set `pin` for this modem, in quotes")
    if attempts is not None and attempts < LEAST_ATTEMPTS:
        raise SimBlocked(
            f"the SIM has {attempts} PIN attempt(s) left, which is kept for a person", hint="unlock it in a telephone"
        )
    # The ICCID may be readable today and not tomorrow: both names of this SIM count.
    identities = (iccid, status.imei or status.name)
    keys = [pin_key(identity, pin) for identity in identities if identity is not None]
    if await _was_tried(keys, ledger):
        raise SimBlocked("the configured PIN was tried before and not accepted", hint="check `pin`, then change it")
    await _enter(channel, status, pin, keys, ledger)
    return iccid not in config.sim_pins


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
        if code != "NOT READY" or loop.time() >= end:
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


async def _attempts_left(channel: AtChannel, profile: Profile) -> int | None:
    for command in profile.attempts_commands:
        answer = await ask(channel, command)
        for line in answer.lines if answer is not None else ():
            if (left := parsers.number_of_attempts(line)) is not None:
                return left
    return None


async def _was_tried(keys: list[str], ledger: PinLedger) -> bool:
    try:
        return any([await ledger.tried(key) for key in keys])
    except Exception as error:  # whatever the reason: what nobody remembers may have been tried
        raise SimBlocked(f"the PIN was not entered, as it is not known whether it was tried: {error}") from error


async def _enter(channel: AtChannel, status: ModemStatus, pin: str, keys: list[str], ledger: PinLedger) -> None:
    """Write the PIN once: the ledger knows before the port does (domain A8.2)."""
    try:
        for key in keys:
            await ledger.record(key)
    except Exception as error:  # whatever the reason: an attempt that nobody remembers may be made twice
        raise SimBlocked(f"the PIN was not entered, as that cannot be recorded: {error}") from error
    _LOG.info("%s: entering the PIN, one attempt", status.name, extra={"modem": status.name})
    rejected = SimBlocked("the SIM did not accept the configured PIN", hint="check `pin`, then change it")
    try:
        await channel.command(commands.enter_pin(pin))
    except AtCommandError as error:
        if refused_as(error, 16):
            raise rejected from error
        _LOG.warning("%s: the PIN was answered with %s", status.name, error.name, extra={"modem": status.name})
    except AtTimeout:
        await channel.resync()
    if await _code(channel) != _READY:
        raise rejected
    status.sim = SimStatus("ready")
    try:
        for key in keys:
            await ledger.accepted(key)
    except Exception as error:  # the modem works; the next power cut will need a person
        _LOG.warning("%s: that the PIN was right cannot be recorded: %s", status.name, error)
