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
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from importlib import metadata
from pathlib import Path
from typing import Any

from hardware.usb.supply import read_supply
from sms_bridge.config import Settings
from sms_bridge.config.plans import balance_plans
from sms_bridge.core.balances import Balances
from sms_bridge.core.clock import SystemClock
from sms_bridge.core.dispatcher import Dispatcher
from sms_bridge.core.errors import CoreError, StoreError
from sms_bridge.core.queues import Queues
from sms_bridge.core.routes import Routes
from sms_bridge.core.selftest import SelfTests
from sms_bridge.core.service import Service
from sms_bridge.core.settings import DAY, CoreSettings
from sms_bridge.core.testbook import Member
from sms_bridge.modems import Modems
from sms_bridge.mqtt.broker import ManagedBroker, probe
from sms_bridge.mqtt.errors import LinkError
from sms_bridge.mqtt.front import Mqtt
from sms_bridge.mqtt.handlers import make_handlers
from sms_bridge.mqtt.requests import Handler
from sms_bridge.mqtt.settings import MqttSettings, TlsSettings
from sms_bridge.observe.systemd import Notifier
from sms_bridge.parts.administration import backup_handler, console_handlers, option_handlers
from sms_bridge.parts.automation import Automation
from sms_bridge.parts.backup import Source
from sms_bridge.parts.guards import Guards
from sms_bridge.parts.home_assistant import HomeAssistant
from sms_bridge.parts.options import Options
from sms_bridge.parts.smpp import Smpp
from sms_bridge.parts.web import Parts, Web
from sms_bridge.routes.console import AtConsole
from sms_bridge.routes.mending import Mending
from sms_bridge.routes.ussd import UssdDesk
from sms_bridge.store.folder import FolderLock
from sms_bridge.store.journal import Journal
from sms_bridge.store.modems import ModemTable
from sms_bridge.store.pins import PinFile
from sms_bridge.watch import Watch

log = logging.getLogger(__name__)


TICK = 1.0  # s between looks at what has fallen due
HEALTH_PERIOD = 60.0  # s between two payloads of sms/bridge/health
HEALTH_PAUSE = 5.0  # s between two that differ in figures only
HEALTH_GIST = ("status", "reason", "queue", "sent", "received", "failures")
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
    except (CoreError, LinkError) as error:
        hint = getattr(error, "hint", "")
        log.critical("%s%s", error, f" ({hint})" if hint else "")
        return 1


class Bridge:
    """One process. Built by `run`, which returns when all is stopped."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._clock = SystemClock()
        self._options = Options(settings, self._adopt)
        self._mending = Mending(
            settings.data_dir, lambda name: self._settings.power_switch_of(name), self._publish_order
        )
        # One ledger for all modems: its lock is what keeps two of them from writing over each other's attempts.
        self._modems = Modems(settings, PinFile(settings.data_dir / "pins"), self._clock, self._mending)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._ended = asyncio.Event()
        self._code = 0
        self._systemd = Notifier()
        self._started_at = datetime.now(UTC)
        self._started = self._clock.monotonic()
        self._journal: Journal
        self._dispatcher: Dispatcher
        self._service: Service
        self._tests: SelfTests
        self._balances: Balances
        self._guards: Guards
        self._automation = Automation(settings)
        self._ussd = UssdDesk(self._modems.__getitem__, lambda *heard: self._balances.heard(*heard))
        self._mqtt: Mqtt
        self._home_assistant: HomeAssistant

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
        stack.callback((await loop.run_in_executor(None, FolderLock(settings.data_dir).take)).release)
        broker = asyncio.create_task(self._broker(stack))
        try:
            self._journal = await Journal.open(settings.data_dir, clock=self._clock)
            stack.push_async_callback(self._journal.close)
            await self._build(stack)
            stack.push_async_callback(self._stop_sending)  # should the rest of the start fail
            await self._modems.start(self._service, self._dispatcher, self._queues, ModemTable(self._journal))
            await self._smpp.start(self._service)
            host, port = await broker
        except BaseException:
            await _discard(broker)
            raise
        mqtt_settings = await loop.run_in_executor(None, _mqtt_settings, settings, host, port)
        handlers = self._handlers()
        self._mqtt = Mqtt(
            mqtt_settings,
            service=self._service,
            journal=self._journal,
            data=settings.data_dir,
            handlers=handlers,
            queue_of=self._modems.queue_of,
            balance_of=self._balances.of,
            on_problem=self._problem,
        )
        self._home_assistant = HomeAssistant(
            settings.home_assistant,
            self._journal,
            self._mqtt,
            metadata.version("sms-bridge"),
            contacts=self._guards.book.contacts,
            groups=self._guards.book.groups,
            balance_of=lambda status: self._balances.of(status) if self._balances.asks(status) else None,
        )
        stack.push_async_callback(self._stop)
        await self._home_assistant.start()
        await self._mqtt.start()
        self._mqtt.show_log(settings.logging.mqtt)
        self._mqtt.states.info(self._info())
        self._modems.publish_on(self._mqtt)
        self._own(self._tick(), "tick")
        self._own(self._mending.restore_power(), "power-switches")
        self._own(self._balances.run(), "balances")
        self._automation.start(self._journal, self._clock, self._mqtt.order)
        self._systemd.ready()
        self._own(self._watch().run(), "watch")
        self._web = self._make_web(handlers)
        stack.push_async_callback(self._web.stop)
        await self._web.start()
        # What was imported and built so far stays: no collection need look at it again.
        gc.freeze()
        if self._journal.opened.check_pending:
            self._own(self._verify(), "verify-journal")

    def _build_dispatcher(self, core: CoreSettings) -> None:
        routes = Routes(self._settings.routing)
        self._dispatcher = Dispatcher(self._journal, core, self._clock, self._modems.limits_of, routes)
        self._smpp = Smpp(self._settings, core, self._journal, self._dispatcher, self._clock, self._record_event)
        self._queues = Queues(self._journal, self._dispatcher)

    async def _build(self, stack: AsyncExitStack) -> None:
        core = _core_settings(self._settings)
        self._build_dispatcher(core)
        stack.push_async_callback(self._dispatcher.stop)
        self._tests = SelfTests(
            self._journal,
            lambda batch: self._service.submit(batch),
            self._settings.self_test,
            self._clock,
            members=self._members,
        )
        self._guards = Guards(
            self._settings,
            self._journal,
            self._dispatcher,
            self._clock,
            own_numbers=self._modems.own_numbers,
            changed=self._tell_state,
        )
        self._service = Service(
            self._journal,
            self._dispatcher,
            core,
            self._clock,
            knows_modem=self._modems.__contains__,
            own_number=self._modems.own_number,
            clock_changed=self._clock_changed,
            recognise=self._tests.recognise,
            contacts=self._guards.book,
            guard=self._guards.guard,
            own_numbers=self._modems.own_numbers,
            listener=self._automation.listener,
        )
        while True:
            try:
                await self._service.start()
                await self._tests.start()
                await self._guards.start()
                break
            except StoreError as error:
                log.error("the journal cannot be written: %s %s", error, error.hint)
                await asyncio.sleep(STORE_RETRY)
        self._balances = Balances(
            self._journal,
            self._clock,
            balance_plans(self._settings),
            modems=lambda: list(self._modems.statuses()),
            idle=self._modems.is_idle,
            ask=self._ussd.through,
            submit=self._service.submit,
            changed=lambda name: self._modems.modem_changed(self._modems[name].status),
            region=self._settings.default_region,
        )
        await self._balances.start()
        stack.push_async_callback(self._balances.stop)
        if self._journal.opened.damaged_copy is not None:
            await self._service.event("journal_damaged", moved_to=str(self._journal.opened.damaged_copy))

    def _make_web(self, handlers: dict[str, Handler]) -> Web:
        journal, service, queues, modems = self._journal, self._service, self._queues, self._modems
        return Web(
            Parts(
                self._settings,
                self._clock,
                journal,
                service,
                queues,
                modems,
                self._balances,
                self._mqtt,
                handlers,
                self.health,
            )
        )

    async def _stop(self) -> None:
        """In order: intake, sends, modems, what is left to publish. The journal closes after this."""
        await self._mqtt.stop_intake()
        await self._stop_sending()
        await self._automation.stop()
        await _discard(*self._tasks)
        await self._home_assistant.stop()
        await self._mqtt.stop()

    async def _stop_sending(self) -> None:
        """Idempotent."""
        await asyncio.gather(self._modems.stop(self._settings.sending.stop_grace), self._smpp.stop())

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

    async def _publish_order(self, topic: str, payload: str) -> bool:
        mqtt = getattr(self, "_mqtt", None)
        return mqtt is not None and await mqtt.order(topic, payload)

    async def _record_event(self, event: str, data: dict[str, object]) -> None:
        try:
            await self._service.event(event, **data)
        except StoreError as error:
            log.error("the event %s was not recorded: %s", event, error)

    # What the outside may ask.

    def health(self) -> dict[str, Any]:
        """The payload of `sms/bridge/health`."""
        modems = list(self._modems.statuses())
        working = self._modems.in_service()
        there, up = len(modems) + len(self._smpp), working + self._smpp.up
        verdict = "pass" if up == there and there else "warn" if up else "fail"
        web = self._web.warnings() if self._web is not None else []
        warnings = [*self._service.warnings(), *self._guards.warnings(), *web]
        if warnings and verdict == "pass":
            verdict = "warn"
        return {
            "status": verdict,
            "reason": self._reason(warnings, working, len(modems)),
            "warnings": warnings,
            "paused": self._guards.holds.paused,
            "queue": self._queues.total,
            "sending": self._dispatcher.sending,
            "modems": {"total": len(modems), "ready": working},
            "routes": self._service.routes(),
            **self._modems.totals(),
            "mqtt": {"connected": self._mqtt.link.connected, "connects": self._mqtt.link.connects},
            "journal": {"commits": self._journal.commits},
            "self_test": self._tests.summary(),
            "process": {
                "uptime_sec": int(self._clock.monotonic() - self._started),
                "rss_mb": _rss_mb(),
                "pid": os.getpid(),
            },
        }

    def _reason(self, warnings: list[str], working: int, total: int) -> str | None:
        """Why health is no pass, in words."""
        away = [f"{total - working} of {total} modems are not in service"] if working < total else []
        if not total and not self._smpp:
            away.append("there is no modem")
        return "; ".join([*away, *self._smpp.problems(), *warnings]) or None

    def _handlers(self) -> dict[str, Handler]:
        async def health() -> dict[str, Any]:
            return self.health()

        async def restart() -> None:
            self._code = RESTART
            self._ended.set()

        handlers = make_handlers(
            self._service,
            modems=self._modems.names,
            interview=self._modems.interview,
            reset=self._modems.reset,
            unlock=self._modems.unlock,
            rename=self._modems.rename,
            remove=self._modems.remove,
            balance=self._balances.check,
            ussd=self._ussd,
            health=health,
            restart=restart,
            self_test=self._tests.begin,
        )
        about = option_handlers(self._options, lambda: {each.name: each for each in self._modems.statuses()})
        if self._settings.at_console.enabled:
            about |= console_handlers(AtConsole(self._modems.__getitem__), self._modems.names)
        source = Source(self._settings.data_dir, self._settings.source, self._journal.backup)
        return {**handlers, **about, **self._guards.handlers(), "backup": backup_handler(source)}

    def _adopt(self, settings: Settings) -> None:
        """Options were changed by request: these hold from now on."""
        self._settings = settings
        core = _core_settings(settings)
        for part in (self._service, self._dispatcher):
            part.adopt(core)
        self._modems.adopt(settings)
        self._guards.adopt(settings)
        logging.getLogger().setLevel(settings.logging.level.upper())
        self._mqtt.show_log(settings.logging.mqtt)
        self._tell_state()

    # The bridge's own topics and timers.

    def _info(self) -> dict[str, Any]:
        settings = self._settings
        return {
            "version": metadata.version("sms-bridge"),
            "started_at": self._started_at.isoformat(timespec="seconds"),
            "host": socket.gethostname(),
            "paused": self._guards.holds.paused,
            "pause": self._guards.summary(),
            "restart_required": bool(self._options.waiting),
            "config": {
                "file": str(settings.source) if settings.source else None,
                "data_dir": str(settings.data_dir),
                "base_topic": settings.mqtt.base_topic,
                "default_region": settings.default_region,
                "modems": [modem.name for modem in settings.modems],
                "contacts": sorted(self._guards.book.contacts()),
                "groups": sorted(self._guards.book.groups()),
            },
        }

    def _tell_state(self) -> None:
        self._mqtt.states.info(self._info())
        self._mqtt.states.health(self.health())
        self._home_assistant.refresh()

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        health_at = figures_at = loop.time()
        shown: dict[str, Any] = {}
        while True:
            await asyncio.sleep(TICK)
            try:
                await self._service.tick()
                await self._modems.look_at_queues()
            except StoreError as error:
                log.error("what has fallen due waits: %s %s", error, error.hint)
            except Exception:  # schedules and deadlines must outlive a mistake of ours
                log.exception("what has fallen due could not be done")
            self._systemd.alive()
            health = self.health()
            now, gist = loop.time(), {key: health[key] for key in HEALTH_GIST}
            differs = gist["status"] != shown.get("status") or (gist != shown and now >= figures_at)
            if differs or now >= health_at:
                health_at, figures_at, shown = now + HEALTH_PERIOD, now + HEALTH_PAUSE, gist
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

    def _clock_changed(self, by: int) -> None:
        """Times that are shown; ms."""
        shift = timedelta(milliseconds=by)
        self._started_at += shift
        for status in self._modems.statuses():
            if status.started_at is not None:
                status.started_at += shift
        self._mqtt.states.info(self._info())

    def _members(self) -> list[Member]:
        named = [(modem.status.name, modem) for modem in self._modems.values()]
        return [Member(name, self._modems.own_number(name), modem.can_send) for name, modem in named]

    def _watch(self) -> Watch:
        modems = self._modems.values
        return Watch(self._journal, self._tests, self._clock, self._settings.health, modems=modems, supply=read_supply)

    def _own(self, work: Coroutine[Any, Any, Any], name: str) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("the task %s ended: %r", task.get_name(), error, exc_info=error)


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
        replies=settings.replies,
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
