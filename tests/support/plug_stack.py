"""The whole stack on a fake USB tree: the bridge finds emulated sticks in their plugs, and nothing is configured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.stack import Bridge, Broker, Emulation, Observer, Stack
from tests.support.usb_tree import FakeUsb

EC25 = (0x2C7C, 0x0125)


@dataclass
class PlugStack(Stack):
    usb: FakeUsb

    def put(self, index: int, path: str, ids: tuple[int, int] = EC25, *, at: int = 2, booted: bool = True) -> None:
        """Emulated modem `index` into a plug; its AT port is interface `at`."""
        slave = self.emulation.do("plug", modem=index, booted=booted)["slave"]
        self.usb.plug(path, *ids, [(at, "ff/00/00", "option", slave)])

    def pull(self, index: int, path: str) -> None:
        self.usb.unplug(path)
        self.emulation.do("unplug", modem=index)

    def wait_modem(self, name: str, state: str, since: int = 0, deadline: float = 20.0) -> Any:
        return self.observer.wait_for(f"modem/{name}", lambda p: p["state"] == state, deadline, since)

    def modems(self) -> list[dict[str, Any]]:
        """The list, as it was published last."""
        lists: list[list[dict[str, Any]]] = self.observer.of("bridge/modems")
        return lists[-1] if lists else []


@contextmanager
def plugging(
    directory: Path,
    modems: int = 1,
    *,
    latency: str = "0",
    config: str = "virtual_modems: {count: 0}\n",
    personalities: Sequence[str] = ("ec25",),
    trace: bool = False,
    env: dict[str, str] | None = None,
    start: bool = True,
) -> Iterator[PlugStack]:
    """A started stack whose plugs are empty; gone on the way out whatever happened."""
    broker = Broker(directory / "broker").start()
    emulation = Emulation(directory / "phones", modems, latency, personalities, trace)
    usb = FakeUsb(directory / "usb")
    observer: Observer | None = None
    file = directory / "config.yaml"
    mqtt = f"mqtt: {{host: 127.0.0.1, port: {broker.port}}}\ndefault_region: HU\n"
    waits = {"usb": {"sysfs": str(usb.sysfs), "dev": str(usb.dev)}}
    bridge = Bridge(file, directory / "data", env or {}, waits)
    try:
        (directory / "phones").mkdir(parents=True)
        file.write_text(mqtt + config, encoding="utf-8")
        emulation.start()
        for index in range(modems):
            emulation.do("unplug", modem=index)
        observer = Observer(broker.port)
        if start:
            bridge.start()
            observer.wait_for("bridge/state", lambda p: p["state"] == "online")
        yield PlugStack(directory, broker, emulation, bridge, observer, usb)
    finally:
        with ExitStack() as ending:  # each is stopped, whatever becomes of the others; the last one named goes first
            ending.callback(broker.stop)
            ending.callback(emulation.stop)
            if observer is not None:
                ending.callback(observer.stop)
            ending.callback(bridge.stop)
