"""A whole system on this machine for system tests and benches: mosquitto, the emulator, the bridge, an observer.

Everything is a real process, bound to 127.0.0.1 on free ports, with all of its files below one directory.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho

START_DEADLINE = 20.0  # a loaded two-core machine; the start itself takes about a second
STOP_DEADLINE = 15.0
ROOT = Path(__file__).parents[2]  # where `python -m` finds the packages, this one too

BROKER_CONF = """\
listener {port} 127.0.0.1
allow_anonymous true
persistence true
persistence_location {directory}/
autosave_on_changes true
autosave_interval 1
max_queued_messages 100000
max_inflight_messages 200
set_tcp_nodelay true
log_dest none
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], Any], deadline: float, what: str, every: float = 0.02) -> Any:
    """The first true value of `condition`; AssertionError naming `what` after `deadline` seconds."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline:g} s: {what}")
        time.sleep(every)


@dataclass
class Broker:
    """A private mosquitto, durable as the one that the bridge starts."""

    directory: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    extra: str = ""  # lines before the rest of the configuration

    def start(self) -> Broker:
        self.directory.mkdir(parents=True, exist_ok=True)
        conf = self.directory / "mosquitto.conf"
        conf.write_text(self.extra + BROKER_CONF.format(port=self.port, directory=self.directory))
        os.chmod(self.directory, 0o777)  # mosquitto drops to its own user when started as root
        self.process = subprocess.Popen(["mosquitto", "-c", str(conf)], stderr=subprocess.DEVNULL)
        wait_until(self._answers, START_DEADLINE, "mosquitto listens")
        return self

    def stop(self, sig: int = signal.SIGTERM) -> None:
        stop_process(self.process, sig)
        self.process = None

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 0.2).close()
        except OSError:
            return False
        return True


def stop_process(process: subprocess.Popen[bytes] | None, sig: int = signal.SIGTERM) -> int | None:
    if process is None:
        return None
    if process.poll() is None:
        process.send_signal(sig)
        try:
            process.wait(STOP_DEADLINE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_DEADLINE)
    return process.returncode


@dataclass
class Emulation:
    """`sms-bridge emulate` as a child, and its control socket."""

    directory: Path
    modems: int
    latency: str = "0"
    personalities: Sequence[str] = ()
    trace: bool = False
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> Emulation:
        command = [sys.executable, "-m", "sms_bridge", "emulate", "--json", "--modems", str(self.modems)]
        command += ["--dir", str(self.directory), "--latency", self.latency, "--seed", "7"]
        for name in self.personalities:
            command += ["--personality", name]
        if self.trace:
            command += ["--trace", str(self.trace_file)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the emulator ended before it was ready"
        return self

    def stop(self) -> None:
        if self.process is not None and self.process.stdout is not None:
            self.process.stdout.close()
        stop_process(self.process)
        self.process = None

    @property
    def trace_file(self) -> Path:
        return self.directory / "trace.jsonl"

    def port(self, index: int) -> str:
        return str(self.directory / f"modem{index}")

    def do(self, verb: str, **fields: Any) -> dict[str, Any]:
        """One control request; AssertionError if the emulator refuses it."""
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(10)
            link.connect(str(self.directory / "control"))
            link.sendall(json.dumps({"do": verb, **fields}).encode() + b"\n")
            answer = link.makefile("rb").readline()
        reply: dict[str, Any] = json.loads(answer)
        assert reply.get("ok"), reply
        return reply

    def ledger(self, kind: str | None = None) -> list[dict[str, Any]]:
        file = self.directory / "ledger.jsonl"
        if not file.exists():
            return []
        lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line]
        return [line for line in lines if kind is None or line["kind"] == kind]


@dataclass(frozen=True)
class Seen:
    """One message as the observer got it; `at` is CLOCK_MONOTONIC in seconds."""

    topic: str
    payload: Any
    retain: bool
    at: float


class Observer:
    """An MQTT client that subscribes to everything and remembers it in order.

    `lasting`: the broker keeps for it what comes while it is away, and it keeps nothing but tells its listeners.
    """

    def __init__(self, port: int, base: str = "sms", *, lasting: bool = False) -> None:
        self.seen: list[Seen] = []
        self.listeners: list[Callable[[str, Any], object]] = []  # of topics without the base, on paho's thread
        self._changed = threading.Condition()
        self._base = base
        self._lasting = lasting
        name = f"observer-{os.getpid()}-{port}"
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=name, clean_session=not lasting)
        self.client.on_connect = self._subscribe
        self.client.on_message = self._remember
        self.client.on_socket_open = _no_delay
        self.client.max_queued_messages_set(0)
        self.client.max_inflight_messages_set(200)
        self.client.reconnect_delay_set(1, 1)
        self.client.connect("127.0.0.1", port, keepalive=60)
        self._subscribed = threading.Event()
        self.client.on_subscribe = lambda *_: self._subscribed.set()
        self.client.on_disconnect = lambda *_: self._subscribed.clear()
        self.client.loop_start()
        self.wait_subscribed()

    def stop(self) -> None:
        """Idempotent."""
        if not hasattr(self, "client"):
            return
        self.client.disconnect()
        self.client.loop_stop()
        del self.client  # paho closes its pair of sockets when it is collected, not before

    def wait_subscribed(self) -> None:
        """It hears everything (again)."""
        assert self._subscribed.wait(START_DEADLINE), "the observer could not subscribe"

    def publish(self, topic: str, payload: Any, *, qos: int = 1, retain: bool = False) -> None:
        raw = payload if isinstance(payload, str | bytes) else json.dumps(payload, ensure_ascii=False)
        self.client.publish(f"{self._base}/{topic}", raw, qos=qos, retain=retain)

    def of(self, topic: str) -> list[Any]:
        wanted = f"{self._base}/{topic}"
        return [item.payload for item in list(self.seen) if item.topic == wanted]

    def wait_for(self, topic: str, condition: Callable[[Any], Any], deadline: float = 20.0, since: int = 0) -> Seen:
        """The first message on `topic` for which `condition` holds, at index `since` or later."""
        wanted = f"{self._base}/{topic}"
        end = time.monotonic() + deadline
        with self._changed:
            position = since
            while True:
                while position < len(self.seen):
                    item = self.seen[position]
                    if item.topic == wanted and condition(item.payload):
                        return item
                    position += 1
                left = end - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    tail = [(item.topic, item.payload) for item in self.seen[-8:]]
                    raise AssertionError(f"nothing fitting on {wanted} within {deadline:g} s; last seen: {tail}")

    def wait_state(self, order: str, *states: str, deadline: float = 20.0) -> dict[str, Any]:
        """The status of order `order` once it is in one of `states`."""
        found = self.wait_for("status", lambda p: p["id"] == order and p["state"] in states, deadline)
        result: dict[str, Any] = found.payload
        return result

    def states(self, order: str) -> list[str]:
        """All states that were published of order `order`, in that order."""
        return [status["state"] for status in self.of("status") if status["id"] == order]

    def request(self, name: str, **fields: Any) -> dict[str, Any]:
        """The answer to `bridge/request/<name>`."""
        mark, since = os.urandom(4).hex(), len(self.seen)
        self.publish(f"bridge/request/{name}", {**fields, "transaction": mark})
        found = self.wait_for(f"bridge/response/{name}", lambda p: p["transaction"] == mark, since=since)
        answer: dict[str, Any] = found.payload
        return answer

    def _subscribe(self, client: paho.Client, *_: Any) -> None:
        client.subscribe(f"{self._base}/#", qos=1)

    def _remember(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        at = time.monotonic()
        try:
            payload: Any = json.loads(message.payload)
        except ValueError:
            payload = message.payload
        for listener in self.listeners:
            listener(message.topic.removeprefix(f"{self._base}/"), payload)
        if self._lasting:
            return
        with self._changed:
            self.seen.append(Seen(message.topic, payload, message.retain, at))
            self._changed.notify_all()


def _no_delay(_client: paho.Client, _data: Any, sock: Any) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


@dataclass
class Bridge:
    """`sms-bridge run` as a child; with `waits`, by way of tests.support.hasty."""

    config: Path
    data: Path
    env: dict[str, str] = field(default_factory=dict)
    waits: dict[str, Any] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    log: Path | None = None

    def start(self) -> Bridge:
        config, data = str(self.config), str(self.data)
        command = [sys.executable, "-m", "sms_bridge", "run", "--config", config, "--data", data]
        if self.waits:
            command = [sys.executable, "-m", "tests.support.hasty", config, data, json.dumps(self.waits)]
        self.log = self.data.parent / "bridge.log"
        with self.log.open("ab") as out:
            self.started_at = time.monotonic()
            self.process = subprocess.Popen(command, stdout=out, stderr=out, env={**os.environ, **self.env}, cwd=ROOT)
        return self

    def stop(self, sig: int = signal.SIGTERM) -> int | None:
        code = stop_process(self.process, sig)
        self.process = None
        return code

    def pause(self) -> None:
        """Nothing runs in it until `resume`."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid


@dataclass
class Stack:
    """All of it, and a configuration that binds the bridge to the emulated ports."""

    directory: Path
    broker: Broker
    emulation: Emulation
    bridge: Bridge
    observer: Observer

    def wait_ready(self, deadline: float = START_DEADLINE, since: int = 0) -> None:
        """Every modem was ready, by a message at index `since` of what was seen or later."""
        for index in range(self.emulation.modems):
            self.observer.wait_for(f"modem/modem{index}", lambda p: p["state"] == "ready", deadline, since)

    def restart_bridge(self, sig: int = signal.SIGKILL) -> None:
        self.bridge.stop(sig)
        self.bridge.start()


def write_config(
    file: Path, *, mqtt_port: int, ports: Sequence[str], extra: str = "", mqtt: Sequence[str] = ()
) -> Path:
    lines = ["mqtt:", "  host: 127.0.0.1", f"  port: {mqtt_port}", *(f"  {line}" for line in mqtt)]
    # A modem that is plugged into the developer's machine is nobody's business here.
    lines += ["default_region: HU", "usb: {discover: false}"]
    if "guards:" not in extra:  # what a test sends in a second is what the brakes are for
        lines += ["guards: {duplicates: off, loop: off, allow_own_numbers: true}"]
    lines += ["modems:"]
    for index, port in enumerate(ports):
        lines += [f"  - name: modem{index}", f"    port: {port}"]
    file.write_text("\n".join(lines) + "\n" + extra, encoding="utf-8")
    return file


@contextmanager
def running(
    directory: Path,
    *,
    modems: int = 1,
    latency: str = "0",
    personalities: Sequence[str] = (),
    trace: bool = False,
    extra: str = "",
    env: dict[str, str] | None = None,
    ready: bool = True,
    before: Callable[[Emulation], object] = lambda _emulation: None,
    waits: dict[str, Any] | None = None,
    broker: Broker | None = None,
    mqtt: Sequence[str] = (),
    mqtt_port: int | None = None,
    lasting: bool = False,
) -> Iterator[Stack]:
    """A started stack, stopped and cleaned up on the way out whatever happened.

    `before` is done to the emulator before the bridge starts; `waits` are seconds by section and key of the settings,
    shorter than the configuration allows; `mqtt` are lines for that section, `mqtt_port` if it is not the observer's;
    `lasting` is the observer's.
    """
    broker = (broker or Broker(directory / "broker")).start()
    emulation = Emulation(directory / "phones", modems, latency, personalities, trace)
    observer: Observer | None = None
    bridge: Bridge | None = None
    try:
        (directory / "phones").mkdir(parents=True, exist_ok=True)
        emulation.start()
        before(emulation)
        observer = Observer(broker.port, lasting=lasting)
        ports = [emulation.port(index) for index in range(modems)]
        config = write_config(
            directory / "config.yaml", mqtt_port=mqtt_port or broker.port, ports=ports, extra=extra, mqtt=mqtt
        )
        bridge = Bridge(config, directory / "data", env or {}, waits or {}).start()
        stack = Stack(directory, broker, emulation, bridge, observer)
        if ready:
            stack.wait_ready()
        yield stack
    finally:
        with ExitStack() as ending:  # each is stopped, whatever becomes of the others; the last one named goes first
            ending.callback(broker.stop)
            ending.callback(emulation.stop)
            if observer is not None:
                ending.callback(observer.stop)
            if bridge is not None:
                ending.callback(bridge.stop)
