"""What a person has decided about modems that are not here yet: names and settings for an IMEI, a SIM, a plug. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from hardware.modem import ModemConfig
from hardware.transport.paths import real_path
from hardware.usb.ports import DEV, SYSFS, UsbDevice

__all__ = ["Binding", "Bindings", "PoolSettings"]


@dataclass(frozen=True, slots=True)
class Binding:
    """One modem as it was configured: by one of `imei`, `iccid`, `usb_path`, or by its `config.port`."""

    config: ModemConfig
    imei: str | None = None
    iccid: str | None = None
    usb_path: str | None = None
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """`defaults` is for modems that nobody configured; its name and port are not used."""

    bindings: tuple[Binding, ...] = ()
    defaults: ModemConfig = field(default_factory=lambda: ModemConfig(""))
    discover: bool = True
    adapters: bool = True  # ask bare serial adapters too
    sysfs: Path = SYSFS
    dev: Path = DEV


class Bindings:
    """All of them, and which one is for whom."""

    def __init__(self, bindings: Iterable[Binding]) -> None:
        self.all = tuple(bindings)
        pins = {one.iccid: one.config.pin for one in self.all if one.iccid is not None}
        self.sim_pins: Mapping[str, str | None] = MappingProxyType(pins)
        self.fixed = tuple(one for one in self.all if one.config.port)  # bound to a port
        self.moving = tuple(one for one in self.all if not one.config.port)

    @property
    def asks_sim(self) -> bool:
        """Some entry is bound to a SIM: the ICCID must be known before the modem has a name."""
        return bool(self.sim_pins)

    def __contains__(self, name: object) -> bool:
        return any(one.config.name == name for one in self.all)

    def find(self, imei: str | None, iccid: str | None, usb_path: str) -> Binding | None:
        """The modem's own entry before its SIM's, and that before its plug's."""
        by_imei = [one for one in self.moving if imei is not None and one.imei == imei]
        by_iccid = [one for one in self.moving if iccid is not None and one.iccid == iccid]
        by_plug = [one for one in self.moving if one.usb_path == usb_path]
        return next(iter([*by_imei, *by_iccid, *by_plug]), None)

    def owner_of(self, device: UsbDevice) -> Binding | None:
        """The entry that names one of the device's ports: all of that device is its business, and nobody else's."""
        ports = {real_path(port.device) for port in device.ports}
        return next((one for one in self.fixed if one.config.is_device and real_path(one.config.port) in ports), None)

    def dress(self, config: ModemConfig, name: str) -> ModemConfig:
        """`config` under `name`, with the PINs of all SIMs that were named: any of them may come into any modem."""
        return replace(config, name=name, sim_pins=self.sim_pins)
