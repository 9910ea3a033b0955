"""What a message centre's answer makes of a part: the table of statuses in the words of the core (domain C3). Pure."""

from __future__ import annotations

from collections.abc import Mapping

from hardware.types import Action, SendError, SendOutcome, SendResult
from sms_bridge.routes.smpp.status import OnSubmit, code_of, describe, row_of

SENT = SendResult(SendOutcome.SENT)
THROTTLED = "throttled"  # a code that uses up no attempt (core/retry.py)
OFFLINE = "route_offline"  # and so is this

_ACTIONS = {
    OnSubmit.FAIL: Action.FAIL,
    OnSubmit.FAIL_ROUTE: Action.FAIL_ROUTE,
    OnSubmit.RETRY: Action.RETRY_SAME,
    OnSubmit.WITHOUT_TIMES: Action.FAIL,
    OnSubmit.WITHOUT_TLVS: Action.FAIL,
}


def refused(status: int, attempt: int, failures: int, vendor: Mapping[int, OnSubmit]) -> SendResult:
    """A part that the centre did not take. `attempt`: of the order, from 1; `failures`: those that counted."""
    row = row_of(status, vendor)
    text = describe(status)
    match row.submit:
        case OnSubmit.THROTTLED if not row.tries or attempt <= row.tries:
            return not_sent(THROTTLED, text, Action.RETRY_SAME, row.delay)
        case OnSubmit.THROTTLED:  # for so long that it is a failure: another route may be better off
            return not_sent(code_of(status), text, Action.RETRY_SAME, row.delay)
        case OnSubmit.REBIND:
            return not_sent(OFFLINE, text, Action.RETRY_SAME, row.delay)
        case OnSubmit.RETRY if failures >= row.tries:
            return not_sent(code_of(status), text, Action.FAIL_ROUTE)
        case _:
            delay = row.delay if row.submit is OnSubmit.RETRY else None
            return not_sent(code_of(status), text, _ACTIONS[row.submit], delay)


def unknown(why: str) -> SendResult:
    """A part that may have been taken."""
    return SendResult(SendOutcome.UNKNOWN, error=SendError("no_response", why, Action.UNKNOWN))


def not_sent(code: str, text: str, action: Action, delay: float | None = None) -> SendResult:
    """A part that surely was not taken."""
    return SendResult(SendOutcome.NOT_SENT, error=SendError(code, text, action, delay))


def together(results: list[SendResult]) -> SendResult:
    """Of a part that took several PDUs: sent or not sent only when all are."""
    first = results[0]
    if all(result.outcome is first.outcome for result in results):
        return first
    doubtful = next((result for result in results if result.outcome is SendOutcome.UNKNOWN), None)
    return doubtful or unknown("the message centre took a piece of it and refused another")
