"""What can be made to go wrong, by name. A fault is armed, used up (or cleared), and says so."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

ONE_SHOT = {
    "urc_in_middle": "a URC inside the next answers, between the prompt and the result too",
    "late_result": "the network accepts, the result comes `delay` seconds later (30)",
    "lost_result": "the network accepts, the result never comes",
    "half_line": "the next result (`on`: a command prefix; `+CMGS`) stops in the middle of a line",
    "sim_busy": "`count` commands that need the SIM are answered SIM busy (CME 14, CMS 314)",
    "cms_error": "a send ends in CMS `code`; `stage`: `before` the prompt or `after` the PDU (default)",
    "cme_error": "a command ends in CME `code`; `on`: a command prefix such as `+CSQ`",
    "no_prompt": "AT+CMGS gets neither a prompt nor an answer",
    "die_after_ctrl_z": "the network accepts, then the port is gone",
    "no_urc": "a message is stored and no +CMTI says so",
    "no_answer": "a command gets no answer; `on`: a command prefix",
}
"""Faults that are used up; `count` (1) says how often, `duration` ends them in seconds."""

LASTING = {
    "wedge": "answers nothing at all until cleared or unplugged",
    "storage_full": "every free slot is filled with old messages; `hard`: refuses even when emptied",
    "pin_required": "the SIM asks for `pin` (1234) with `attempts` (3) left; `puk` (12345678), `puk_attempts` (10)",
    "sim_absent": "there is no SIM",
    "sim_failure": "the SIM does not work (CME 13, CMS 313) until the modem restarts, or `lasting`",
    "stuck": "every send is answered ERROR until the modem restarts",
    "no_restart": "refuses to restart by command",
    "brown_out": "restarts by itself every `every` seconds (20)",
    "lost_network": "searches until its radio is switched off and on, or it restarts",
    "registration": "registers as `stat` (0); `domain`: +CREG, +CEREG, … alone",
    "signal": "reports `csq` (99), and `rsrp` (0 to 97, of +CESQ) where given",
    "operator": "names `called` as its operator; empty: none",
    "storage_figures": "says that `used` messages of `total` are stored",
    "no_smsc": "the SIM has no service centre number",
    "filtered": "the network accepts what it sends and drops it: no delivery, no report",
}
"""Faults that stay until cleared."""

ACTIONS = {
    "unplug": "the port goes away; `on`: at the next `command`, `cmgs`, `prompt`, `ctrl_z`, `accepted`",
    "plug": "the port comes back under another name",
    "reboot": "the modem restarts: settings lost, boot URCs; `on` as for unplug",
    "echo_on": "the echo is on again",
    "text_mode": "it is in text mode, as some are after a SIM refresh",
}
"""Faults that happen at once, or at the moment that `on` names."""

NAMES = {**ONE_SHOT, **LASTING, **ACTIONS}
MOMENTS = ("now", "command", "cmgs", "prompt", "ctrl_z", "accepted")


@dataclass(slots=True)
class Fault:
    """One that is armed; `params` have passed `checked`."""

    name: str
    count: int = 1
    until: float | None = None  # of the clock given to `Faults`
    params: dict[str, Any] = field(default_factory=dict)


def checked(params: dict[str, Any]) -> dict[str, Any]:
    """Parameters in the types that faults read them in; ValueError names the one that is wrong."""
    result = {}
    for key, value in params.items():
        kind = _KINDS.get(key, str)
        try:
            result[key] = kind(value)
        except (TypeError, ValueError, OverflowError):
            raise ValueError(f"`{key}` cannot be {value!r}") from None
    return result


class Faults:
    """The faults that are armed on one phone."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._armed: list[Fault] = []

    def arm(self, name: str, *, count: int = 1, duration: float | None = None, **params: Any) -> None:
        until = None if duration is None else self._clock() + duration
        self._armed.append(Fault(name, count, until, params))

    def active(self, name: str) -> Fault | None:
        """The oldest armed fault of that name, not used up by asking."""
        if not self._armed:
            return None
        now = self._clock()
        self._armed = [f for f in self._armed if f.until is None or f.until > now]
        return next((f for f in self._armed if f.name == name), None)

    def take(self, name: str, **match: Any) -> Fault | None:
        """Use one up: a fault of that name whose parameters, where given, equal `match`."""
        if self.active(name) is None:
            return None
        for fault in self._armed:
            if fault.name == name and all(fault.params.get(k, v) == v for k, v in match.items()):
                fault.count -= 1
                if fault.count <= 0:
                    self._armed.remove(fault)
                return fault
        return None

    def take_on(self, name: str, line: str) -> Fault | None:
        """Use one up whose `on` prefix begins `line` (a command without AT); no `on`: any line."""
        if not self._armed:
            return None
        for fault in [f for f in self._armed if f.name == name]:
            on = str(fault.params.get("on", ""))
            if line.upper().startswith(on.upper()):
                return self.take(name, on=fault.params["on"]) if on else self.take(name)
        return None

    def clear(self, name: str | None = None) -> list[str]:
        """Disarm one name, or all; the names that were armed."""
        gone = [f.name for f in self._armed if name in (None, f.name)]
        self._armed = [f for f in self._armed if f.name not in gone]
        return gone

    def armed(self) -> list[str]:
        return [f.name for f in self._armed]


def _truth(value: object) -> bool:
    return value.lower() in ("1", "true", "yes", "on") if isinstance(value, str) else bool(value)


def _seconds(value: Any) -> float:
    seconds = float(value)
    if not 0 <= seconds <= 86400:
        raise ValueError
    return seconds


_KINDS: dict[str, Callable[[Any], Any]] = {
    "code": int,
    "csq": int,
    "rsrp": int,
    "stat": int,
    "used": int,
    "total": int,
    "attempts": int,
    "puk_attempts": int,
    "delay": _seconds,
    "every": _seconds,
    "count": int,
    "duration": lambda value: None if value is None else _seconds(value),
    "accepted": _truth,
    "hard": _truth,
    "lasting": _truth,
}
