"""What is left on each SIM: asked for now and then, read out of the answer, kept, and told when it runs low."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from hardware.types import ModemStatus
from sms_bridge.core import patterns, ulid
from sms_bridge.core.clock import Clock, from_ms, rfc3339
from sms_bridge.core.errors import CoreError, StoreError
from sms_bridge.core.events import event_json
from sms_bridge.core.model import Accepted, Balance, OutboxKind, OutboxRow, Rejected, SendRequest
from sms_bridge.core.money import Reading, reading
from sms_bridge.core.numbers import normal_sender
from sms_bridge.core.ports import Journal, Transaction
from sms_bridge.core.settings import DAY

log = logging.getLogger(__name__)

LOOK = 15.0  # s between looks at what is due
FIRST = (60.0, 300.0)  # s after a modem was first seen in service: the clock is right and the start is over by then
JITTER = 0.1  # of the period, so that many bridges of one operator do not ask at one moment
RETRY = 3600.0  # s after a USSD that failed
SMS_ORDER = 3600.0  # s after which an unsent question is not sent any more
MONTH = 30 * DAY
MOST_WAITING = 20  # answers that wait to be read; more is a flood
RISEN = Decimal("1.1")  # times the threshold: then the next fall is told again
EARLIEST = datetime(2024, 1, 1, tzinfo=UTC)  # before it the machine does not know the time, and judges no date


class BalanceError(CoreError):
    """The balance cannot be had; the text is for a person."""


@dataclass(frozen=True, slots=True)
class BalancePlan:
    """How a balance is asked for and read. It is for one modem, for SIMs whose ICCID begins so, or for all."""

    pattern: str  # with the named groups amount, and perhaps currency and expires
    modem: str | None = None
    sim: str | None = None
    ussd: str | None = None
    replies: tuple[str, ...] = ()  # through menus, to the page that says it
    sms_to: str | None = None
    sms_text: str = ""
    sms_from: tuple[str, ...] = ()  # who answers; () is `sms_to`
    sms_per_month: int = 40
    currency: str | None = None  # where the answer names none
    month_first: bool = False
    every: float = DAY
    low: float | None = None
    expires_soon: float | None = None  # seconds

    def by_sms(self, to: str, text: str, senders: tuple[str, ...], per_month: int) -> BalancePlan:
        """The same, asked for by message."""
        return replace(self, sms_to=to, sms_text=text, sms_from=senders, sms_per_month=per_month)

    def fits(self, status: ModemStatus) -> bool:
        """It is meant for this modem and the SIM in it."""
        return self.modem in (None, status.name) and (self.sim is None or (status.iccid or "").startswith(self.sim))

    def answers(self, sender: str, region: str | None) -> bool:
        """A message from `sender` may be the answer."""
        expected = self.sms_from or ((self.sms_to,) if self.sms_to is not None else ())
        return any(normal_sender(one, region).casefold() == sender.casefold() for one in expected)


Ask = Callable[[str, str, Sequence[str]], Awaitable[str | None]]
"""Sends a USSD code, and replies to its menus, on a modem; what came last. CoreError with a sentence."""


class Balances:
    """All SIMs' balances. `start`, then `run` for ever."""

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        plans: Sequence[BalancePlan],
        *,
        modems: Callable[[], Iterable[ModemStatus]],
        idle: Callable[[str], bool],
        ask: Ask,
        submit: Callable[[Sequence[SendRequest]], Awaitable[list[Accepted | Rejected]]],
        changed: Callable[[str], None],
        region: str | None = None,
    ) -> None:
        """`idle`: this modem is in service and sends nothing; `changed`: told the modem whose balance is another."""
        self._journal = journal
        self._clock = clock
        self._plans = plans
        self._modems = modems
        self._idle = idle
        self._ask = ask
        self._submit = submit
        self._changed = changed
        self._region = region
        self._rows: dict[str, Balance] = {}
        self._not_before: dict[str, float] = {}  # SIM -> monotonic seconds
        self._jitter: dict[str, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._writing = asyncio.Lock()  # a row is changed by one at a time

    async def start(self) -> None:
        """Learn what was known before; hear of received messages from now on."""
        self._rows = {row.sim: row for row in await self._journal.read(lambda reader: reader.balances())}
        if any(plan.sms_to for plan in self._plans):
            self._journal.on_outbox(self._received)

    async def stop(self) -> None:
        """End what runs here."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def run(self) -> None:
        """Ask when it is time to, warn of what expires; until cancelled."""
        while self._plans:
            await asyncio.sleep(LOOK)
            try:
                await self.look()
            except StoreError as error:
                log.error("a balance was not stored: %s %s", error, error.hint)
            except Exception:  # a mistake of ours must not end it
                log.exception("the balances could not be looked at")

    async def look(self) -> None:
        """One look at all modems: ask where it is due, and one after the other."""
        for status in list(self._modems()):
            plan = self._plan(status)
            if plan is None:
                continue
            sim = _sim(status)
            if self._is_due(sim, plan) and self._idle(status.name):
                await self._try(status, plan)
            elif self._expires_unsaid(sim, plan):
                await self._update(status, plan, lambda row: row)

    async def check(self, name: str) -> dict[str, Any]:
        """Ask now, whatever the schedule says. BalanceError, CoreError with a sentence."""
        status, plan = self._meant(name)
        if status is None or plan is None:
            raise BalanceError("no balance is configured for this modem", hint="add it under `balance:`")
        if plan.sms_to is not None:
            return {"asked": True, "id": await self._ask_by_sms(status, plan)}
        return balance_dict(await self._ask_by_ussd(status, plan))

    def heard(self, name: str, code: str, text: str | None) -> None:
        """Somebody asked by hand: the same code has the same answer."""
        status, plan = self._meant(name)
        if status is not None and plan is not None and plan.ussd == code and not plan.replies and text:
            self._own(self._take(status, plan, text))

    def asks(self, status: ModemStatus) -> bool:
        """Whether the balance of the SIM in it can be asked for."""
        return self._plan(status) is not None

    def of(self, status: ModemStatus) -> dict[str, Any]:
        """`balance` of `sms/modem/<name>`."""
        return balance_dict(self._rows.get(_sim(status)))

    def _plan(self, status: ModemStatus) -> BalancePlan | None:
        return next((plan for plan in self._plans if plan.fits(status)), None)

    def _meant(self, name: str) -> tuple[ModemStatus | None, BalancePlan | None]:
        """The modem of that name, and what is planned for the SIM in it."""
        status = next((status for status in self._modems() if status.name == name), None)
        return status, self._plan(status) if status is not None else None

    def _is_due(self, sim: str, plan: BalancePlan) -> bool:
        now, monotonic = self._clock.now(), self._clock.monotonic()
        if monotonic < self._not_before.setdefault(sim, monotonic + random.uniform(*FIRST)):
            return False
        row = self._rows.get(sim)
        last = None if row is None else row.asked_at if plan.sms_to is not None else row.checked_at
        if last is None:
            return True
        period = plan.every * (1 + self._jitter.setdefault(sim, random.uniform(0, JITTER))) * 1000
        return not -period < now - last < period  # a time to come was told by a clock that was wrong

    async def _try(self, status: ModemStatus, plan: BalancePlan) -> None:
        """The scheduled question; what fails is said and tried again later."""
        try:
            if plan.sms_to is not None:
                await self._ask_by_sms(status, plan)
            else:
                await self._ask_by_ussd(status, plan)
        except StoreError:
            raise
        except CoreError as error:
            log.warning("%s: the balance is not known: %s", status.name, error, extra={"modem": status.name})
            self._not_before[_sim(status)] = self._clock.monotonic() + RETRY

    async def _ask_by_ussd(self, status: ModemStatus, plan: BalancePlan) -> Balance:
        assert plan.ussd is not None
        sim = _sim(status)
        text = await self._ask(status.name, plan.ussd, plan.replies)
        found = await self._read(plan, text or "")
        if found is None:
            # The text stands in the hint alone: what is logged has none.
            raise BalanceError("the pattern does not fit the answer", hint=f"the answer was: {text}")
        return await self._record(sim, status, plan, found)

    async def _ask_by_sms(self, status: ModemStatus, plan: BalancePlan) -> str:
        """The id of the order; counted before it is made, so that no crash spends more than the budget."""
        now, sim = self._clock.now(), _sim(status)
        async with self._writing:
            row = self._rows.get(sim) or Balance(sim)
            recent = [time for time in row.sms_times if time > now - MONTH * 1000]  # those to come count too
            if len(recent) >= plan.sms_per_month:
                raise BalanceError(
                    f"{len(recent)} messages were spent on the balance of this SIM within 30 days",
                    hint="`sms: per_month:` under `balance:` allows more",
                )
            row = replace(row, asked_at=now, sms_times=[*recent, now])
            await self._journal.write(lambda tx: tx.save_balance(row))
            self._rows[sim] = row
        id = f"balance-{ulid.new(now)}"
        request = SendRequest(
            to=(plan.sms_to or "",),
            text=plan.sms_text,
            id=id,
            modem=status.name,
            delivery_report=False,
            expires_in=SMS_ORDER,
            source="balance",
        )
        (result,) = await self._submit([request])
        if isinstance(result, Rejected):
            raise BalanceError(f"the question was not sent: {result.rejections[0].text}")
        return id

    def _received(self, rows: list[OutboxRow]) -> None:
        """From the journal, after a commit: messages among them may be answers. They are published like any other."""
        for row in rows:
            if row.kind != OutboxKind.IN or len(self._tasks) >= MOST_WAITING:
                continue
            message = json.loads(row.payload)
            status, plan = self._meant(message["modem"])
            if status is None or plan is None or plan.sms_to is None or not message["text"]:
                continue
            if plan.answers(message["from"], self._region):
                self._own(self._take(status, plan, message["text"]))

    async def _take(self, status: ModemStatus, plan: BalancePlan, text: str) -> None:
        """What came by itself: it may be the answer, or anything else from the same sender."""
        sim = _sim(status)
        try:
            found = await self._read(plan, text)
            if found is not None:
                await self._record(sim, status, plan, found)
        except CoreError as error:
            log.warning("%s: an answer about the balance was not used: %s", status.name, error)

    async def _read(self, plan: BalancePlan, text: str) -> Reading | None:
        groups = await patterns.find(plan.pattern, text)
        return reading(groups, currency=plan.currency, month_first=plan.month_first) if groups is not None else None

    async def _record(self, sim: str, status: ModemStatus, plan: BalancePlan, found: Reading) -> Balance:
        if _sim(status) != sim:
            raise BalanceError("the SIM was changed meanwhile")
        now = self._clock.now()

        def change(row: Balance) -> Balance:
            expires = found.expires.isoformat() if found.expires is not None else row.expires
            return replace(
                row, amount=str(found.amount), currency=found.currency, expires=expires, checked_at=now, asked_at=now
            )

        return await self._update(status, plan, change)

    async def _update(self, status: ModemStatus, plan: BalancePlan, change: Callable[[Balance], Balance]) -> Balance:
        """Change a row and say what that means, in one commit."""
        sim, now = _sim(status), self._clock.now()
        about = {"modem": status.name, "iccid": status.iccid}
        async with self._writing:
            row, events = judged(change(self._rows.get(sim) or Balance(sim)), plan, now)

            def commit(tx: Transaction) -> None:
                tx.save_balance(row)
                for name, data in events:
                    tx.emit(OutboxKind.EVENT, event_json(name, now, {**about, **data}))

            await self._journal.write(commit)
            self._rows[sim] = row
        self._changed(status.name)
        return row

    def _expires_unsaid(self, sim: str, plan: BalancePlan) -> bool:
        row = self._rows.get(sim)
        return row is not None and bool(judged(row, plan, self._clock.now())[1])

    def _own(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work, name="balance")
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("an answer about a balance was lost: %r", error, exc_info=error)


def judged(row: Balance, plan: BalancePlan, now: int) -> tuple[Balance, list[tuple[str, dict[str, Any]]]]:
    """The row with what it has now been told for, and the events: each fall and each date once."""
    events: list[tuple[str, dict[str, Any]]] = []
    if row.amount is not None and plan.low is not None:
        amount, low = Decimal(row.amount), Decimal(str(plan.low))
        if amount < low and not row.low_told:
            about = {"amount": _number(row.amount), "currency": row.currency, "threshold": plan.low}
            events.append(("balance_low", about))
            row = replace(row, low_told=True)
        elif row.low_told and amount >= max(low, low * RISEN):
            row = replace(row, low_told=False)
    moment = from_ms(now)
    if row.expires is not None and plan.expires_soon is not None and moment >= EARLIEST:
        days = (date.fromisoformat(row.expires) - moment.astimezone().date()).days
        if days * DAY <= plan.expires_soon and row.expiry_told != row.expires:
            events.append(("sim_expires_soon", {"expires": row.expires, "days": days}))
            row = replace(row, expiry_told=row.expires)
    return row, events


def balance_dict(row: Balance | None) -> dict[str, Any]:
    """A balance as the contract shows it; null is what is not known."""
    return {
        "amount": _number(row.amount) if row is not None and row.amount is not None else None,
        "currency": row.currency if row is not None else None,
        "expires": row.expires if row is not None else None,
        "checked_at": rfc3339(row.checked_at) if row is not None and row.checked_at is not None else None,
    }


def _number(text: str) -> int | float:
    value = Decimal(text)
    return int(value) if value == value.to_integral_value() else float(value)


def _sim(status: ModemStatus) -> str:
    """As `core.model.ClaimantView.sim`."""
    return status.iccid or f"modem:{status.name}"
