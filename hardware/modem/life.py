"""Where a modem is in its life, and how well: one table of moves, one function that moves, logs and tells."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

from hardware.modem import timeouts
from hardware.modem.health import Facts, Monitor, worst
from hardware.types import Health, ModemListener, ModemState, ModemStatus, Told

__all__ = ["CAN_SEND", "MOVES", "Life"]

_LOG = logging.getLogger(__name__)

_S = ModemState
MOVES: dict[ModemState, frozenset[ModemState]] = {
    _S.OFFLINE: frozenset({_S.DETECTED, _S.BLOCKED}),
    _S.DETECTED: frozenset({_S.INTERVIEWING, _S.RECOVERING, _S.BLOCKED, _S.OFFLINE}),
    _S.INTERVIEWING: frozenset({_S.REGISTERING, _S.RECOVERING, _S.BLOCKED, _S.OFFLINE}),
    _S.REGISTERING: frozenset({_S.READY, _S.DEGRADED, _S.RECOVERING, _S.BLOCKED, _S.OFFLINE}),
    _S.READY: frozenset({_S.DEGRADED, _S.REGISTERING, _S.RECOVERING, _S.BLOCKED, _S.OFFLINE}),
    _S.DEGRADED: frozenset({_S.READY, _S.REGISTERING, _S.RECOVERING, _S.BLOCKED, _S.OFFLINE}),
    _S.RECOVERING: frozenset({_S.DETECTED, _S.INTERVIEWING, _S.BLOCKED, _S.OFFLINE}),
    _S.BLOCKED: frozenset({_S.DETECTED, _S.RECOVERING, _S.OFFLINE}),
}
"""From where to where; a move to where one is already only renews the reason."""

CAN_SEND = frozenset({_S.READY, _S.DEGRADED})

_HEALTH = {
    _S.OFFLINE: Health.FAIL,
    _S.DETECTED: Health.WARN,
    _S.INTERVIEWING: Health.WARN,
    _S.REGISTERING: Health.WARN,
    _S.READY: Health.PASS,
    _S.DEGRADED: Health.WARN,
    _S.RECOVERING: Health.FAIL,
    _S.BLOCKED: Health.FAIL,
}
SAY_AGAIN = 3600.0  # seconds before a finding that came back is a line in the log again
_BADNESS = (Health.PASS, Health.WARN, Health.FAIL)
_CONNECTED = CAN_SEND | {_S.REGISTERING}  # set up: what is asked of it and said of it is about now


def loop_time() -> float:
    """Monotonic seconds of the running loop."""
    return asyncio.get_running_loop().time()


class Life:
    """The state, health and counters of one modem, and everyone who waits for them. Owned by `Modem`."""

    def __init__(self, status: ModemStatus, listener: ModemListener, clock: Callable[[], float] = loop_time) -> None:
        self.status = status
        self.facts = Facts()  # what the status does not say; whoever changes one calls `judge`
        self._listener = listener
        self._clock = clock
        self._monitor = Monitor()
        self._said: dict[str, float] = {}  # check -> when it was logged last
        self._reason: str | None = status.health_reason
        self._warnings: dict[str, str] = {}
        self._faults: dict[str, str] = {}
        self.since = 0.0  # monotonic seconds, when this state began
        self.served_until: float | None = None  # when it last went out of service
        self._ready = asyncio.Event()
        self._held = False
        self._timer: asyncio.TimerHandle | None = None
        self._hushed = False
        self._given_up = False  # of what is hushed: that it fails once more is no news
        self._unsaid: list[Callable[[], None]] = []  # while it is hushed
        self._identity_told: tuple[object, ...] = ()
        self._ok_at: float | None = None
        self._told_health = Health.PASS  # a modem is thought well of until it gives a reason
        self._settling: asyncio.TimerHandle | None = None

    @property
    def state(self) -> ModemState:
        return self.status.state

    @property
    def can_send(self) -> bool:
        return self.status.state in CAN_SEND and not self._held

    async def wait_ready(self) -> None:
        """Until the modem can send."""
        await self._ready.wait()

    def hold(self, held: bool) -> None:
        """Nothing new is handed over while `held`, though the modem stays in service."""
        self._held = held
        self._gate()

    def move(self, state: ModemState, reason: str, *, wanted: bool = False) -> None:
        """Go to `state`; raises ValueError for a move that is not in the table. `wanted`: nothing is wrong."""
        if self._hushed and self._keeps_quiet(state, reason):
            return
        old = self.status.state
        if state == old and reason == self._reason:
            return
        if state != old and state not in MOVES[old]:
            raise ValueError(f"{self.status.name}: no way from {old} to {state}: {reason}")
        if state != old:
            self.since = self._clock()
        if old in CAN_SEND and state not in CAN_SEND:
            self.served_until = self.since
        self.status.state = state
        self._reason = reason
        self._gate()
        if state not in _CONNECTED:
            self._warnings.clear()
            self._faults.clear()
            self._forget()
        level = logging.WARNING if _HEALTH[state] is Health.FAIL and not wanted else logging.INFO
        level = level if state != old or state is ModemState.BLOCKED else logging.DEBUG
        _LOG.log(level, "%s: %s -> %s: %s", self.status.name, old, state, reason, extra={"modem": self.status.name})
        self._judge_health()
        self.changed_now()

    def hush(self, *, given_up: bool = False) -> None:
        """From here on a blocked modem is looked at now and then: nothing is told until something has changed.

        `given_up`: nor that it does not recover.
        """
        self._hushed = self.state is ModemState.BLOCKED
        self._given_up = given_up
        self._identity_told = self._identity()

    def speak(self) -> None:
        """Something is done about it: that is told as it comes."""
        self._hushed = False
        self._unsaid.clear()

    def in_service(self, reason: str) -> None:
        """The modem can send: ready, or degraded while a fault or a grave finding stands."""
        self._examine(serves=True)  # first: what was said of a modem without a network is over
        grave = [found.text for found in self.status.findings if found.health is Health.FAIL]
        wrong = next(iter([*self._faults.values(), *grave]), None)
        self.move(ModemState.READY if wrong is None else ModemState.DEGRADED, wrong or reason)

    def warn(self, key: str, sentence: str | None) -> None:
        """Set or clear something a person should know of a modem that works."""
        self._note(self._warnings, key, sentence)

    def fault(self, key: str, sentence: str | None) -> None:
        """Set or clear something that makes a ready modem a degraded one."""
        if self._note(self._faults, key, sentence) and self.status.state in CAN_SEND:
            self.in_service("in service")

    def judge(self) -> None:
        """Look at all facts anew; whatever comes to stand against the modem, or goes, is told."""
        status, before = self.status, worst(self.status.findings)
        if status.state not in _CONNECTED or not self._examine(serves=status.state in CAN_SEND):
            return
        self._judge_health()
        if status.state in CAN_SEND and (before is Health.FAIL) != (worst(status.findings) is Health.FAIL):
            self.in_service("in service")
        self.changed()

    def tell(self, told: Told) -> None:
        """What others know of this modem; may be told again and again."""
        if told != self.facts.told:
            self.facts.told = told
            self.judge()

    def event(self, name: str, **data: object) -> None:
        """Tell the listener of something that happened."""
        if self._hushed:
            self._unsaid.append(partial(self.event, name, **data))
            return
        try:
            self._listener.modem_event(self.status.name, name, data)
        except Exception:
            _LOG.exception("%s: a listener failed on %s", self.status.name, name)

    def ok(self) -> None:
        """The modem answered as it should."""
        self.status.last_ok = datetime.now(UTC)
        self._ok_at = self._clock()

    def changed(self) -> None:
        """A counter or a reading changed: told soon, together with others."""
        if self._timer is None and not self._hushed:
            self._timer = asyncio.get_running_loop().call_later(timeouts.CHANGE_COALESCE, self.changed_now)

    def changed_now(self) -> None:
        """Tell the listener of the status as it is."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        try:
            self._listener.modem_changed(self.status)
        except Exception:
            _LOG.exception("%s: a listener failed on a change", self.status.name)

    def close(self) -> None:
        """Take back the timers of what is due."""
        for timer in (self._timer, self._settling):
            if timer is not None:
                timer.cancel()
        self._timer = self._settling = None

    def _keeps_quiet(self, state: ModemState, reason: str) -> bool:
        """Whether a move of a hushed modem says nothing new; else all is told that was not."""
        on_the_way = state in (ModemState.DETECTED, ModemState.INTERVIEWING)
        if on_the_way or (self._given_up and state is ModemState.RECOVERING):
            self._unsaid.append(partial(self.move, state, reason))
            return True
        unsaid, self._unsaid = self._unsaid, []
        if state is ModemState.BLOCKED and reason == self._reason:
            if self._identity() != self._identity_told:
                self.hush(given_up=self._given_up)
                self.changed_now()
            return True
        self._hushed = False
        if state not in MOVES[ModemState.BLOCKED] and state is not ModemState.BLOCKED:
            for say in unsaid:  # the way it took to get here
                say()
        return False

    def _identity(self) -> tuple[object, ...]:
        """What may change of a blocked modem."""
        status = self.status
        return (status.sim.state, status.sim.pin_attempts_left, status.iccid, status.imei, status.firmware)

    def _note(self, notes: dict[str, str], key: str, sentence: str | None) -> bool:
        if notes.get(key) == sentence:
            return False
        if sentence is None:
            notes.pop(key, None)
        else:
            notes[key] = sentence
            _LOG.warning("%s: %s", self.status.name, sentence, extra={"modem": self.status.name})
        self._judge_health()
        self.changed()
        return True

    def _examine(self, *, serves: bool) -> bool:
        """Bring the findings up to date; True: they changed."""
        status, facts, now = self.status, self.facts, self._clock()
        facts.in_service = serves
        facts.registration, facts.operator = status.registration, status.operator
        facts.signal_dbm = status.signal_dbm
        facts.storage_used, facts.storage_total = status.storage.used, status.storage.total
        facts.silent_for = now - self._ok_at if self._ok_at is not None else None
        findings = self._monitor.judge(facts, now)
        for found in findings:
            if found not in status.findings and found.health is not Health.PASS:
                lately = now - self._said.get(found.check, -SAY_AGAIN) < SAY_AGAIN
                level = logging.DEBUG if lately else logging.WARNING
                _LOG.log(level, "%s: %s", status.name, found.text, extra={"modem": status.name})
                self._said[found.check] = self._said[found.check] if lately else now
        changed = findings != status.findings
        status.findings = findings
        return changed

    def _gate(self) -> None:
        if self.can_send:
            self._ready.set()
        else:
            self._ready.clear()

    def _forget(self) -> None:
        """The connection is over, or begins anew: what was known of it is not known any more."""
        self._monitor.forget()
        self.status.findings = ()
        self._held = False
        self._ok_at = None
        old = self.facts
        self.facts = Facts(roams_by_design=old.roams_by_design, failed_sends=old.failed_sends, told=old.told)

    def _judge_health(self) -> None:
        status = self.status
        findings = [found for found in status.findings if found.health is not Health.PASS]
        notes = [f"{found.text} ({found.fix})" for found in findings]
        if status.state in CAN_SEND:
            notes = [*self._faults.values(), *self._warnings.values(), *notes]
            least = Health.WARN if notes else Health.PASS
        else:
            least = _HEALTH[status.state]
            notes = notes if worst(findings) is Health.FAIL else [self._reason or "", *notes]
        status.health = max(least, worst(findings), key=_BADNESS.index)
        status.health_reason = " ".join("; ".join(filter(None, notes)).split()) or None
        self._settle()

    def _settle(self) -> None:
        """Have a verdict that stays told as an event: once, and not while it flickers."""
        if self.status.health is self._told_health:
            if self._settling is not None:
                self._settling.cancel()
                self._settling = None
        elif self._settling is None:
            loop = asyncio.get_running_loop()
            self._settling = loop.call_later(timeouts.HEALTH_SETTLE, self._tell_health)

    def _tell_health(self) -> None:
        self._settling = None
        previous, self._told_health = self._told_health, self.status.health
        self.event(
            "health_changed", health=self.status.health, previous=previous, reason=self.status.health_reason or ""
        )
