"""Which order a received message answers, with which of the options that were offered; and answers that never came."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sms_bridge.core import answers, escalation
from sms_bridge.core.asking import Asked, Option, Question, choose, root_of, step_of, take_token
from sms_bridge.core.clock import rfc3339
from sms_bridge.core.model import Order
from sms_bridge.core.ports import Reader
from sms_bridge.core.redaction import mask
from sms_bridge.core.states import OrderState
from sms_bridge.core.talk import NOTHING, Heard, Listener, Noted, Talk

MOST = 20  # questions to one recipient that are looked at, the newest
AMONG = 2_000  # of the latest orders is looked for the one that an unasked reply may answer
LATEST = 3600.0  # s after its time, at least, in which a question may still be answered too late
KINDS = frozenset({"text", "flash"})

_GONE_OUT = frozenset({OrderState.SENT, OrderState.DELIVERED, OrderState.UNKNOWN})
_MAY_BE_OUT = _GONE_OUT | {OrderState.SENDING}
_ASKED = frozenset({Asked.NEW, Asked.OPEN})


@dataclass(frozen=True, slots=True)
class _Candidate:
    question: Question
    order: Order
    late: bool


def hear(talk: Talk, heard: Heard, listener: Listener) -> Noted:
    """What is published with a received message; closes the question that it answers, ends what escalates."""
    masked = listener.masked(heard)
    if heard.before is not None:
        return replace(heard.before, text=masked)
    claimed = listener.heard(talk, heard)
    if claimed is not None:
        return replace(claimed, text=masked)
    return replace(_correlated(talk, heard, listener), text=masked)


def waiting(reader: Reader) -> tuple[bool, bool]:
    """Whether there are questions whose message has not gone out, and whether `begin` has anything to do."""
    return reader.questions_new(), bool(reader.questions_asked(1))


def begin(talk: Talk, limit: int) -> None:
    """Let the time of those begin whose message has gone out; end those of which it never will."""
    for question, state in talk.tx.questions_asked(limit):
        if state in _GONE_OUT:
            question.state = Asked.OPEN
            question.expires_at = talk.now + int(question.expect.within * 1000)
            talk.tx.save_question(question)
        elif state is OrderState.CANCELLED:
            question.state = Asked.OVER
            talk.tx.save_question(question)
        else:
            _time_out(talk, question, Asked.OVER)


def expire(talk: Talk, limit: int) -> None:
    """Tell of those whose time is over."""
    for question in talk.tx.questions_due(talk.now, limit):
        _time_out(talk, question, Asked.LATE)


def describe(reader: Reader, order_seq: int) -> dict[str, Any]:
    """What `message/get` shows besides, of orders that asked for something."""
    found: dict[str, Any] = {}
    question = reader.question(order_seq)
    if question is not None:
        until = rfc3339(question.expires_at) if question.expires_at is not None else None
        found["reply"] = {"state": question.state.value, "until": until}
    steps = escalation.describe(reader, order_seq)
    if steps:
        found["escalate"] = steps
    return found


def cancel(talk: Talk, orders: Sequence[Order]) -> None:
    """Nobody waits for an answer to these any more."""
    for order in orders:
        question = talk.tx.question(order.seq)
        if question is not None and question.state in _ASKED:
            question.state = Asked.OVER
            talk.tx.save_question(question)


def _correlated(talk: Talk, heard: Heard, listener: Listener) -> Noted:
    if heard.kind not in KINDS or not heard.text:
        return NOTHING
    token, rest = take_token(heard.text)
    chosen, option = _chosen(_candidates(talk, heard.sender), token, rest)
    if chosen is not None:
        return _answered(talk, heard, chosen, option, listener)
    window = int(talk.settings.replies.window * 1000)
    order = talk.tx.written_to(heard.sender, talk.now - window, AMONG) if window else None
    return Noted(root_of(order.id, order.source)) if order is not None else NOTHING


def _candidates(talk: Talk, sender: str) -> list[_Candidate]:
    """Questions that `sender` may answer: open ones, then late ones, each newest first."""
    found = talk.tx.questions_of(sender, MOST)
    if not found and sender.isdigit() and len(sender) >= 7:
        # A number in national form, and no region to complete it with: as good as its last digits (domain A7.2).
        found = talk.tx.questions_like(sender, MOST)
        if len({question.recipient for question in found}) > 1:
            return []
    result = []
    for question in found:
        order = talk.tx.order(question.order_seq)
        if order is None or order.state not in _MAY_BE_OUT:
            continue
        since = talk.now - question.expires_at if question.expires_at is not None else -1  # ms, after its time
        late = question.state is Asked.LATE or (question.state in _ASKED and since >= 0)
        if late and since > max(LATEST, talk.settings.replies.window) * 1000:
            continue  # nobody remembers what was asked
        result.append(_Candidate(question, order, late))
    return result


def _chosen(found: Sequence[_Candidate], token: str | None, text: str) -> tuple[_Candidate | None, Option | None]:
    """The question that `text` answers: the one whose mark it has, whose options it fits, else the newest."""
    if token is not None:
        marked = next((each for each in found if each.question.token == token), None)
        if marked is not None:
            return marked, choose(marked.question.expect.options, text)
    open_ones = [each for each in found if each.question.state in _ASKED and not each.late]
    for each in open_ones:
        option = choose(each.question.expect.options, text)
        if option is not None:
            return each, option
    if open_ones:
        return open_ones[0], None
    for each in found:
        option = choose(each.question.expect.options, text)
        if each.late and each.question.expect.closes(option):
            return each, option
    return None, None


def _answered(talk: Talk, heard: Heard, chosen: _Candidate, option: Option | None, listener: Listener) -> Noted:
    question, order, late = chosen.question, chosen.order, chosen.late
    root = root_of(order.id, order.source)
    if question.state is Asked.ANSWERED:
        return Noted(root)  # a second answer is none: what the first one did is done
    if late and question.state in _ASKED:
        _time_out(talk, question, Asked.LATE)
    value = option.value if option is not None and not late else None
    reply: dict[str, Any] = {
        "option": option.name if option is not None else None,
        "value": value,
        "late": late,
        "step": step_of(order.id, order.source),
    }
    if question.expect.closes(option):
        question.state = Asked.OVER if late else Asked.ANSWERED
        talk.tx.save_question(question)
        escalation.end(talk, root)
        if question.expect.note is not None and not late:
            listener.answered(talk, heard, question.expect.note, value)
    elif question.expect.help is not None and not question.helped and not late:
        question.helped = True
        talk.tx.save_question(question)
        answers.answer(talk, heard, question.expect.help)
    return Noted(root, reply)


def _time_out(talk: Talk, question: Question, state: Asked) -> None:
    question.state = state
    talk.tx.save_question(question)
    order = talk.tx.order(question.order_seq)
    if order is None:
        return
    talk.transacted(
        "reply_timeout",
        order.transaction,
        id=root_of(order.id, order.source),
        step=step_of(order.id, order.source),
        to=mask(order.to),
        contact=talk.book.name_of(order.to),
        state=order.state.value,
    )
