"""Keeps the devices that Home Assistant shows in step with the house: published when they change, gone when it is."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import random
import secrets
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hardware.types import ModemStatus
from sms_bridge.config.settings import HomeAssistantSettings
from sms_bridge.core.errors import StoreError
from sms_bridge.mqtt.discovery import Devices, ModemFacts, config_topic
from sms_bridge.mqtt.front import Mqtt
from sms_bridge.store.journal import Journal
from sms_bridge.store.registry import Registry

log = logging.getLogger(__name__)

ROW = "home_assistant"  # the registry's name of what is kept
SETTLE = 0.05  # s that changes are gathered: a modem that comes changes several times at once
BIRTH_DELAY = (0.5, 3.0)  # s after Home Assistant's birth: not every device of the house at the same moment
LEFT_OVER = 60.0  # s until a modem of an earlier run, of which nothing is known any more, is taken away
CHECK = 5.0  # s between looks whether what was taken away is gone from the broker
STORE_RETRY = 10.0  # s until what the disk refused is tried again
MOST_NOTIFY = 500  # contacts and groups; all of them stand in one retained payload

_ONLINE = b"online"


@dataclass(slots=True)
class Known:
    """What must outlive a restart: entities are known by these ids, and what is retained must be taken away by us."""

    bridge: str = ""
    modems: dict[str, dict[str, str | None]] = field(default_factory=dict)  # name -> {"id": …, "imei": …}
    topics: list[str] = field(default_factory=list)  # on which a configuration may be retained

    @classmethod
    def read(cls, text: str | None) -> Known:
        """Total: what cannot be read is as if it had never been."""
        try:
            found = json.loads(text or "{}")
            modems = {
                str(name): {"id": str(row["id"]), "imei": row.get("imei")} for name, row in found["modems"].items()
            }
            return cls(str(found["bridge"]), modems, [str(topic) for topic in found["topics"]])
        except (ValueError, KeyError, TypeError, AttributeError):
            return cls()

    def text(self) -> str:
        return json.dumps({"bridge": self.bridge, "modems": self.modems, "topics": self.topics})

    def device_of(self, name: str, imei: str | None, there: Iterable[str]) -> str:
        """The id of the modem of that name; of a name that is new it is that of the same modem by another name, which
        is none of `there`, or a new one."""
        row = self.modems.get(name)
        if row is None and imei is not None:
            taken = frozenset(there)
            old = next((one for one, known in self.modems.items() if known["imei"] == imei and one not in taken), None)
            row = self.modems[name] = self.modems.pop(old) if old is not None else _new_row()
        elif row is None:
            row = self.modems[name] = _new_row()
        if imei is not None:
            row["imei"] = imei
        return f"{self.bridge}_{row['id']}"


class HomeAssistant:
    """Implements `mqtt.states.ModemWatcher`. `start` before the link starts; `stop` may be called twice."""

    def __init__(
        self,
        settings: HomeAssistantSettings,
        journal: Journal,
        mqtt: Mqtt,
        version: str,
        *,
        contacts: Callable[[], Iterable[str]] = tuple,
        groups: Callable[[], Iterable[str]] = tuple,
        balance_of: Callable[[ModemStatus], Mapping[str, Any] | None] = lambda _: None,
    ) -> None:
        """`balance_of`: as on `sms/modem/<name>`, None for a modem whose balance cannot be asked for."""
        self._settings = settings
        self._registry = Registry(journal, ROW)
        self._mqtt = mqtt
        self._version = version
        self._contacts = contacts
        self._groups = groups
        self._balance_of = balance_of
        self._known = Known()
        self._kept = ""  # as the journal has it
        self._modems: dict[str, tuple[str | None, ModemFacts]] = {}  # name -> IMEI and facts
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._settled = False  # modems of an earlier run have had their time to show themselves
        self._notify_told = False
        self._greeting = False  # it will be told soon

    async def start(self) -> None:
        """Learn what is known, and begin. StoreError."""
        text = await self._registry.load()
        self._kept, self._known = text or "", Known.read(text)
        if self._settings.discovery:
            self._mqtt.states.watch(self)
            self._mqtt.hear(f"{self._settings.prefix}/status", self._status_heard)
        elif not self._known.topics:
            return
        self._own(self._run(), "home-assistant")
        self.refresh()

    async def stop(self) -> None:
        """What is retained stays: a bridge that is away is unavailable, not gone."""
        tasks, self._tasks = self._tasks, set()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def refresh(self) -> None:
        """Contacts or groups may be others."""
        self._changed.set()

    # mqtt.states.ModemWatcher

    def modem_shown(self, status: ModemStatus) -> None:
        found = status.imei, self._facts(status)
        if self._modems.get(status.name) != found:
            self._modems[status.name] = found
            self._changed.set()

    def modem_renamed(self, old: str, new: str) -> None:
        self._modems.pop(old, None)
        row = self._known.modems.pop(old, None)
        if row is not None:
            self._known.modems[new] = row
        self._changed.set()

    def modem_gone(self, name: str) -> None:
        self._modems.pop(name, None)
        if self._known.modems.pop(name, None) is not None:
            self._changed.set()

    # The rest

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        began, wait = loop.time(), 0.0
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait or None):
                    await self._changed.wait()
            await asyncio.sleep(SETTLE)
            self._changed.clear()
            self._settled = self._settled or loop.time() - began >= LEFT_OVER
            try:
                done = await self._sync()
                wait = 0.0 if done else CHECK
            except StoreError as error:
                log.warning("what Home Assistant knows us by was not stored: %s %s", error, error.hint)
                wait = STORE_RETRY
            except Exception:  # the next change must find us alive
                log.exception("Home Assistant could not be told of the devices")
                wait = STORE_RETRY

    async def _sync(self) -> bool:
        """Publish what differs; True: nothing is left to be taken away."""
        wanted = self._wanted() if self._settings.discovery else {}
        known = self._known
        # Kept before it is published: what is retained at the broker must be known to be ours for ever.
        known.topics += [topic for topic in wanted if topic not in known.topics]
        await self._keep()
        states = self._mqtt.states
        for topic, payload in wanted.items():
            states.retain(topic, payload)
        stale = [topic for topic in known.topics if topic not in wanted and self._may_go(topic)]
        for topic in stale:
            states.retain(topic, "")
        if stale and self._mqtt.link.connected and not states.pending:
            known.topics = [topic for topic in known.topics if topic not in stale]
            await self._keep()
            for topic in stale:
                states.forget(topic)
        return set(known.topics) == wanted.keys()

    def _wanted(self) -> dict[str, str]:
        """Topic and payload of each device, the bridge first."""
        known, prefix = self._known, self._settings.prefix
        if not known.bridge:
            known.bridge = f"sms_bridge_{secrets.token_hex(4)}"
        devices = Devices(self._mqtt.topics, known.bridge, self._version, last=self._mqtt.settings.publish_last)
        contacts, groups = self._notified()
        wanted = {config_topic(prefix, known.bridge): _json(devices.bridge(contacts=contacts, groups=groups))}
        for name, (imei, facts) in self._modems.items():
            id = known.device_of(name, imei, self._modems)
            wanted[config_topic(prefix, id)] = _json(devices.modem(id, facts))
        return wanted

    def _may_go(self, topic: str) -> bool:
        """Whether a topic that is not wanted is surely not wanted: what is asleep after a restart is not gone."""
        if self._settled or not self._settings.discovery:
            return True
        asleep = {f"{self._known.bridge}_{row['id']}" for row in self._known.modems.values()}
        return topic not in {config_topic(self._settings.prefix, id) for id in asleep}

    async def _keep(self) -> None:
        text = self._known.text()
        if text != self._kept:
            await self._registry.save(text)
            self._kept = text

    def _notified(self) -> tuple[list[str], list[str]]:
        chosen = self._settings.notify
        contacts, groups = (
            sorted(name for name in names if chosen is None or name in chosen)
            for names in (self._contacts(), self._groups())
        )
        if len(contacts) + len(groups) > MOST_NOTIFY:
            if not self._notify_told:
                self._notify_told = True
                log.warning(
                    "Home Assistant is told of %d contacts and groups only: name those you need in `notify:` under"
                    " `home_assistant:`",
                    MOST_NOTIFY,
                )
            groups = groups[:MOST_NOTIFY]
            contacts = contacts[: MOST_NOTIFY - len(groups)]
        return contacts, groups

    def _facts(self, status: ModemStatus) -> ModemFacts:
        balance = self._balance_of(status)
        return ModemFacts(
            status.name,
            manufacturer=status.manufacturer,
            model=status.model,
            model_id=status.vid_pid,
            firmware=status.firmware,
            balance=balance is not None,
            currency=balance["currency"] if balance is not None else None,
        )

    def _status_heard(self, payload: bytes) -> None:
        """Home Assistant's birth and last will."""
        if payload.strip() == _ONLINE and not self._greeting:
            self._greeting = True
            self._own(self._greet(), "home-assistant-birth")

    async def _greet(self) -> None:
        await asyncio.sleep(random.uniform(*BIRTH_DELAY))
        self._greeting = False
        log.info("Home Assistant has started: it is told of all devices again")
        self._mqtt.repeat()

    def _own(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("the task %s ended: %r", task.get_name(), error, exc_info=error)


def _new_row() -> dict[str, str | None]:
    return {"id": secrets.token_hex(4), "imei": None}


def _json(payload: Mapping[str, Any]) -> str:
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
