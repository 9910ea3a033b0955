"""Where a modem is in its life: one table of moves, one function that moves, logs and tells."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime

from hardware.modem import timeouts
from hardware.types import Health, ModemListener, ModemState, ModemStatus

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
    _S.BLOCKED: frozenset({_S.DETECTED, _S.REGISTERING, _S.RECOVERING, _S.OFFLINE}),
}
"""From where to where; a move to where one is already only renews the reason."""

CAN_SEND = frozenset({_S.READY, _S.DEGRADED})

# On the way back from BLOCKED: not shown, as a person is still needed until the modem is set up.
_TRYING = frozenset({_S.DETECTED, _S.INTERVIEWING, _S.RECOVERING})

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


class Life:
    """The state, health and counters of one modem, and everyone who waits for them. Owned by `Modem`."""

    def __init__(self, status: ModemStatus, listener: ModemListener) -> None:
        self.status = status
        self.served_until: float | None = None  # the loop's clock when the modem last went out of service
        self._listener = listener
        self._state = status.state
        self._reason: str | None = status.health_reason
        self._warnings: dict[str, str] = {}
        self._faults: dict[str, str] = {}
        self._ready = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def state(self) -> ModemState:
        """Where it is; `status` goes on to say BLOCKED while that is being tried to leave."""
        return self._state

    @property
    def stands(self) -> bool:
        """It is blocked, and what goes on meanwhile is nobody's news."""
        return self.status.state is ModemState.BLOCKED

    @property
    def can_send(self) -> bool:
        return self._state in CAN_SEND

    async def wait_ready(self) -> None:
        """Until the modem can send."""
        await self._ready.wait()

    def move(self, state: ModemState, reason: str, *, wanted: bool = False) -> None:
        """Go to `state`; raises ValueError for a move that is not in the table. `wanted`: nothing is wrong."""
        old = self._state
        if state == old and reason == self._reason:
            return
        if state != old and state not in MOVES[old]:
            raise ValueError(f"{self.status.name}: no way from {old} to {state}: {reason}")
        if old in CAN_SEND and state not in CAN_SEND:
            self.served_until = asyncio.get_running_loop().time()
        self._state = state
        if self.stands and (state in _TRYING or (state is ModemState.BLOCKED and reason == self._reason)):
            _LOG.debug("%s: blocked, %s: %s", self.status.name, state, reason, extra={"modem": self.status.name})
            return
        old, self.status.state = self.status.state, state
        self._reason = reason
        if state in CAN_SEND:
            self._ready.set()
        else:
            self._ready.clear()
        if state not in (ModemState.READY, ModemState.DEGRADED, ModemState.REGISTERING):
            self._warnings.clear()
            self._faults.clear()
        level = logging.WARNING if _HEALTH[state] is Health.FAIL and not wanted else logging.INFO
        level = level if state != old else logging.DEBUG
        _LOG.log(level, "%s: %s -> %s: %s", self.status.name, old, state, reason, extra={"modem": self.status.name})
        self._judge_health()
        self.changed_now()

    def in_service(self, reason: str) -> None:
        """The modem can send: ready, or degraded while a fault stands."""
        self.move(ModemState.DEGRADED if self._faults else ModemState.READY, next(iter(self._faults.values()), reason))

    def warn(self, key: str, sentence: str | None) -> None:
        """Set or clear something a person should know of a modem that works."""
        self._note(self._warnings, key, sentence)

    def fault(self, key: str, sentence: str | None) -> None:
        """Set or clear something that makes a ready modem a degraded one."""
        if self._note(self._faults, key, sentence) and self.can_send:
            self.in_service("in service")

    def event(self, name: str, **data: object) -> None:
        """Tell the listener of something that happened."""
        try:
            self._listener.modem_event(self.status.name, name, data)
        except Exception:
            _LOG.exception("%s: a listener failed on %s", self.status.name, name)

    def ok(self) -> None:
        """The modem answered as it should."""
        self.status.last_ok = datetime.now(UTC)

    def changed(self) -> None:
        """A counter or a reading changed: told soon, together with others."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(timeouts.CHANGE_COALESCE, self.changed_now)

    def changed_now(self) -> None:
        """Tell the listener of the status as it is."""
        self.close()
        try:
            self._listener.modem_changed(self.status)
        except Exception:
            _LOG.exception("%s: a listener failed on a change", self.status.name)

    def close(self) -> None:
        """Take back the timer of a change that is due."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

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

    def _judge_health(self) -> None:
        status = self.status
        notes = [*self._faults.values(), *self._warnings.values()]
        if status.state in CAN_SEND:
            status.health = Health.WARN if notes else Health.PASS
            status.health_reason = "; ".join(notes) or None
        else:
            status.health = _HEALTH[status.state]
            status.health_reason = self._reason
