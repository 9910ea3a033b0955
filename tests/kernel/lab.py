"""What a test of the lab holds in its hands: a bag of sticks, sockets to plug them into, the phones inside."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

from hardware.emulator.device import VirtualModem
from hardware.emulator.emulator import Emulator
from hardware.usb.ports import UsbPort, scan
from tests.kernel.gadgets import AdapterLine, GadgetLine, path_of
from tests.kernel.host import Host
from tests.kernel.sticks import ADAPTER, STICKS, Stick
from tests.support.stack import wait_until

CALL_DEADLINE = 20.0  # seconds for what the loop is asked to do; binding a gadget takes some ms
ENUMERATION = 10.0  # seconds until the kernel has made a plugged stick's ttys; about 0.4 without load

_T = TypeVar("_T")


class Plugged:
    """One stick of the bag, in a socket or not."""

    def __init__(self, lab: Lab, name: str, stick: Stick, line: Any, modem: VirtualModem | None) -> None:
        self.name = name
        self.stick = stick
        self.line = line
        self.modem = modem
        self._lab = lab

    @property
    def phone(self) -> Any:
        assert self.modem is not None
        return self.modem.phone

    @property
    def path(self) -> str:
        """The USB path of the socket that it is in."""
        return self._lab.path_of(self)

    @property
    def ports(self) -> list[UsbPort]:
        """Its ttys as the kernel has them now, by interface."""
        return [port for port in scan() if port.usb_path == self.path]

    @property
    def at_port(self) -> UsbPort:
        """Waits until the kernel has made all of its ttys; the one that the phone is behind."""
        assert self.stick.at is not None
        found = wait_until(lambda: self._complete(self.ports), ENUMERATION, f"the ports of {self.name}")
        port: UsbPort = found[self.stick.at]
        return port

    def plug(self, socket: int | str) -> None:
        """Into that socket: 0 to 7, for the adapter 1 to 5 and 6.1 to 6.8. The kernel finds it a moment later."""
        self.line.socket = socket
        self._lab.call(self.modem.plug if self.modem is not None else self.line.open)

    def unplug(self) -> None:
        """Pull it out; the kernel knows at once."""
        self._lab.call(self.modem.unplug if self.modem is not None else self.line.close)

    def fault(self, name: str, **params: Any) -> None:
        """One of `hardware.emulator.faults`; an `unplug` at some moment is a real one."""
        assert self.modem is not None
        index = self.modem.index
        self._lab.call(lambda: self._lab.emulator.fault(index, name, **params))

    def call(self, action: Callable[[], _T]) -> _T:
        return self._lab.call(action)

    def _complete(self, ports: list[UsbPort]) -> list[UsbPort]:
        return ports if len(ports) == self.stick.ports else []


class Lab:
    """An emulator on a loop of its own, each phone behind USB. `sticks` are names of `STICKS`, or `adapter`."""

    def __init__(self, folder: Path, host: Host, sticks: Sequence[str], latency: float = 0.0) -> None:
        self.sticks: list[Plugged] = []
        self._folder = folder
        self._host = host
        self._names = list(sticks)
        self._latency = latency
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="lab", daemon=True)

    def __enter__(self) -> Lab:
        self._thread.start()
        try:
            self.call(self._start)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.call(self._stop)
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(CALL_DEADLINE)
            if not self._thread.is_alive():
                self._loop.close()

    def call(self, action: Callable[[], _T]) -> _T:
        """Do it on the loop of the emulator, which is not for other threads; its result."""

        async def run() -> _T:
            result = action()
            return await result if asyncio.iscoroutine(result) else result  # type: ignore[no-any-return]

        future: Future[_T] = asyncio.run_coroutine_threadsafe(run(), self._loop)
        return future.result(CALL_DEADLINE)

    def ledger(self, kind: str | None = None) -> list[dict[str, Any]]:
        """What crossed the emulated network."""
        rows = [json.loads(line) for line in self.emulator.ledger_path.read_text(encoding="utf-8").splitlines()]
        return [row for row in rows if kind is None or row["kind"] == kind]

    def path_of(self, plugged: Plugged) -> str:
        socket = plugged.line.socket
        assert socket is not None
        return f"1-{socket}" if plugged.stick is ADAPTER else path_of(socket)

    async def _start(self) -> None:
        known = [ADAPTER if name == "adapter" else STICKS[name] for name in self._names]
        personalities = [stick.personality for stick in known if stick.personality] or ["sim800l"]
        self.emulator = Emulator(personalities, self._folder, (self._latency, self._latency), seed=7)
        modems = iter(self.emulator.modems)
        adapters = 0
        for position, (name, stick) in enumerate(zip(self._names, known, strict=True)):
            modem = next(modems) if stick.personality else None
            on_data: Callable[[bytes], None] = modem.feed if modem is not None else lambda _: None
            if stick is ADAPTER:
                line: Any = AdapterLine(self._host, adapters, on_data)
                adapters += 1
            else:
                line = GadgetLine(f"{name}{position}", stick, on_data)
                line.make()
            if modem is not None:
                line.link = modem.line.link
                modem.line = line
            self.sticks.append(Plugged(self, name, stick, line, modem))
        await self.emulator.start()
        for modem in self.emulator.modems:
            modem.unplug()

    async def _stop(self) -> None:
        if hasattr(self, "emulator"):
            await self.emulator.stop()
        for plugged in self.sticks:
            plugged.line.close()
            if isinstance(plugged.line, GadgetLine):
                plugged.line.remove()
