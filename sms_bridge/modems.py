"""The modems of the house: the pool, a worker for each, the virtual ones of a first look, and what is told of them.

Besides `routes/modem.py` the only place that drives the hardware.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any, TypeVar

from hardware.errors import HardwareError
from hardware.modem import CALL_EVENTS, Modem, ModemConfig, PinLedger
from hardware.pool import Binding, DeviceView, Pool, PoolSettings
from hardware.types import ModemRegister, ModemState, ModemStatus, SendResult
from hardware.usb.watcher import Watcher
from sms_bridge.config import ModemSettings, Settings
from sms_bridge.config.plans import allowed_ussd
from sms_bridge.core.clock import Clock
from sms_bridge.core.dispatcher import Dispatcher
from sms_bridge.core.errors import StoreError
from sms_bridge.core.events import event_json
from sms_bridge.core.model import AUTO, ClaimantView
from sms_bridge.core.queues import Queues
from sms_bridge.core.quota import Limits
from sms_bridge.core.service import Service
from sms_bridge.mqtt.front import Mqtt
from sms_bridge.mqtt.requests import RequestError
from sms_bridge.routes.mending import Mending
from sms_bridge.routes.modem import ModemRoute
from sms_bridge.virtual import VirtualModems, VirtualModemsError

log = logging.getLogger(__name__)

T = TypeVar("T")

NAME = re.compile(r"[a-z0-9_-]{1,32}\Z")
STORE_RETRY = 2.0  # s until what the disk refused is tried again
WORKING = frozenset({ModemState.READY, ModemState.DEGRADED})
EVENT, LATE = "modem-event", "late-result"  # tasks that write to the journal
LAST_WORDS = 5.0  # s for these at the end
CLOSE_GRACE = 1.0  # s for what a worker has left in a modem when it ended: nothing, as a rule


class Modems:
    """Implements `hardware.pool.PoolListener`. Known by name; `start` once, `stop` any number of times."""

    def __init__(
        self,
        settings: Settings,
        pins: PinLedger,
        clock: Clock,
        mending: Mending,
        *,
        watch: Callable[[], Watcher] | None = None,
    ) -> None:
        """`watch` makes what watches the plugs; None: as usual."""
        self._settings = settings
        self._mending = mending
        self._watch = watch
        self._pins = pins
        self._clock = clock
        self._pool: Pool | None = None
        self._routes: dict[str, ModemRoute] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._virtual: VirtualModems | None = None
        self._virtual_names: list[str] = []
        self._changing = asyncio.Lock()  # one change of names and virtual modems at a time
        self._real = False
        self._shown: tuple[object, ...] = ()
        self._working: frozenset[str] = frozenset()
        self._mqtt: Mqtt | None = None
        self._shown_queues: dict[str, int] = {}
        self._past = {"sent": 0, "received": 0, "failures": 0}  # of modems that were removed
        self._service: Service
        self._dispatcher: Dispatcher
        self._queues: Queues

    async def start(self, service: Service, dispatcher: Dispatcher, queues: Queues, register: ModemRegister) -> None:
        """Begin with all that is configured, known or plugged in; returns at once. StoreError."""
        self._service, self._dispatcher, self._queues = service, dispatcher, queues
        settings = self._settings
        pool_settings = PoolSettings(
            bindings=tuple(_binding(settings, modem) for modem in settings.modems),
            defaults=_modem_config(settings, None),
            discover=settings.usb.discover,
            adapters=settings.usb.adapters == "auto",
            sysfs=settings.usb.sysfs,
            dev=settings.usb.dev,
        )
        self._pool = Pool(
            pool_settings,
            sink=service,
            listener=self,
            register=register,
            pins=self._pins,
            late=self._late_result,
            watch=self._watch,
            tools=self._mending.tools,
        )
        await self._mending.restore_usb()
        await self._pool.start()
        if not settings.modems:
            self._own(self._first_look(), "first-look")

    def adopt(self, settings: Settings) -> None:
        """Limits, numbers and patience are these from now on; bindings and set-up stay until the next start."""
        self._settings = settings

    def publish_on(self, mqtt: Mqtt) -> None:
        """From now on their states are told there, beginning with what they are now."""
        self._mqtt = mqtt
        for status in self.statuses():
            mqtt.states.modem_changed(status)
        self._publish_list()

    async def stop(self, grace: float) -> None:
        """No new send; one under way has `grace` seconds. Idempotent."""
        await asyncio.gather(*(route.stop(grace) for route in self._routes.values()))
        if self._pool is not None:
            await self._pool.stop(CLOSE_GRACE)
        said = [task for task in self._tasks if task.get_name() in (EVENT, LATE)]
        if said:  # what the modems said last is written down; a journal that hangs holds up no end
            await asyncio.wait(said, timeout=LAST_WORDS)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._virtual is not None:
            await self._virtual.stop()

    # What is known of them

    def __contains__(self, name: object) -> bool:
        return self._pool is not None and name in self._pool.modems

    def __getitem__(self, name: str) -> Modem:
        """KeyError for one that is not, or no longer, there."""
        if self._pool is None:
            raise KeyError(name)
        return self._pool.modems[name]

    def is_idle(self, name: str) -> bool:
        """Whether it could do something else than to send."""
        return name in self and (modem := self[name]).can_send and not modem.sending

    def names(self) -> tuple[str, ...]:
        return tuple(self._pool.modems) if self._pool is not None else ()

    def statuses(self) -> Iterator[ModemStatus]:
        return iter([modem.status for modem in self.values()])

    def values(self) -> list[Modem]:
        return list(self._pool.modems.values()) if self._pool is not None else []

    def in_service(self) -> int:
        """How many work. Not `can_send`: a network that is gone for some seconds is no matter for an alarm."""
        return sum(status.state in WORKING for status in self.statuses())

    def totals(self) -> dict[str, int]:
        """What all modems counted since the start; it never goes back, also when one is removed."""
        return {key: past + sum(getattr(one, key) for one in self.statuses()) for key, past in self._past.items()}

    def queue_of(self, name: str) -> int:
        """How many orders only it may send, and what it holds of the others."""
        if name not in self:
            return 0
        status = self[name].status
        return self._queues.of(ClaimantView(name, status.iccid, status.imei))

    async def look_at_queues(self) -> None:
        """A queue is shown as it is, also when nothing else of its modem changes. StoreError."""
        await self._queues.look()
        for status in self.statuses():
            queue = self.queue_of(status.name)
            if self._shown_queues.get(status.name) != queue:
                self._shown_queues[status.name] = queue
                self.modem_changed(status)

    def own_number(self, name: str) -> str | None:
        """The number of the SIM in it, as configured, else as the SIM says."""
        status = next((status for status in self.statuses() if status.name == name), None)
        entry = self._entry(name, status.iccid if status is not None else None)
        configured = entry.number if entry is not None else None
        return configured or (status.number if status is not None else None)

    def own_numbers(self) -> list[str]:
        """The numbers of all SIMs that are here, as far as they are known; virtual ones may be written to."""
        names = [status.name for status in self.statuses() if status.name not in self._virtual_names]
        return [number for name in names if (number := self.own_number(name)) is not None]

    def limits_of(self, modem: ClaimantView) -> Limits:
        """What its SIM may send: the SIM's own entry before the modem's."""
        entry = self._entry(modem.name, modem.iccid)
        return entry.quota if entry is not None else self._settings.quota

    # What people ask

    async def interview(self, name: str) -> None:
        """Ask it anew who it is. RequestError."""
        with _in_words():
            await self._modem(name).interview()

    async def reset(self, name: str, step: str) -> dict[str, object]:
        """Mend it by one step, see `Modem.reset`. RequestError."""
        with _in_words():
            return await self._modem(name).reset(step)

    async def unlock(self, name: str, pin: str, puk: str | None, force: bool) -> dict[str, object]:
        """Give its SIM a PIN, see `Modem.unlock`. RequestError."""
        with _in_words():
            return asdict(await self._modem(name).unlock(pin, puk=puk, force=force))

    async def rename(self, old: str, new: str) -> dict[str, str]:
        """Orders that wait for it by its old name follow. RequestError."""
        return await self._whole(self._rename(old, new))

    async def remove(self, name: str) -> dict[str, Any]:
        """Forget it for good; what only it could have sent fails. RequestError."""
        return await self._whole(self._remove(name))

    async def _rename(self, old: str, new: str) -> dict[str, str]:
        if not NAME.match(new) or new == AUTO:
            raise RequestError(f"{new[:40]!r} is no name: use a-z, 0-9, - and _, at most 32 of them, and not auto")
        async with self._changing:
            pool, before = self._running(), self._modem(old)
            with _in_words():
                pool.check_rename(old, new)
                await self._routes.pop(old).stop(self._settings.sending.stop_grace)
                try:
                    await pool.rename(old, new)
                except BaseException:
                    self.modem_added(before)
                    raise
            self._dispatcher.renamed(old, new)
            if self._mqtt is not None:
                self._mqtt.states.modem_renamed(old, new)
            self._forget_topics(old)
        self.modem_event(new, "modem_renamed", {"previous": old})
        return {"from": old, "to": new}

    async def _remove(self, name: str) -> dict[str, Any]:
        async with self._changing:
            self._modem(name)
            with _in_words():
                self._running().check_remove(name)
                ended = await self._service.remove_modem(name)
                await self._drop(name)
                ended += await self._service.remove_modem(name)  # what came meanwhile
        return {"modem": name, "failed": ended}

    # What the pool tells (hardware.pool.PoolListener)

    def modem_added(self, modem: Modem) -> None:
        route = self._routes[modem.config.name] = ModemRoute(modem, self._dispatcher)
        route.start()
        self.modem_changed(modem.status)

    def modem_changed(self, status: ModemStatus) -> None:
        if (status.state in WORKING) != (status.name in self._working):
            self._note_working()
        if (route := self._routes.get(status.name)) is not None:
            route.modem_changed()
        if self._mqtt is not None:
            self._mqtt.states.modem_changed(status)
            self._publish_list(only_if_changed=True)

    def modem_event(self, modem: str, event: str, data: dict[str, object]) -> None:
        if event in CALL_EVENTS:
            if self._mqtt is not None:
                about = {"modem": modem, **data, **self._service.caller(data.get("number"))}
                self._mqtt.call(modem, event_json(event, self._clock.now(), about))
            return
        self.device_event(event, {"modem": modem, **data})

    def device_event(self, event: str, data: dict[str, object]) -> None:
        self._own(self._record(event, data), EVENT)

    def devices_changed(self) -> None:
        self._publish_list(only_if_changed=True)

    def real_modem_seen(self) -> None:
        self._real = True
        self._own(self._retire_virtual(), "retire-virtual")

    def _late_result(self, token: object, result: SendResult) -> None:
        self._own(ModemRoute.record_late(self._dispatcher, token, result), LATE)

    async def _record(self, event: str, data: dict[str, object]) -> None:
        try:
            await self._service.event(event, **data)
        except StoreError as error:
            log.error("the event %s was not recorded: %s", event, error)

    # Virtual ones

    async def _first_look(self) -> None:
        """Virtual modems, where no real one is or ever was: an order must not be "sent" in a house that has one."""
        pool = self._running()
        if not pool.knows_real:
            await pool.first_look()
        if pool.knows_real:
            return
        if not self._settings.virtual_modems.count:
            log.warning("no modem is configured and none was found: orders wait")
            return
        async with self._changing:
            if not self._real:
                await self._start_virtual(pool)

    async def _start_virtual(self, pool: Pool) -> None:
        self._virtual = VirtualModems(self._settings.data_dir / "virtual", self._settings.virtual_modems)
        try:
            ports = await self._virtual.start()
        except VirtualModemsError as error:
            log.error("%s", error)
            return
        log.info(
            "no modem was found: %d virtual ones instead; `sms-bridge control deliver from=Anna text=Hello`"
            " sends them a message",
            len(ports),
        )
        for index, port in enumerate(ports, 1):
            name = f"virtual-{index}"
            self._virtual_names.append(name)
            await pool.add(replace(_modem_config(self._settings, None), name=name, port=port))

    async def _retire_virtual(self) -> None:
        """A real modem is here: each virtual one ends what it is sending, and is gone for good."""
        async with self._changing:
            if self._virtual is None:
                return
            names, self._virtual_names = self._virtual_names, []
            log.info("a real modem is here: the virtual ones leave for good, after what they are sending")
            patience = self._settings.sending.result_timeout
            await asyncio.gather(*(self._routes[name].stop(patience) for name in names))
            for name in names:
                await self._drop(name)
                await self._end_orders(name)
            virtual, self._virtual = self._virtual, None
            await virtual.stop()

    async def _drop(self, name: str) -> None:
        """Out of the pool and off the topics. ModemError, StoreError: it stays."""
        status = self[name].status
        await self._running().remove(name)
        for key in self._past:
            self._past[key] += getattr(status, key)
        await self._routes.pop(name).stop(CLOSE_GRACE)
        self._forget_topics(name)

    async def _end_orders(self, name: str) -> None:
        while True:
            try:
                await self._service.remove_modem(name)
                return
            except StoreError as error:
                log.error("orders for %s, which is gone, wait: %s", name, error)
                await asyncio.sleep(STORE_RETRY)

    # Topics

    def _note_working(self) -> None:
        """Which modems are in service: when the last one goes, what waits for them takes another route."""
        self._working = frozenset(status.name for status in self.statuses() if status.state in WORKING)
        self._dispatcher.routes.modems_in_service(self._working)

    def _forget_topics(self, name: str) -> None:
        self._note_working()
        if self._mqtt is not None:
            self._mqtt.states.modem_gone(name)
        self._publish_list()

    def _publish_list(self, *, only_if_changed: bool = False) -> None:
        if self._mqtt is None or self._pool is None:
            return
        devices = self._pool.devices()
        shown = (*(_gist(status) for status in self.statuses()), *devices)
        if only_if_changed and shown == self._shown:
            return  # most changes are counters, and this list is long
        self._shown = shown
        by_name = {device.modem: device for device in devices if device.modem is not None}
        rows = [self._row(status, by_name.get(status.name)) for status in self.statuses()]
        self._mqtt.states.modems(rows + [_device_row(device) for device in devices if device.modem is None])

    def _row(self, status: ModemStatus, device: DeviceView | None) -> dict[str, Any]:
        view = ClaimantView(status.name, status.iccid, status.imei)
        return {
            "name": status.name,
            "state": status.state,
            "model": status.model,
            "manufacturer": status.manufacturer,
            "imei": status.imei,
            "iccid": status.iccid,
            "port": status.port,
            "usb_path": status.usb_path,
            "vid_pid": status.vid_pid,
            "identified_by": device.identified_by if device is not None else None,
            "virtual": status.name in self._virtual_names,
            "problem": status.health_reason,
            "fix": None,
            "capabilities": status.capabilities,
            "quota": self._dispatcher.policy.figures(view, self._clock.now()),
            "findings": [asdict(found) for found in status.findings],
        }

    # The rest

    def _entry(self, name: str, iccid: str | None) -> ModemSettings | None:
        """The entry that speaks of this SIM, else of this modem."""
        entries = self._settings.modems
        by_sim = (one for one in entries if iccid is not None and one.iccid == iccid)
        return next(by_sim, next((one for one in entries if one.name == name), None))

    def _running(self) -> Pool:
        if self._pool is None:
            raise RequestError("the bridge has not started yet")
        return self._pool

    def _modem(self, name: str) -> Modem:
        modem = self._running().modems.get(name)
        if modem is None:
            raise RequestError(f"there is no modem {name[:64]!r}; there are: {', '.join(self.names()) or 'none'}")
        return modem

    async def _whole(self, work: Coroutine[Any, Any, T]) -> T:
        """Who asked may stop waiting; what was begun is not left half done."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._over)
        return await asyncio.shield(task)

    def _over(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # nobody may be waiting for it any more

    def _own(self, work: Coroutine[Any, Any, Any], name: str) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("the task %s ended: %r", task.get_name(), error, exc_info=error)


@contextmanager
def _in_words() -> Iterator[None]:
    """What went wrong, for the person who asked. RequestError."""
    try:
        yield
    except (HardwareError, StoreError) as error:
        raise RequestError(f"{error}{f' ({error.hint})' if error.hint else ''}") from error


def _device_row(device: DeviceView) -> dict[str, Any]:
    """A device that is no modem yet, with what keeps it from being one."""
    return {
        "name": None,
        "state": device.state,
        "model": device.product,
        "manufacturer": device.manufacturer,
        "imei": device.imei,
        "iccid": None,
        "port": device.port,
        "usb_path": device.usb_path,
        "vid_pid": device.vid_pid,
        "identified_by": device.identified_by,
        "virtual": False,
        "problem": device.problem,
        "fix": device.fix,
        "capabilities": {},
        "quota": {},
        "findings": [],
    }


def _gist(status: ModemStatus) -> tuple[object, ...]:
    problem = status.health_reason
    known = status.model, status.iccid, status.port, len(status.capabilities)
    return status.name, status.state, problem, *known, *status.findings


def _binding(settings: Settings, modem: ModemSettings) -> Binding:
    return Binding(
        _modem_config(settings, modem),
        imei=modem.imei,
        iccid=modem.iccid,
        usb_path=modem.usb_path,
        enabled=modem.enabled,
    )


def _modem_config(settings: Settings, modem: ModemSettings | None) -> ModemConfig:
    """None: of a modem that nobody configured."""
    own = modem or ModemSettings("")
    return ModemConfig(
        own.name,
        own.port or "",
        baudrate=own.baudrate,
        pin=own.pin,
        delete_after_read=settings.inbound.delete_after_read,
        sweep_interval=settings.inbound.sweep_interval,
        init_commands=own.init_commands,
        roaming=own.roaming,
        result_timeout=settings.sending.result_timeout,
        prompt_timeout=settings.sending.prompt_timeout,
        ussd_allow=allowed_ussd(settings),
        hang_up=settings.calls.hang_up,
    )
