"""`expect_reply` and `escalate` of an order: what is checked before it is stored, and what is stored with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from sms_bridge.core.asking import (
    LONGEST,
    MAX_STEPS,
    Asked,
    AskError,
    Question,
    Step,
    StepRow,
    StepState,
    Until,
    root_of,
    token_of,
    with_token,
)
from sms_bridge.core.errors import NumberError
from sms_bridge.core.model import AUTO, Order, SendRequest
from sms_bridge.core.numbers import ContactBook, expand
from sms_bridge.core.ports import Transaction
from sms_bridge.core.settings import DAY, CoreSettings
from sms_bridge.core.states import Stage


def check(
    request: SendRequest, settings: CoreSettings, book: ContactBook, try_out: Callable[[SendRequest], None]
) -> None:
    """AskError: what it asks for cannot be. `try_out` raises what is wrong with a step's order."""
    longest = min(LONGEST, settings.retention_days * DAY)
    expect, escalate = request.expect, request.escalate
    if expect is not None:
        if not 1 <= expect.within <= longest:
            raise AskError(f"`expect_reply` waits for 1 to {longest:.0f} seconds")
        if expect.token and request.text is None:
            raise AskError("`expect_reply`: a token needs a `text` to stand in")
    if escalate is None:
        return
    if not 1 <= len(escalate.steps) <= MAX_STEPS:
        raise AskError(f"`escalate` has {len(escalate.steps)} steps, and may have 1 to {MAX_STEPS}")
    if escalate.until is Until.REPLY and expect is None:
        raise AskError("`escalate` until a reply needs `expect_reply`, which says for how long one is waited for")
    if escalate.until in (None, Until.DELIVERED) and expect is None and not request.delivery_report:
        raise AskError("`escalate` until delivery needs `delivery_report`: without it nothing is known of delivery")
    for n, step in enumerate(escalate.steps, 1):
        try:
            _check_step(request, step, longest, settings, book)
            try_out(_with_step(request, step))
        except (AskError, NumberError) as error:
            raise AskError(f"`escalate`, step {n}: {error}") from error


def with_mark(request: SendRequest, id: str) -> SendRequest:
    """The request as it is sent: with the mark that makes a reply sure, where one is wanted."""
    if request.expect is None or not request.expect.token or request.text is None:
        return request
    return replace(request, text=with_token(request.text, token_of(root_of(id, request.source))))


def store(tx: Transaction, request: SendRequest, orders: list[Order]) -> None:
    """Keep what an accepted request asks for; its orders have their numbers by now."""
    expect, first = request.expect, orders[0]
    if expect is not None:
        token = token_of(root_of(first.id, request.source)) if expect.token else None
        tx.add_questions([Question(o.seq, o.id, o.to, token, Asked.NEW, None, False, expect) for o in orders])
    if request.escalate is not None:
        until = request.escalate.until or (Until.REPLY if expect is not None else Until.DELIVERED)
        # Quiet hours may hold it too, and an alarm does not wait for their end.
        held = first.stage is Stage.HELD and request.send_at is not None
        tx.add_steps(
            [
                StepRow(
                    first.seq,
                    n,
                    StepState.WAITS,
                    None if held else first.accepted_at + int(step.after * 1000),
                    until,
                    request.expires_in is not None,
                    step,
                    expect,
                )
                for n, step in enumerate(request.escalate.steps, 1)
            ]
        )


def _check_step(request: SendRequest, step: Step, longest: float, settings: CoreSettings, book: ContactBook) -> None:
    if not 1 <= step.after <= longest:
        raise AskError(f"`after` is 1 to {longest:.0f} seconds")
    if not step.to and step.route is None and step.modem is None and step.text is None:
        raise AskError("it says nothing to do: give `to`, `route`, `modem` or `text`")
    for typed in step.to:
        expand(typed, settings.default_region, book)


def _with_step(request: SendRequest, step: Step) -> SendRequest:
    return replace(
        request,
        to=step.to or request.to,
        text=step.text if step.text is not None else request.text,
        data=None if step.text is not None else request.data,
        route=step.route or (request.route if step.modem is None else AUTO),
        modem=step.modem or (request.modem if step.route is None else AUTO),
        escalate=None,
    )
