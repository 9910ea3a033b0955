"""From facts to one verdict: a table of checks, each with its threshold and how long it must hold. Pure.

A check says bad, good, or nothing (not known, or between its two thresholds). It stands once it was bad for `hold`
seconds, and goes once it was good for `clear` seconds: what flickers neither comes nor goes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from hardware.types import Blame, Finding, Health, Registration, Told

__all__ = ["CHECKS", "SUNSET", "Check", "Facts", "Monitor", "worst"]

MINUTE = 60.0

WEAK, WEAK_NO_MORE = -105, -101  # dBm of received power, `+CSQ`: at -113 the network is gone
WEAK_REFERENCE, WEAK_REFERENCE_NO_MORE = -115, -111  # dBm of LTE's and NR's reference signal, `+CESQ`
FILLING, FILLING_NO_MORE = 0.8, 0.7  # of the storage; at the brim the network stops delivering (domain A5.1)
FAILED_SENDS = 5  # in a row
UNSTEADY, STEADY = 5, 2  # losses of service within an hour
SILENT_FOR = 10 * MINUTE  # without an answer; a send takes at most 5 minutes, a poll comes each half minute

# Countries by MCC (ITU-T E.212) whose operators have closed GSM or UMTS, or are about to (domain A12).
SUNSET = {
    "228": "Switzerland", "240": "Sweden", "440": "Japan", "441": "Japan", "466": "Taiwan", "505": "Australia",
    "525": "Singapore",
}  # fmt: skip


@dataclass(slots=True)
class Facts:
    """What is known of one modem at one moment; None where nobody knows, which is no reason to warn."""

    in_service: bool = False
    registration: Registration = Registration.UNKNOWN
    roams_by_design: bool = False
    losses: int = 0  # of service, within the last hour
    operator: str | None = None
    names_operators: bool = False  # it has answered +COPS? before
    signal_dbm: int | None = None
    reference_signal: bool = False  # `signal_dbm` is that of LTE's or NR's reference signal, some 20 dB less
    storage_used: int | None = None
    storage_total: int | None = None
    has_smsc: bool | None = None
    polling_only: bool = False
    failed_sends: int = 0  # in a row
    silent_for: float | None = None  # seconds since it last answered as it should
    old_networks_only: bool = False  # GSM and UMTS
    country: str | None = None  # MCC of the SIM
    told: Told = field(default_factory=Told)


@dataclass(frozen=True, slots=True)
class Check:
    """One row. `test`: True bad, False good, None neither; `PASS` is for information only."""

    name: str
    health: Health
    test: Callable[[Facts], bool | None]
    hold: float  # seconds
    clear: float  # seconds
    text: str
    fix: str

    @property
    def finding(self) -> Finding:
        return Finding(self.name, self.health, self.text, self.fix)


def _weak(it: Facts) -> bool | None:
    if it.signal_dbm is None:
        return None
    low, high = (WEAK_REFERENCE, WEAK_REFERENCE_NO_MORE) if it.reference_signal else (WEAK, WEAK_NO_MORE)
    return _band(it.signal_dbm, low, high)


def _filling(it: Facts) -> bool | None:
    if it.storage_used is None or not it.storage_total:
        return None
    return _band(-it.storage_used / it.storage_total, -FILLING + 1e-9, -FILLING_NO_MORE)


def _full(it: Facts) -> bool | None:
    return it.storage_used >= it.storage_total if it.storage_used is not None and it.storage_total else None


def _unsteady(it: Facts) -> bool | None:
    return _band(-it.losses, -UNSTEADY + 1, -STEADY)


def _nameless(it: Facts) -> bool | None:
    return it.operator is None if it.in_service and it.names_operators else False


def _lost(it: Facts) -> bool:
    return not it.in_service and it.registration is not Registration.DENIED


def _old(it: Facts) -> bool:
    return it.old_networks_only and it.country not in SUNSET


def _closed(it: Facts) -> bool:
    return it.old_networks_only and it.country in SUNSET


def _band(value: float, low: float, high: float) -> bool | None:
    """Bad below `low`, good from `high` on, neither in between."""
    return True if value < low else False if value >= high else None


_W, _F, _P = Health.WARN, Health.FAIL, Health.PASS
CHECKS: tuple[Check, ...] = (
    Check(
        "denied", _F, lambda it: it.registration is Registration.DENIED, 5 * MINUTE, 0.0,
        "the network refuses this SIM",
        "ask its operator whether it is active, paid for and not barred; try it in a telephone",
    ),
    Check(
        "no_network", _F, _lost, 5 * MINUTE, 0.0,
        "no network takes this modem",
        "check the antenna and the place, that the SIM is active, and that its operator still runs this modem's 2G, 3G "
        "or 4G",
    ),
    Check(
        "no_answer", _F, lambda it: it.silent_for > SILENT_FOR if it.silent_for is not None else None, 30.0, 0.0,
        "the modem does not answer as it should for more than 10 minutes",
        "unplug it and plug it in again; if it stays so, another cable, a powered hub, another modem",
    ),
    Check(
        "storage_full", _F, _full, 2 * MINUTE, 0.0,
        "the message storage is full: nothing more comes in",
        "keep `delete_after_read: true`, and stop other programs that use the modem",
    ),
    Check(
        "failed_sends", _W, lambda it: it.failed_sends >= FAILED_SENDS, 0.0, 0.0,
        "the last sends all failed",
        "read the errors on `sms/status`; try the SIM in a telephone: balance, barring, service centre",
    ),
    Check(
        "self_test_sends", _W, lambda it: it.told.self_test is Blame.SENDS, 0.0, 0.0,
        "self-tests that this modem sends do not arrive",
        "try the SIM in a telephone; on 4G, check that the operator carries SMS for this modem (SGs or IMS)",
    ),
    Check(
        "self_test_receives", _W, lambda it: it.told.self_test is Blame.RECEIVES, 0.0, 0.0,
        "self-tests to this modem do not arrive",
        "check `number:` of this modem and its storage; try the SIM in a telephone",
    ),
    Check(
        "self_test_either", _W, lambda it: it.told.self_test is Blame.EITHER, 0.0, 0.0,
        "self-tests with this modem get lost, and it is not known on which side",
        "check `number:` of the modems; a third modem, or a telephone, shows which one it is",
    ),
    Check(
        "unreported", _W, lambda it: it.told.unreported, 0.0, 0.0,
        "what this SIM sends never gets a delivery report, while others do",
        "its operator may drop its messages without a word: ask the operator, use another SIM meanwhile",
    ),
    Check(
        "undervoltage", _W, lambda it: it.told.undervoltage, 0.0, 10 * MINUTE,
        "the computer's power supply is too weak",
        "use the supply made for this Raspberry Pi, and a powered hub for the modems",
    ),
    Check(
        "weak_signal", _W, _weak, 3 * MINUTE, 2 * MINUTE,
        "the signal is weak",
        "move the antenna or the modem: a window, an extension cable, an outside antenna",
    ),
    Check(
        "unsteady", _W, _unsteady, 0.0, MINUTE,
        "the network comes and goes",
        "move the antenna; check its plug, and the power supply",
    ),
    Check(
        "roaming", _W,
        lambda it: it.registration is Registration.ROAMING and not it.roams_by_design, 10 * MINUTE, MINUTE,
        "the SIM is roaming: messages may cost more, or be barred",
        "near a border, fix the network with `+COPS`; where it is meant to be so, set `roaming: true` for this modem",
    ),
    Check(
        "no_operator", _W, _nameless, 10 * MINUTE, 0.0,
        "the modem does not say which network it is in",
        "look whether messages come and go; plug it in again if they do not",
    ),
    Check(
        "storage_filling", _W, _filling, 30.0, 10.0,
        "the message storage is almost full",
        "keep `delete_after_read: true`, and stop other programs that use the modem",
    ),
    Check(
        "no_smsc", _W, lambda it: not it.has_smsc if it.has_smsc is not None else None, 0.0, 0.0,
        "the SIM has no service centre number (+CSCA)",
        "set it in a telephone, or with `init_commands`; the operator tells the number",
    ),
    Check(
        "polling_only", _W, lambda it: it.polling_only, 0.0, 0.0,
        "the modem does not announce new messages; they are found by looking now and then",
        "nothing need be done: they come up to `sweep_interval` later; a shorter one helps",
    ),
    Check(
        "networks_closed", _P, _closed, 0.0, 0.0,
        "the modem knows 2G and 3G only, which the SIM's country has closed or is closing",
        "replace it by a 4G modem",
    ),
    Check(
        "networks_closing", _P, _old, 0.0, 0.0,
        "the modem knows 2G and 3G only, which operators switch off in the years to come",
        "ask the operator until when; plan a 4G modem",
    ),
)  # fmt: skip
"""All of them, the gravest first; of two that stand, both are told."""


@dataclass(slots=True)
class _Memory:
    stands: bool = False
    since: float | None = None  # since when the test says otherwise than `stands`


class Monitor:
    """Facts over time to what stands against a modem. Times are monotonic seconds that the caller gives."""

    def __init__(self, checks: Sequence[Check] = CHECKS) -> None:
        self._memories = [(check, _Memory()) for check in checks]

    def judge(self, facts: Facts, now: float) -> tuple[Finding, ...]:
        """What stands now, in the order of the table."""
        return tuple(check.finding for check, memory in self._memories if _stands(check, memory, facts, now))

    def forget(self) -> None:
        """The modem is gone: nothing is known of it."""
        for _, memory in self._memories:
            memory.stands, memory.since = False, None


def _stands(check: Check, memory: _Memory, facts: Facts, now: float) -> bool:
    found = check.test(facts)
    if found is None:
        return memory.stands
    if found is memory.stands:
        memory.since = None
        return memory.stands
    memory.since = now if memory.since is None else memory.since
    if now - memory.since >= (check.hold if found else check.clear):
        memory.stands, memory.since = found, None
    return memory.stands


def worst(findings: Sequence[Finding]) -> Health:
    """The health of a modem against which these stand."""
    order = (Health.PASS, Health.WARN, Health.FAIL)
    return max((finding.health for finding in findings), key=order.index, default=Health.PASS)
