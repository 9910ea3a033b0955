"""What a modem's refusal means: one table for numeric, verbose and bare errors (domain A9, `cms_cme_actions.csv`).

The stage rule dominates: before the prompt nothing was sent; after Ctrl-Z only what the table marks as certain is a
refusal, all else is unknown.
"""

from __future__ import annotations

import csv
import functools
import re
from dataclasses import dataclass
from importlib import resources
from typing import Final, NamedTuple

from hardware.types import Action, SendError, SendOutcome

__all__ = ["Space", "Verdict", "classify", "code_of", "describe", "failure"]

Space = str | None
"""`"CMS"` (TS 27.005 3.2.5), `"CME"` (TS 27.007 9.2) or None (a bare ERROR)."""

TR1M: Final = 45.0  # seconds; RP-ACK's timer (TS 24.011 10): a CMS 111 after it is a lost transport, not a refusal
LAST_NETWORK_CAUSE: Final = 255  # RP causes 1 to 127, TP-FCS 128 to 255
FIRST_VENDOR_CODE: Final = 512

_ACTIONS: Final = {
    "RETRY_SAME": Action.RETRY_SAME,
    "RETRY_OTHER": Action.RETRY_OTHER,
    "FAIL": Action.FAIL,
    "FAIL_ROUTE": Action.FAIL_ROUTE,
    "SIM_FAULT": Action.SIM_FAULT,
    "SIM_FAULT_LATCH": Action.SIM_FAULT,
    "SIM_PIN": Action.SIM_PIN,
    "SIM_CFG": Action.SIM_CFG,
    "MODEM_RESET": Action.MODEM_RESET,
    "MODEM_FAULT": Action.MODEM_RESET,
    "STORAGE": Action.STORAGE,
    "BUG": Action.BUG,
    "MODEM_CAP": Action.CAPABILITY,
    "IGNORE": Action.IGNORE,
    "TREAT_AS_SENT": Action.TREAT_AS_SENT,
    # Uncertain only after Ctrl-Z; before it, try again.
    "UNKNOWN": Action.RETRY_SAME,
    "UNKNOWN_IF_AFTER_CTRLZ": Action.RETRY_SAME,
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """How certain it is that the part was not sent, and what to do; healths are "", "suspect" or "fault"."""

    outcome: SendOutcome
    error: SendError
    sim_health: str = ""
    modem_health: str = ""


class _Row(NamedTuple):
    first: int
    last: int
    meaning: str
    certain: str  # "yes", "yes*", "no", "n/a"
    action: Action
    delay: float | None
    sim_health: str
    modem_health: str


class _Table(NamedTuple):
    rows: dict[str, list[_Row]]  # by space
    named: dict[str, _Row]  # what has no code: "error_before", "timeout", ...
    verbose: dict[str, dict[str, int]]  # by space: normalised text to code


def classify(space: Space, code_or_text: int | str | None, *, after_pdu: bool, seconds: float = 0.0) -> Verdict:
    """The verdict on an error answer to AT+CMGS: `seconds` is the time since Ctrl-Z. Never raises."""
    if space is None:
        return failure("error", after_pdu=after_pdu)
    space = space.upper()
    code = code_or_text if isinstance(code_or_text, int) else code_of(space, code_or_text or "")
    if code is None:
        text = str(code_or_text or "no text")
        return _judge(f"{space.lower()}_unknown", text, _vendor_rule(), after_pdu, certain=False)
    row = _find(space, code)
    certain = row.certain.startswith("yes") or (row.certain == "n/a" and _is_network_cause(space, code))
    if space == "CMS" and code == 111 and seconds > TR1M:
        certain = False
    return _judge(f"{space.lower()}_{code}", row.meaning, row, after_pdu, certain)


def failure(code: str, *, after_pdu: bool) -> Verdict:
    """The verdict on a send without an error answer: `error`, `timeout`, `prompt_timeout`, `port_lost`, `reboot`."""
    named = _table().named
    row = named.get(f"{code}_{'after' if after_pdu else 'before'}") or named[code]
    return _judge(code, row.meaning, row, after_pdu, certain=False)


def code_of(space: str, text: str) -> int | None:
    """The number in an error's text, or that of its verbose form; None if it is neither."""
    text = text.strip()
    if text.isascii() and text.isdigit() and len(text) <= 5:
        return int(text)
    spellings = _table().verbose.get(space.upper(), {})
    return spellings.get(_normalise(text))


def describe(space: Space, code: int | None) -> str:
    """A few words for a person."""
    if space is None or code is None:
        return "the modem refused without a reason"
    return _find(space.upper(), code).meaning


def _judge(name: str, text: str, row: _Row, after_pdu: bool, certain: bool) -> Verdict:
    outcome = SendOutcome.NOT_SENT if certain or not after_pdu else SendOutcome.UNKNOWN
    action = Action.UNKNOWN if outcome is SendOutcome.UNKNOWN else row.action
    return Verdict(outcome, SendError(name, text, action, row.delay), row.sim_health, row.modem_health)


def _find(space: str, code: int) -> _Row:
    for row in _table().rows.get(space, ()):
        if row.first <= code <= row.last:
            return row
    if space == "CMS" and 0 < code <= LAST_NETWORK_CAUSE:
        # A cause the table does not list is the network's answer all the same (TS 24.011 E-2: read it as 41 or 111).
        return _Row(code, code, f"Network cause {code}", "yes", Action.RETRY_OTHER, 60.0, "", "")
    rule = _vendor_rule()
    return rule._replace(meaning=f"{space} error {code}")


def _vendor_rule() -> _Row:
    return _table().named["other"]


def _is_network_cause(space: str, code: int) -> bool:
    return space == "CMS" and 0 < code <= LAST_NETWORK_CAUSE and code != 127


@functools.cache
def _table() -> _Table:
    table = _Table({"CMS": [], "CME": []}, {}, {"CMS": {}, "CME": {}})
    source = resources.files("hardware.at").joinpath("cms_cme_actions.csv").read_text(encoding="utf-8")
    for record in csv.DictReader(source.splitlines()):
        _add(table, record)
    for space, other in (("CMS", "CME"), ("CME", "CMS")):
        # A text in the wrong space (`+CMS ERROR: SIM busy` is CME's on some modems): the code of its own space wins.
        for text in table.verbose[other]:
            twin = _twin(space, table.verbose[other][text])
            if twin is not None:
                table.verbose[space].setdefault(text, twin)
    return table


# Codes of one meaning in both spaces (TS 27.005 3.2.5, TS 27.007 9.2): (CMS, CME).
_TWINS: Final = (
    (300, 0), (302, 3), (303, 4), (310, 10), (311, 11), (312, 5), (313, 13), (314, 14), (315, 15), (316, 12),
    (317, 17), (318, 18), (320, 23), (321, 21), (322, 20), (331, 30), (332, 31), (500, 100),
)  # fmt: skip


def _twin(space: str, code: int) -> int | None:
    pairs = _TWINS if space == "CME" else [(cme, cms) for cms, cme in _TWINS]
    return next((own for foreign, own in pairs if foreign == code), None)


def _add(table: _Table, record: dict[str, str]) -> None:
    space, code = record["code_space"], record["code"]
    first, last, name = _range(code)
    row = _Row(
        first,
        last,
        record["meaning"],
        record["certainly_not_sent"],
        _ACTIONS[record["action"]],
        float(record["same_modem_delay_s"]) if record["same_modem_delay_s"] else None,
        record["sim_health"],
        record["modem_health"],
    )
    if name:
        table.named[name] = row
        return
    table.rows[space].append(row)
    for text in filter(None, record["verbose"].split("|")):
        table.verbose[space].setdefault(_normalise(text), first)


def _range(code: str) -> tuple[int, int, str]:
    """`38`, `256-299`, or a name (first, last, name)."""
    first, _, last = code.partition("-")
    if first.isdigit():
        return int(first), int(last or first), ""
    return 0, -1, code.split()[0]


def _normalise(text: str) -> str:
    """Letters and digits only: `(U)SIM not inserted` and `SIM not inserted.` are one."""
    return re.sub(r"[^a-z0-9+]+", " ", text.lower().replace("(u)", "").replace("usim", "sim")).strip()
