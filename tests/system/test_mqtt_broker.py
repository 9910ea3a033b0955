"""The managed mosquitto: up fast, durable, kept running, gone with the bridge whatever ends it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from sms_bridge.mqtt.broker import ManagedBroker, find_mosquitto, probe
from sms_bridge.mqtt.errors import BrokerFailed, BrokerNotInstalled
from tests.support.mqttlab import Peer, PlainBroker, eventually
from tests.support.stack import free_port


@pytest_asyncio.fixture
async def broker(tmp_path: Path) -> AsyncIterator[ManagedBroker]:
    managed = ManagedBroker(tmp_path / "a place with spaces", free_port())
    yield managed
    await managed.stop()


async def test_it_answers_when_start_returns_and_not_after_stop(broker: ManagedBroker) -> None:
    began = time.monotonic()
    await broker.start()
    assert time.monotonic() - began < 2
    assert (await probe("127.0.0.1", broker.port)).accepts
    await broker.stop()
    assert not (await probe("127.0.0.1", broker.port)).answers


async def test_it_listens_on_the_loopback_interface_only(broker: ManagedBroker) -> None:
    await broker.start()
    assert listeners(broker.port) == {"0100007F"}


async def test_what_it_acknowledged_survives_a_kill(broker: ManagedBroker) -> None:
    await broker.start()
    assert await subscriber(broker.port, "-E") == b""  # leaves a session behind
    peer = Peer(broker.port, "other")
    peer.publish("q", "kept")
    await asyncio.sleep(0.1)  # it writes right after its PUBACK, not before
    assert broker.pid is not None
    os.kill(broker.pid, signal.SIGKILL)
    peer.stop()
    await eventually(lambda: broker.restarts == 1 and broker.pid is not None, "it is started again")
    await eventually(lambda: _accepts(broker.port), "it answers")
    assert await subscriber(broker.port, "-C", "1", "-W", "10") == b"kept\n"


async def subscriber(port: int, *options: str) -> bytes:
    """What a persistent session of mosquitto_sub prints."""
    command = ["mosquitto_sub", "-p", str(port), "-i", "keeper", "-c", "-q", "1", "-t", "q", *options]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    return out


def listeners(port: int) -> set[str]:
    """The addresses, as in /proc/net/tcp and tcp6, on which somebody listens on `port`."""
    lines = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()]
    return {fields[1][:-5] for fields in lines if fields[1].endswith(f":{port:04X}") and fields[3] == "0A"}


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 0.2).close()
    except OSError:
        return False
    return True


async def test_a_port_that_is_taken_is_said_in_words(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        managed = ManagedBroker(tmp_path / "broker", holder.getsockname()[1])
        with pytest.raises(BrokerFailed, match="in use"):
            await managed.start()
        await managed.stop()


async def test_a_database_that_cannot_be_read_is_set_aside(broker: ManagedBroker) -> None:
    broker.directory.mkdir(parents=True)
    (broker.directory / "mosquitto.db").write_bytes(b"not a database" * 100)
    await broker.start()
    assert (broker.directory / "mosquitto.db.unreadable").exists()


async def test_without_the_program_it_says_what_to_type(broker: ManagedBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sms_bridge.mqtt.broker.shutil.which", lambda *_, **__: None)
    with pytest.raises(BrokerNotInstalled) as caught:
        await broker.start()
    assert "apt install mosquitto" in caught.value.hint


CHILD = """
import asyncio, sys
from pathlib import Path
from sms_bridge.mqtt.broker import ManagedBroker
async def main():
    broker = ManagedBroker(Path(sys.argv[1]), int(sys.argv[2]))
    await broker.start()
    print(broker.pid, flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""


def started_and_killed(directory: Path, port: int) -> int:
    """Start a broker from a process that is then killed; the broker's pid."""
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(directory), str(port)], stdout=subprocess.PIPE)
    assert child.stdout is not None
    pid = int(child.stdout.readline())
    child.kill()
    child.wait()
    child.stdout.close()
    return pid


def runs(pid: int) -> bool:
    """Whether it does anything any more: a zombie that init has not buried does not."""
    return Path(f"/proc/{pid}/exe").exists()


async def test_it_dies_with_a_killed_bridge_and_the_next_one_starts_at_once(tmp_path: Path) -> None:
    directory, port = tmp_path / "broker", free_port()
    pid = started_and_killed(directory, port)
    next_one = ManagedBroker(directory, port)
    began = time.monotonic()
    await next_one.start()  # at once, the dying broker may still hold the port
    assert time.monotonic() - began < 5
    assert next_one.pid != pid
    assert (await probe("127.0.0.1", port)).accepts
    await asyncio.sleep(0.2)
    assert (await probe("127.0.0.1", port)).accepts, "it was the new one that answered"
    assert not runs(pid)
    await next_one.stop()


async def test_a_dying_orphan_is_not_taken_for_somebody_elses_broker(tmp_path: Path) -> None:
    directory, port = tmp_path / "broker", free_port()
    started_and_killed(directory, port)
    next_one = ManagedBroker(directory, port)
    await next_one.end_orphan()
    assert not (await probe("127.0.0.1", port)).answers
    await next_one.end_orphan()  # nothing to do is no trouble


async def test_an_orphan_is_ended_where_the_system_did_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broker = ManagedBroker(tmp_path / "broker", free_port())
    await broker.start()
    orphan = broker.pid
    second = ManagedBroker(tmp_path / "broker", broker.port)
    assert broker._supervisor is not None
    broker._supervisor.cancel()
    await second.start()
    assert second.pid != orphan
    await second.stop()
    await broker.stop()


async def test_probe_tells_a_broker_from_other_things(tmp_path: Path) -> None:
    assert not (await probe("127.0.0.1", free_port())).answers
    locked = PlainBroker(tmp_path / "locked", "allow_anonymous false").start()
    found = await probe("127.0.0.1", locked.port)
    assert (found.answers, found.accepts) == (True, False)
    locked.stop()

    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
        await reader.read()
        writer.close()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    assert not (await probe("127.0.0.1", server.sockets[0].getsockname()[1])).answers
    server.close()
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        began = time.monotonic()
        assert not (await probe("127.0.0.1", silent.getsockname()[1], 0.3)).answers
        assert time.monotonic() - began < 1


def test_the_program_is_found() -> None:
    assert find_mosquitto().endswith("mosquitto")
