"""One connection to one modem, from the open port to its loss; used once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import NoReturn

from hardware.at import commands, parsers, urc
from hardware.at.channel import AtChannel
from hardware.at.types import Response, Urc
from hardware.errors import AtTimeout, HardwareError, ModemError, PortLost
from hardware.modem import profile as profiles
from hardware.modem import timeouts
from hardware.modem.absence import Due
from hardware.modem.calls import Calls
from hardware.modem.cells import Cells
from hardware.modem.config import ModemConfig
from hardware.modem.coverage import DOMAINS
from hardware.modem.dialogue import ask
from hardware.modem.inbox import Inbox
from hardware.modem.interview import Abilities, Interview
from hardware.modem.ladder import Result, Step
from hardware.modem.life import CAN_SEND, Life
from hardware.modem.recovery import Failing, Recovery, Trouble
from hardware.modem.sim import PinGuard, SimBlocked
from hardware.modem.ussd import Ussd
from hardware.modem.ussd_codes import UssdCodes
from hardware.pdu import without_validity
from hardware.types import (
    Access,
    Action,
    Authorise,
    InboundSink,
    ModemState,
    ReceivedPdu,
    SendError,
    SendOutcome,
    SendResult,
)

__all__ = ["LateResult", "Session"]

_LOG = logging.getLogger(__name__)

LateResult = Callable[[object, SendResult], None]
"""Told the caller's token and what came of a send that had been given up as unknown."""

NO_NETWORK = "no network takes this modem"
MOST_SETUPS = 5  # a modem that restarts again and again in its interview has a power problem
MOST_STRIKES = 3  # sends in a row that the modem refuses without a word (domain A9: bare ERROR three times)

_NO_SERVICE = frozenset({"cms_331", "cme_30", "cms_302"})
_OF_MESSAGE = frozenset({Action.FAIL, Action.BUG, Action.TREAT_AS_SENT})  # says nothing of modem and SIM
_STRIKES = frozenset({"error", "prompt_timeout", "cms_300", "cms_81", "cms_98"})
_NO_VALIDITY = frozenset({"cms_198", "cms_199"})  # the service centre knows no validity period (domain A9)


class Session:
    """`open`, `begin`, then `run` until it raises; `close` always."""

    ussd: Ussd
    _calls: Calls
    _inbox: Inbox
    _cells: Cells
    _interview: Interview

    def __init__(
        self,
        config: ModemConfig,
        life: Life,
        sink: InboundSink,
        guard: PinGuard,
        late: LateResult | None,
        backlog: list[ReceivedPdu],
        recovery: Recovery,
    ) -> None:
        self._config = config
        self._life = life
        self._sink = sink
        self._guard = guard
        self._late = late
        self._backlog = backlog
        self._recovery = recovery
        self._channel: AtChannel | None = None
        self._abilities = Abilities()
        self._attention = asyncio.Event()  # something in `_keep` is due
        self._usable = asyncio.Event()  # the modem said that it can handle messages
        self._restart: str | None = None  # why it must be set up again
        self._broken: HardwareError | None = None  # why this connection must end
        self._curious = True  # the slow questions have not been asked
        self._set_up_at = 0.0
        self._sent_at = 0.0
        self._polled_at = 0.0
        self._csq_query: bool | None = None  # it takes AT+CSQ? instead of AT+CSQ; None: neither has been answered
        self._pause: asyncio.Timeout | None = None  # while there is nothing to do
        self._cnmi_checked_at = 0.0
        self._left_text_mode = False
        self._strikes = 0  # sends in a row that were refused without a word
        self._sim_strikes = 0  # in a row because of the SIM
        self._watched: set[str] = set()

    async def open(self) -> None:
        """Open the port; raises PortMissing, PortBusy, PortForbidden, PortWedged."""
        channel = await AtChannel.open(self._config.port, baudrate=self._config.baudrate)
        self._channel = channel
        self._inbox = Inbox(channel, self._config, self._life, self._sink, self._backlog)
        self._cells = Cells(channel, self._life, self._look_soon)
        self._interview = Interview(channel, self._config, self._life.status, self._guard)
        for prefix in ("+CMTI", "+CDSI"):
            channel.on_urc(prefix, self._inbox.announced)
        for prefix in ("+CMT:", "+CDS:"):
            channel.on_urc(prefix, self._inbox.routed, 1)
        for domain in DOMAINS:
            channel.on_urc(f"+{domain}:", self._cells.told)
        for prefix in ("^SMMEMFULL", "+QIND:"):
            self._watch(prefix, self._memory_full)
        for prefix in ("+CPIN: NOT READY", "+CPIN: NOT INSERTED"):
            self._watch(prefix, self._sim_changed)
        for prefix in urc.BOOT:
            self._watch(prefix, self._rebooted)
        self.ussd = Ussd(channel, self._life, codes=UssdCodes(self._config.ussd_allow))
        channel.on_urc("+CUSD:", self.ussd.heard)
        self._calls = Calls(channel, self._life, hang_up=self._config.hang_up)
        for prefix in ("RING", "+CRING:"):
            channel.on_urc(prefix, self._calls.rang)
        channel.on_urc("+CLIP:", self._calls.identified)
        for prefix in ("NO CARRIER", "MISSED_CALL:", "^CEND:"):
            channel.on_urc(prefix, self._calls.ended)
        channel.on_late_result(self._resolved)

    async def begin(self) -> None:
        """Set the modem up: state `registering` or better when it returns. Raises HardwareError."""
        self._life.event("modem_interview", status="started")
        for _ in range(MOST_SETUPS):
            self._restart = None
            try:
                await self._set_up()
            except AtTimeout:
                if not self._restart or self.channel.is_closed:
                    raise
                continue  # it restarted instead of answering
            if self._restart is None:
                self._life.event("modem_interview", status="successful")
                self._recovery.set_up()
                return
        hint = "check its power supply: a send draws 2 A"
        raise Failing(Trouble.RESTARTS, "the modem restarts again and again", hint=hint)

    async def run(self) -> NoReturn:
        """Receive, poll and recover; raises the HardwareError that ended the connection."""
        try:
            async with asyncio.TaskGroup() as group:
                both = (self._inbox.run_reader, self._inbox.run_storer)
                for work in (self._until_lost, *both, self._keep, self.ussd.run, self._calls.run):
                    group.create_task(work(), name=f"{self._config.name}: {work.__name__}")
        except ExceptionGroup as errors:
            raise _first(errors) from None
        raise ModemError("the connection ended")

    async def send(self, pdu: str, length: int, authorise: Authorise, token: object) -> SendResult:
        """Hand one part over; never raises for modem reasons. The caller has made sure that the modem is in service."""
        await self.ussd.give_way()
        result = await self._hand_over(pdu, length, authorise, token)
        error = result.error
        if error is not None and error.code in _NO_VALIDITY and result.outcome is SendOutcome.NOT_SENT:
            plain = without_validity(pdu)
            if plain is not None:  # the same attempt: it was refused for certain, and is still allowed
                again = await self._hand_over(*plain, _allowed, token)
                result = replace(again, seconds=result.seconds + again.seconds)
        self._sent_at = asyncio.get_running_loop().time()
        if result.error is None:
            self._succeeded()
            return result
        profile = self._abilities.profile
        error = replace(result.error, text=profile.result_codes.get(result.error.code, result.error.text))
        result = replace(result, error=error)
        self._judge(error)
        if error.code in ("cms_304", "cms_305"):
            return await self._leave_text_mode(result, error)
        return result

    async def _hand_over(self, pdu: str, length: int, authorise: Authorise, token: object) -> SendResult:
        return await self.channel.send_pdu(
            length,
            pdu,
            authorise,
            token=token,
            prompt_timeout=max(self._config.prompt_timeout, self._abilities.profile.prompt_timeout),
            result_timeout=max(self._config.result_timeout, self._abilities.profile.result_timeout),
        )

    @property
    def channel(self) -> AtChannel:
        """The open channel; ModemError before `open`."""
        if self._channel is None:
            raise ModemError("the port is not open")
        return self._channel

    def set_up_again(self, reason: str, *, booting: bool = False) -> None:
        """Go through the interview again, in place; no send starts meanwhile. `booting`: not before it is usable."""
        self._restart = reason
        if booting:
            self._usable.clear()
        else:
            self._usable.set()
        if self._channel is not None:
            self._inbox.pause()
            self.ussd.forget(reason)
        if self._life.state in CAN_SEND | {ModemState.REGISTERING}:
            self._life.move(ModemState.RECOVERING, reason)
        self._attention.set()

    def cause(self, error: HardwareError) -> HardwareError:
        """A modem that fell silent is no lost port, whoever was the first to find the channel closed."""
        if isinstance(error, PortLost) and self._channel is not None and self._channel.is_closed:
            return self._channel.closed.result()
        return error

    @property
    def set_up_at(self) -> float:
        """When the last set-up began, by the loop's clock; 0: none did."""
        return self._set_up_at

    def give_up(self, error: HardwareError) -> None:
        """End this connection with `error`; no send starts meanwhile."""
        self._broken = error
        if self._life.state in CAN_SEND:
            self._life.move(ModemState.RECOVERING, str(error))
        self._attention.set()

    def lose(self, reason: str) -> None:
        """The modem was pulled: end the connection now, whatever runs on it; `close` follows."""
        if self._channel is not None:
            self._channel.connection_lost(PortLost(reason))

    async def close(self) -> bool:
        """Give the port back; False: the kernel keeps it. A commit that runs may end first."""
        if self._channel is None:
            return True
        self.ussd.forget("the connection is over")
        self._calls.finish()
        closed = await self._channel.close()
        self._cells.close()
        await self._inbox.finish()
        return closed

    async def _set_up(self) -> None:
        life, channel = self._life, self.channel
        life.move(ModemState.INTERVIEWING, "asking the modem who it is")
        self._set_up_at = asyncio.get_running_loop().time()
        self._curious = True
        old_sim = life.status.iccid
        profiles.guess(life.status.vid_pid).guide(channel)
        async with self._inbox.lock:
            await channel.resync()
            self._abilities = await self._interview.run()
        if self._restart is not None:
            return
        profile = self._abilities.profile
        for prefix in profile.boot_urcs:
            self._watch(prefix, self._rebooted)
        for prefix in profile.sim_urcs:
            self._watch(prefix, self._sim_changed)
        for prefix in profile.ready_urcs:
            self._watch(prefix, self._became_usable)
        for prefix in profile.full_urcs:
            self._watch(prefix, self._memory_full)
        if old_sim is not None and life.status.iccid not in (None, old_sim):
            life.event("sim_changed", iccid=life.status.iccid, previous=old_sim)
        if self._abilities.took_pin:
            life.event("sim_unlocked", iccid=life.status.iccid)
        self.ussd.begin(profile)
        self._cells.begin(self._abilities.domains)
        self._inbox.begin(self._abilities.storages, lists=profile.cmgl)
        life.fault("power", self._recovery.power_sentence())
        life.warn("plug", self._recovery.loose_sentence())
        life.move(ModemState.REGISTERING, "set up; waiting for the network")
        life.ok()
        self._note_abilities()  # after the move: one that was hushed goes through the earlier states now
        await self._cells.ask()

    def _note_abilities(self) -> None:
        """What the interview found, as far as it bears on the modem's health."""
        facts, status, domains = self._life.facts, self._life.status, self._abilities.domains
        facts.polling_only = self._abilities.cnmi is None
        facts.has_smsc = self._interview.has_smsc if facts.has_smsc is None else facts.has_smsc
        facts.old_networks_only = bool(domains) and not {"CEREG", "C5GREG"} & set(domains)
        facts.country = status.imsi[:3] if status.imsi else None

    async def _until_lost(self) -> NoReturn:
        raise await self.channel.wait_lost()

    async def _keep(self) -> NoReturn:
        """All that is done without being asked, one thing at a time."""
        while True:
            self._attention.clear()
            if self._broken is not None:
                raise self._broken
            if self._restart is not None:
                await self._recover()
                continue
            if self._life.state is ModemState.REGISTERING or self._cells.in_doubt:
                await self._unless_interrupted(self._look_for_network())
                await self._mind_the_network()
            elif self._curious:
                self._curious = not await self._unless_interrupted(self._look_further())
            elif self._poll_is_due():
                await self._unless_interrupted(self._poll())
            await self._wait_for_attention()

    async def _mind_the_network(self) -> None:
        """What is due about a network that does not have this modem (domain A10)."""
        life = self._life
        if life.state is not ModemState.REGISTERING or self._restart is not None:
            return
        now = asyncio.get_running_loop().time()
        match self._recovery.absence.look(life.status.registration, now, life.served_until):
            case Due.RADIO:
                await self._cycle_radio(NO_NETWORK)
            case Due.RESTART:
                self.give_up(Failing(Trouble.NO_NETWORK, NO_NETWORK))

    async def _cycle_radio(self, reason: str) -> None:
        """Off the air and back, and the set-up once more: some modems ask for the PIN again then."""
        self.set_up_again(f"{reason}; trying: its radio off and on")
        async with self._inbox.lock:
            off = None
            for level in (4, 0):
                off = off or await ask(self.channel, commands.functionality(level))
            if off is not None:
                await asyncio.sleep(timeouts.RADIO_PAUSE)
            on = await ask(self.channel, commands.functionality(1))
        done = off is not None and on is not None
        said = (
            "it was off the air and looks for a network anew" if done else "the modem refuses AT+CFUN=4 and AT+CFUN=0"
        )
        self._recovery.note_radio(Result.DONE if done else Result.FAILED, said, reason)

    async def _unless_interrupted(self, work: Coroutine[None, None, None]) -> bool:
        """Do `work`; False: something more urgent came up, and a restarted modem owes no answer."""
        task = asyncio.ensure_future(work)
        urgent = asyncio.ensure_future(self._attention.wait())
        try:
            await asyncio.wait({task, urgent}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in (task, urgent):
                one.cancel()
            await asyncio.wait({task, urgent})
            failure = None if task.cancelled() else task.exception()
        if failure is not None:
            raise failure
        return not task.cancelled()

    async def _wait_for_attention(self) -> None:
        wait = timeouts.HEALTH_POLL
        if self._life.state is ModemState.REGISTERING or self._cells.in_doubt:
            lately = asyncio.get_running_loop().time() - self._life.since < timeouts.REGISTRATION_PATIENCE
            soon = lately or self._cells.in_doubt
            wait = timeouts.REGISTRATION_POLL if soon else timeouts.REGISTRATION_POLL_LATER
        try:
            async with asyncio.timeout(wait) as self._pause:
                await self._attention.wait()
        except TimeoutError:
            pass
        finally:
            self._pause = None

    def _look_soon(self) -> None:
        """Ask where the modem is registered, without breaking off what is being asked."""
        if self._pause is not None and not self._pause.expired():
            self._pause.reschedule(asyncio.get_running_loop().time())

    async def _recover(self) -> None:
        """The modem restarted: wait until it can handle messages, then set it up in place."""
        loop = asyncio.get_running_loop()
        if loop.time() - self._set_up_at < timeouts.RESTART_WINDOW:
            await asyncio.sleep(timeouts.RESTART_PAUSE)
        if self._abilities.profile.ready_urcs and not self._usable.is_set():
            try:
                async with asyncio.timeout(timeouts.BOOT_PATIENCE):
                    await self._usable.wait()
            except TimeoutError:
                pass
        reason = self._restart or ""
        await self.begin()
        self._recovery.tell(Step.RESYNC, "set_up", reason, "the modem was set up again")

    def _poll_is_due(self) -> bool:
        """An idle modem is asked; one that is never idle, now and then."""
        now = asyncio.get_running_loop().time()
        idle = not self.channel.sending and now - self._sent_at > timeouts.SEND_QUIET
        return idle or now - self._polled_at > timeouts.BUSY_POLL

    async def _poll(self) -> None:
        """Signal, registration and settings; the first question is the watchdog's: three silences end the channel."""
        now = self._polled_at = asyncio.get_running_loop().time()
        self._life.fault("power", self._recovery.power_sentence())
        self._life.warn("plug", self._recovery.loose_sentence())
        await self._measure()
        await self._cells.ask()
        check = now - self._cnmi_checked_at > timeouts.CNMI_CHECK
        if check or (self._life.status.operator is None and self._life.facts.names_operators):
            await self._cells.ask_operator()
        if check:
            self._cnmi_checked_at = now
            await self._check_cnmi()

    async def _look_for_network(self) -> None:
        """Registration at each turn, the rest as often as of any modem."""
        now = asyncio.get_running_loop().time()
        await self._cells.ask()
        if now - self._polled_at > timeouts.HEALTH_POLL:
            self._polled_at = now
            await self._measure()

    async def _look_further(self) -> None:
        """What may be slow and need not be known before the first message."""
        self._cnmi_checked_at = asyncio.get_running_loop().time()
        await self._measure()
        await self._interview.look_further()
        self._note_abilities()
        await self._cells.ask_operator()
        self._life.changed()

    async def _measure(self) -> None:
        """Signal in dBm: `+CESQ` where the modem knows more than `+CSQ` (domain A10)."""
        status = self._life.status
        answer = None
        for query in (False, True) if self._csq_query is None else (self._csq_query,):
            answer = await ask(self.channel, commands.signal(query=query))
            if answer is not None:
                self._csq_query = query
                self._life.ok()
                break
        if answer is None and self._csq_query is not None:
            return  # it knows the question, and is busy or silent: the next poll asks again
        dbm, reference = _dbm(answer), False
        if dbm is None and self._abilities.has_cesq:
            answer = await ask(self.channel, commands.extended_signal())
            self._abilities.has_cesq = answer is not None
            dbm, reference = _dbm(answer), status.access in (Access.LTE, Access.NR)
        self._life.facts.reference_signal = reference
        if status.signal_dbm != dbm:
            status.signal_dbm = dbm
            self._life.changed()
        self._life.judge()

    async def _check_cnmi(self) -> None:
        """The setting is lost by a SIM refresh that nobody tells of (domain A4.3)."""
        wanted = self._abilities.cnmi
        if wanted is None:
            self._abilities.cnmi = await self._interview.announce_messages()
            self._note_abilities()
            self._life.judge()
            return
        answer = await ask(self.channel, commands.new_message_query())
        lines = answer.lines if answer is not None else []
        now = next((setting for line in lines if (setting := parsers.cnmi(line)) is not None), None)
        if now is not None and now[:2] != wanted[:2]:
            self.set_up_again("the modem forgot its settings")

    def _succeeded(self) -> None:
        self._strikes = self._sim_strikes = 0
        self._left_text_mode = False
        self._life.warn("barred", None)
        facts = self._life.facts
        news = facts.failed_sends > 0 or facts.has_smsc is not True
        facts.failed_sends, facts.has_smsc = 0, True
        self._cells.sent()
        if news:  # what hangs on time alone is looked at with the signal
            self._life.judge()

    async def _leave_text_mode(self, result: SendResult, error: SendError) -> SendResult:
        """Text mode may have come back (domain A9): the part is right after all, unless it is refused once more."""
        await ask(self.channel, commands.message_format())
        if error.code != "cms_305" or self._left_text_mode or result.outcome is not SendOutcome.NOT_SENT:
            return result
        self._left_text_mode = True
        return replace(result, error=replace(error, action=Action.RETRY_SAME, retry_after=0.0))

    def _judge(self, error: SendError) -> None:
        """What a failed send says about the modem and its SIM, beyond the message."""
        facts = self._life.facts
        if error.action not in _OF_MESSAGE and error.code != "not_authorised":
            facts.failed_sends += 1
        if error.action is Action.SIM_CFG:
            facts.has_smsc = False
        self._life.judge()
        self._strikes = self._strikes + 1 if error.code in _STRIKES else 0
        of_sim = error.action in (Action.SIM_FAULT, Action.SIM_PIN, Action.FAIL_ROUTE)
        self._sim_strikes = self._sim_strikes + 1 if of_sim else 0
        if error.action is Action.FAIL_ROUTE:
            if self._sim_strikes >= MOST_STRIKES:
                self._life.warn("barred", f"the network refuses what this SIM sends: {error.text}")
        elif of_sim and self._sim_strikes >= MOST_STRIKES:
            self._sim_strikes = 0
            self.give_up(SimBlocked(f"the SIM does not send: {error.text}", hint="try it in a telephone"))
        elif of_sim:
            self.set_up_again(f"the SIM needs attention: {error.text}")
        elif error.action is Action.MODEM_RESET or self._strikes >= MOST_STRIKES:
            self._strikes = 0
            self._troubled(f"the modem does not send: {error.text}")
        elif error.code in _NO_SERVICE and self._life.state in CAN_SEND:
            self._cells.refused(f"no service: {error.text}")
            self._look_soon()
        elif error.action is Action.STORAGE:
            self._inbox.sweep_soon()

    def _troubled(self, reason: str) -> None:
        """It answers, and does not do its work: the gentlest step is one of this connection."""
        if self._recovery.resyncs(reason, asyncio.get_running_loop().time() - self._set_up_at):
            self.set_up_again(reason)
        else:
            self.give_up(Failing(Trouble.NO_SEND, reason))

    def _watch(self, prefix: str, handler: Callable[[Urc], None]) -> None:
        """Register once, though a set-up may come by again."""
        if prefix not in self._watched:
            self._watched.add(prefix)
            self.channel.on_urc(prefix, handler)

    def _rebooted(self, line: Urc) -> None:
        self._recovery.restarted()
        power = self._recovery.power_sentence()
        self.set_up_again(power or f"the modem restarted ({line.text[:24]})", booting=True)
        if power is not None and self._life.state is ModemState.RECOVERING:
            self._life.move(ModemState.RECOVERING, power)
        if line.text.startswith(self._abilities.profile.ready_urcs):
            self._usable.set()

    def _became_usable(self, _line: Urc) -> None:
        self._usable.set()

    def _sim_changed(self, line: Urc) -> None:
        self.set_up_again(f"the SIM changed ({line.text[:24]})")

    def _memory_full(self, line: Urc) -> None:
        storage = parsers.memory_full(line.text)
        if storage is not None:
            self._life.event("storage_full", storage=storage)
            self._inbox.sweep_soon()

    def _resolved(self, token: object, result: SendResult) -> None:
        if result.outcome is SendOutcome.SENT:
            self._life.status.sent += 1
            self._life.changed()
        if self._late is not None:
            self._late(token, result)


def _dbm(answer: Response | None) -> int | None:
    levels = [parsers.signal(line) for line in answer.lines] if answer is not None else []
    return next((level for level in levels if level is not None), None)


def _first(errors: ExceptionGroup[Exception]) -> Exception:
    """The reason that a supervisor can act upon, else the first there is."""
    known, _ = errors.split(HardwareError)
    found = (known or errors).exceptions[0]
    return _first(found) if isinstance(found, ExceptionGroup) else found


async def _allowed() -> bool:
    return True
