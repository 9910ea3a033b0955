"""The link to a real broker through all that befalls it: restarts, hangs, wrong passwords, TLS, a twin."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sms_bridge.mqtt import link as link_module
from sms_bridge.mqtt.settings import TlsSettings
from tests.support.mqttlab import Peer, PlainBroker, core, eventually, room
from tests.support.stack import Broker, free_port

VERSIONS = pytest.mark.parametrize("protocol", ["5", "311"])
NUMBER = "+36301234567"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    started = Broker(tmp_path / "broker").start()
    yield started
    if started.process is not None:
        started.process.send_signal(signal.SIGCONT)
    started.stop()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorter pauses between attempts: what is tested is what happens, not how long it takes."""
    monkeypatch.setattr(link_module, "FIRST_DELAY", 0.05)
    monkeypatch.setattr(link_module, "LAST_DELAY", 0.2)


@VERSIONS
async def test_birth_and_orderly_good_bye(broker: Broker, tmp_path: Path, protocol: str) -> None:
    peer = Peer(broker.port)
    async with core(tmp_path) as heart:
        async with room(tmp_path, heart, broker.port, protocol=protocol):
            await peer.wait("sms/bridge/state", lambda p: p == {"state": "online"})
        await peer.wait("sms/bridge/state", lambda p: p == {"state": "offline"})
    late = Peer(broker.port, "sms/bridge/state")
    assert await late.wait("sms/bridge/state") == {"state": "offline"}
    assert late.heard[0].retain
    peer.stop()
    late.stop()


@VERSIONS
async def test_the_last_will_says_offline_when_the_connection_breaks(
    broker: Broker, tmp_path: Path, protocol: str
) -> None:
    peer = Peer(broker.port)
    async with core(tmp_path) as heart, room(tmp_path, heart, broker.port, protocol=protocol) as mqtt:
        await peer.wait("sms/bridge/state", lambda p: p == {"state": "online"})
        mqtt.link.drop("cut by the test")
        await peer.wait("sms/bridge/state", lambda p: p == {"state": "offline"})
        await eventually(lambda: peer.payloads("sms/bridge/state")[-1] == {"state": "online"}, "online again")
    peer.stop()


@VERSIONS
@pytest.mark.usefixtures("impatient")
async def test_a_broker_that_restarts_finds_us_again_with_all_that_waited(
    broker: Broker, tmp_path: Path, protocol: str
) -> None:
    async with core(tmp_path) as heart, room(tmp_path, heart, broker.port, protocol=protocol) as mqtt:
        mqtt.states.info({"version": "1"})
        await eventually(lambda: not mqtt.states.pending, "published")
        for sig in (signal.SIGTERM, signal.SIGKILL):
            broker.stop(sig)
            await eventually(lambda: not mqtt.link.connected, "the loss is noticed")
            await heart.emit(("in", {"text": f"while {sig.name}"}))
            broker.start()
            peer = Peer(broker.port)
            await peer.wait("sms/in", lambda p, s=sig.name: p["text"] == f"while {s}")  # type: ignore[misc]
            await peer.wait("sms/bridge/info", lambda p: p == {"version": "1"})
            peer.publish("sms/out", {"id": sig.name, "to": NUMBER, "text": "x"})
            await peer.wait("sms/status", lambda p, s=sig.name: p["id"] == s)  # type: ignore[misc]
            peer.stop()


@pytest.mark.usefixtures("impatient")
async def test_a_broker_without_memory_is_subscribed_anew(tmp_path: Path) -> None:
    broker = PlainBroker(tmp_path / "plain").start()
    try:
        async with core(tmp_path) as heart, room(tmp_path, heart, broker.port) as mqtt:
            broker.stop(signal.SIGKILL)
            await eventually(lambda: not mqtt.link.connected, "the loss is noticed")
            broker.start()
            assert await mqtt.link.wait_connected(15)
            peer = Peer(broker.port)
            peer.publish("sms/out", {"id": "x", "to": NUMBER, "text": "x"})
            await peer.wait("sms/status", lambda p: p["id"] == "x")
            peer.stop()
    finally:
        broker.stop()


@pytest.mark.usefixtures("impatient")
async def test_starts_without_a_broker_and_takes_up_work_when_one_comes(tmp_path: Path) -> None:
    broker = Broker(tmp_path / "broker")
    async with core(tmp_path) as heart:
        await heart.emit(("in", {"text": "before there was a broker"}))
        async with room(tmp_path, heart, broker.port, connected=False) as mqtt:
            await asyncio.sleep(0.3)
            assert not mqtt.link.connected
            assert "is the broker running" in (mqtt.link.problem or "")
            broker.start()
            peer = Peer(broker.port)
            await peer.wait("sms/in", lambda p: p["text"] == "before there was a broker")
            peer.stop()
            broker.stop()


@pytest.mark.usefixtures("impatient")
async def test_a_hanging_broker_is_noticed_by_keep_alive(broker: Broker, tmp_path: Path) -> None:
    assert broker.process is not None
    async with (
        core(tmp_path) as heart,
        room(tmp_path, heart, broker.port, keepalive=1, connack_deadline=0.5, connect_deadline=0.5) as mqtt,
    ):
        broker.process.send_signal(signal.SIGSTOP)
        await eventually(lambda: not mqtt.link.connected, "the silence is noticed", 6)
        began = time.monotonic()
        await asyncio.sleep(1.0)  # attempts against the stopped broker neither hang nor end the link
        assert time.monotonic() - began < 1.5, "the loop was blocked"
        broker.process.send_signal(signal.SIGCONT)
        assert await mqtt.link.wait_connected(15)


def make_passwords(file: Path) -> Path:
    subprocess.run(["mosquitto_passwd", "-b", "-c", str(file), "bridge", "right"], check=True)
    file.chmod(0o644)
    return file


async def test_a_wrong_password_is_said_in_words_and_tried_slowly(tmp_path: Path) -> None:
    passwords = make_passwords(tmp_path / "passwords")
    broker = PlainBroker(tmp_path / "broker", "allow_anonymous false", f"password_file {passwords}").start()
    problems: list[tuple[str, str]] = []
    try:
        async with core(tmp_path) as heart:
            for protocol in ("5", "311"):
                for credentials in ({"username": "bridge", "password": "wrong"}, {}):
                    problems.clear()
                    async with room(
                        tmp_path,
                        heart,
                        broker.port,
                        connected=False,
                        problems=problems,
                        protocol=protocol,
                        **credentials,
                    ) as mqtt:
                        await eventually(lambda: problems, "the refusal is told")
                        await asyncio.sleep(0.3)
                        assert len(problems) == 1, "no hammering"
                        code, text = problems[0]
                        assert code == "broker_refused"
                        assert "`password`" in text
                        assert "wrong" not in text
                        assert not mqtt.link.connected
            async with room(tmp_path, heart, broker.port, username="bridge", password="right") as mqtt:
                assert mqtt.link.problem is None
    finally:
        broker.stop()


def make_certificates(directory: Path) -> None:
    """A certificate authority of our own and one certificate, for the name broker.test and no other."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=directory)

    directory.mkdir()
    new = ("req", "-newkey", "rsa:2048", "-nodes")
    openssl(*new, "-x509", "-days", "2", "-subj", "/CN=Test CA", "-keyout", "ca.key", "-out", "ca.pem")
    openssl(*new, "-subj", "/CN=broker.test", "-keyout", "broker.key", "-out", "broker.csr")
    (directory / "names").write_text("subjectAltName=DNS:broker.test")
    openssl(
        "x509", "-req", "-in", "broker.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
        "-days", "2", "-extfile", "names", "-out", "broker.pem",
    )  # fmt: skip


@VERSIONS
async def test_tls_checks_the_certificate_and_its_name(tmp_path: Path, protocol: str) -> None:
    certificates = tmp_path / "certificates"
    make_certificates(certificates)
    broker = PlainBroker(
        tmp_path / "broker",
        "allow_anonymous true",
        f"cafile {certificates / 'ca.pem'}",
        f"certfile {certificates / 'broker.pem'}",
        f"keyfile {certificates / 'broker.key'}",
    ).start()
    good = TlsSettings(ca=certificates / "ca.pem", server_name="broker.test")
    try:
        async with core(tmp_path) as heart:
            async with room(tmp_path, heart, broker.port, protocol=protocol, tls=good) as mqtt:
                # Bigger than one TLS record, so that reads end inside packets.
                await heart.emit(*(("in", {"text": "x" * 30_000, "n": n}) for n in range(50)))
                await eventually(lambda: mqtt.publisher.published == 50, "all published over TLS")
            for settings, words in (
                (TlsSettings(ca=certificates / "ca.pem"), "not trusted"),  # the name 127.0.0.1 is not in it
                (TlsSettings(), "not trusted"),
                (TlsSettings(ca=certificates / "names"), "no certificate file"),
                (TlsSettings(ca=certificates / "ca.pem", certificate=certificates / "missing.pem"), "no pair"),
                (None, ""),
            ):
                async with room(tmp_path, heart, broker.port, connected=False, protocol=protocol, tls=settings) as mqtt:
                    problem = await eventually(lambda m=mqtt: m.link.problem, "the trouble is told")  # type: ignore[misc]
                    assert words in problem
            insecure = TlsSettings(insecure=True)
            async with room(tmp_path, heart, broker.port, protocol=protocol, tls=insecure) as mqtt:
                assert mqtt.link.connected
    finally:
        broker.stop()


@asynccontextmanager
async def old_broker(target: int, answer: bytes) -> AsyncIterator[tuple[int, list[int], list[bytes]]]:
    """A broker that knows 3.1.1 only: gives `answer` to any other CONNECT, passes the rest on to `target`."""
    versions: list[int] = []
    said: list[bytes] = []  # by both
    pipes: set[asyncio.Task[None]] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                said.append(data)
                writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await reader.read(1024)
        if not first:
            writer.close()
            return
        version = first[first.index(b"MQTT") + 4]
        versions.append(version)
        if version != 4:
            writer.write(answer)
            writer.close()
            return
        behind_reader, behind_writer = await asyncio.open_connection("127.0.0.1", target)
        behind_writer.write(first)
        for pair in ((reader, behind_writer), (behind_reader, writer)):
            task = asyncio.create_task(pump(*pair))
            pipes.add(task)
            task.add_done_callback(pipes.discard)

    server = await asyncio.start_server(serve, "127.0.0.1", free_port())
    try:
        yield server.sockets[0].getsockname()[1], versions, said
    finally:
        server.close()
        for task in list(pipes):
            task.cancel()
        await server.wait_closed()


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("answer", [b"\x20\x02\x00\x01", b"\x20\x03\x00\x84\x00", b""], ids=["3.1.1", "5", "hangs up"])
async def test_auto_falls_back_to_3_1_1_where_5_is_not_known(broker: Broker, tmp_path: Path, answer: bytes) -> None:
    async with (
        old_broker(broker.port, answer) as (port, versions, _),
        core(tmp_path) as heart,
        room(tmp_path, heart, port, protocol="auto") as mqtt,
    ):
        assert mqtt.link.connection is not None
        assert mqtt.link.connection.version == 4
        assert versions[0] == 5


async def test_the_good_bye_is_a_disconnect_after_all_is_published(broker: Broker, tmp_path: Path) -> None:
    async with old_broker(broker.port, b"\x20\x02\x00\x01") as (port, _, said), core(tmp_path) as heart:
        async with room(tmp_path, heart, port, protocol="311"):
            await heart.emit(*(("status", {"n": n}) for n in range(300)))
        await asyncio.sleep(0.1)
        ours = b"".join(said)
        assert ours.endswith(b"\xe0\x00"), "DISCONNECT, so that no last will is sent"
        assert not await heart.unpublished()


async def test_two_bridges_with_one_client_id_are_noticed(
    broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "FIRST_DELAY", 0.05)
    problems: list[tuple[str, str]] = []
    async with core(tmp_path) as heart, room(tmp_path, heart, broker.port, protocol="5", problems=problems) as mqtt:
        for _ in range(3):
            assert await mqtt.link.wait_connected(15)
            await asyncio.sleep(0.05)
            twin = Peer(broker.port, "nothing", client_id="sms-bridge")
            await eventually(lambda: not mqtt.link.connected, "kicked out")
            twin.stop()
        await eventually(lambda: problems, "the fight is told")
        assert problems[0][0] == "client_id_conflict"
        assert "sms-bridge" in problems[0][1]
        await asyncio.sleep(0.5)
        assert not mqtt.link.connected, "it backs off"


async def test_a_port_that_is_open_but_silent_does_not_hang_the_loop(tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(1)
        async with (
            core(tmp_path) as heart,
            room(tmp_path, heart, silent.getsockname()[1], connected=False, connack_deadline=0.3) as mqtt,
        ):
            problem = await eventually(lambda: mqtt.link.problem, "the silence is told")
            assert "no answer to CONNECT" in problem


async def test_a_name_that_is_not_known_is_said_in_words(tmp_path: Path) -> None:
    async with (
        core(tmp_path) as heart,
        room(tmp_path, heart, 1883, connected=False, host="no-such-host.invalid") as mqtt,
    ):
        problem = await eventually(lambda: mqtt.link.problem, "the trouble is told")
        assert "no-such-host.invalid" in problem


async def test_octets_that_are_not_mqtt_do_not_end_the_link(tmp_path: Path) -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 20)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    async with (
        core(tmp_path) as heart,
        room(tmp_path, heart, server.sockets[0].getsockname()[1], connected=False) as mqtt,
    ):
        assert await eventually(lambda: mqtt.link.problem, "the trouble is told")
        assert mqtt.link.state in ("waiting", "connecting")
    server.close()
    await server.wait_closed()


async def test_a_failing_handler_does_not_end_the_link(
    broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer = Peer(broker.port)
    async with core(tmp_path) as heart, room(tmp_path, heart, broker.port) as mqtt:
        good = mqtt.intake.message
        with monkeypatch.context() as patch:
            patch.setattr(mqtt.intake, "message", lambda *_: 1 / 0)
            peer.publish("sms/out", {"id": "lost for now", "to": NUMBER, "text": "x"})
            await asyncio.sleep(0.1)
        assert mqtt.intake.message == good
        peer.publish("sms/out", {"id": "after", "to": NUMBER, "text": "x"})
        await peer.wait("sms/status", lambda p: p["id"] == "after")
        assert mqtt.link.connects == 1
    peer.stop()
