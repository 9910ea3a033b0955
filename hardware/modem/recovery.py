"""What is done about a modem that fails, step by step, and what is said of it (domain A9, A13).

The ladder decides; a command, the USB steps or a switch outside carry out. Nothing here runs while a send of this modem
waits for its result, and nothing touches another modem: `hardware.modem.outlets` knows who else hangs where.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, TypeVar

from hardware.errors import AtTimeout, HardwareError, ModemError, PortLost, PortWedged, WrongModem
from hardware.modem import timeouts
from hardware.modem.absence import Absence
from hardware.modem.ladder import LADDER, SIM, Ladder, Result, Step, Verdict
from hardware.modem.life import Life
from hardware.modem.outlets import PowerSwitch, RecoveryTools, Said, StepResult, minutes
from hardware.modem.sim import SimBlocked
from hardware.types import ModemState

__all__ = ["ASKED", "Failing", "Recovery", "Trouble", "Wanted"]

T = TypeVar("T")

_LOG = logging.getLogger(__name__)

MOST_RESTARTS = 3  # within RESTARTS_WINDOW, that nobody asked for
MOST_LOSSES = 5  # of its port; a person with a stick in hand makes some, too


class Trouble(StrEnum):
    """What is wrong, and so which steps may help."""

    SILENT = "silent"  # the port opens and nothing answers
    STUBBORN = "stubborn"  # it answers, and cannot be set up
    NO_SEND = "no_send"  # it is set up, and refuses sends without a word
    WEDGED = "wedged"  # the kernel does not give the port back
    RESTARTS = "restarts"  # it starts again and again
    MISSING = "missing"  # it was told to restart and has not come back
    SIM = "sim"  # its SIM does not work
    NO_NETWORK = "no_network"  # it works, and finds no network for hours


_ALL = frozenset({Step.REOPEN, Step.CFUN, Step.USB_RESET, Step.AUTHORIZE, Step.HUB_POWER, Step.POWER_SWITCH})
_POWER = frozenset({Step.HUB_POWER, Step.POWER_SWITCH})
PLANS: dict[Trouble, frozenset[Step]] = {
    Trouble.SILENT: _ALL,
    Trouble.STUBBORN: _ALL,
    Trouble.NO_SEND: _ALL - {Step.REOPEN},
    Trouble.WEDGED: _ALL - {Step.REOPEN, Step.CFUN},
    Trouble.RESTARTS: _POWER | {Step.REOPEN},
    Trouble.MISSING: _ALL - {Step.REOPEN, Step.CFUN},  # it may be in its plug, where it does not answer who it is
    Trouble.SIM: frozenset({Step.CFUN}),
}

WORDS: dict[Step, str] = {
    Step.RESYNC: "setting it up once more",
    Step.REOPEN: "opening its port anew",
    Step.RADIO: "its radio off and on",
    Step.CFUN: "a restart by command",
    Step.USB_RESET: "a USB reset",
    Step.AUTHORIZE: "logging it off and on at the USB port",
    Step.HUB_POWER: "the power of its hub port off and on",
    Step.POWER_SWITCH: "its power switch off and on",
}
_AGAIN = "unplug the modem for ten seconds and plug it in again, into another port if that does not help"
_PERSON: dict[Trouble, str] = {
    Trouble.SILENT: f"{_AGAIN}; if it never answered: is this its AT port (`sms-bridge modems`)?",
    Trouble.STUBBORN: f"{_AGAIN}; is it another modem's port (`sms-bridge modems`)?",
    Trouble.NO_SEND: f"{_AGAIN}; try its SIM in a telephone; else the modem is broken",
    Trouble.WEDGED: "unplug the modem, or restart the computer",
    Trouble.RESTARTS: "use a powered hub or a stronger power supply: a send draws 2 A",
    Trouble.MISSING: "plug it in again, into another port if that does not help, and look at the hub's power",
}
_NOT_POSSIBLE = frozenset({"refused", "not_permitted", "not_supported"})
_RESTARTING = _ALL - {Step.REOPEN}
ASKED: dict[str, tuple[Step, ...]] = {
    "resync": (Step.RESYNC,),
    "reopen": (Step.REOPEN,),
    "cfun": (Step.CFUN,),
    "usb_reset": (Step.USB_RESET,),
    "authorize": (Step.AUTHORIZE,),
    "power": (Step.HUB_POWER, Step.POWER_SWITCH),
    "auto": tuple(rung.step for rung in LADDER if rung.step in _RESTARTING),
}
"""What a person may ask for; of several steps the first that is possible is done."""

NO_POWER = (
    "the modem restarted {count} times within {minutes:g} minutes: its power supply is too weak, or its plug is loose;"
    " use a powered hub (a send draws 2 A)"
)


LOOSE = (
    "the modem left and came back {count} times within {minutes:g} minutes: its plug or cable is loose, or its power"
    " supply too weak; another port, a shorter cable, a powered hub"
)


class Wanted(ModemError):
    """The connection ended because a person wants a step done."""


class Failing(ModemError):
    """The modem is in `trouble`."""

    def __init__(self, trouble: Trouble, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.trouble = trouble


class Recovery:
    """One modem's, for the life of the process, whatever becomes of its connection and of its place on the USB.

    A step that was begun is finished in a task of its own: the modem leaves the USB in the middle of it.
    """

    def __init__(
        self,
        name: str,
        life: Life,
        tools: RecoveryTools,
        restart: Callable[[], Awaitable[StepResult]],
    ) -> None:
        """`restart` has the modem restart by command, over a port that is opened for this."""
        self.absence = Absence()
        self.ladder = Ladder(tools.rungs)
        self._sim_ladder = Ladder(SIM)
        self._name = name
        self._life = life
        self._tools = tools
        self._restart = restart
        self._path: str | None = None  # of the plug, also while nothing is in it
        self._reason = ""
        self._missed = ""  # the reason of the step after which it did not come back
        self._lock = asyncio.Lock()  # whoever has it does a step, and nobody opens the port
        self._tasks: set[asyncio.Task[Any]] = set()
        self._return: asyncio.TimerHandle | None = None  # until when the modem has to be back
        self._expected_until = 0.0  # a restart that is ours
        self._booting_until = 0.0  # it was plugged in
        self._restarting = False  # it was told to restart, and has not been set up since
        self._given_up = ""  # what was said of one that did not come back, until it does
        self._boots, self._losses = _Repeats(MOST_RESTARTS, NO_POWER), _Repeats(MOST_LOSSES, LOOSE)
        self._told_of_end = False
        self._watch: asyncio.TimerHandle | None = None

    # What the session tells.

    def resyncs(self, reason: str, served: float) -> bool:
        """The modem does not work as it should, after `served` seconds: True: it is to be set up in place."""
        self.ladder.failed(served)
        now = _now()
        if not self.ladder.may(Step.RESYNC, now):
            return False
        self._unwatch()
        self._reason = reason
        self._note(self.ladder, Step.RESYNC, Result.DONE, "it is set up once more", reason)
        return True

    def note_radio(self, result: Result, sentence: str, reason: str) -> None:
        """The session had the radio off and on."""
        self._expected_until = _now() + timeouts.RESTART_SETTLE
        self._note(self.absence.ladder, Step.RADIO, result, sentence, reason)

    def tell(self, step: Step | None, result: str, reason: str, sentence: str) -> None:
        """The event `recovery` of what the session did or found."""
        self._event(self.ladder, step, result, reason, sentence)

    def set_up(self) -> None:
        """It answers, and is set up: whether that lasts is looked at later."""
        self._given_up = ""
        self._restarting = False
        if self._return is not None:
            self._return.cancel()
        if self.ladder.tried or self._sim_ladder.tried:
            self._unwatch()
            self._watch = asyncio.get_running_loop().call_later(timeouts.STABLE_SERVICE, self._stood)

    def restarted(self) -> None:
        """The modem began anew, and nobody had told it to."""
        if _now() >= self._booting_until:
            self._repeated(self._boots)

    def power_sentence(self) -> str | None:
        """What its restarts say of its power; None: nothing."""
        return self._boots.sentence(_now())

    def loose_sentence(self) -> str | None:
        """What it says of its plug that it leaves again and again; None: nothing."""
        return self._losses.sentence(_now())

    def replugged(self) -> None:
        """It is there anew, and was not told to restart: a person had it in hand."""
        self._given_up = ""
        self._booting_until = _now() + timeouts.RESTART_SETTLE
        if not self._restarting:
            self.ladder.begin_anew()

    # What the supervisor has done.

    def gone(self, sentence: str) -> str:
        """What to say of a modem that left: it may have been told to."""
        if self._given_up:
            return self._given_up
        return f"{self._missed}; waiting for it to come back" if self._restarting else sentence

    async def free(self) -> None:
        """Until no step is being carried out: only then may the port be opened."""
        async with self._lock:
            return

    async def after(self, error: HardwareError, served: float) -> float | None:
        """The connection ended: do what is next, if anything is. Seconds until the next connection; None: as usual."""
        return await asyncio.shield(self._begin(self._after(error, served)))

    def unanswered(self, reason: str) -> None:
        """The modem stands in its plug and tells nobody who it is; what can be done without a port is done."""
        if not self._lock.locked() and not self._restarting:
            self._missed = reason
            self._begin(self._still_missing(reason))

    def check(self, step: str) -> None:
        """Raises ModemError when nothing of what a person asked for can be done just now."""
        self._path = self._life.status.usb_path or self._path
        refusals = [(one, self._refusal(one)) for one in ASKED[step]]
        if all(said is not None for _, said in refusals):
            raise ModemError("; ".join(f"{one}: {said.sentence}" for one, said in refusals if said is not None))

    async def carry_out(self, step: str, apart: Callable[[], Awaitable[None]]) -> dict[str, object]:
        """Do what a person asked for, once `apart` has given the port back: of several steps the first that can be.

        Raises ModemError with the reasons why none could.
        """
        return await asyncio.shield(self._begin(self._wanted(ASKED[step], apart)))

    async def close(self) -> None:
        """The bridge stops. A power that is off is switched on again."""
        self._unwatch()
        if self._return is not None:
            self._return.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _wanted(self, steps: tuple[Step, ...], apart: Callable[[], Awaitable[None]]) -> dict[str, object]:
        refusals = []
        async with self._lock:
            await apart()
            self._look()
            for one in steps:
                result, sentence = await self._do(self.ladder, one, "a person asked for it", by_person=True)
                if result is Result.DONE:
                    return {"step": str(one), "result": str(result), "sentence": sentence}
                refusals.append(f"{one}: {sentence}")
        raise ModemError("; ".join(refusals))

    async def _after(self, error: HardwareError, served: float) -> float | None:
        async with self._lock:
            self._look()
            if served and isinstance(error, PortLost):
                self._repeated(self._losses)
            trouble = _trouble_of(error)
            if trouble is None:
                return None
            return await self._safely(self._mend(trouble, error, served))

    async def _mend(self, trouble: Trouble, error: HardwareError, served: float) -> float | None:
        reason = f"{error}; {error.hint}" if error.hint and trouble is Trouble.SIM else str(error)
        self._reason = reason
        if trouble is Trouble.NO_NETWORK:
            await self._do(self.absence.ladder, Step.CFUN, reason)
            return timeouts.RESTART_PAUSE
        power = self.power_sentence()
        if power is not None and trouble in (Trouble.SILENT, Trouble.STUBBORN):
            trouble, reason = Trouble.RESTARTS, power  # it answers badly because it restarts
        ladder = self._sim_ladder if trouble is Trouble.SIM else self.ladder
        ladder.failed(served)
        return await self._climb(ladder, trouble, reason)

    def _repeated(self, what: _Repeats) -> None:
        now = _now()
        if now >= self._expected_until and what.note(now):
            self.tell(None, "power", what.sentence(now) or "", _PERSON[Trouble.RESTARTS])

    async def _still_missing(self, reason: str | None = None) -> None:
        async with self._lock:
            if self._life.state is not ModemState.OFFLINE or not (self._restarting or reason):
                return  # it is there again: its connections tell how it is
            self._look()
            reason = reason or f"{self._missed}; it did not come back"
            await self._safely(self._climb(self.ladder, Trouble.MISSING, reason))

    async def _safely(self, climb: Awaitable[float | None]) -> float | None:
        """A defect of ours must not cost the modem its supervisor."""
        try:
            return await climb
        except Exception:
            _LOG.exception("%s: its recovery failed", self._name, extra=self._extra)
            return None

    def _begin(self, work: Coroutine[None, None, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work, name=f"recovery {self._name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _look(self) -> None:
        self._unwatch()
        self._path = self._life.status.usb_path or self._path

    async def _climb(self, ladder: Ladder, trouble: Trouble, reason: str) -> float | None:
        while True:
            advice = ladder.advise(_now(), PLANS[trouble])
            if advice.verdict is Verdict.GIVE_UP:
                return self._give_up(ladder, trouble, reason)
            self._told_of_end = False
            if advice.step is None:
                self._say(f"{reason}; {_waiting(ladder, advice.seconds)}")
                if trouble is Trouble.MISSING:
                    self._expect_back(advice.seconds)
                return None
            result, _ = await self._do(ladder, advice.step, reason)
            if result is Result.DONE:
                return timeouts.RESTART_PAUSE if advice.step in _RESTARTING else None

    async def _do(self, ladder: Ladder, step: Step, reason: str, *, by_person: bool = False) -> tuple[Result, str]:
        """One step: carried out, failed, or why it is not possible."""
        said, restarting = self._refusal(step), self._restarting
        if said is None:
            self._say(f"{reason}; trying: {WORDS[step]}")
            if step in _RESTARTING:
                self._missed = self._missed if self._restarting else reason
                self._restarting, self._expected_until = True, _now() + timeouts.POWER_SETTLE
            said = await self._carry_out(step)
        sentence = said.sentence
        if said.outcome != "done":
            self._restarting = restarting
        if said.outcome in _NOT_POSSIBLE:
            self._pass_over(ladder, step, said.outcome, sentence, by_person)
            return Result.SKIPPED, sentence
        result = Result.DONE if said.outcome == "done" else Result.FAILED
        self._note(ladder, step, result, sentence, reason)
        if step in _RESTARTING and result is Result.DONE:
            self._expected_until = _now() + timeouts.POWER_SETTLE
            self._expect_back(timeouts.POWER_SETTLE if step in _POWER else timeouts.RESTART_SETTLE)
            if self._life.state is ModemState.OFFLINE:
                self._say(self.gone(reason))
        return result, sentence

    def _pass_over(self, ladder: Ladder, step: Step, outcome: str, sentence: str, by_person: bool) -> None:
        _LOG.info("%s: not possible: %s: %s", self._name, WORDS[step], sentence, extra=self._extra)
        if by_person:
            return
        if outcome == "refused":
            ladder.postpone(step, sentence, _now() + timeouts.POSTPONED, _now())
        else:
            ladder.note(step, Result.SKIPPED, sentence, _now())

    def _expect_back(self, seconds: float) -> None:
        """A modem that has left and is not back after `seconds` is missing."""
        if self._return is not None:
            self._return.cancel()
        loop = asyncio.get_running_loop()
        self._return = loop.call_later(seconds, lambda: self._begin(self._still_missing()))

    def _refusal(self, step: Step) -> StepResult | None:
        """Why `step` cannot be done, without having tried; None: it may be."""
        tools, path = self._tools, self._path
        match step:
            case Step.USB_RESET | Step.AUTHORIZE | Step.HUB_POWER:
                if path is None:
                    return Said("not_supported", "its port is not a USB port that is known")
                if tools.usb is None:
                    return Said("not_supported", "USB cannot be switched from here")
                return tools.outlets.hub_refusal(self._name, path, _now()) if step is Step.HUB_POWER else None
            case Step.POWER_SWITCH:
                if tools.switch is None:
                    return Said("not_supported", "no power switch is configured for it")
                return tools.outlets.switch_refusal(self._name, _now())
        return None

    async def _carry_out(self, step: Step) -> StepResult:
        usb, path, outlets = self._tools.usb, self._path or "", self._tools.outlets
        match step:
            case Step.REOPEN:
                return Said("done", "its port is opened anew")
            case Step.CFUN:
                return await self._with_tool(self._restart())
            case Step.USB_RESET if usb is not None:
                return await self._with_tool(usb.reset(path))
            case Step.AUTHORIZE if usb is not None:
                return await self._with_tool(usb.reauthorise(path))
            case Step.HUB_POWER if usb is not None:
                said = await self._with_tool(usb.cycle(path))
                if said.outcome not in _NOT_POSSIBLE:
                    outlets.switched(self._name, step, path, _now())
                return said
            case Step.POWER_SWITCH:
                return await self._switch()
        return Said("not_supported", "this cannot be done here")

    async def _with_tool(self, work: Awaitable[StepResult]) -> StepResult:
        try:
            async with asyncio.timeout(timeouts.POWER_TOOL):
                return await work
        except TimeoutError:
            return Said("failed", f"that did not end within {timeouts.POWER_TOOL:g} s")
        except HardwareError as error:
            return Said("failed", str(error))
        except Exception as error:  # a tool's defect must not cost the modem its supervisor
            _LOG.exception("%s: a step of its recovery failed", self._name, extra=self._extra)
            return Said("failed", f"that failed: {error}")

    async def _switch(self) -> StepResult:
        """Off, a while, on: on in any case, and as often as it takes."""
        switch = self._tools.switch
        assert switch is not None
        self._tools.outlets.switched(self._name, Step.POWER_SWITCH, None, _now())
        try:
            taken = await self._power(switch, False)
            await asyncio.sleep(self._tools.off_time if taken else 0.0)
        except asyncio.CancelledError:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeouts.LAST_POWER):
                    await self._power_on(switch)
            raise
        await self._power_on(switch)
        if not taken:
            return Said("failed", "the order to switch its power off was not taken: is the broker there?")
        return Said("done", f"its power was switched off for {self._tools.off_time:g} s")

    async def _power_on(self, switch: PowerSwitch) -> None:
        while not await self._power(switch, True):
            self._say("its power is off, and the order to switch it on is not taken: is the broker there?")
            await asyncio.sleep(timeouts.POWER_BACK)

    async def _power(self, switch: PowerSwitch, on: bool) -> bool:
        try:
            return await switch.power(self._name, on)
        except Exception:  # whatever it was: the power has to come back
            _LOG.exception("%s: its power switch failed", self._name, extra=self._extra)
            return False

    def _give_up(self, ladder: Ladder, trouble: Trouble, reason: str) -> float | None:
        """All was tried: say what, and what a person should do."""
        if trouble is Trouble.SIM:
            return None  # it is blocked for its own reason
        done = [WORDS[one.step] for one in ladder.tried if one.result is not Result.SKIPPED]
        tried = f"tried: {', '.join(dict.fromkeys(done))}" if done else "there is nothing that can be done from here"
        sentence = f"{reason}; {tried}; {_PERSON[trouble]}"
        if not self._told_of_end:
            self._told_of_end = True
            self._event(ladder, None, "blocked", reason, _PERSON[trouble])
        if trouble is Trouble.MISSING:
            self._restarting = False
            self._given_up = sentence
            self._life.move(ModemState.OFFLINE, sentence)
        else:
            self._life.move(ModemState.BLOCKED, sentence)
            self._life.hush(given_up=True)
        return timeouts.BLOCKED_RETRY

    def _say(self, sentence: str) -> None:
        self._life.speak()
        offline = self._life.state is ModemState.OFFLINE
        self._life.move(ModemState.OFFLINE if offline else ModemState.RECOVERING, sentence)

    def _note(self, ladder: Ladder, step: Step, result: Result, sentence: str, reason: str) -> None:
        ladder.note(step, result, sentence, _now())
        self._event(ladder, step, result, reason, sentence)

    def _event(self, ladder: Ladder, step: Step | None, result: str, reason: str, sentence: str) -> None:
        now, wall = _now(), datetime.now(UTC)
        tried = [
            {
                "step": str(one.step),
                "result": str(one.result),
                "sentence": one.sentence,
                "at": (wall - timedelta(seconds=now - one.at)).isoformat(timespec="seconds"),
            }
            for one in ladder.tried
        ]
        _LOG.warning("%s: %s: %s: %s: %s", self._name, reason, step or "recovery", result, sentence, extra=self._extra)
        self._life.event(
            "recovery",
            step=str(step) if step else None,
            reason=reason,
            result=str(result),
            sentence=sentence,
            tried=tried,
        )

    def _stood(self) -> None:
        """It has been set up for long."""
        self._watch = None
        if not self._life.can_send:
            self.set_up()  # without a network it is not in service: look again later
            return
        for ladder in (self.ladder, self._sim_ladder):
            last = next((one for one in reversed(ladder.tried) if one.result is Result.DONE), None)
            if last is not None:
                self._event(ladder, last.step, "recovered", self._reason, "the modem is in service and stays so")
            ladder.recovered()

    def _unwatch(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    @property
    def _extra(self) -> dict[str, str]:
        return {"modem": self._name}


class _Repeats:
    """How often something has happened lately; what comes in one burst is one. Pure."""

    def __init__(self, most: int, sentence: str) -> None:
        self._most = most
        self._sentence = sentence
        self._at: deque[float] = deque(maxlen=20)

    def note(self, now: float) -> bool:
        """It happened; True: with this one it is too often."""
        if self._at and now - self._at[-1] < timeouts.RESTART_BURST:
            return False
        before = self.sentence(now)
        self._at.append(now)
        return before is None and self.sentence(now) is not None

    def sentence(self, now: float) -> str | None:
        """What that means; None: it was not too often."""
        count = sum(now - at < timeouts.RESTARTS_WINDOW for at in self._at)
        return (
            self._sentence.format(count=count, minutes=timeouts.RESTARTS_WINDOW / 60) if count >= self._most else None
        )


def _trouble_of(error: HardwareError) -> Trouble | None:
    """None: nothing that a step of ours would mend."""
    match error:
        case Failing():
            return error.trouble
        case Wanted() | WrongModem():
            return None
        case SimBlocked():
            return Trouble.SIM if error.restart else None
        case PortWedged():
            return Trouble.WEDGED
        case AtTimeout():
            return Trouble.SILENT
        case ModemError():
            return Trouble.STUBBORN
    return None


def _waiting(ladder: Ladder, seconds: float) -> str:
    last = ladder.tried[-1] if ladder.tried else None
    if last is None or last.result is not Result.DONE:
        return f"the next step is due in {minutes(seconds)}"
    return f"{WORDS[last.step]} was done; it is given up to {minutes(seconds)} more"


def _now() -> float:
    return asyncio.get_running_loop().time()
