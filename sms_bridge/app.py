"""The composition root: the only module that knows all others. Starts them in order, ends them in order."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import re
import signal
import socket
import sys
from collections.abc import Awaitable, Coroutine
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from hardware.errors import HardwareError
from hardware.modem import Modem, ModemConfig, roles
from hardware.types import ModemStatus, SendResult
from hardware.usb import ports as usb
from sms_bridge.config import Settings
from sms_bridge.config import settings as configured
from sms_bridge.core.clock import SystemClock
from sms_bridge.core.dispatcher import Dispatcher
from sms_bridge.core.errors import CoreError, StoreError
from sms_bridge.core.events import event_json
from sms_bridge.core.model import ClaimantView
from sms_bridge.core.quota import Limits
from sms_bridge.core.service import Service
from sms_bridge.core.settings import DAY, CoreSettings
from sms_bridge.mqtt.broker import ManagedBroker, probe
from sms_bridge.mqtt.errors import LinkError
from sms_bridge.mqtt.front import Mqtt
from sms_bridge.mqtt.handlers import make_handlers
from sms_bridge.mqtt.requests import Handler, RequestError
from sms_bridge.mqtt.settings import MqttSettings, TlsSettings
from sms_bridge.observe.systemd import Notifier
from sms_bridge.routes.modem import ModemRoute
from sms_bridge.store.journal import Journal
from sms_bridge.store.pins import PinFile
from sms_bridge.virtual import VirtualModems, VirtualModemsError

log = logging.getLogger(__name__)

TICK = 1.0  # s between looks at what has fallen due
HEALTH_PERIOD = 60.0  # s between two payloads of sms/bridge/health
STORE_RETRY = 2.0  # s until a start that the disk refused is tried again
# The writer thread hands over at once instead of after Python's 5 ms: a commit must not wait for a busy loop.
SWITCH_INTERVAL = 0.0001
_CLIENT_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
RESTART = 75  # EX_TEMPFAIL: systemd, Docker and `make run` start us again


def run(settings: Settings) -> int:
    """Run until SIGTERM, SIGINT or a `restart` request; returns the exit code. A failure is a sentence in the log."""
    sys.setswitchinterval(SWITCH_INTERVAL)
    try:
        return asyncio.run(Bridge(settings).run())
    except (CoreError, LinkError, VirtualModemsError) as error:
        hint = getattr(error, "hint", "")
        log.critical("%s%s", error, f" ({hint})" if hint else "")
        return 1


class Bridge:
    """One process. Built by `run`, which returns when all is stopped."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._clock = SystemClock()
        # One for all modems: its lock is what keeps two of them from writing over each other's attempts.
        self._pins = PinFile(settings.data_dir / "pins")
        self._modems: dict[str, Modem] = {}
        self._routes: list[ModemRoute] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        self._ended = asyncio.Event()
        self._code = 0
        self._systemd = Notifier()
        self._shown_modems: tuple[object, ...] = ()
        self._started_at = datetime.now(UTC)
        self._journal: Journal
        self._dispatcher: Dispatcher
        self._service: Service
        self._mqtt: Mqtt

    async def run(self) -> int:
        """Start, serve, stop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._ended.set)
        async with AsyncExitStack() as stack:
            if not await self._started_in_time(stack):
                return self._code
            await self._ended.wait()
            log.info("stopping: a send under way may end first")
            self._systemd.stopping()
        return self._code

    async def _started_in_time(self, stack: AsyncExitStack) -> bool:
        """False: told to stop before it had started, perhaps while it waits for a disk that is full."""
        start = asyncio.create_task(self._start(stack), name="start")
        ended = asyncio.create_task(self._ended.wait(), name="ended")
        try:
            await asyncio.wait({start, ended}, return_when=asyncio.FIRST_COMPLETED)
            if start.done():
                await start
            return start.done()
        finally:
            await _discard(start, ended)

    async def _start(self, stack: AsyncExitStack) -> None:
        """Everything that can start beside the others does: a bridge is ready in about a second on a Pi."""
        settings = self._settings
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, _make_private, settings.data_dir)
        broker = asyncio.create_task(self._broker(stack))
        chosen = asyncio.create_task(self._choose_modems(stack))
        try:
            self._journal = await Journal.open(settings.data_dir)
            stack.push_async_callback(self._journal.close)
            await self._build(stack)
            for config in await chosen:
                self._add_modem(config)
            stack.push_async_callback(self._stop_sending)  # should the rest of the start fail
            await asyncio.gather(*(modem.start() for modem in self._modems.values()))
            for route in self._routes:
                route.start()
            host, port = await broker
        except BaseException:
            await _discard(broker, chosen)
            raise
        mqtt_settings = await loop.run_in_executor(None, _mqtt_settings, settings, host, port)
        self._mqtt = Mqtt(
            mqtt_settings,
            service=self._service,
            journal=self._journal,
            data=settings.data_dir,
            handlers=self._handlers(),
            queue_of=lambda _name: self._dispatcher.in_memory,
            on_problem=self._problem,
        )
        stack.push_async_callback(self._stop)
        await self._mqtt.start()
        if settings.logging.mqtt:
            self._mqtt.attach_log(logging.getLogger(), logging.WARNING)
        self._publish_all()
        self._own(self._tick(), "tick")
        self._systemd.ready()
        # What was imported and built so far stays: no collection need look at it again.
        gc.freeze()
        if self._journal.opened.check_pending:
            self._own(self._verify(), "verify-journal")

    async def _build(self, stack: AsyncExitStack) -> None:
        core = _core_settings(self._settings)
        self._dispatcher = Dispatcher(self._journal, core, self._clock, self._limits_of)
        stack.push_async_callback(self._dispatcher.stop)
        self._service = Service(
            self._journal,
            self._dispatcher,
            core,
            self._clock,
            knows_modem=self._modems.__contains__,
            own_number=self._own_number,
        )
        while True:
            try:
                await self._service.start()
                break
            except StoreError as error:
                log.error("the journal cannot be written: %s %s", error, error.hint)
                await asyncio.sleep(STORE_RETRY)
        if self._journal.opened.damaged_copy is not None:
            await self._service.event("journal_damaged", moved_to=str(self._journal.opened.damaged_copy))

    async def _stop(self) -> None:
        """In order: intake, sends, modems, what is left to publish. The journal closes after this."""
        await self._mqtt.stop_intake()
        await self._stop_sending()
        await _discard(*self._tasks)
        await self._mqtt.stop()

    async def _stop_sending(self) -> None:
        """Idempotent."""
        grace = self._settings.sending.stop_grace
        await asyncio.gather(*(route.stop(grace) for route in self._routes))
        await asyncio.gather(*(modem.stop(1.0) for modem in self._modems.values()))

    async def _broker(self, stack: AsyncExitStack) -> tuple[str, int]:
        """Where the broker is; without a configured one, this machine's, or a child of ours."""
        mqtt = self._settings.mqtt
        if not mqtt.local:
            return mqtt.host, mqtt.port
        child = ManagedBroker(self._settings.data_dir / "broker", mqtt.port)
        await child.end_orphan()  # of a bridge that was killed: it may still answer, but not for long
        found = await probe(mqtt.host, mqtt.port)
        if found.answers:
            log.info("using the MQTT broker that answers on %s:%d", mqtt.host, mqtt.port)
            return mqtt.host, mqtt.port
        stack.push_async_callback(child.stop)
        await child.start()
        log.info("no MQTT broker answered on port %d: running mosquitto there, on 127.0.0.1 only", mqtt.port)
        return "127.0.0.1", mqtt.port

    async def _choose_modems(self, stack: AsyncExitStack) -> list[ModemConfig]:
        """The configured ones; else what is plugged in; else two virtual ones."""
        settings = self._settings
        if settings.modems:
            return [_modem_config(settings, modem) for modem in settings.modems if modem.enabled]
        found = await asyncio.get_running_loop().run_in_executor(None, _plugged_in)
        if found:
            return [ModemConfig(_name(family, index), port) for index, (family, port) in enumerate(found, 1)]
        if not settings.virtual_modems.count:
            log.warning("no modem is configured and none was found: orders wait")
            return []
        virtual = VirtualModems(settings.data_dir / "virtual", settings.virtual_modems)
        stack.push_async_callback(virtual.stop)
        ports = await virtual.start()
        log.info(
            "no modem was found: %d virtual ones instead; `sms-bridge control deliver from=Anna text=Hello`"
            " sends them a message",
            len(ports),
        )
        return [ModemConfig(f"virtual-{index}", port) for index, port in enumerate(ports, 1)]

    def _add_modem(self, config: ModemConfig) -> None:
        modem = Modem(
            config,
            sink=self._service,
            listener=self,
            pins=self._pins,
            late=self._late_result,
        )
        self._modems[config.name] = modem
        self._routes.append(ModemRoute(modem, self._dispatcher))

    # What the modems tell (hardware.types.ModemListener).

    def modem_changed(self, status: ModemStatus) -> None:
        mqtt = getattr(self, "_mqtt", None)
        if mqtt is not None:
            mqtt.states.modem_changed(status)
            self._publish_modems(only_if_changed=True)

    def modem_event(self, modem: str, event: str, data: dict[str, object]) -> None:
        mqtt = getattr(self, "_mqtt", None)
        if event == "call" and mqtt is not None:
            mqtt.link.send(mqtt.topics.call(modem), event_json(event, self._clock.now(), {"modem": modem, **data}))
            return
        self._own(self._record_event(event, {"modem": modem, **data}), "modem-event")

    def _late_result(self, token: object, result: SendResult) -> None:
        self._own(ModemRoute.record_late(self._dispatcher, token, result), "late-result")

    async def _record_event(self, event: str, data: dict[str, object]) -> None:
        try:
            await self._service.event(event, **data)
        except StoreError as error:
            log.error("the event %s was not recorded: %s", event, error)

    # What the outside may ask.

    def health(self) -> dict[str, Any]:
        """The payload of `sms/bridge/health`."""
        states = [modem.status.state for modem in self._modems.values()]
        working = sum(modem.can_send for modem in self._modems.values())
        verdict = "pass" if working == len(states) and states else "warn" if working else "fail"
        return {
            "status": verdict,
            "queue": self._dispatcher.in_memory,
            "sending": self._dispatcher.sending,
            "modems": {"total": len(states), "ready": working},
            "sent": sum(modem.status.sent for modem in self._modems.values()),
            "received": sum(modem.status.received for modem in self._modems.values()),
            "failures": sum(modem.status.failures for modem in self._modems.values()),
            "mqtt": {"connected": self._mqtt.link.connected, "connects": self._mqtt.link.connects},
            "journal": {"commits": self._journal.commits},
            "process": {
                "uptime_sec": int((datetime.now(UTC) - self._started_at).total_seconds()),
                "rss_mb": _rss_mb(),
                "pid": os.getpid(),
            },
        }

    def _handlers(self) -> dict[str, Handler]:
        async def health() -> dict[str, Any]:
            return self.health()

        async def restart() -> None:
            self._code = RESTART
            self._ended.set()

        async def backup(_fields: dict[str, Any]) -> dict[str, Any]:
            target = self._journal.path.with_name(f"backup-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.db")
            await self._journal.backup(target)
            return {"file": str(target)}

        async def interview(name: str) -> None:
            await _asked(self._modems[name].interview())

        async def reset(name: str) -> None:
            await _asked(self._modems[name].reset())

        handlers = make_handlers(
            self._service,
            modems=lambda: tuple(self._modems),
            interview=interview,
            reset=reset,
            health=health,
            restart=restart,
        )
        return {**handlers, "backup": backup}

    # The bridge's own topics and timers.

    def _publish_all(self) -> None:
        self._mqtt.states.info(self._info())
        for modem in self._modems.values():
            self._mqtt.states.modem_changed(modem.status)
        self._publish_modems()

    def _publish_modems(self, *, only_if_changed: bool = False) -> None:
        all_of_them = [modem.status for modem in self._modems.values()]
        shown = tuple(
            (status.name, status.state, status.model, status.iccid, status.port, len(status.capabilities))
            for status in all_of_them
        )
        if only_if_changed and shown == self._shown_modems:
            return  # most changes are counters, and this list is long
        self._shown_modems = shown
        self._mqtt.states.modems(
            [
                {
                    "name": status.name,
                    "state": status.state,
                    "model": status.model,
                    "manufacturer": status.manufacturer,
                    "imei": status.imei,
                    "iccid": status.iccid,
                    "port": status.port,
                    "capabilities": status.capabilities,
                    "quota": self._quota(status),
                }
                for status in all_of_them
            ]
        )

    def _quota(self, status: ModemStatus) -> dict[str, dict[str, int]]:
        view = ClaimantView(status.name, status.iccid, status.imei)
        return self._dispatcher.policy.figures(view, self._clock.now())

    def _info(self) -> dict[str, Any]:
        settings = self._settings
        return {
            "version": metadata.version("sms-bridge"),
            "started_at": self._started_at.isoformat(timespec="seconds"),
            "host": socket.gethostname(),
            "config": {
                "file": str(settings.source) if settings.source else None,
                "data_dir": str(settings.data_dir),
                "base_topic": settings.mqtt.base_topic,
                "default_region": settings.default_region,
                "modems": [modem.name for modem in settings.modems],
                "contacts": sorted(settings.contacts),
                "groups": sorted(settings.groups),
            },
        }

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        health_at, shown = loop.time(), ""
        while True:
            await asyncio.sleep(TICK)
            try:
                await self._service.tick()
            except StoreError as error:
                log.error("what has fallen due waits: %s %s", error, error.hint)
            except Exception:  # schedules and deadlines must outlive a mistake of ours
                log.exception("what has fallen due could not be done")
            self._systemd.alive()
            health = self.health()
            if health["status"] != shown or loop.time() >= health_at:
                health_at, shown = loop.time() + HEALTH_PERIOD, health["status"]
                self._mqtt.states.health(health)
                modems = health["modems"]
                self._systemd.status(
                    f"{modems['ready']} of {modems['total']} modems ready, {health['queue']} orders wait"
                )

    async def _verify(self) -> None:
        problem = await self._journal.verify()
        if problem is not None:
            log.critical("the journal is damaged: %s. Stop the bridge, back the file up and call for help.", problem)
            await self._record_event("journal_damaged", {"problem": problem})

    def _problem(self, code: str, text: str) -> None:
        self._own(self._record_event(code, {"text": text}), "mqtt-problem")

    def _limits_of(self, modem: ClaimantView) -> Limits:
        found = next((one.quota for one in self._settings.modems if one.name == modem.name), None)
        return found if found is not None else self._settings.quota

    def _own_number(self, name: str) -> str | None:
        settings = next((modem.number for modem in self._settings.modems if modem.name == name), None)
        modem = self._modems.get(name)
        return settings or (modem.status.number if modem is not None else None)

    def _own(self, work: Coroutine[Any, Any, Any], name: str) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("the task %s ended: %r", task.get_name(), error, exc_info=error)


async def _asked(work: Awaitable[None]) -> None:
    try:
        await work
    except HardwareError as error:
        raise RequestError(f"{error}{f' ({error.hint})' if error.hint else ''}") from error


async def _discard(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _make_private(folder: Path) -> None:
    """The journal holds texts and numbers: nobody else's business."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"the data folder {folder} cannot be made: {error.strerror}", hint="name another under `data_dir:`"
        ) from error


def _plugged_in() -> list[tuple[str, str]]:
    """Family and AT port of each modem that is plugged in and known. Blocking."""
    seen = [roles.examine(device) for device in usb.devices()]
    return [
        (one.family or "modem", one.candidates[0].device)
        for one in seen
        if one.kind is roles.Kind.MODEM and one.candidates
    ]


def _name(family: str, index: int) -> str:
    return f"{re.sub(r'[^a-z0-9]+', '-', family.lower()).strip('-')}-{index}"


def _modem_config(settings: Settings, modem: configured.ModemSettings) -> ModemConfig:
    return ModemConfig(
        modem.name,
        modem.port,
        baudrate=modem.baudrate,
        pin=modem.pin,
        delete_after_read=settings.inbound.delete_after_read,
        sweep_interval=settings.inbound.sweep_interval,
        init_commands=modem.init_commands,
        result_timeout=settings.sending.result_timeout,
        prompt_timeout=settings.sending.prompt_timeout,
    )


def _core_settings(settings: Settings) -> CoreSettings:
    return CoreSettings(
        default_region=settings.default_region,
        contacts=settings.contacts,
        groups=settings.groups,
        max_parts=settings.limits.max_parts,
        max_recipients=settings.limits.max_recipients,
        max_attempts=settings.sending.max_attempts,
        retry_base=settings.sending.retry_delay,
        reassembly_timeout=settings.inbound.reassembly_timeout,
        dedupe_window=settings.inbound.dedupe_window,
        sticky=settings.sending.sticky,
        sticky_ttl=settings.sending.sticky_ttl,
        retention_days=settings.retention.messages / DAY,
        quarantine_days=settings.retention.raw / DAY,
        outbox_days=settings.retention.unpublished / DAY,
    )


def _mqtt_settings(settings: Settings, host: str, port: int) -> MqttSettings:
    """May write the client id to the disk: not on the loop."""
    mqtt = settings.mqtt
    tls = None
    if mqtt.tls is not None:
        tls = TlsSettings(mqtt.tls.ca, mqtt.tls.cert, mqtt.tls.key, mqtt.tls.insecure)
    return MqttSettings(
        host=host,
        port=port,
        username=mqtt.username,
        password=mqtt.password,
        client_id=mqtt.client_id or _client_id(settings.data_dir),
        base=mqtt.base_topic,
        protocol=mqtt.protocol,
        keepalive=mqtt.keepalive,
        tls=tls,
        publish_last=mqtt.publish_last,
    )


def _client_id(data: Path) -> str:
    """Two bridges on one broker must not take the session from each other: the id is made once and kept."""
    file = data / "client-id"
    try:
        kept = file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        kept = ""
    if _CLIENT_ID.fullmatch(kept):  # a power cut may leave an empty file, or zeros
        return kept
    made = f"sms-bridge-{os.urandom(4).hex()}"
    fresh = file.with_suffix(".new")
    try:
        with fresh.open("w", encoding="ascii") as out:
            out.write(made + "\n")
            out.flush()
            os.fsync(out.fileno())
        fresh.replace(file)
    except OSError as error:
        raise StoreError(f"{file} cannot be written: {error.strerror}", hint="make room or mend the disk") from error
    return made


def _rss_mb() -> float | None:
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)
