"""All modems of the house: those that come and go with a plug, and those behind a port that was named."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from hardware.errors import ModemError
from hardware.modem import Modem, ModemConfig, PinLedger, RecoveryTools
from hardware.modem.roles import Examined, Kind, examine
from hardware.modem.session import LateResult
from hardware.pool import timeouts
from hardware.pool.bindings import Binding, Bindings, PoolSettings
from hardware.pool.identity import How, Identity, identify
from hardware.pool.plugged import Plugged, Refused, switched_off
from hardware.pool.probe import Answer
from hardware.pool.records import Records, SimMove
from hardware.transport.threads import call_in_thread
from hardware.types import InboundSink, ModemListener, ModemRegister, ModemState, ModemStatus
from hardware.usb.ports import UsbDevice, devices, path_order
from hardware.usb.watcher import Watcher

__all__ = ["DeviceView", "Pool", "PoolListener"]

_LOG = logging.getLogger(__name__)

ABSENT: Final = "not plugged in"


class PoolListener(ModemListener, Protocol):
    """Told, on the loop and without waiting, what happens to modems and to devices that are none yet."""

    def modem_added(self, modem: Modem) -> None:
        """There is a modem of a new name; it may not be plugged in."""

    def device_event(self, event: str, data: dict[str, object]) -> None:
        """`modem_blocked`, `modem_detected`, `imei_duplicate`: of a device that has no name."""

    def devices_changed(self) -> None:
        """`Pool.devices` would answer otherwise than before."""

    def real_modem_seen(self) -> None:
        """Called once, when the first modem that is not virtual shows itself."""


@dataclass(frozen=True, slots=True)
class DeviceView:
    """A USB device as a list shows it. `modem`: the name of the modem that it is, once that is known."""

    modem: str | None
    state: ModemState
    kind: Kind | None
    family: str | None
    product: str | None
    manufacturer: str | None
    vid_pid: str
    usb_path: str
    port: str | None
    ports: tuple[str, ...]
    identified_by: How | None
    imei: str | None
    problem: str | None
    fix: str | None


class Pool:
    """Owns every `Modem` and every plug. Also the `ModemListener` of its modems: it hears of SIMs that move."""

    def __init__(
        self,
        settings: PoolSettings,
        *,
        sink: InboundSink,
        listener: PoolListener,
        register: ModemRegister,
        pins: PinLedger | None = None,
        late: LateResult | None = None,
        watch: Callable[[], Watcher] | None = None,
        tools: Callable[[str], RecoveryTools] | None = None,
    ) -> None:
        """`tools`: what a modem of that name may be mended with."""
        self.modems: dict[str, Modem] = {}
        self.asks_adapters = settings.adapters
        self._settings = settings
        self._bindings = Bindings(settings.bindings)
        self.asks_sim = self._bindings.asks_sim
        self._sink = sink
        self._listener = listener
        self._pins = pins
        self._late = late
        self._tools = tools
        self._records = Records(register, self._bindings, settings.defaults)
        self._new_watcher = watch or (lambda: Watcher(sysfs=settings.sysfs, dev=settings.dev))
        self._watching: asyncio.Task[None] | None = None
        self._plugged: dict[str, Plugged] = {}  # by plug
        self._holders: dict[str, Plugged] = {}  # by the modem's name
        self._virtual: set[str] = set()
        self._outdated: set[str] = set()  # modems in service whose SIM has shown itself in another one
        self._tasks: set[asyncio.Task[None]] = set()
        self._progress = asyncio.Event()  # a device was found out, or left
        self._real = False

    # Start and stop

    async def start(self) -> None:
        """Load what is known, begin with the ports that were named, and watch the plugs. Raises as the register."""
        await self._records.load()
        for config in self._records.expected():
            self._records.recall(self._make(config))
        for modem in list(self.modems.values()):
            await modem.start()
        if self._settings.discover:
            self._watching = asyncio.create_task(self._watch(), name="usb pool")

    async def stop(self, grace: float) -> None:
        """No new modem, then each send in flight has `grace` seconds for its result. Idempotent."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait({self._watching})
            self._watching = None
        plugged = list(self._plugged.values())
        for one in plugged:
            one.cancel()
        await asyncio.gather(*(modem.stop(grace) for modem in self.modems.values()))
        await asyncio.gather(*(one.ended() for one in plugged))
        if self._tasks:
            await asyncio.wait(self._tasks)
        for name in self._holders:
            self._records.went(name)
        self._plugged.clear()
        self._holders.clear()
        await self._records.stop()

    @property
    def knows_real(self) -> bool:
        """A modem that is not virtual is here, or was here once."""
        return self._real or len(self._records) > 0

    async def first_look(self) -> None:
        """Until all that is plugged in now was asked once, within a deadline."""
        settings = self._settings
        if not settings.discover:
            return
        try:
            async with asyncio.timeout(timeouts.FIRST_LOOK):
                # A thread of its own: a driver that hangs makes who reads of its device hang too.
                found = await call_in_thread(
                    "first look at USB", lambda: devices(settings.sysfs, settings.dev), lambda _devices: None
                )
                missing = {device.key for device in found}
                while missing := missing - {one.device.key for one in self._plugged.values() if one.decided}:
                    self._progress.clear()
                    await self._progress.wait()
        except TimeoutError:
            pass

    # What people ask

    def devices(self) -> list[DeviceView]:
        """All that is plugged in and is a modem, or may be one, or should be one; in the order of the plugs."""
        plugs = sorted(self._plugged, key=path_order)
        return [_view(one) for path in plugs if not (one := self._plugged[path]).hidden]

    async def add(self, config: ModemConfig) -> Modem:
        """A virtual modem behind a fixed port; it leaves with `remove`."""
        self._virtual.add(config.name)
        modem = self._make(config)
        await modem.start()
        return modem

    def check_remove(self, name: str) -> None:
        """Raise the ModemError that `remove` would."""
        if name in self._holders:
            raise ModemError(f"{name} is plugged in", hint="unplug it first: it would come back at once")
        self._records.check_forget(name)

    def check_rename(self, old: str, new: str) -> None:
        """Raise the ModemError that `rename` would."""
        if new in self.modems:
            raise ModemError(f"the name {new} is taken", hint="choose another one")
        self._records.check_rename(old, new)

    async def remove(self, name: str, grace: float = 0.0) -> None:
        """Forget a modem for good. ModemError: it is configured, or plugged in; or what sink and register raise."""
        self.check_remove(name)
        await self.modems[name].flush()
        await self._records.forget(name)
        modem = self.modems.pop(name)
        self._virtual.discard(name)
        await modem.stop(grace)

    async def rename(self, old: str, new: str) -> Modem:
        """The modem under its new name; what runs on it is cut off. ModemError, or what the register raises."""
        self.check_rename(old, new)
        await self._records.rename(old, new)
        before = self.modems.pop(old)
        holder = self._holders.get(old)
        if holder is not None:
            self._let_go(holder)
        await before.stop(0.0)
        modem = self._make(self._records.plain(new))
        modem.follow(before)
        if holder is not None:
            holder.look_again()
        return modem

    # What the watcher tells

    def arrived(self, device: UsbDevice) -> None:
        """A device settled in its plug."""
        old = self._plugged.get(device.path)
        if old is not None and old.device.key == device.key:
            old.alter(device)
            return
        if old is not None:
            self.left(old.device)
        plugged = self._plugged[device.path] = Plugged(device, self)
        plugged.start()

    def changed(self, device: UsbDevice) -> None:
        """Its ports or interfaces are others."""
        plugged = self._plugged.get(device.path)
        if plugged is None or plugged.device.key != device.key:
            self.arrived(device)
        else:
            plugged.alter(device)

    def left(self, device: UsbDevice) -> None:
        """Its modem is offline at once."""
        plugged = self._plugged.get(device.path)
        if plugged is None or plugged.device.key != device.key:
            return
        del self._plugged[device.path]
        name = self._let_go(plugged)
        task = asyncio.create_task(self._dismiss(plugged, name), name=f"usb {device.path} left")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if name is None and plugged.problem is not None:
            data = {"usb_path": device.path, "vid_pid": device.vid_pid, "product": device.product}
            self._listener.device_event("modem_left", {**data, "reason": "it was unplugged"})
        self._listener.devices_changed()

    # What a plugged device asks (plugged.Host)

    def examine(self, device: UsbDevice) -> Examined:
        return examine(device)

    def owner_of(self, device: UsbDevice) -> Binding | None:
        return self._bindings.owner_of(device)

    def decided(self) -> None:
        self._progress.set()

    def real_seen(self) -> None:
        if not self._real:
            self._real = True
            self._listener.real_modem_seen()

    async def bind(self, plugged: Plugged, answer: Answer) -> None:
        device = plugged.device
        others = [one.device for one in self._plugged.values() if one is not plugged]
        identity = plugged.identity = identify(answer.imei, device, others)
        plugged.iccid = answer.iccid or plugged.iccid
        family = plugged.examined.family if plugged.examined is not None else None
        name, binding = self._records.choose(identity, family, plugged.iccid, device.path, self.modems)
        if binding is not None and not binding.enabled:
            raise switched_off(binding)
        self._contest(plugged, name, identity)
        # From here to the claim nothing is awaited.
        self._holders[name] = plugged
        plugged.name = name
        modem = self.modems.get(name) or self._make(self._records.plain(name))
        config = self._records.came(modem, identity, binding, device.path, answer)
        self._listener.devices_changed()
        if identity.how is not How.IMEI:
            self._say_no_imei(name, plugged, identity)
        await modem.attach(config, device, lambda: plugged.look_again(timeouts.STRAY_PAUSE))

    async def release(self, plugged: Plugged) -> None:
        name = self._let_go(plugged)
        if name is not None:
            await self.modems[name].detach(f"what is in plug {plugged.device.path} is looked at again")

    def unanswered(self, plugged: Plugged, reason: str) -> None:
        # Only a plug whose modem is known: a stick that nobody has seen answer may serve something else.
        for name, modem in self.modems.items():
            if modem.usb_path == plugged.device.path and name not in self._holders:
                modem.unanswered(reason)

    def told(self, plugged: Plugged, event: str | None) -> None:
        if event is not None:
            device = plugged.device
            data: dict[str, object] = {"modem": plugged.waits_for} if plugged.waits_for is not None else {}
            data |= {"usb_path": device.path, "vid_pid": device.vid_pid, "product": device.product}
            self._listener.device_event(event, {**data, "reason": plugged.problem, "fix": plugged.fix})
        self._listener.devices_changed()

    # What the modems tell (ModemListener)

    def modem_changed(self, status: ModemStatus) -> None:
        if status.name in self._outdated and status.state not in _IN_SERVICE:
            self._outdated.discard(status.name)
            status.iccid = None  # that SIM is elsewhere; what is in it now, the next interview tells
        if self._records.is_news(status) and status.name in self.modems and status.name not in self._virtual:
            self._note(self.modems[status.name])
        self._listener.modem_changed(status)

    def modem_event(self, modem: str, event: str, data: dict[str, object]) -> None:
        found, iccid = self.modems.get(modem), data.get("iccid")
        if event == "sim_unlocked" and found is not None and modem not in self._virtual and isinstance(iccid, str):
            self._note(found)
            self._records.note_pin(found, iccid)
        self._listener.modem_event(modem, event, data)

    # Names and SIMs

    def _contest(self, plugged: Plugged, name: str, identity: Identity) -> None:
        """Raise Refused while another device has that name."""
        holder = self._holders.get(name)
        if holder is None or holder is plugged:
            return
        if holder.identity is not None and holder.identity.key == identity.key:
            raise Refused(
                f"it has the same IMEI as {name} in plug {holder.device.path}: one of the two is a clone, "
                "and they cannot be told apart",
                "unplug one of them, or give each plug an entry with its `usb_path` under `modems:`",
                name=name,
                event="imei_duplicate",
            )
        if name in plugged.contested:
            raise Refused(
                f"the SIM of {name} is in it, and in plug {holder.device.path} too",
                "unplug one of them",
                name=name,
            )
        # A SIM that was moved takes its name along; the modem that it was in may not have noticed.
        plugged.contested.add(name)
        holder.iccid = None
        holder.look_again()
        raise Refused(f"{name} is still with plug {holder.device.path}", retry=_CONTESTED, quiet=True)

    def _make(self, config: ModemConfig) -> Modem:
        tools = self._tools(config.name) if self._tools is not None else None
        modem = Modem(config, sink=self._sink, listener=self, pins=self._pins, late=self._late, tools=tools)
        if not config.port:
            modem.status.health_reason = ABSENT
        self.modems[config.name] = modem
        self._listener.modem_added(modem)
        return modem

    def _note(self, modem: Modem) -> None:
        """Keep what became known of it; say so if its SIM was in another modem before."""
        if modem.config.name in self._outdated:
            return
        move = self._records.note(modem)
        if move is not None:
            self._sim_came(modem.config.name, move)
        self._rename_by_sim(modem.config.name, modem.status.iccid)

    def _sim_came(self, name: str, move: SimMove) -> None:
        _LOG.info("%s: its SIM was in %s before", name, move.modem or move.imei)
        data: dict[str, object] = {"iccid": move.iccid, "previous_modem": move.modem, "previous_imei": move.imei}
        self._listener.modem_event(name, "sim_moved", data)
        before = self.modems.get(move.modem) if move.modem is not None else None
        if before is not None and before.status.iccid == move.iccid:
            self._outdated.add(before.status.name)
            self.modem_changed(before.status)

    def _rename_by_sim(self, name: str, iccid: str | None) -> None:
        """A name that is bound to a SIM goes where the SIM goes."""
        plugged = self._holders.get(name)
        if plugged is None or plugged.identity is None or iccid is None or not self.asks_sim:
            return
        plugged.iccid = iccid
        binding = self._bindings.find(plugged.identity.imei, iccid, plugged.device.path)
        right = binding.config.name == name if binding is not None else name not in self._bindings
        if not right:
            plugged.look_again()

    def _say_no_imei(self, name: str, plugged: Plugged, identity: Identity) -> None:
        how = "its USB serial number" if identity.how is How.SERIAL else f"its plug, {plugged.device.path}"
        reason = f"it tells no IMEI of its own, so it is known by {how}"
        _LOG.warning("%s: %s", name, reason, extra={"modem": name})
        data: dict[str, object] = {"usb_path": plugged.device.path, "identified_by": identity.how, "reason": reason}
        self._listener.modem_event(name, "imei_missing", data)

    # Coming and going

    def _let_go(self, plugged: Plugged) -> str | None:
        """Its modem's name, which is free from now on; who waits for that is told."""
        name, plugged.name = plugged.name, None
        if name is not None and self._holders.get(name) is plugged:
            del self._holders[name]
            for other in self._plugged.values():
                if other.waits_for == name:
                    other.look_again()
        return name

    async def _dismiss(self, plugged: Plugged, name: str | None) -> None:
        plugged.cancel()
        modem = self.modems.get(name) if name is not None else None
        if name is not None and modem is not None:
            self._records.went(name)
            await modem.detach(f"it was unplugged from {plugged.device.path}")
        await plugged.ended()

    async def _watch(self) -> None:
        while True:
            try:
                await self._new_watcher().run(self.arrived, self.changed, self.left)
            except Exception:  # nobody else would notice a stick
                _LOG.exception("watching the USB plugs failed; it is begun anew")
            await asyncio.sleep(timeouts.WATCHER_PAUSE)


_CONTESTED: Final = (timeouts.CONTESTED, timeouts.CONTESTED)
_IN_SERVICE: Final = frozenset({ModemState.REGISTERING, ModemState.READY, ModemState.DEGRADED})


def _view(plugged: Plugged) -> DeviceView:
    device, examined, identity = plugged.device, plugged.examined, plugged.identity
    return DeviceView(
        modem=plugged.name,
        state=plugged.state,
        kind=examined.kind if examined is not None else None,
        family=examined.family if examined is not None else None,
        product=device.product,
        manufacturer=device.manufacturer,
        vid_pid=device.vid_pid,
        usb_path=device.path,
        port=plugged.answer.port if plugged.answer is not None else None,
        ports=tuple(port.device for port in device.ports),
        identified_by=identity.how if identity is not None else None,
        imei=identity.imei if identity is not None else None,
        problem=plugged.problem,
        fix=plugged.fix,
    )
