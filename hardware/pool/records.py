"""What is known of modems and SIMs, by the configuration and by the register: whose name is which, whose PIN."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from hardware.errors import ModemError
from hardware.modem import Modem, ModemConfig, pin_key
from hardware.pool.bindings import Binding, Bindings
from hardware.pool.book import Book
from hardware.pool.identity import Identity, free_name
from hardware.pool.probe import Answer
from hardware.types import KnownModem, ModemRegister, ModemStatus

__all__ = ["Records", "SimMove"]


@dataclass(frozen=True, slots=True)
class SimMove:
    """A SIM that was in another modem before; `modem` is that one's name, if it has one."""

    iccid: str
    modem: str | None
    imei: str | None


class Records:
    """On the loop, answers at once; what changes is written behind."""

    def __init__(self, register: ModemRegister, bindings: Bindings, defaults: ModemConfig) -> None:
        self._book = Book(register)
        self._bindings = bindings
        self._defaults = defaults
        self._keys: dict[str, str] = {}  # name -> key in the book, of modems that were identified
        self._noted: dict[str, tuple[str | None, ...]] = {}

    async def load(self) -> None:
        """Raises what the register raises."""
        await self._book.load()

    async def stop(self) -> None:
        """Write what is not written yet, as far as the register takes it."""
        await self._book.stop()

    def __len__(self) -> int:
        """How many modems were ever identified."""
        return len(self._book)

    def expected(self) -> Iterator[ModemConfig]:
        """The modems that a list should show though they are not here yet: those that have a name."""
        for binding in self._bindings.all:
            if binding.enabled:
                yield self._bindings.dress(binding.config, binding.config.name)
        for known in self._book:
            bound = self._bindings.find(known.imei, known.iccid, known.usb_path or "") is not None
            if known.name is not None and not bound and known.name not in self._bindings:
                yield self.plain(known.name)

    def plain(self, name: str) -> ModemConfig:
        """Settings of a modem that nobody configured."""
        return self._bindings.dress(self._defaults, name)

    def recall(self, modem: Modem) -> None:
        """Show what is known of a modem that is not here yet."""
        known = self._known_as(modem)
        if known is None:
            return
        name, status = modem.config.name, modem.status
        self._keys[name] = known.key
        status.imei, status.iccid, status.model = known.imei, known.iccid, known.model
        if modem.config.port:
            modem.config = replace(modem.config, pin_sim=_pin_sim(modem.config, known))
        else:
            status.usb_path = known.usb_path
        self._noted[name] = _gist(status)

    def choose(
        self, identity: Identity, family: str | None, iccid: str | None, usb_path: str, in_use: Collection[str]
    ) -> tuple[str, Binding | None]:
        """Its name: as configured, else as ever, else the next free one of its family."""
        binding = self._bindings.find(identity.imei, iccid, usb_path)
        if binding is not None:
            return binding.config.name, binding
        known = self._book.get(identity.key)
        if known is not None and known.name is not None and known.name not in self._bindings:
            return known.name, None
        taken = {one.config.name for one in self._bindings.all} | set(in_use)
        return free_name(family, taken | {one.name for one in self._book if one.name is not None}), None

    def came(
        self, modem: Modem, identity: Identity, binding: Binding | None, usb_path: str, answer: Answer
    ) -> ModemConfig:
        """Write down that it is here, and in which plug; with what it is to be driven."""
        name = modem.config.name
        now = datetime.now(UTC)
        known = self._book.get(identity.key)
        if known is None:
            known = KnownModem(identity.key, None, identity.imei, None, None, answer.model, usb_path, now, now)
        # Its own is a name that follows the modem, not a SIM or a plug.
        own = binding is None or (identity.imei is not None and binding.imei == identity.imei)
        if own and (before := self._book.named(name)) is not None and before.key != known.key:
            self._book.put(replace(before, name=None))  # the configuration has given it to this one
        known = replace(known, usb_path=usb_path, last_seen=now, name=name if own else known.name)
        self._book.put(known)
        if self._keys.get(name) != known.key:  # the name has come to other hardware
            self._keys = {other: key for other, key in self._keys.items() if key != known.key} | {name: known.key}
            modem.status.imei, modem.status.iccid, modem.status.model = known.imei, known.iccid, known.model
            self._noted[name] = _gist(modem.status)
        config = self._bindings.dress(binding.config if binding is not None else self._defaults, name)
        sim = binding.iccid if binding is not None and binding.iccid is not None else _pin_sim(config, known)
        return replace(config, port=answer.port, baudrate=answer.baudrate, imei=identity.imei, pin_sim=sim)

    def went(self, name: str) -> None:
        """It leaves: when it was seen last."""
        key = self._keys.get(name)
        known = self._book.get(key) if key is not None else None
        if known is not None:
            self._book.put(replace(known, last_seen=datetime.now(UTC)))

    def is_news(self, status: ModemStatus) -> bool:
        """Whether `note` would find anything; cheap, since most changes are counters."""
        return self._noted.get(status.name) != _gist(status)

    def note(self, modem: Modem) -> SimMove | None:
        """Something worth keeping became known of it; the answer if it was that its SIM came from another modem."""
        name, status, now = modem.config.name, modem.status, datetime.now(UTC)
        self._noted[name] = _gist(status)
        key = self._keys.get(name)
        if key is None:
            if status.imei is None or not modem.config.port:
                return None
            key = self._keys[name] = _port_key(modem.config.port)
        known = self._book.get(key) or KnownModem(key, None, status.imei, None, None, None, None, now, now)
        move = None
        if status.iccid is not None and status.iccid != known.iccid:
            move = self._moved(status.iccid, key, status.imei)
            known = replace(known, iccid=status.iccid, previous_iccid=known.iccid)
        self._book.put(
            replace(
                known,
                imei=status.imei or known.imei,
                model=status.model or known.model,
                usb_path=status.usb_path or known.usb_path,
                last_seen=now,
            )
        )
        return move

    def note_pin(self, modem: Modem, iccid: str) -> None:
        """The SIM took the modem's PIN: that PIN is this SIM's, and no other's."""
        key = self._keys.get(modem.config.name)
        known = self._book.get(key) if key is not None else None
        if modem.config.pin is None or known is None:
            return
        self._book.put(replace(known, pin_key=pin_key(known.key, modem.config.pin), pin_iccid=iccid))
        modem.config = replace(modem.config, pin_sim=iccid)

    def check_rename(self, old: str, new: str) -> None:
        """ModemError with a sentence."""
        if old in self._bindings:
            raise ModemError(f"{old} is named in the configuration", hint="change `name` under `modems:` and restart")
        if self._book.named(old) is None:
            raise ModemError(f"{old} has no name of its own", hint="it is virtual, or was never identified")
        if new in self._bindings or self._book.named(new) is not None:
            raise ModemError(f"the name {new} is taken", hint="choose another one")

    async def rename(self, old: str, new: str) -> None:
        """After `check_rename`. Raises what the register raises, and then nothing has changed."""
        known = self._book.named(old)
        assert known is not None
        await self._book.rename(replace(known, name=new), old)
        self._keys.pop(old, None)
        self._noted.pop(old, None)
        self._keys[new] = known.key

    def check_forget(self, name: str) -> None:
        """ModemError with a sentence."""
        if name in self._bindings:
            raise ModemError(f"{name} stands in the configuration", hint="take it out under `modems:` and restart")

    async def forget(self, name: str) -> None:
        """After `check_forget`; as `rename`."""
        known = self._book.named(name)
        if known is not None:
            await self._book.forget(known.key)
        self._keys.pop(name, None)
        self._noted.pop(name, None)

    def _known_as(self, modem: Modem) -> KnownModem | None:
        """What stands in the book under this modem's entry or name."""
        name, port = modem.config.name, modem.config.port
        if port:
            return self._book.get(_port_key(port))
        imei = next((one.imei for one in self._bindings.moving if one.config.name == name), None)
        return self._book.get(imei) if imei is not None else self._book.named(name)

    def _moved(self, iccid: str, key: str, imei: str | None) -> SimMove | None:
        before = self._book.with_sim(iccid, but=key)
        if before is None or (before.imei is not None and before.imei == imei):
            return None
        if before.iccid == iccid:
            self._book.put(replace(before, iccid=None))
        else:
            self._book.put(replace(before, previous_iccid=None))
        name = next((name for name, its in self._keys.items() if its == before.key), before.name)
        return SimMove(iccid, name, before.imei)


def _gist(status: ModemStatus) -> tuple[str | None, ...]:
    return status.imei, status.iccid, status.model


def _port_key(port: str) -> str:
    """What stands in for an IMEI where a person said which port it is."""
    return f"port:{port}"


def _pin_sim(config: ModemConfig, known: KnownModem) -> str | None:
    """The SIM that took this very PIN before."""
    if config.pin is None or known.pin_key != pin_key(known.key, config.pin):
        return None
    return known.pin_iccid
