"""The control socket: a JSON object a line in, a JSON object a line out."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hardware.emulator import faults, ussd
from hardware.emulator.network import Outside
from hardware.pdu import PduError, decode

if TYPE_CHECKING:
    from hardware.emulator.device import VirtualModem
    from hardware.emulator.emulator import Emulator

MAX_LINE = 1 << 20
"""Octets of one request: 256 kB of text, escaped."""

WAIT_IDLE_TIMEOUT = 30.0
_POLL = 0.005
_BACKLOG = 64

Answer = dict[str, Any]


class ControlError(ValueError):
    """A request that makes no sense; its text is the answer."""


class ControlServer:
    """Serves `Emulator` on a unix socket. A bad request is answered and the connection stays."""

    def __init__(self, emulator: Emulator, path: Path) -> None:
        self._emulator = emulator
        self._path = path
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._verbs: dict[str, Callable[[dict[str, Any]], Answer | Awaitable[Answer]]] = {
            "list": self._list,
            "deliver": self._deliver,
            "deliver_pdu": self._deliver_pdu,
            "inbox": self._inbox,
            "fault": self._fault,
            "clear": self._clear,
            "unplug": self._unplug,
            "plug": self._plug,
            "reboot": self._reboot,
            "stats": self._stats,
            "trace": self._trace,
            "ussd": self._ussd,
            "call": self._call,
            "hangup": self._hangup,
            "outside": self._outside,
            "set_latency": self._set_latency,
            "wait_idle": self._wait_idle,
        }

    async def start(self) -> None:
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(
            self._serve, path=str(self._path), limit=MAX_LINE, backlog=_BACKLOG
        )

    async def stop(self) -> None:
        if self._server is None:
            return
        self._server.close()
        self._server = None
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while True:
                try:
                    line = await reader.readline()
                except ValueError:
                    answer: Answer = _refusal(f"a request is at most {MAX_LINE} octets long")
                else:
                    if not line:
                        return
                    if not line.strip():
                        continue
                    answer = await self._answer(line)
                writer.write(json.dumps(answer, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
                await writer.drain()
        except (ConnectionError, asyncio.CancelledError):
            return  # the client left, or the emulator stops: nobody to answer
        finally:
            self._connections.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _answer(self, line: bytes) -> Answer:
        try:
            request = json.loads(line)
        except (ValueError, RecursionError) as error:
            return _refusal(f"not JSON: {error}")
        if not isinstance(request, dict):
            return _refusal("a request is a JSON object")
        verb = request.get("do")
        handler = self._verbs.get(verb) if isinstance(verb, str) else None
        if handler is None:
            return _refusal(f"no such request: {verb!r}; there are: {', '.join(self._verbs)}")
        try:
            result = handler(request)
            return {"ok": True, **(await result if isinstance(result, Awaitable) else result)}
        except (PduError, ValueError, TypeError, OverflowError) as error:
            return _refusal(str(error) or type(error).__name__)
        except KeyError as error:
            return _refusal(f"{error.args[0]!r} is missing")

    def _modem(self, request: dict[str, Any]) -> VirtualModem:
        """The modem that `modem` (its index) or `to` (its number) names."""
        modems = self._emulator.modems
        if "modem" not in request and "to" in request:
            for modem in modems:
                if modem.number == request["to"]:
                    return modem
            raise ControlError(f"no emulated SIM has the number {request['to']!r}")
        index = request.get("modem", 0 if len(modems) == 1 else None)
        if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < len(modems):
            raise ControlError(f"`modem` is a number from 0 to {len(modems) - 1}")
        return modems[index]

    def _list(self, _request: dict[str, Any]) -> Answer:
        return {"modems": [_card(modem) for modem in self._emulator.modems]}

    def _deliver(self, request: dict[str, Any]) -> Answer:
        modem = self._modem(request)
        sender, text = _text(request, "from"), request.get("text")
        fields: dict[str, Any] = {key: request[key] for key in ("flash", "encoding", "national") if key in request}
        fields |= {key: int(request[key]) for key in ("ref", "ref_bits", "port", "pid", "dcs") if key in request}
        if "class" in request:
            fields["message_class"] = int(request["class"])
        if "data" in request:
            fields["data"] = bytes.fromhex(_text(request, "data"))
        if (text is None) == ("data" not in request):
            raise ControlError("a message has `text`, or `data` in hex")
        if text is not None and not isinstance(text, str):
            raise ControlError("`text` is a string")
        parts = self._emulator.deliver(modem.index, sender, text, **fields)
        return {"modem": modem.index, "parts": parts}

    def _deliver_pdu(self, request: dict[str, Any]) -> Answer:
        modem = self._modem(request)
        self._emulator.deliver_pdu(modem.index, _text(request, "pdu"))
        return {"modem": modem.index}

    def _inbox(self, request: dict[str, Any]) -> Answer:
        modem = self._modem(request)
        messages = [
            {"storage": name, "index": index, "stat": int(message.stat), "pdu": message.pdu, **_content(message.pdu)}
            for name, storage in modem.storages().items()
            for index, message in sorted(storage.slots.items())
        ]
        return {"messages": messages, "waiting": self._emulator.network.waiting(modem.number)}

    def _fault(self, request: dict[str, Any]) -> Answer:
        params = {k: v for k, v in request.items() if k not in ("do", "modem", "to", "name")}
        name = request.get("name")
        if not isinstance(name, str):
            raise ControlError(f"`name` is one of: {', '.join(sorted(faults.NAMES))}")
        self._emulator.fault(self._modem(request).index, name, **params)
        return {}

    def _clear(self, request: dict[str, Any]) -> Answer:
        return {"cleared": self._modem(request).clear(request.get("name"))}

    def _unplug(self, request: dict[str, Any]) -> Answer:
        self._emulator.fault(self._modem(request).index, "unplug", on=request.get("on", "now"))
        return {}

    def _plug(self, request: dict[str, Any]) -> Answer:
        modem = self._modem(request)
        modem.plug(booted=bool(request.get("booted")))
        return {"port": str(modem.line.link), "slave": modem.line.slave_name}

    def _reboot(self, request: dict[str, Any]) -> Answer:
        self._emulator.fault(self._modem(request).index, "reboot", on=request.get("on", "now"))
        return {}

    def _stats(self, request: dict[str, Any]) -> Answer:
        if "modem" in request:
            return self._modem(request).stats()
        return {"modems": [modem.stats() for modem in self._emulator.modems]}

    def _trace(self, request: dict[str, Any]) -> Answer:
        modem = self._modem(request)
        events = [{"ns": ns, "event": event} for ns, event in modem.trace]
        if request.get("clear"):
            modem.trace.clear()
        return {"events": events}

    def _ussd(self, request: dict[str, Any]) -> Answer:
        service = self._modem(request).ussd_service
        page = ussd.page(request)
        if request.get("push"):
            service.push(page)
        else:
            service.pages[_text(request, "code")] = page
        return {}

    def _call(self, request: dict[str, Any]) -> Answer:
        caller, rings = request.get("from", ""), int(request.get("rings", 3))
        if not isinstance(caller, str):
            raise ControlError("`from` is a string")
        self._modem(request).call(caller, rings, float(request.get("interval", 5.0)))
        return {}

    def _hangup(self, request: dict[str, Any]) -> Answer:
        self._modem(request).end_call()
        return {}

    def _outside(self, request: dict[str, Any]) -> Answer:
        number, status, delay = request.get("number", "*"), request.get("status", 0), request.get("delay")
        if status is not None and (not isinstance(status, int) or not 0 <= status <= 255):
            raise ControlError("`status` is a TP-ST, 0 to 255, or null for no report")
        self._emulator.network.outside[str(number)] = Outside(status, None if delay is None else float(delay))
        return {}

    def _set_latency(self, request: dict[str, Any]) -> Answer:
        low, high = parse_latency(request["latency"])
        self._emulator.network.latency = (low, high)
        return {"latency": [low, high]}

    async def _wait_idle(self, request: dict[str, Any]) -> Answer:
        """Until nothing is being sent or on its way, `quiet` seconds long."""
        loop = asyncio.get_running_loop()
        quiet, deadline = float(request.get("quiet", 0.0)), float(request.get("timeout", WAIT_IDLE_TIMEOUT))
        end, since = loop.time() + deadline, loop.time()
        while True:
            now = loop.time()
            busy = not self._emulator.network.idle or any(modem.sending for modem in self._emulator.modems)
            since = now if busy else since
            if not busy and now - since >= quiet:
                return {}
            if now > end:
                raise ControlError(f"not idle within {deadline:g} s")
            await asyncio.sleep(_POLL)


def parse_latency(value: object) -> tuple[float, float]:
    """`0.5`, `"0.5"`, `"2-6"` or `[2, 6]` as (least, most) seconds; ValueError for anything else."""
    wrong = ValueError(f"a latency is seconds such as 0.5, or a range such as 2-6, not {value!r}")
    parts = value if isinstance(value, list) else str(value).split("-")
    try:
        seconds = [float(part) for part in parts]
    except (TypeError, ValueError):
        raise wrong from None
    if len(seconds) not in (1, 2) or not 0 <= seconds[0] <= seconds[-1] <= 3600:
        raise wrong
    return seconds[0], seconds[-1]


def _card(modem: VirtualModem) -> Answer:
    phone = modem.phone
    return {
        "modem": modem.index,
        "port": str(modem.line.link),
        "slave": modem.line.slave_name if modem.line.is_open else None,
        "personality": modem.personality.name,
        "title": modem.personality.title,
        "imei": phone.imei,
        "iccid": phone.iccid,
        "imsi": phone.imsi,
        "number": phone.number,
        "plugged": phone.powered,
        "stat": phone.stat,
        "faults": modem.faults.armed(),
    }


def _content(pdu: str) -> Answer:
    try:
        message = decode(pdu)
    except PduError as error:
        return {"from": None, "text": None, "error": str(error)}
    return {"from": message.number, "text": message.text}


def _text(request: dict[str, Any], key: str) -> str:
    value = request[key]
    if not isinstance(value, str):
        raise ControlError(f"`{key}` is a string")
    return value


def _refusal(reason: str) -> Answer:
    return {"ok": False, "error": reason}
