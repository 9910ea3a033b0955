"""A modem for the whole life of the process: connects, comes back, connects again."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import fields, replace
from datetime import UTC, datetime

from hardware.at import commands
from hardware.at.channel import AtChannel
from hardware.at.types import AtCommandError
from hardware.errors import (
    AtArgumentError,
    AtTimeout,
    HardwareError,
    ModemError,
    PortBusy,
    PortForbidden,
    PortLost,
    PortMissing,
    PortWedged,
    WrongModem,
)
from hardware.modem import profile as profiles
from hardware.modem import timeouts
from hardware.modem.backoff import Backoff, Node
from hardware.modem.config import MemoryPinLedger, ModemConfig, PinLedger
from hardware.modem.life import CAN_SEND, Life
from hardware.modem.outlets import RecoveryTools, Said
from hardware.modem.recovery import ASKED, Recovery, Wanted
from hardware.modem.session import LateResult, Session
from hardware.modem.sim import PinGuard, SimBlocked, Unlocked
from hardware.modem.ussd import Ussd, UssdAnswer
from hardware.transport.paths import real_path
from hardware.types import (
    Action,
    Authorise,
    InboundSink,
    ModemListener,
    ModemState,
    ModemStatus,
    ReceivedPdu,
    SendError,
    SendOutcome,
    SendResult,
    Told,
)
from hardware.usb.ports import UsbDevice, UsbPort, scan

__all__ = ["Modem"]

_LOG = logging.getLogger(__name__)


class Modem:
    """Supervisor of one modem; one session a connection. Neither a broken modem nor a broken port ends it."""

    def __init__(
        self,
        config: ModemConfig,
        *,
        sink: InboundSink,
        listener: ModemListener,
        pins: PinLedger | None = None,
        late: LateResult | None = None,
        tools: RecoveryTools | None = None,
    ) -> None:
        self.config = config
        self.status = ModemStatus(config.name, port=config.port or None, health_reason="not started")
        self._sink = sink
        self._life = Life(self.status, listener)
        self._guard = PinGuard(pins if pins is not None else MemoryPinLedger())
        self._tools = tools or RecoveryTools()
        self._recovery = Recovery(config.name, self._life, self._tools, self._restart_by_command)
        self._life.facts.roams_by_design = config.roaming
        self._late = late
        self._node = _node(config)
        self._backlog: list[ReceivedPdu] = []  # messages that stand in no storage and not yet in the sink
        self._session: Session | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self._joined = False
        self._held = False  # no new send: a step that a person asked for is due
        self._unconnected = asyncio.Event()  # no port is open, or about to be
        self._unconnected.set()
        self._ended_with: tuple[HardwareError, float] | None = None  # and the seconds it had been set up
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._wake = asyncio.Event()
        self._backoff = Backoff()
        self._look_again: Callable[[], None] | None = None  # of who attached it; None: the port is a fixed one
        self._astray = False  # the port is not what it was when it was attached
        self._came_from: str | None = None  # the plug it was in before
        self._ending = False
        self._plugging = asyncio.Lock()
        self._closing: asyncio.Task[bool] | None = None

    async def start(self) -> None:
        """Begin to connect; returns at once. A modem without a port waits for `attach`. Idempotent."""
        self._tools.outlets.join(self.config.name, self, self._tools.outlet)
        if self._task is None and self.config.port:
            self._stopping = False
            self.status.started_at = self.status.started_at or datetime.now(UTC)
            self._ending = False
            self._task = asyncio.create_task(self._live(), name=f"modem {self.config.name}")

    async def attach(self, config: ModemConfig, usb: UsbDevice, look_again: Callable[[], None]) -> None:
        """It is in this plug, behind `config.port`: connect, and stay with that port alone.

        `look_again` is called when the port is not what it was: then it is for the caller to find the modem anew. Waits
        until what was attached before has given its port back, or has had its time to.
        """
        async with self._plugging:
            await self._end()
            status = self.status
            self._came_from = status.usb_path if status.usb_path != usb.path else None
            self.config, self._node, self._look_again, self._astray = config, _node(config), look_again, False
            status.port, status.usb_path, status.vid_pid = config.port, usb.path, usb.vid_pid
            self._life.facts.roams_by_design = config.roaming
            self._backoff.reset()
            if status.started_at is not None:
                self._recovery.replugged()
            if not self._stopping:
                await self.start()

    async def detach(self, reason: str) -> None:
        """Its plug was pulled: `offline` at once, a send in flight ends, the port is given back. Idempotent."""
        self._lose(reason)
        async with self._plugging:
            self._lose(reason)  # what `attach` began meanwhile
            await self._end()
            self.config = replace(self.config, port="")

    def follow(self, before: Modem) -> None:
        """Be what `before` was, which has stopped, under another name: counters, readings, what it had to store."""
        for field in fields(ModemStatus):
            if field.name not in ("name", "state", "health", "health_reason", "port", "findings"):
                setattr(self.status, field.name, getattr(before.status, field.name))
        self._backlog.extend(before._backlog)
        before._backlog.clear()

    async def flush(self) -> None:
        """Bring what stands in no storage to the sink; raises what that raises, and then nothing is lost."""
        if self._backlog:
            await self._sink.store(list(self._backlog))
            self._backlog.clear()

    async def stop(self, grace: float) -> None:
        """No new send; one in flight has `grace` seconds for its result; then the port is given back. Idempotent."""
        self._stopping = True
        try:
            async with asyncio.timeout(grace):
                await self._idle.wait()
        except TimeoutError:
            _LOG.warning("%s: a send has no result after %.0f s; its outcome stays unknown", self.config.name, grace)
        async with self._plugging:
            await self._end()
        await self._idle.wait()  # a send cut off by the closed port has its result by now
        await self._recovery.close()
        if self.status.state is not ModemState.OFFLINE:
            self._leave("stopped", wanted=True)
        self._guard.failed(ModemError("the bridge stops"))
        self._tools.outlets.leave(self.config.name)
        self._life.close()

    @property
    def can_send(self) -> bool:
        """A part handed over now goes to the network."""
        return self._session is not None and self._life.can_send and not self._stopping and not self._held

    @property
    def sending(self) -> bool:
        """A part is being handed over."""
        return self._in_flight > 0

    @property
    def usb_path(self) -> str | None:
        """The plug that it is in, such as `1-1.3`."""
        return self.status.usb_path

    async def wait_ready(self) -> None:
        """Until the modem is ready, or degraded but able to send."""
        await self._life.wait_ready()

    async def send_part(self, pdu: str, length: int, authorise: Authorise, *, token: object = None) -> SendResult:
        """Hand one part over (hex with SMSC octets, `length` without them); never raises for modem reasons."""
        session = self._session
        if session is None or not self.can_send:
            return self._offline()
        self._in_flight += 1
        self._idle.clear()
        status = self.status
        try:
            result = await session.send(pdu, length, authorise, token)
        except AtArgumentError as error:
            result = SendResult(SendOutcome.NOT_SENT, error=SendError("invalid_pdu", str(error), Action.BUG))
        finally:
            self._in_flight -= 1
            if not self._in_flight:
                self._idle.set()
        status.busy_seconds += result.seconds
        if result.outcome is SendOutcome.SENT:
            status.sent += 1
            self._life.ok()
        elif result.error is None or result.error.code != "not_authorised":
            status.failures += 1
        self._life.changed()
        return result

    async def ussd(self, code: str) -> UssdAnswer:
        """Send a USSD code, wait for its answer. UssdError with a sentence; ModemError when not in service."""
        return await self._ussd().ask(code)

    async def ussd_reply(self, text: str) -> UssdAnswer:
        """Answer the menu that the last USSD answer opened; as `ussd`."""
        return await self._ussd().reply(text)

    async def ussd_cancel(self) -> bool:
        """End the USSD session, and the wait for its answer; False: there was none."""
        return await self._ussd().cancel()

    async def command(self, text: str) -> list[str]:
        """The answer to one AT command that a person typed; never while a part is being handed over.

        Raises ModemError, AtArgumentError for what is no single harmless command, AtError for a refusal.
        """
        session = self._connected()
        if self._in_flight:
            raise ModemError("a message is being sent", hint="ask again in a minute")
        return list((await session.channel.command(commands.raw(text))).lines)

    def tell(self, told: Told) -> None:
        """What others know of this modem and it cannot; part of its health from now on."""
        self._life.tell(told)

    def wake(self) -> None:
        """Something was plugged in or mended: try now."""
        self._wake.set()

    async def interview(self) -> None:
        """Ask the modem anew who it is; sends wait. ModemError when it is not connected."""
        self._connected().set_up_again("asked to interview")

    async def reset(self, step: str = "auto") -> dict[str, object]:
        """Do a step that a person asks for: `resync`, `reopen`, `cfun`, `usb_reset`, `authorize`, `power`, `auto`.

        `step`, `result` and `sentence` of what was done; the modem's state tells whether it helped. A send under way
        may end first. Raises ModemError with the reason why it was not done.
        """
        if self._stopping:
            raise ModemError("the modem is stopped")
        if step == "resync":
            self._connected().set_up_again("a person asked for it")
            return {"step": step, "result": "done", "sentence": "it is set up once more"}
        if step not in ASKED:
            raise ModemError(f"there is no step {step[:20]!r}", hint=f"there are: {', '.join(ASKED)}")
        self._recovery.check(step)
        if self._held:
            raise ModemError("another step is being carried out", hint="wait for its answer")
        self._held = True
        try:
            async with asyncio.timeout(timeouts.SEND_PATIENCE):
                await self._idle.wait()
            return await self._recovery.carry_out(step, self._apart)
        except TimeoutError:
            raise ModemError("a send waits for its result", hint="ask again in a minute") from None
        finally:
            self._held = False
            self.wake()

    def unanswered(self, reason: str) -> None:
        """It is in its plug, and answers to nobody: have that plug seen to, unless it is. Returns at once."""
        if not self._stopping and self._task is None:
            self._recovery.unanswered(reason)

    async def unlock(self, pin: str, *, puk: str | None = None, force: bool = False) -> Unlocked:
        """Give the SIM a PIN, or a PUK and a new PIN; `force`: even the last attempt (domain A8.2).

        Raises ModemError, SimBlocked or AtArgumentError with the reason why it is still locked.
        """
        if self._stopping:
            raise ModemError("the modem is stopped")
        if self._life.can_send or self._life.state is ModemState.REGISTERING:
            raise ModemError("the SIM asks for nothing: it is ready")
        asked = asyncio.ensure_future(self._guard.ask(pin, puk, force))
        await asyncio.sleep(0)
        self.wake()
        try:
            return await asked
        except TimeoutError:
            why = self.status.health_reason or str(self._life.state)
            raise ModemError(f"the modem did not get as far as its SIM: {why}") from None

    def _ussd(self) -> Ussd:
        session = self._session
        if session is None or not self._life.can_send:
            reason = self.status.health_reason or str(self.status.state)
            raise ModemError(f"the modem is not in service: {reason}")
        return session.ussd

    def _connected(self) -> Session:
        if self._session is None:
            raise ModemError("the modem is not connected", hint=self.status.health_reason or "")
        return self._session

    def _offline(self) -> SendResult:
        gone = "the network is gone for the moment" if self.status.state in CAN_SEND else str(self.status.state)
        reason = "stopping" if self._stopping else self.status.health_reason or gone
        error = SendError("modem_offline", f"the modem is out of service: {reason}", Action.RETRY_OTHER)
        return SendResult(SendOutcome.NOT_SENT, error=error)

    async def _live(self) -> None:
        """One connection after the other, for ever."""
        while True:
            await self._recovery.free()
            self._wake.clear()
            before = self._node.signature()
            delay = await self._connect_once()
            if self._ending:
                raise asyncio.CancelledError  # a task group that failed in the same moment has swallowed it
            if self._look_again is not None and (self._astray or self._node.signature() != before):
                await self._stray(self._look_again)  # before anything is done to what is there now
            if self._ended_with is not None:
                due = await self._recovery.after(*self._ended_with)
                if due is not None:
                    self._backoff.reset()
                    delay = due
            anew = await self._node.wait(self._wake, delay, before)
            if self._look_again is not None and (anew or not self._node.exists):
                await self._stray(self._look_again)
            if anew:
                self._recovery.replugged()
                self._backoff.reset()
                await asyncio.sleep(timeouts.PATH_SETTLE)
            elif not self._node.exists and self._life.state is not ModemState.OFFLINE:
                self._leave(f"{self.config.port} is gone; plug the modem in")

    async def _stray(self, look_again: Callable[[], None]) -> None:
        """What is behind the port now may be another modem: not ours to open. Until it is detached."""
        if self.status.state is not ModemState.OFFLINE:
            self._leave(f"{self.config.port} is gone; plug the modem in")
        look_again()
        await asyncio.get_running_loop().create_future()

    def _lose(self, reason: str) -> None:
        """The modem is not there, as from now; what runs on the connection ends."""
        if self._session is not None:
            self._session.lose(reason)
        self.status.port = None
        if self.status.state is not ModemState.OFFLINE:
            self._leave(reason)
        else:
            self._life.changed_now()

    async def _end(self) -> None:
        """No connection any more, and the port is closed or given up. Under `_plugging`; may be cancelled."""
        if self._task is not None:
            self._ending = True
            self._task.cancel()
            await asyncio.wait({self._task})
            self._task = None
        if self._closing is not None:
            await asyncio.wait({self._closing})
            if not self._closing.result():
                _LOG.warning("%s: the kernel does not give %s back", self.config.name, self.config.port)
            self._closing = None

    async def _connect_once(self) -> float:
        """One connection from open to loss; the seconds to wait before the next, at most."""
        session = Session(self.config, self._life, self._sink, self._guard, self._late, self._backlog, self._recovery)
        self._ended_with = None
        self._unconnected.clear()
        began: float | None = None
        try:
            try:
                await session.open()
                await self._open(session)
                await session.begin()
                began = asyncio.get_running_loop().time()
                await session.run()
            except HardwareError as failure:
                error = session.cause(failure)
                now = asyncio.get_running_loop().time()
                lived = 0.0 if began is None else now - began
                self._ended_with = error, 0.0 if began is None else now - session.set_up_at
                self._guard.failed(error)
                if lived > timeouts.STABLE or (lived and isinstance(error, PortLost)):
                    self._backoff.reset()
                delay = self._ended(error)
            except Exception:
                # A defect of ours must not cost the modem: say it loudly, begin anew.
                _LOG.exception("%s: the session failed", self.config.name)
                self._guard.failed(ModemError("an internal error ended the connection"))
                delay = self._ended(ModemError("an internal error ended the connection; the log has it"))
        finally:
            self._session = None
            # A task of its own: who cancels this one must not cut off what the last session has still to store.
            self._closing = asyncio.create_task(session.close(), name=f"close {self.config.name}")
            self._closing.add_done_callback(lambda _closed: self._unconnected.set())
            closed = await asyncio.shield(self._closing)
        if not closed:
            wedged = PortWedged(
                "the kernel does not give the port back", hint="unplug the modem, or restart the computer"
            )
            self._life.move(ModemState.BLOCKED, f"{wedged}; {wedged.hint}")
            self._ended_with = wedged, 0.0
            return timeouts.RECONNECT_CAP
        return delay

    async def _open(self, session: Session) -> None:
        self._life.move(ModemState.DETECTED, f"{self.config.port} is open")
        self._session = session
        if self.config.is_device and self._look_again is None:
            port = await asyncio.get_running_loop().run_in_executor(None, _usb_port, self.config.port)
            self.status.usb_path = port.usb_path if port is not None else None
            self.status.vid_pid = port.vid_pid if port is not None else None
        if not self._joined:
            self._joined = True
            moved = {} if self._came_from is None else {"previous_usb_path": self._came_from}
            self._came_from = None
            self._life.event("modem_joined", port=self.config.port, usb_path=self.status.usb_path, **moved)

    def _ended(self, error: HardwareError) -> float:
        """Say why there is no connection; the seconds to wait, at most."""
        sentence = f"{error}; {error.hint}" if error.hint else str(error)
        if self._life.state is ModemState.INTERVIEWING:
            self._life.event("modem_interview", status="failed", reason=sentence)
        match error:
            case WrongModem() if self._look_again is not None:
                self._astray = True
                self._leave(sentence)
                return timeouts.RECONNECT_CAP
            case PortMissing():
                self._leave(sentence)
                return self._backoff.delay() if self._node.exists else timeouts.RECONNECT_CAP
            case PortLost() | PortBusy() | PortForbidden():
                self._leave(sentence)
                return self._backoff.delay()
            case PortWedged():
                self._life.move(ModemState.BLOCKED, sentence)
                return timeouts.RECONNECT_CAP
            case SimBlocked():
                self._life.move(ModemState.BLOCKED, sentence)
                self._life.hush()
                return timeouts.BLOCKED_RETRY
        if self._life.state is not ModemState.OFFLINE:
            self._life.move(ModemState.RECOVERING, sentence)
        else:
            self._leave(sentence)
        return self._backoff.delay()

    async def _apart(self) -> None:
        """No port is open, and none is opened before the step is done."""
        while not self._unconnected.is_set():
            if self._session is not None and not self._in_flight:
                self._session.give_up(Wanted("a person asked for a restart"))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeouts.RESTART_PAUSE):
                    await self._unconnected.wait()

    async def _restart_by_command(self) -> Said:
        """`AT+CFUN=1,1`, or the vendor's word for it. Raises HardwareError when the modem cannot be spoken to."""
        if not self.config.port:
            return Said("failed", "it is not plugged in")
        channel = await AtChannel.open(self.config.port, baudrate=self.config.baudrate)
        try:
            profiles.find(self.status.manufacturer, self.status.model).guide(channel)
            await channel.resync()
            for command in commands.RESTARTS:
                try:
                    await channel.command(command)
                except AtCommandError:
                    continue
                except (AtTimeout, PortLost):
                    pass  # it restarts without a word
                return Said("done", f"it was told to restart ({command.text})")
            return Said("failed", "the modem refuses to restart by command")
        finally:
            await channel.close()

    def _leave(self, sentence: str, *, wanted: bool = False) -> None:
        sentence = sentence if wanted else self._recovery.gone(sentence)
        self._life.move(ModemState.OFFLINE, sentence, wanted=wanted)
        if self._joined:
            self._joined = False
            self._life.event("modem_left", reason=sentence)


def _node(config: ModemConfig) -> Node:
    return Node(config.port if config.port and config.is_device else None)


def _usb_port(device: str) -> UsbPort | None:
    """The USB side of a device node, through its by-id link or not."""
    real = real_path(device)
    return next((port for port in scan() if port.device == real), None)
