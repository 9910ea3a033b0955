"""A modem for the whole life of the process: connects, comes back, connects again."""

from __future__ import annotations

import asyncio
import logging
import os
from datetime import UTC, datetime

from hardware.errors import (
    AtArgumentError,
    HardwareError,
    ModemError,
    PortBusy,
    PortForbidden,
    PortLost,
    PortMissing,
    PortWedged,
)
from hardware.modem import timeouts
from hardware.modem.backoff import Backoff, Node
from hardware.modem.config import MemoryPinLedger, ModemConfig, PinLedger
from hardware.modem.life import Life
from hardware.modem.session import LateResult, Session
from hardware.modem.sim import SimBlocked
from hardware.modem.ussd import Ussd, UssdAnswer
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
)
from hardware.usb.ports import UsbPort, scan

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
    ) -> None:
        self.config = config
        self.status = ModemStatus(config.name, port=config.port, health_reason="not started")
        self._sink = sink
        self._life = Life(self.status, listener)
        self._pins = pins if pins is not None else MemoryPinLedger()
        self._late = late
        self._node = Node(config.port if config.is_device else None)
        self._backlog: list[ReceivedPdu] = []  # messages that stand in no storage and not yet in the sink
        self._session: Session | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self._joined = False
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._wake = asyncio.Event()
        self._backoff = Backoff()

    async def start(self) -> None:
        """Begin to connect; returns at once. Idempotent."""
        if self._task is None:
            self._stopping = False
            self.status.started_at = datetime.now(UTC)
            self._task = asyncio.create_task(self._live(), name=f"modem {self.config.name}")

    async def stop(self, grace: float) -> None:
        """No new send; one in flight has `grace` seconds for its result; then the port is given back. Idempotent."""
        self._stopping = True
        try:
            async with asyncio.timeout(grace):
                await self._idle.wait()
        except TimeoutError:
            _LOG.warning("%s: a send has no result after %.0f s; its outcome stays unknown", self.config.name, grace)
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self._idle.wait()  # a send cut off by the closed port has its result by now
        if self.status.state is not ModemState.OFFLINE:
            self._leave("stopped", wanted=True)
        self._life.close()

    @property
    def can_send(self) -> bool:
        """A part handed over now goes to the network."""
        return self._session is not None and self._life.can_send and not self._stopping

    async def wait_ready(self) -> None:
        """Until the modem is ready, or degraded but able to send."""
        await self._life.wait_ready()

    async def send_part(self, pdu: str, length: int, authorise: Authorise, *, token: object = None) -> SendResult:
        """Hand one part over (hex with SMSC octets, `length` without them); never raises for modem reasons."""
        session = self._session
        if session is None or self._stopping or not self._life.can_send:
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

    @property
    def sending(self) -> bool:
        """A part is in its hands."""
        return self._in_flight > 0

    async def ussd(self, code: str) -> UssdAnswer:
        """Send a USSD code, wait for its answer. UssdError with a sentence; ModemError when not in service."""
        return await self._ussd().ask(code)

    async def ussd_reply(self, text: str) -> UssdAnswer:
        """Answer the menu that the last USSD answer opened; as `ussd`."""
        return await self._ussd().reply(text)

    async def ussd_cancel(self) -> bool:
        """End the USSD session, and the wait for its answer; False: there was none."""
        return await self._ussd().cancel()

    def wake(self) -> None:
        """Something was plugged in or mended: try now."""
        self._wake.set()

    async def interview(self) -> None:
        """Ask the modem anew who it is; sends wait. ModemError when it is not connected."""
        self._connected().set_up_again("asked to interview")

    async def reset(self) -> None:
        """Restart the modem itself. ModemError when it is not connected."""
        await self._connected().restart_modem()

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
        reason = "stopping" if self._stopping else self.status.health_reason or str(self.status.state)
        error = SendError("modem_offline", f"the modem is out of service: {reason}", Action.RETRY_OTHER)
        return SendResult(SendOutcome.NOT_SENT, error=error)

    async def _live(self) -> None:
        """One connection after the other, for ever."""
        while True:
            self._wake.clear()
            before = self._node.signature()
            delay = await self._connect_once()
            if await self._node.wait(self._wake, delay, before):
                self._backoff.reset()
                await asyncio.sleep(timeouts.PATH_SETTLE)
            elif not self._node.exists and self.status.state is not ModemState.OFFLINE:
                self._leave(f"{self.config.port} is gone; plug the modem in")

    async def _connect_once(self) -> float:
        """One connection from open to loss; the seconds to wait before the next, at most."""
        session = Session(self.config, self._life, self._sink, self._pins, self._late, self._backlog)
        began: float | None = None
        try:
            try:
                await session.open()
                await self._open(session)
                await session.begin()
                began = asyncio.get_running_loop().time()
                await session.run()
            except HardwareError as error:
                lived = 0.0 if began is None else asyncio.get_running_loop().time() - began
                if lived > timeouts.STABLE or (lived and isinstance(error, PortLost)):
                    self._backoff.reset()
                delay = self._ended(error)
            except Exception:
                # A defect of ours must not cost the modem: say it loudly, begin anew.
                _LOG.exception("%s: the session failed", self.config.name)
                delay = self._ended(ModemError("an internal error ended the connection; the log has it"))
        finally:
            self._session = None
            closed = await session.close()
        if not closed:
            sentence = "the kernel does not give the port back; unplug the modem, or restart the computer"
            self._life.move(ModemState.BLOCKED, sentence)
            return timeouts.RECONNECT_CAP
        return delay

    async def _open(self, session: Session) -> None:
        self._life.move(ModemState.DETECTED, f"{self.config.port} is open")
        self._session = session
        if not self._joined:
            self._joined = True
            self._life.event("modem_joined", port=self.config.port)
        if self.config.is_device:
            port = await asyncio.get_running_loop().run_in_executor(None, _usb_port, self.config.port)
            self.status.usb_path = port.usb_path if port is not None else None
            self.status.vid_pid = port.vid_pid if port is not None else None

    def _ended(self, error: HardwareError) -> float:
        """Say why there is no connection; the seconds to wait, at most."""
        sentence = f"{error}; {error.hint}" if error.hint else str(error)
        if self.status.state is ModemState.INTERVIEWING:
            self._life.event("modem_interview", status="failed", reason=sentence)
        match error:
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
        if self.status.state is not ModemState.OFFLINE:
            self._life.move(ModemState.RECOVERING, sentence)
        else:
            self._leave(sentence)
        return self._backoff.delay()

    def _leave(self, sentence: str, *, wanted: bool = False) -> None:
        self._life.move(ModemState.OFFLINE, sentence, wanted=wanted)
        if self._joined:
            self._joined = False
            self._life.event("modem_left", reason=sentence)


def _usb_port(device: str) -> UsbPort | None:
    """The USB side of a device node, through its by-id link or not."""
    real = os.path.realpath(device)
    return next((port for port in scan() if port.device == real), None)
