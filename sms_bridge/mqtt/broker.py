"""A mosquitto of our own, as a supervised child with a durable configuration; and who answers on a port already."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import logging
import os
import shutil
import signal
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sms_bridge.mqtt.connection import MAX_PACKET, RECEIVE_MAXIMUM
from sms_bridge.mqtt.errors import BrokerFailed, BrokerNotInstalled

log = logging.getLogger(__name__)

POLL = 0.02  # s between looks whether it answers; it takes about 50 ms
START_DEADLINE = 15.0  # s; restoring 100 000 queued messages from an SD card takes a few
PROBE_DEADLINE = 2.0  # s for CONNECT and CONNACK on the loopback interface
STOP_DEADLINE = 5.0  # s to write its database and go
FIRST_DELAY, LAST_DELAY = 0.2, 30.0  # s before it is started again
STABLE = 30.0  # s it must have run for the delay to start over

CONFIG = """\
# Written by sms-bridge at each start: changes are lost.
listener {port} 127.0.0.1
allow_anonymous true
user {user}
persistence true
persistence_location {directory}/
persistence_file mosquitto.db
# Its PUBACK means nothing until the message is on the disk: written at each change, not every half hour.
autosave_on_changes true
autosave_interval 1
max_queued_messages 100000
max_inflight_messages {inflight}
max_packet_size {max_message}
persistent_client_expiration 2m
set_tcp_nodelay true
log_dest stderr
log_type error
log_type warning
"""

_CONNECT = bytes.fromhex("100c00044d5154540402000a0000")  # 3.1.1, clean session, no client id, 10 s keep-alive
_DISCONNECT = bytes.fromhex("e000")
_CONNACK_SIZE = 4


@dataclass(frozen=True, slots=True)
class Probe:
    """Whether an MQTT broker answers, and whether it lets anybody in."""

    answers: bool
    accepts: bool = False


async def probe(host: str, port: int, deadline: float = PROBE_DEADLINE) -> Probe:
    """A real CONNECT, anonymous; never raises. A port that is open but silent does not answer."""
    try:
        async with asyncio.timeout(deadline):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(_CONNECT)
                answer = await reader.readexactly(_CONNACK_SIZE)
                writer.write(_DISCONNECT)
                with contextlib.suppress(OSError):
                    await writer.drain()
            finally:
                writer.transport.abort() if writer.transport.is_closing() else writer.close()
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        return Probe(False)
    is_connack = answer[0] == 0x20 and answer[1] == 2
    return Probe(is_connack, is_connack and answer[3] == 0)


def find_mosquitto() -> str:
    """The path of the program; raises BrokerNotInstalled with what to type."""
    path = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin"
    program = shutil.which("mosquitto", path=path)
    if program is None:
        raise BrokerNotInstalled(
            "there is no mosquitto program", hint="`sudo apt install mosquitto`, or name a broker under `mqtt:`"
        )
    return program


class ManagedBroker:
    """One mosquitto on 127.0.0.1, kept running for the life of the bridge, ended with it whatever happens."""

    def __init__(self, directory: Path, port: int = 1883, *, on_up: Callable[[], None] | None = None) -> None:
        self.directory = directory.absolute()
        self.port = port
        self.restarts = 0
        self._on_up = on_up
        self._process: asyncio.subprocess.Process | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._reader: asyncio.Task[None] | None = None
        self._said: deque[str] = deque(maxlen=5)

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    async def start(self) -> None:
        """Start it and wait until it answers. Raises BrokerNotInstalled, BrokerFailed."""
        program = find_mosquitto()
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(None, self._write_config)
        except OSError as error:
            raise BrokerFailed(f"cannot write {error.filename}: {error.strerror}") from error
        await self.end_orphan()
        try:
            await self._launch(program)
        except BrokerFailed:
            if not await loop.run_in_executor(None, self._set_aside):
                raise
            await self._launch(program)
        self._supervisor = asyncio.create_task(self._supervise(program), name="mosquitto")

    async def stop(self) -> None:
        """End it: it writes its database and goes."""
        supervisor, self._supervisor = self._supervisor, None
        if supervisor is not None:
            supervisor.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await supervisor
        await self._end()

    async def end_orphan(self) -> None:
        """End the broker of a killed bridge; before `probe`, which would take a dying one for somebody else's."""
        loop = asyncio.get_running_loop()
        pid = await loop.run_in_executor(None, self._orphan)
        if pid is None:
            return
        log.warning("ending the broker (pid %d) that an earlier bridge has left", pid)
        for sig, deadline in ((signal.SIGTERM, STOP_DEADLINE), (signal.SIGKILL, STOP_DEADLINE)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, sig)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(deadline):
                    await self._orphan_gone()
                return

    async def _launch(self, program: str) -> None:
        self._said.clear()
        command = [program, "-c", str(self._config)]
        # A bridge that is killed takes its broker along, else the orphan would keep the port (and nobody would
        # look after it). The signal is bound to the forking thread: that is the loop's.
        if (setpriv := shutil.which("setpriv")) is not None:
            command = [setpriv, "--pdeathsig", "TERM", "--", *command]
        self._process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the bridge, whose last words still need a broker
        )
        self._reader = asyncio.create_task(self._listen(self._process), name="mosquitto-log")
        await asyncio.get_running_loop().run_in_executor(None, self._pid_file.write_text, f"{self._process.pid}\n")
        try:
            async with asyncio.timeout(START_DEADLINE):
                while not (await probe("127.0.0.1", self.port)).answers:
                    if self._process.returncode is not None:
                        await self._reader
                        raise BrokerFailed(f"mosquitto ended with code {self._process.returncode}{self._reason()}")
                    await asyncio.sleep(POLL)
        except TimeoutError:
            await self._end()
            raise BrokerFailed(f"mosquitto did not answer within {START_DEADLINE:g} s{self._reason()}") from None
        except BaseException:
            await self._end()
            raise

    async def _supervise(self, program: str) -> None:
        delay = FIRST_DELAY
        loop = asyncio.get_running_loop()
        while True:
            assert self._process is not None
            began = loop.time()
            code = await self._process.wait()
            if loop.time() - began > STABLE:
                delay = FIRST_DELAY
            log.error("mosquitto ended with code %s%s; it is started again", code, self._reason())
            while True:
                await asyncio.sleep(delay)
                delay = min(LAST_DELAY, delay * 2)
                self.restarts += 1
                try:
                    await self._launch(program)
                    break
                except (BrokerFailed, OSError) as error:
                    log.error("%s", error)
            if self._on_up is not None:
                self._on_up()

    async def _end(self) -> None:
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                async with asyncio.timeout(STOP_DEADLINE):
                    await process.wait()
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if self._reader is not None:
            await self._reader
            self._reader = None

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        while True:
            try:
                line = await process.stderr.readline()
            except ValueError:  # a line longer than the reader's buffer
                continue
            if not line:
                return
            text = line.decode("utf-8", "replace").strip().split(": ", 1)[-1]
            if text.startswith("Error"):
                self._said.append(text)
                log.warning("mosquitto: %s", text)
            else:
                log.debug("mosquitto: %s", text)

    async def _orphan_gone(self) -> None:
        loop = asyncio.get_running_loop()
        while await loop.run_in_executor(None, self._orphan) is not None:  # noqa: ASYNC110 - nobody tells us
            await asyncio.sleep(POLL)

    def _orphan(self) -> int | None:
        """The process of our pid file, if it still is a mosquitto with our configuration."""
        try:
            pid = int(self._pid_file.read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError):
            return None
        return pid if str(self._config).encode() in command.split(b"\0") else None

    def _write_config(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._config.write_text(
            CONFIG.format(
                port=self.port,
                user=getpass.getuser(),
                directory=self.directory,
                inflight=RECEIVE_MAXIMUM,
                max_message=MAX_PACKET,
            )
        )

    def _set_aside(self) -> bool:
        """Move a database that mosquitto cannot read out of its way; whether that was the trouble."""
        database = self.directory / "mosquitto.db"
        if not database.exists() or not any("persisten" in text or "database" in text for text in self._said):
            return False
        aside = database.with_name("mosquitto.db.unreadable")
        database.replace(aside)
        log.error("mosquitto could not read its database: it is kept as %s, and a new one begun", aside)
        return True

    def _reason(self) -> str:
        return f": {'; '.join(self._said)}" if self._said else ""

    @property
    def _config(self) -> Path:
        return self.directory / "mosquitto.conf"

    @property
    def _pid_file(self) -> Path:
        return self.directory / "mosquitto.pid"
