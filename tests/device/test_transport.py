"""Ring 4: real ttys (ptys), sockets and an RFC 2217 server, opened, lost, blocked and given up."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import serial
import serial.rfc2217
import serial_asyncio

from hardware.errors import PortBusy, PortForbidden, PortLost, PortMissing, PortWedged
from hardware.transport import SerialLink, holders_of, open_port
from hardware.transport.failures import opening_failed
from hardware.transport.fdlink import OVERRIDDEN, RELIED_UPON

SOON = 5.0  # seconds for what takes milliseconds on an idle machine
STALL = 0.5  # seconds the loop may stand still on a loaded one; what is tested blocks for two


class Reader:
    """Keeps what came."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.made = 0
        self.lost: asyncio.Future[PortLost | None] = asyncio.get_running_loop().create_future()
        self._more = asyncio.Event()

    def connection_made(self, link: SerialLink) -> None:
        self.made += 1

    def data_received(self, data: bytes) -> None:
        self.data += data
        self._more.set()

    def connection_lost(self, error: PortLost | None) -> None:
        self.lost.set_result(error)  # a second call would raise

    async def until(self, size: int) -> bytes:
        async with asyncio.timeout(SOON):
            while len(self.data) < size:
                self._more.clear()
                await self._more.wait()
        return bytes(self.data)


class Pty:
    """A modem's hardware: `master` is the modem's side."""

    def __init__(self) -> None:
        self.master, slave = os.openpty()
        self.path = os.ttyname(slave)
        os.close(slave)
        self._open = True

    def say(self, data: bytes) -> None:
        os.write(self.master, data)

    def heard(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            data += os.read(self.master, size - len(data))
        return data

    def unplug(self) -> None:
        if self._open:
            self._open = False
            os.close(self.master)


@pytest.fixture
def pty() -> Iterator[Pty]:
    device = Pty()
    yield device
    device.unplug()


class Loop:
    """Watches how long the loop stands still."""

    def __init__(self) -> None:
        self.worst = 0.0

    async def watch(self) -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.005)
            self.worst = max(self.worst, time.perf_counter() - before - 0.005)


@pytest.fixture
async def loop_watch() -> AsyncIterator[Loop]:
    watch = Loop()
    task = asyncio.create_task(watch.watch())
    yield watch
    task.cancel()


async def opened(url: str, **options: float) -> tuple[SerialLink, Reader]:
    reader = Reader()
    link = await open_port(url, protocol_factory=lambda: reader, **options)  # type: ignore[arg-type]
    return link, reader


async def given_up(link: SerialLink) -> None:
    link.abort()
    assert await link.wait_closed(SOON)


# Working


async def test_bytes_go_both_ways(pty: Pty) -> None:
    link, reader = await opened(pty.path)
    link.write(b"AT\r")
    assert await asyncio.to_thread(pty.heard, 3) == b"AT\r"
    pty.say(b"\r\nOK\r\n")
    assert await reader.until(6) == b"\r\nOK\r\n"
    assert (reader.made, link.port, link.is_closing) == (1, pty.path, False)
    await given_up(link)
    assert await reader.lost is None


async def test_every_octet_passes_unchanged(pty: Pty) -> None:
    link, reader = await opened(pty.path)
    link.write(bytes(range(256)))
    assert await asyncio.to_thread(pty.heard, 256) == bytes(range(256))
    pty.say(bytes(range(256)))
    assert await reader.until(256) == bytes(range(256))
    await given_up(link)


async def test_what_was_said_before_the_port_was_opened_is_not_read(pty: Pty) -> None:
    slave = os.open(pty.path, os.O_RDWR | os.O_NOCTTY)
    pty.say(b"stale")
    link, reader = await opened(pty.path)
    pty.say(b"fresh\n")
    assert b"fresh" in await reader.until(6)
    assert b"stale" not in reader.data
    os.close(slave)
    await given_up(link)


async def test_a_large_write_arrives_whole_and_in_order(pty: Pty) -> None:
    link, _ = await opened(pty.path)
    data = b"".join(b"%07d\n" % i for i in range(16_384))
    for start in range(0, len(data), 10_000):
        link.write(data[start : start + 10_000])
    assert await asyncio.to_thread(pty.heard, len(data)) == data
    await given_up(link)


# Opening


async def test_a_port_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(PortMissing) as missing:
        await opened(str(tmp_path / "ttyUSB9"))
    assert missing.value.hint


@pytest.mark.parametrize("path", ["/dev/null", "/tmp", "/proc/self/status/x", "/dev"])
async def test_what_is_no_serial_port(path: str) -> None:
    with pytest.raises(PortMissing):
        await opened(path)


@pytest.mark.parametrize(
    "url", ["loop://", "spy:///dev/ttyS0", "http://x", "socket://", "socket://host", "socket://h:99999", "rfc2217://"]
)
async def test_an_address_that_makes_no_sense_is_a_sentence(url: str) -> None:
    with pytest.raises(PortMissing) as missing:
        await opened(url)
    assert missing.value.hint


async def test_a_second_open_is_refused_and_says_that_it_is_us(pty: Pty) -> None:
    link, _ = await opened(pty.path)
    with pytest.raises(PortBusy) as busy:
        await opened(pty.path)
    assert "configured twice" in busy.value.hint
    await given_up(link)
    link, _ = await opened(pty.path)  # and once it is free, it opens
    await given_up(link)


HOLDER = """
import fcntl, os, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY)
fcntl.flock(fd, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


async def test_another_program_that_holds_the_port_is_named(pty: Pty) -> None:
    pipe = asyncio.subprocess.PIPE
    other = await asyncio.create_subprocess_exec(sys.executable, "-c", HOLDER, pty.path, stdin=pipe, stdout=pipe)
    assert other.stdout is not None
    await other.stdout.readline()
    with pytest.raises(PortBusy) as busy:
        await opened(pty.path)
    assert [holder.pid for holder in holders_of(pty.path)] == [other.pid]
    assert f"pid {other.pid}" in busy.value.hint
    assert holders_of(pty.path)[0].program in busy.value.hint
    await other.communicate(b"")


def test_holders_of_what_is_not_there(tmp_path: Path) -> None:
    assert holders_of(str(tmp_path / "nothing")) == []
    assert holders_of("/dev/ttyUSB9", tmp_path) == []


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOENT, PortMissing),
        (errno.ENODEV, PortMissing),
        (errno.ENXIO, PortMissing),
        (errno.ENOTTY, PortMissing),
        (errno.EIO, PortMissing),
        (errno.EBUSY, PortBusy),
        (errno.EAGAIN, PortBusy),
        (errno.EACCES, PortForbidden),
        (errno.EPERM, PortForbidden),
    ],
)
def test_each_errno_has_its_error_and_a_hint(number: int, kind: type[Exception]) -> None:
    plain = OSError(number, os.strerror(number))
    by_pyserial = serial.SerialException(number, f"could not open port: {plain}")
    hidden = serial.SerialException("Could not configure port")
    hidden.__context__ = plain
    for error in (plain, by_pyserial, hidden):
        mapped = opening_failed("/dev/ttyUSB9", error)
        assert type(mapped) is kind
        assert mapped.hint
        assert "Errno" not in str(mapped)


async def test_an_open_that_hangs_is_wedged_in_time_and_closed_when_it_comes_back(
    pty: Pty, monkeypatch: pytest.MonkeyPatch, loop_watch: Loop
) -> None:
    came_back = threading.Event()
    real_open = serial.Serial.open

    def slow_open(self: serial.Serial) -> None:
        time.sleep(0.6)
        real_open(self)
        came_back.set()

    monkeypatch.setattr(serial.Serial, "open", slow_open)
    with pytest.raises(PortWedged) as wedged:
        await opened(pty.path, timeout=0.1)
    assert wedged.value.hint
    assert await asyncio.to_thread(came_back.wait, SOON)
    assert loop_watch.worst < STALL
    await closed_again(pty.path)


async def test_an_open_that_is_cancelled_leaks_nothing(pty: Pty, monkeypatch: pytest.MonkeyPatch) -> None:
    real_open = serial.Serial.open
    opening = threading.Event()

    def slow_open(self: serial.Serial) -> None:
        opening.set()
        time.sleep(0.2)
        real_open(self)

    monkeypatch.setattr(serial.Serial, "open", slow_open)
    task = asyncio.create_task(opened(pty.path))
    assert await asyncio.to_thread(opening.wait, SOON)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0.3)
    await closed_again(pty.path)


async def test_a_reader_that_cannot_be_made_leaves_the_port_free(pty: Pty) -> None:
    def fail() -> Reader:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await open_port(pty.path, protocol_factory=fail)
    await closed_again(pty.path)


# Losing


async def test_an_idle_port_that_is_unplugged(pty: Pty) -> None:
    link, reader = await opened(pty.path)
    await asyncio.sleep(0)
    pty.unplug()
    async with asyncio.timeout(SOON):
        error = await reader.lost
    assert isinstance(error, PortLost)
    assert error.hint
    assert link.is_closing
    link.write(b"AT\r")  # dropped
    link.abort()
    assert await link.wait_closed(SOON)


async def test_unplugged_while_writing(pty: Pty, caplog: pytest.LogCaptureFixture) -> None:
    link, reader = await opened(pty.path)
    link.write(b"x" * 1_000_000)
    await asyncio.sleep(0.05)
    pty.unplug()
    link.write(b"y" * 1000)
    async with asyncio.timeout(SOON):
        assert isinstance(await reader.lost, PortLost)
    assert await link.wait_closed(SOON)
    assert caplog.records == []  # daily life, no noise


async def test_unplugged_in_the_moment_of_the_write(pty: Pty) -> None:
    link, reader = await opened(pty.path)
    await asyncio.sleep(0.01)
    pty.unplug()
    link.write(b"AT\r")
    async with asyncio.timeout(SOON):
        assert isinstance(await reader.lost, PortLost)
    assert await link.wait_closed(SOON)


async def test_a_device_that_reads_nothing_does_not_stop_the_loop(pty: Pty, loop_watch: Loop) -> None:
    link, _ = await opened(pty.path)
    for _ in range(64):
        link.write(b"x" * 16_384)
    await asyncio.sleep(0.1)
    assert loop_watch.worst < STALL
    started = time.perf_counter()
    await given_up(link)
    assert time.perf_counter() - started < 2.0


@pytest.mark.parametrize("how", ["abort", "unplug"])
async def test_a_close_that_blocks_stalls_nobody_and_is_called_wedged(
    pty: Pty, monkeypatch: pytest.MonkeyPatch, loop_watch: Loop, how: str
) -> None:
    real_close = serial.Serial.close
    flushed: list[str] = []

    def slow_close(self: serial.Serial) -> None:
        time.sleep(2.0)
        real_close(self)

    monkeypatch.setattr(serial.Serial, "close", slow_close)
    monkeypatch.setattr(serial.Serial, "flush", lambda self: flushed.append("blocks on real hardware"))
    link, reader = await opened(pty.path)
    await asyncio.sleep(0.02)
    pty.unplug() if how == "unplug" else link.abort()
    async with asyncio.timeout(1.0):
        await reader.lost  # told before the kernel has the port back
    assert not await link.wait_closed(0.1)
    assert await link.wait_closed(SOON)
    assert loop_watch.worst < STALL
    assert flushed == []


async def test_abort_twice_and_after_a_loss(pty: Pty) -> None:
    link, reader = await opened(pty.path)
    link.abort()
    link.abort()
    assert await link.wait_closed(SOON)
    assert await reader.lost is None
    link.abort()
    assert await link.wait_closed(0)


async def test_abort_before_the_reader_was_told(pty: Pty) -> None:
    link, reader = await opened(pty.path)
    link.abort()
    assert await link.wait_closed(SOON)
    assert reader.made == 0


async def test_no_descriptor_leaks_in_200_cycles(pty: Pty) -> None:
    link, _ = await opened(pty.path)
    await given_up(link)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(200):
        link, _ = await opened(pty.path)
        await given_up(link)
    assert len(os.listdir("/proc/self/fd")) <= before


def test_pyserial_asyncio_still_has_what_is_overridden() -> None:
    assert serial_asyncio.__version__ == "0.6"
    for name in (*OVERRIDDEN, *RELIED_UPON):
        assert callable(getattr(serial_asyncio.SerialTransport, name, None)), name


# Over the network


class Server:
    """A serial server with one client at a time, in a thread."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.client: socket.socket | None = None

    def accept(self) -> socket.socket:
        self.client, _ = self.listener.accept()
        return self.client

    def close(self) -> None:
        self.listener.close()
        if self.client is not None:
            self.client.close()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


async def test_a_socket_is_a_port(server: Server) -> None:
    accepting = asyncio.create_task(asyncio.to_thread(server.accept))
    link, reader = await opened(f"socket://127.0.0.1:{server.port}")
    client = await accepting
    client.sendall(b"\r\nRDY\r\n")
    assert await reader.until(7) == b"\r\nRDY\r\n"
    link.write(b"AT\r")
    assert await asyncio.to_thread(client.recv, 3) == b"AT\r"
    client.close()
    async with asyncio.timeout(SOON):
        assert isinstance(await reader.lost, PortLost)
    assert await link.wait_closed(SOON)


async def test_nobody_listens(server: Server) -> None:
    server.close()
    with pytest.raises(PortMissing) as missing:
        await opened(f"socket://127.0.0.1:{server.port}")
    assert "ser2net" in missing.value.hint


async def test_a_server_that_hangs_up_is_lost_or_busy(server: Server) -> None:
    accepting = asyncio.create_task(asyncio.to_thread(lambda: server.accept().close()))
    try:
        link, reader = await opened(f"socket://127.0.0.1:{server.port}")
    except PortBusy:
        await accepting
        return
    await accepting
    async with asyncio.timeout(SOON):
        assert isinstance(await reader.lost, PortLost)
    assert await link.wait_closed(SOON)


class TtyOfPty(serial.Serial):
    """A pty has no modem lines; the RFC 2217 server asks for them."""

    cts = dsr = ri = cd = property(lambda self: False)

    def _update_dtr_state(self) -> None:
        return

    _update_rts_state = _update_break_state = _update_dtr_state


class Rfc2217Server:
    """pyserial's own RFC 2217 server over a pty, as in its example."""

    def __init__(self, server: Server, pty: Pty) -> None:
        self._server = server
        self._pty = pty
        self.sockets: list[socket.socket] = []
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def write(self, data: bytes) -> None:
        self.sockets[0].sendall(data)

    def hang_up(self) -> None:
        self.sockets[0].shutdown(socket.SHUT_RDWR)

    def _run(self) -> None:
        client = self._server.accept()
        self.sockets.append(client)
        with TtyOfPty(self._pty.path, timeout=0.05) as tty:
            manager = serial.rfc2217.PortManager(tty, self)
            client.settimeout(0.02)
            while True:
                try:
                    data = client.recv(1024)
                except TimeoutError:
                    pass
                except OSError:
                    return
                else:
                    if not data:
                        return
                    tty.write(b"".join(manager.filter(data)))
                waiting = tty.read(tty.in_waiting)
                if waiting:
                    client.sendall(b"".join(manager.escape(waiting)))


async def test_rfc2217_is_a_port(server: Server, pty: Pty, loop_watch: Loop) -> None:
    far = Rfc2217Server(server, pty)
    link, reader = await opened(f"rfc2217://127.0.0.1:{server.port}")
    await asyncio.sleep(0.01)
    assert reader.made == 1
    link.write(b"AT\r")
    assert await asyncio.to_thread(pty.heard, 3) == b"AT\r"
    pty.say(b"\r\nOK\r\n\xff")
    assert await reader.until(7) == b"\r\nOK\r\n\xff"
    await given_up(link)
    assert await reader.lost is None
    await asyncio.to_thread(far.thread.join, SOON)
    assert loop_watch.worst < STALL


async def test_rfc2217_lost(server: Server, pty: Pty) -> None:
    far = Rfc2217Server(server, pty)
    link, reader = await opened(f"rfc2217://127.0.0.1:{server.port}")
    far.hang_up()
    async with asyncio.timeout(SOON):
        assert isinstance(await reader.lost, PortLost)
    assert await link.wait_closed(SOON)
    await asyncio.to_thread(far.thread.join, SOON)


async def closed_again(path: str) -> None:
    """Nobody holds `path` any more."""
    for _ in range(int(SOON / 0.02)):
        if all(holder.pid != os.getpid() for holder in holders_of(path)):
            return
        await asyncio.sleep(0.02)
    pytest.fail(f"{path} is still open")
