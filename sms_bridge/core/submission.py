"""From a request to orders: what is checked before anything is stored, and the transaction that stores it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from hardware.pdu import PduError, SubmitRequest, encode, estimate
from sms_bridge.core import ulid, wishes
from sms_bridge.core.asking import AskError
from sms_bridge.core.brakes import Tally
from sms_bridge.core.clock import SET_AFTER, rfc3339, to_ms
from sms_bridge.core.errors import NumberError
from sms_bridge.core.events import is_writable, rejection_event, status_json, to_json
from sms_bridge.core.guarding import Guard
from sms_bridge.core.lanes import ANY, lane_of, lane_of_plan
from sms_bridge.core.model import (
    AUTO,
    MODEMS,
    Accepted,
    Order,
    OutboxKind,
    Rejected,
    Rejection,
    SendRequest,
    StatusError,
)
from sms_bridge.core.moves import status_of
from sms_bridge.core.numbers import ContactBook, expand
from sms_bridge.core.plan import MODEM, Facts, Plan
from sms_bridge.core.ports import Transaction
from sms_bridge.core.settings import CoreSettings
from sms_bridge.core.states import OrderState, Stage
from sms_bridge.core.translit import transliterate

BAD_TRANSACTION = "invalid_transaction"
MAX_TRANSACTION = 4096  # characters of JSON; it stands in every status
MAX_SENDER = 20  # characters (SMPP 3.4 5.2.8)
MAX_ID = 200  # characters; an id is a name, not a document
_GSM_PART = 160  # no part holds more characters, so longer texts need no counting
_MAX_PORT = 0xFFFF
_TOO_MANY = "more than 255 parts"  # the codec's reason; a test watches it
_MAX_VALIDITY = 63 * 7 * 86_400  # seconds; TS 23.040 9.2.3.12.1 knows no more
# Characters of one septet each: such a text needs no counting as long as it fits into one part.
_PLAIN = re.compile(r"[A-Za-z0-9 \r\n@$!\"#%&'()*+,\-./:;<=>?_]{1,160}")
_ANYBODY = "+10000000"  # whether a route exists does not depend on whom it is for
_ROUTES = frozenset({AUTO, MODEM, MODEMS})

Planner = Callable[[Facts], Plan]
"""The routes of a message."""


@dataclass(slots=True)
class Prepared:
    """A checked request: what to store and what to say."""

    request: SendRequest
    id: str
    fingerprint: bytes
    expires_at: int | None = None  # by the clock as it is now
    orders: list[Order] = field(default_factory=list)
    statuses: list[str] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)
    stopped: list[Rejection] = field(default_factory=list)  # unless the same order was accepted before


class _Refused(Exception):
    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


def prepare(
    request: SendRequest,
    now: int,
    settings: CoreSettings,
    book: ContactBook,
    knows_modem: Callable[[str], bool],
    guard: Guard | None = None,
    tally: Tally | None = None,
    *,
    planner: Planner | None = None,
) -> Prepared:
    """Check `request` and make its orders; never raises for what the request contains. No `guard`: all go.

    `tally`: what was prepared before in the same batch. Without a `planner` the modems are the only route.
    """
    prepared = Prepared(request, request.id or ulid.new(now), b"")
    transaction = "null"
    try:
        transaction = _transaction(request)
        _check_id(request)
        marked = wishes.with_mark(request, prepared.id)
        content = _check_content(marked, settings)
        _check_target(request, settings, knows_modem, planned=planner is not None)
        if request.expect is not None or request.escalate is not None:
            _check_wishes(request, settings, book, knows_modem, planner)
    except _Refused as refused:
        prepared.id = prepared.id if is_writable(prepared.id) else ascii(prepared.id[:MAX_ID])
        prepared.rejections.append(_rejection(prepared, refused.code, refused.text, _sole(request)))
        return prepared
    tally = tally if tally is not None else Tally()
    prepared.fingerprint = fingerprint(request)
    if request.expires_in is not None:
        prepared.expires_at = now + round(request.expires_in * 1000)
    takes_any = request.modem == AUTO and request.route in _ROUTES
    for recipient, groups in _recipients(prepared, settings, book).items():
        refusal = guard.refusal(request.source, recipient) if guard is not None else None
        if refusal is not None:
            prepared.rejections.append(_rejection(prepared, refusal.code, refusal.text, recipient))
            continue
        who = book.who(recipient)
        own = content
        if who is not None and (who.transliterate or (request.transliterate and who.language)):
            own = _check_content(marked, settings, plain=True, language=who.language)
        order = _order(prepared, recipient, now, *own, transaction)
        if who is not None and who.modem is not None and takes_any and knows_modem(who.modem):
            order.modem_wanted, order.lane = who.modem, lane_of(who.modem)
        first = who.route if who is not None and takes_any else None
        if planner is not None and (problem := put_on_plan(order, planner, first=first)) is not None:
            prepared.rejections.append(_rejection(prepared, *problem, recipient))
            continue
        if guard is not None:
            if (refusal := guard.too_much(order, tally)) is not None:
                prepared.stopped.append(_rejection(prepared, *refusal[:2], recipient, refusal.retryable))
                continue
            _keep_quiet(order, groups, guard, now)
        prepared.orders.append(order)
        prepared.statuses.append(status_json(status_of(order)))
    return prepared


def put_on_plan(
    order: Order, planner: Planner, route: str | None = None, first: str | None = None
) -> tuple[str, str] | None:
    """Give an order the lane of its plan; the code and the sentence where there is none.

    `route`: the one to take whatever the order says; AUTO: any. `first`: the one to begin with, if the plan has it.
    """
    facts = facts_of(order)
    if route is not None:
        facts = replace(facts, route=route, modem=AUTO)
    plan = planner(facts)
    if plan.problem is not None:
        return ("unknown_route" if plan.unknown else "no_route"), plan.problem
    if facts.modem == AUTO:
        routes = (first, *(each for each in plan.routes if each != first)) if first in plan.routes else plan.routes
        order.lane = lane_of_plan(routes)
        order.plan = "" if order.lane == ANY else order.lane
    return None


def facts_of(order: Order) -> Facts:
    """What a plan looks at."""
    kind = "data" if order.data is not None or order.port is not None else "flash" if order.flash else "text"
    return Facts(
        to=order.to,
        parts=order.parts,
        kind=kind,
        priority=-order.precedence,
        route=order.route_wanted,
        modem=order.modem_wanted,
        sender=order.sender,
    )


def fingerprint(request: SendRequest) -> bytes:
    """What makes two requests the same message: whom, what and when, not how urgently or until when.

    A deadline must not count: a broker lowers the message expiry each time it delivers again.
    """
    what = (
        *request.to,
        "\x1e",
        request.text or "",
        request.data.hex() if request.data is not None else "",
        str(request.port),
        request.modem,
        request.route,
        request.encoding,
        "f" if request.flash else "",
        request.send_at.isoformat() if request.send_at else "",
        # Last, and only where there is one: what was stored without one before keeps its fingerprint.
        *((request.sender,) if request.sender is not None else ()),
    )
    return hashlib.blake2b("\x1f".join(what).encode("utf-8", "surrogatepass"), digest_size=12).digest()


def store(tx: Transaction, batch: Sequence[Prepared], now: int) -> tuple[list[Accepted | Rejected], list[Order]]:
    """Commit a batch: new orders, repeats, conflicts and rejections, each with its statuses.

    Also returns the orders that were repeated: a commit whose success was never learnt may have left them unknown
    to the dispatcher.
    """
    repeated: list[Order] = []
    fresh: dict[str, Prepared] = {}
    orders: list[Order] = []
    results: list[Accepted | Rejected] = []
    stored = tx.known_ids([p.id for p in batch if p.request.id is not None and p.fingerprint])
    for prepared in batch:
        known = _known(tx, prepared, fresh, stored)
        if known:
            results.append(_again(tx, prepared, known, now))
            repeated += known
            continue
        for status in prepared.statuses:
            tx.emit(OutboxKind.STATUS, status)
        rejections = [*prepared.rejections, *prepared.stopped]
        _reject_all(tx, rejections, now)
        if prepared.orders:
            fresh[prepared.id] = prepared
            orders += prepared.orders
            state = prepared.orders[0].state
            results.append(Accepted(prepared.id, len(prepared.orders), rejections=rejections, state=state))
        else:
            results.append(Rejected(prepared.id, rejections))
    if orders:
        tx.add_orders(orders)
        keys = [
            (p.request.delivery_key, p.orders[0].seq)
            for p in fresh.values()
            if p.request.delivery_key is not None and p.request.id is None
        ]
        if keys:
            tx.add_delivery_keys(keys)
        expiries = [
            (order.seq, p.expires_at, _deadline(p.request))
            for p in fresh.values()
            if p.expires_at is not None
            for order in p.orders
        ]
        if expiries:
            tx.add_expiries(expiries)
        for p in fresh.values():
            if p.request.expect is not None or p.request.escalate is not None:
                wishes.store(tx, p.request, p.orders)
    return results, [order for order in repeated if order.stage is Stage.READY]


def _known(tx: Transaction, prepared: Prepared, fresh: dict[str, Prepared], stored: set[str]) -> list[Order]:
    """The orders that this request made before."""
    request = prepared.request
    if request.id is not None:
        if not prepared.fingerprint:
            return []  # refused as a whole: says nothing about what has this id
        earlier = fresh.get(prepared.id)
        if earlier is not None:
            return earlier.orders
        return tx.orders_of(prepared.id) if prepared.id in stored else []
    if request.redelivered and request.delivery_key is not None and (prepared.orders or prepared.stopped):
        id = tx.id_of_delivery(request.delivery_key)
        if id is not None:
            return tx.orders_of(id)
    return []


def _again(tx: Transaction, prepared: Prepared, known: list[Order], now: int) -> Accepted | Rejected:
    if prepared.request.id is not None and known[0].fingerprint != prepared.fingerprint:
        conflict = _rejection(
            prepared,
            "conflict",
            f"the id '{prepared.id}' was used before for another message: choose a new id",
            _sole(prepared.request),
        )
        _reject_all(tx, [conflict], now)
        return Rejected(prepared.id, [conflict])
    for order in known:
        tx.emit(OutboxKind.STATUS, status_json(status_of(order)))
    _reject_all(tx, prepared.rejections, now)
    return Accepted(known[0].id, 0, repeated=True, rejections=prepared.rejections, state=known[0].state)


def _reject_all(tx: Transaction, rejections: Sequence[Rejection], now: int) -> None:
    for rejection in rejections:
        tx.emit(OutboxKind.STATUS, status_json(rejection_event(rejection, now)))


def _check_id(request: SendRequest) -> None:
    if request.id is None:
        return
    if not request.id or len(request.id) > MAX_ID or not is_writable(request.id):
        raise _Refused("invalid_id", f"an id has 1 to {MAX_ID} characters")


def _transaction(request: SendRequest) -> str:
    if request.transaction is None:
        return "null"
    try:
        text = to_json(request.transaction)
    except (ValueError, TypeError, RecursionError) as error:
        raise _Refused(BAD_TRANSACTION, "`transaction` is no JSON value") from error
    if len(text) > MAX_TRANSACTION:
        raise _Refused(
            BAD_TRANSACTION,
            f"`transaction` has at most {MAX_TRANSACTION} characters of JSON: it is echoed in each status",
        )
    return text


def _check_content(
    request: SendRequest, settings: CoreSettings, plain: bool = False, language: str | None = None
) -> tuple[str | None, int, str]:
    """The text as it will be sent, its number of parts and its encoding. `plain`: likenesses will do."""
    if request.port is not None and not 0 <= request.port <= _MAX_PORT:
        raise _Refused("invalid_port", f"a port is a number from 0 to {_MAX_PORT}")
    if request.data is not None:
        return None, *_count_data(request, settings)
    text = request.text
    if not text:
        raise _Refused("empty_text", "there is no text to send")
    if request.port is None and request.encoding in (AUTO, "gsm7") and _PLAIN.fullmatch(text):
        return text, 1, "gsm7"
    if len(text) > settings.max_parts * _GSM_PART:
        raise _too_long(len(text), settings)
    if not text.isascii() and not is_writable(text):
        raise _Refused("invalid_text", "the text contains half of a surrogate pair, which no encoding can carry")
    try:
        if (plain or request.transliterate) and request.encoding != "ucs2":
            text = _plainer(text, request, language)
        counted = estimate(text, encoding=request.encoding, port=request.port)
    except PduError as error:
        if _TOO_MANY in error.reason:
            raise _too_long(len(text), settings) from error
        raise _Refused("not_encodable", f"the text cannot be encoded: {error.reason}") from error
    if counted.segments > settings.max_parts:
        raise _too_long(len(text), settings)
    return text, counted.segments, counted.encoding


def _plainer(text: str, request: SendRequest, language: str | None) -> str:
    """The likeness of a text, where it needs no UCS2 and no more parts; otherwise nothing is gained."""
    other = transliterate(text, language)
    if other == text:
        return text
    try:
        after = estimate(other, port=request.port)
    except PduError:
        return text  # a likeness may be longer: three dots for one
    if after.encoding != "gsm7" or (request.encoding == AUTO and after.segments > estimate(text).segments):
        return text
    return other


def _count_data(request: SendRequest, settings: CoreSettings) -> tuple[int, str]:
    if not request.data:
        raise _Refused("empty_text", "there is no data to send")
    too_long = _Refused("too_long", f"{len(request.data)} octets do not fit into {settings.max_parts} parts")
    if len(request.data) > settings.max_parts * 140:
        raise too_long
    try:
        encoded = encode(SubmitRequest(number="+10000000", data=request.data, port=request.port))
    except PduError as error:
        if _TOO_MANY in error.reason:
            raise _Refused(
                "too_long", f"{len(request.data)} octets do not fit into {settings.max_parts} parts"
            ) from error
        raise _Refused("not_encodable", f"the data cannot be encoded: {error.reason}") from error
    if encoded.segments > settings.max_parts:
        raise too_long
    return encoded.segments, encoded.encoding


def _too_long(length: int, settings: CoreSettings) -> _Refused:
    return _Refused("too_long", f"{length} characters do not fit into {settings.max_parts} parts")


def _check_target(
    request: SendRequest, settings: CoreSettings, knows_modem: Callable[[str], bool], *, planned: bool
) -> None:
    if not request.to:
        raise _Refused("no_recipient", "there is no recipient: set `to`")
    if len(request.to) > settings.max_recipients:
        raise _Refused("too_many_recipients", f"an order takes at most {settings.max_recipients} recipients")
    if request.modem != AUTO and not knows_modem(request.modem):
        raise _Refused("unknown_modem", f"there is no modem {request.modem[:40]!a}")
    if not planned and request.route not in _ROUTES:
        raise _Refused("unknown_route", f"there is no route {request.route[:40]!a}; there are: {MODEMS}")
    if request.modem != AUTO and request.route not in _ROUTES:
        raise _Refused("unknown_route", f"{request.modem} is a modem: leave out `route`, or `modem`")
    if request.sender is not None:
        _check_sender(request, planned)


def _check_sender(request: SendRequest, planned: bool) -> None:
    if not request.sender or len(request.sender) > MAX_SENDER or not request.sender.isprintable():
        raise _Refused("invalid_sender", f"a sender is a number or a name of 1 to {MAX_SENDER} characters")
    if request.modem != AUTO or not planned:
        text = "a modem sends from its SIM's number: leave out `sender`, or take a route such as smpp:backup"
        raise _Refused("invalid_sender", text)


def _check_wishes(
    request: SendRequest,
    settings: CoreSettings,
    book: ContactBook,
    knows_modem: Callable[[str], bool],
    planner: Planner | None,
) -> None:
    def try_out(step: SendRequest) -> None:
        try:
            _check_content(step, settings)
            _check_target(step, settings, knows_modem, planned=planner is not None)
        except _Refused as refused:
            raise AskError(refused.text) from refused
        if planner is not None and step.route not in _ROUTES:
            plan = planner(Facts(to=_ANYBODY, route=step.route))
            if plan.unknown:
                raise AskError(plan.problem or f"there is no route {step.route}")

    try:
        wishes.check(request, settings, book, try_out)
    except AskError as error:
        raise _Refused("invalid_field", str(error)) from error


def _recipients(prepared: Prepared, settings: CoreSettings, book: ContactBook) -> dict[str, list[str] | None]:
    """Each recipient once, in E.164, with the groups by which it was reached; those that are none become rejections.

    None: it was named itself.
    """
    to = prepared.request.to
    found: dict[str, list[str] | None] = {}
    for typed in to:
        try:
            numbers = expand(typed, settings.default_region, book)
        except NumberError as error:
            shown = typed if is_writable(typed) else ascii(typed)
            prepared.rejections.append(_rejection(prepared, error.code, str(error), shown[:MAX_ID]))
            continue
        group = typed[1:] if typed[:1] in ("#", "@") and book.contact(typed[1:]) is None else None
        for number in numbers:
            if group is None:
                found[number] = None
            elif (groups := found.setdefault(number, [])) is not None:
                groups.append(group)
    if len(found) > settings.max_recipients:
        text = f"an order takes at most {settings.max_recipients} recipients, groups counted out"
        prepared.rejections.append(_rejection(prepared, "too_many_recipients", text, None))
        return {}
    return found


def _order(
    prepared: Prepared, to: str, now: int, text: str | None, parts: int, encoding: str, transaction: str
) -> Order:
    request = prepared.request
    send_at = to_ms(request.send_at) if request.send_at else None
    fixed, expires_at = _deadline(request), prepared.expires_at
    deadline = min((end for end in (fixed, expires_at) if end is not None), default=None)
    state, stage = OrderState.QUEUED, Stage.READY
    begins = max(now, send_at or 0)
    # On a clock that was never set nobody knows how long it is until a time of day.
    until_then = begins if now >= SET_AFTER else now
    if (fixed is not None and fixed <= begins) or (expires_at is not None and expires_at <= until_then):
        state, stage = OrderState.EXPIRED, Stage.DONE
    elif send_at is not None and send_at > now:
        state, stage = OrderState.SCHEDULED, Stage.HELD
    return Order(
        seq=0,
        id=prepared.id,
        to=to,
        state=state,
        stage=stage,
        lane=lane_of(request.modem),
        precedence=-max(-128, min(127, request.priority)),
        fingerprint=prepared.fingerprint,
        text=text,
        data=request.data,
        port=request.port,
        modem_wanted=request.modem,
        route_wanted=request.route,
        sender=request.sender,
        flash=request.flash,
        validity=max(0, min(request.validity or 0, _MAX_VALIDITY)),
        send_at=send_at,
        deadline=deadline,
        delivery_report=request.delivery_report,
        on_unknown=request.on_unknown,
        encoding_wanted=request.encoding,
        transaction=transaction,
        source=request.source,
        accepted_at=now,
        parts=parts,
        encoding=encoding,
        state_at=now,
    )


def _keep_quiet(order: Order, groups: list[str] | None, guard: Guard, now: int) -> None:
    """Put an order off to the end of the recipient's quiet hours (domain F3); never further than its deadline."""
    if order.stage is Stage.DONE:
        return
    begins = order.send_at if order.stage is Stage.HELD and order.send_at is not None else now
    wait = guard.quiet_until(order.source, order.to, -order.precedence, begins, groups)
    if wait is None:
        return
    hours = f"the quiet hours of {wait.whose} last until {rfc3339(wait.until)}"
    if order.deadline is not None and order.deadline <= wait.until:
        order.state, order.stage = OrderState.EXPIRED, Stage.DONE
        order.set_error(StatusError("quiet_hours", f"{hours}, and its deadline is before that"))
        return
    order.state, order.stage, order.send_at = OrderState.SCHEDULED, Stage.HELD, wait.until
    order.set_error(StatusError("quiet_hours", hours))


def _deadline(request: SendRequest) -> int | None:
    """The time of day that was asked for."""
    return to_ms(request.deadline) if request.deadline else None


def _rejection(prepared: Prepared, code: str, text: str, to: str | None, retryable: bool = False) -> Rejection:
    transaction = None if code == BAD_TRANSACTION else prepared.request.transaction
    return Rejection(code, text, prepared.id, to, transaction, retryable)


def _sole(request: SendRequest) -> str | None:
    """The recipient of a request that has just one, as it may be shown."""
    if len(request.to) != 1:
        return None
    typed = request.to[0][:MAX_ID]
    return typed if is_writable(typed) else ascii(typed)
