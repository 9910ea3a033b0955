"""Emulated modems, their network and their control socket, as one object on the running event loop."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from hardware.emulator import faults, personality
from hardware.emulator.control import ControlServer
from hardware.emulator.device import VirtualModem
from hardware.emulator.ledger import Ledger
from hardware.emulator.network import Network
from hardware.emulator.phone import PUK, PUK_ATTEMPTS, SMSC
from hardware.pdu import DeliverRequest, encode_deliver

MAX_MODEMS = 256
DEFAULT_LATENCY = (2.0, 6.0)
"""Seconds from Ctrl-Z to +CMGS on real networks (domain B1)."""


class Emulator:
    """`modems` are personality names, one a modem; `latency` is (least, most) seconds a message."""

    def __init__(
        self,
        modems: Sequence[str] = (personality.DEFAULT, personality.DEFAULT),
        directory: str | os.PathLike[str] = ".",
        latency: tuple[float, float] = DEFAULT_LATENCY,
        seed: int = 0,
        trace: str | os.PathLike[str] | None = None,
    ) -> None:
        if not 0 < len(modems) <= MAX_MODEMS:
            raise ValueError(f"1 to {MAX_MODEMS} modems, not {len(modems)}")
        self.directory = Path(directory).absolute()
        self.ledger_path = self.directory / "ledger.jsonl"
        self.control_path = self.directory / "control"
        self.trace_path = None if trace is None else Path(trace)
        self._ledger = Ledger(self.ledger_path)
        self.network = Network(self._ledger, latency, seed)
        loaded = {name: personality.load(name) for name in dict.fromkeys(modems)}
        tracer = self._write_trace if trace is not None else None
        self.modems = [
            VirtualModem(i, loaded[name], seed, self.network, self.directory / f"modem{i}", tracer)
            for i, name in enumerate(modems)
        ]
        for modem in self.modems:
            self.network.attach(modem)
        self._control = ControlServer(self, self.control_path)
        self._trace_fd: int | None = None
        self._reference = seed % 256
        self._running = False

    @property
    def ports(self) -> list[str]:
        return [str(modem.line.link) for modem in self.modems]

    async def start(self) -> None:
        """Open the ports, the ledger and the control socket; idempotent.

        OSError: the directory cannot be used; BlockingIOError: another emulator uses it.
        """
        if self._running:
            return
        self._running = True
        self.directory.mkdir(parents=True, exist_ok=True)
        try:
            self._ledger.open()
            if self.trace_path is not None:
                flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
                self._trace_fd = os.open(self.trace_path, flags, 0o644)
            for modem in self.modems:
                modem.start()
            await self._control.start()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Take everything away that `start` made, the ledger aside; idempotent."""
        if not self._running:
            return
        self._running = False
        await self._control.stop()
        self.network.stop()
        for modem in self.modems:
            modem.stop()
        self._ledger.close()
        if self._trace_fd is not None:
            os.close(self._trace_fd)
            self._trace_fd = None

    def deliver(self, modem: int, sender: str, text: str | None = None, **fields: Any) -> int:
        """A message from outside, split as a network splits it; the number of parts. PduError.

        `fields` are those of `hardware.pdu.DeliverRequest`: `data`, `flash`, `port`, `pid`, `dcs`, `ref_bits`, ...
        """
        target = self.modems[modem]
        self._reference = (self._reference + 1) % 256
        fields = {
            "ref": self._reference,
            "timestamp": datetime.now().astimezone(),
            "smsc": target.smsc or SMSC,
            **fields,
        }
        pdus = encode_deliver(DeliverRequest(number=sender, text=text, **fields))
        for pdu in pdus:
            self.network.deliver(target, sender, bytes.fromhex(pdu))
        return len(pdus)

    def deliver_pdu(self, modem: int, pdu: str) -> None:
        """Octets as they are, SMSC field in front, sound or not; ValueError when it is no hex."""
        self.network.deliver(self.modems[modem], "", bytes.fromhex(pdu))

    def fault(self, modem: int, name: str, *, count: int = 1, duration: float | None = None, **params: Any) -> None:
        """Make something go wrong (`faults.NAMES`); ValueError for what there is not."""
        checked = faults.checked({"count": count, "duration": duration, **params})
        count, duration = checked.pop("count"), checked.pop("duration")
        params = checked
        if name not in faults.NAMES:
            raise ValueError(f"no fault {name!r}; there are: {', '.join(sorted(faults.NAMES))}")
        target = self.modems[modem]
        if name in ("unplug", "reboot") and (on := params.get("on", "now")) != "now":
            if on not in faults.MOMENTS:
                raise ValueError(f"no moment {on!r}; there are: {', '.join(faults.MOMENTS)}")
            target.faults.arm(name, count=count, duration=duration, **params)
            return
        if name == "cms_error":
            params.setdefault("stage", "after")
        if name == "half_line":
            params.setdefault("on", "+CMGS")
        action = self._at_once(target, name, params)
        if action is not None:
            action()
        else:
            target.faults.arm(name, count=count, duration=duration, **params)
        if name == "brown_out":
            target.brown_out()
        target.room()
        if duration is not None:
            target.room_in(duration + 0.01)

    def clear(self, modem: int, name: str | None = None) -> list[str]:
        """Take back one fault by name, or all; what was taken back."""
        return self.modems[modem].clear(name)

    def _at_once(self, target: VirtualModem, name: str, params: dict[str, Any]) -> Callable[[], object] | None:
        """What a fault does that is not armed but happens now."""
        actions: dict[str, Callable[[], object]] = {
            "unplug": target.unplug,
            "plug": target.plug,
            "reboot": target.reboot,
            "echo_on": lambda: setattr(target.phone.settings, "echo", True),
            "text_mode": lambda: setattr(target.phone.settings, "text_mode", True),
            "pin_required": lambda: target.phone.require_pin(
                params.get("pin", "1234"),
                params.get("attempts", 3),
                params.get("puk", PUK),
                params.get("puk_attempts", PUK_ATTEMPTS),
            ),
        }
        if name == "storage_full" and not params.get("hard"):
            return lambda: target.fill(params.get("from", "+36309999999"), params.get("text", "old message"))
        return actions.get(name)

    def _write_trace(self, now: int, modem: int, event: str) -> None:
        if self._trace_fd is not None:
            os.write(self._trace_fd, json.dumps({"ns": now, "modem": modem, "event": event}).encode() + b"\n")
