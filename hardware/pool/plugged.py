"""One USB device, from its arrival to its departure: what it is, whether it answers, which modem it is. One task."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Final, Protocol

from hardware.errors import HardwareError, PortBusy, PortForbidden, PortLost, PortMissing, PortWedged
from hardware.modem.backoff import Backoff
from hardware.modem.roles import Examined, Kind
from hardware.pool import timeouts
from hardware.pool.bindings import Binding
from hardware.pool.identity import Identity
from hardware.pool.probe import Answer, NoModem, probe
from hardware.types import ModemState
from hardware.usb.ports import UsbDevice, UsbPort

__all__ = ["Host", "Plugged", "Refused"]

_LOG = logging.getLogger(__name__)

REAL: Final = frozenset({Kind.MODEM, Kind.HILINK, Kind.CDROM, Kind.RECOVERY, Kind.NO_AT})
"""What is a modem by its USB ids, whether or not it can be used as it is."""

BAUDRATE: Final = 115200  # USB sticks ignore it
ADAPTER_BAUDRATES: Final = (BAUDRATE, 9600)  # SIM800 boards hear both; a Wavecom may know the slow one only (domain A1)
STRANGER_TRIES: Final = 5  # of what may be no modem: some devices restart when their port is opened
PATIENCE: Final = 3  # looks at a port that is not there, or answers nothing, before that is worth a word or a deed

# What its USB ids say for sure need not be waited for.
_PATIENCE = {Kind.HILINK: 0.0, Kind.RECOVERY: 0.0, Kind.CDROM: timeouts.SWITCH}
_HELD = (timeouts.HELD_FIRST, timeouts.HELD_CAP)
_WEDGED = (timeouts.WEDGED_FIRST, timeouts.WEDGED_CAP)
_MISSING = (timeouts.MISSING, timeouts.HELD_CAP)
_STRANGER = (timeouts.STRANGER_FIRST, timeouts.STRANGER_CAP)
_FAULT = (timeouts.FAULT_PAUSE, timeouts.FAULT_PAUSE)


class Refused(Exception):
    """Why a device is not in use: a sentence and its fix. `retry`: first and longest wait, None: until it changes."""

    def __init__(
        self,
        problem: str,
        fix: str = "",
        *,
        state: ModemState = ModemState.BLOCKED,
        retry: tuple[float, float] | None = None,
        quiet: bool = False,
        name: str | None = None,
        event: str | None = None,
    ) -> None:
        super().__init__(problem)
        self.problem = problem
        self.fix = fix
        self.state = state
        self.retry = retry
        self.quiet = quiet  # worth a word only if it stays so
        self.name = name  # the modem that stands in the way
        self.event = event or f"modem_{state}"


class Host(Protocol):
    """What a device needs of the pool."""

    asks_sim: bool
    asks_adapters: bool

    def examine(self, device: UsbDevice) -> Examined:
        """What its USB descriptors say."""

    def owner_of(self, device: UsbDevice) -> Binding | None:
        """The entry of the configuration that names one of its ports."""

    def decided(self) -> None:
        """One more device was found out, with whatever result."""

    def real_seen(self) -> None:
        """A real modem is in the house."""

    async def bind(self, plugged: Plugged, answer: Answer) -> None:
        """Give it to the modem that it is. Raises Refused."""

    async def release(self, plugged: Plugged) -> None:
        """Take it from its modem; nothing when it has none."""

    def unanswered(self, plugged: Plugged, reason: str) -> None:
        """It is a modem, and has answered nothing for a while."""

    def told(self, plugged: Plugged, event: str | None) -> None:
        """Its state changed; `event` if it is worth one."""


@dataclass(frozen=True, slots=True)
class _Told:
    state: ModemState
    problem: str | None = None
    fix: str | None = None


class Plugged:
    """`start` once, `cancel` and `ended` once it left. `name` is the modem's while it is bound to one."""

    def __init__(self, device: UsbDevice, host: Host) -> None:
        self.device = device
        self.examined: Examined | None = None
        self.answer: Answer | None = None
        self.identity: Identity | None = None
        self.name: str | None = None
        self.iccid: str | None = None  # of the SIM that was seen in it, however that was found out
        self.waits_for: str | None = None  # the modem whose name or identity it has too
        self.contested: set[str] = set()  # names that were asked of other devices on its behalf, once each
        self.decided = False  # it was found out once, with whatever result
        self.hidden = True  # nothing that a list of modems should show
        self._host = host
        self._told = _Told(ModemState.DETECTED)
        self._arrived_at = asyncio.get_running_loop().time()
        self._task: asyncio.Task[None] | None = None
        self._again = asyncio.Event()
        self._pause = 0.0
        self._retry: tuple[float, float] | None = None
        self._backoff = Backoff()
        self._tries = 0
        self._missing = 0
        self._silences = 0  # rounds in a row in which no port answered

    @property
    def state(self) -> ModemState:
        """While it is not bound: `detected`, `interviewing` or `blocked`."""
        return self._told.state

    @property
    def problem(self) -> str | None:
        return self._told.problem

    @property
    def fix(self) -> str | None:
        return self._told.fix

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name=f"usb {self.device.path}")

    def cancel(self) -> None:
        """It left: nothing more is begun."""
        if self._task is not None:
            self._task.cancel()

    async def ended(self) -> None:
        """After `cancel`: what ran has ended, a port that was being asked is closed."""
        if self._task is not None:
            await asyncio.wait({self._task})

    def alter(self, device: UsbDevice) -> None:
        """Its interfaces or ports are others; nothing to do for a modem whose own port stays."""
        self.device = device
        bound = self.answer.port if self.name is not None and self.answer is not None else None
        if not any(port.device == bound for port in device.ports):
            self._retry = None
            self.look_again()

    def look_again(self, pause: float = 0.0) -> None:
        """Find out anew, `pause` seconds from now; its modem is without it until then. With a pause: it may be gone."""
        self._pause = pause
        self.hidden = self.hidden or pause > 0
        self._again.set()

    async def _run(self) -> None:
        while True:
            self._again.clear()
            wait = await self._attempt()
            self.decided = True
            self._host.decided()
            await self._until_asked(wait)
            await self._host.release(self)
            pause, self._pause = self._pause, 0.0
            self._again.clear()
            if pause:
                await self._until_asked(pause)  # it is asked sooner when it changes

    async def _attempt(self) -> float | None:
        """Find out once; the seconds until the next attempt, None: not before somebody asks."""
        self.waits_for = None
        try:
            await self._find_out()
        except Refused as refused:
            return self._refuse(refused)
        except Exception:
            _LOG.exception("the USB device at %s could not be found out", self.device.path)
            return self._refuse(Refused("an internal error keeps it out; the log has it", retry=_FAULT))
        self._retry, self._missing, self._silences = None, 0, 0
        self._say(_Told(ModemState.DETECTED))
        return None

    async def _until_asked(self, seconds: float | None) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._again.wait()
        except TimeoutError:
            pass

    async def _find_out(self) -> None:
        """Until it is bound, or is nobody's business. Raises Refused."""
        examined = self.examined = self._host.examine(self.device)
        owner = self._host.owner_of(self.device)
        self.hidden = examined.kind is Kind.OTHER or (owner is not None and owner.enabled)
        if examined.kind in REAL:
            self._host.real_seen()
        if self.hidden:
            return
        if owner is not None:
            raise switched_off(owner)
        if not examined.candidates:
            state = ModemState.BLOCKED if examined.kind in REAL else ModemState.DETECTED
            self._host.told(self, None)
            await asyncio.sleep(_PATIENCE.get(examined.kind, timeouts.LATE_PORTS))
            raise Refused(examined.problem or "it has no port for AT commands", examined.hint or "", state=state)
        if examined.kind is Kind.ADAPTER and not self._host.asks_adapters:
            fix = "if a modem is behind it, name its port under `modems:`, or set `adapters: auto` under `usb:`"
            raise Refused("serial adapters are left alone (`usb: adapters`)", fix, state=ModemState.DETECTED)
        self._say(_Told(ModemState.DETECTED, self.problem, self.fix))
        await asyncio.sleep(self._arrived_at + examined.delay - asyncio.get_running_loop().time())
        self._say(_Told(ModemState.INTERVIEWING, self.problem, self.fix))
        self.answer = await self._ask(examined)
        if self._host.owner_of(self.device) is not None:  # its name under /dev/serial/by-id has come meanwhile
            self.look_again()
            return
        self._host.real_seen()
        await self._host.bind(self, self.answer)

    async def _ask(self, examined: Examined) -> Answer:
        """One port after the other: two ports of one stick that are asked at once confuse some firmware."""
        silence: HardwareError | None = None
        lost: PortLost | None = None
        for port in examined.candidates:
            for baudrate in ADAPTER_BAUDRATES if examined.kind is Kind.ADAPTER else (BAUDRATE,):
                try:
                    return await self._ask_port(port, baudrate)
                except PortLost as error:
                    lost = error
                    break
                except NoModem as error:
                    silence = silence or error
        if lost is not None:  # mostly it is being pulled just now
            raise Refused(str(lost), lost.hint, retry=_MISSING, quiet=True)
        assert silence is not None
        self._silences += 1
        if examined.kind is Kind.MODEM and self._silences >= PATIENCE:
            self._host.unanswered(self, f"it is in plug {self.device.path} and does not answer AT")
        raise _silent(examined, silence)

    async def _ask_port(self, port: UsbPort, baudrate: int) -> Answer:
        try:
            return await probe(port.device, baudrate, ask_sim=self._host.asks_sim)
        except (PortBusy, PortForbidden) as error:
            raise Refused(str(error), error.hint, retry=_HELD) from error
        except PortWedged as error:
            raise Refused(str(error), error.hint, retry=_WEDGED) from error
        except PortMissing as error:
            raise Refused(str(error), error.hint, retry=_MISSING, quiet=True) from error

    def _refuse(self, refused: Refused) -> float | None:
        self._missing = self._missing + 1 if refused.quiet else 0
        self.waits_for = refused.name
        if not refused.quiet or self._missing > PATIENCE:
            self._say(_Told(refused.state, refused.problem, refused.fix), refused.event)
        if refused.retry is None:
            return None
        if refused.retry != self._retry:
            self._retry, self._tries = refused.retry, 0
            self._backoff = Backoff(*refused.retry)
        self._tries += 1
        return None if refused.retry == _STRANGER and self._tries >= STRANGER_TRIES else self._backoff.delay()

    def _say(self, told: _Told, event: str | None = None) -> None:
        if told == self._told:
            return
        news = told.problem is not None and told.problem != self._told.problem
        self._told = told
        if news:
            level = logging.WARNING if told.state is ModemState.BLOCKED else logging.INFO
            device = self.device
            _LOG.log(level, "USB %s (%s): %s; %s", device.path, device.vid_pid, told.problem, told.fix or "no remedy")
        self._host.told(self, event if news else None)


def switched_off(binding: Binding) -> Refused:
    """The configuration says that it is to be left alone."""
    name = binding.config.name
    problem = f"{name} is switched off in the configuration"
    return Refused(problem, f"take `enabled: false` from {name} under `modems:`", state=ModemState.DETECTED)


def _silent(examined: Examined, silence: HardwareError) -> Refused:
    if examined.kind is Kind.MODEM:
        ports = ", ".join(port.device for port in examined.candidates)
        problem = f"the {examined.family or 'modem'} does not answer AT on any of its ports ({ports})"
        if len(examined.candidates) == 1:
            problem = str(silence)
        return Refused(problem, silence.hint, retry=(timeouts.SILENT_FIRST, timeouts.SILENT_CAP))
    problem = f"no modem answers behind it: {silence}"
    fix = examined.hint or "if there is one, switch it on and plug it in again, or name its port under `modems:`"
    return Refused(problem, fix, state=ModemState.DETECTED, retry=_STRANGER)
