"""That two programs never share a port: lock files, with real processes, and the programs that people run."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.errors import PortBusy
from hardware.transport import SerialLink, holders_of, lockfile, open_port
from hardware.transport.lockfile import FOLDER, HIGHEST_PID, Locked, _owner, acquire
from hardware.transport.paths import real_path
from tests.device.test_peers import (
    ENVIRONMENT,
    GAMMU_SMSD,
    SMSTOOLS,
    SMSTOOLS_MEMORY,
    daemon,
    eventually,
    gammu_config,
    need,
)  # fmt: skip
from tests.support.at_client import Bench, bench

SOON = 5.0  # seconds
QUICK = 0.05  # seconds instead of the grace that a program needs between its lock and its port


class Nobody:
    """Reads a link and does not care."""

    def connection_made(self, link: SerialLink) -> None: ...

    def data_received(self, data: bytes) -> None: ...

    def connection_lost(self, error: object) -> None: ...


def test_a_port_that_goes_in_the_moment_it_is_looked_at_keeps_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = tmp_path / "ttyUSB0"
    link.symlink_to("/dev/null")
    assert real_path(str(link)) == "/dev/null"

    def gone(_path: object, **_: object) -> str:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(os, "readlink", gone)
    assert real_path(str(link)) == str(link)


@contextmanager
def running(*, opens: str = os.devnull) -> Iterator[int]:
    """Another program, and what it has open."""
    with open(opens, "rb", buffering=0) as stdin:
        process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], stdin=stdin)
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


def ended() -> int:
    """The pid of a program that is no more."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


@pytest.fixture
def pty() -> Iterator[str]:
    leader, follower = os.openpty()
    path = os.ttyname(follower)
    os.close(follower)
    yield path
    os.close(leader)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lockfile, "GRACE", QUICK)


def file_of(folder: Path, pty: str) -> Path:
    return folder / f"LCK..{os.path.basename(pty)}"


def test_a_lock_is_as_others_read_it_and_goes(tmp_path: Path, pty: str) -> None:
    mask = os.umask(0o077)  # as the service has it
    try:
        lock = acquire(pty, tmp_path)
    finally:
        os.umask(mask)
    assert lock.files == (file_of(tmp_path, pty),)
    assert file_of(tmp_path, pty).read_text() == f"{os.getpid():>10}\n"
    assert file_of(tmp_path, pty).stat().st_mode & 0o444 == 0o444
    lock.release()
    lock.release()
    assert list(tmp_path.iterdir()) == []


def test_it_is_locked_by_the_name_it_was_given_too(tmp_path: Path) -> None:
    assert lockfile._names("/dev/stdin")[-1] == "stdin"
    assert lockfile._names(str(tmp_path / "modem0")) == ["modem0"]


def test_the_same_port_twice_is_refused(tmp_path: Path, pty: str) -> None:
    lock = acquire(pty, tmp_path)
    with pytest.raises(Locked) as refused:
        acquire(pty, tmp_path)
    assert refused.value.holder.pid == os.getpid()
    assert lock.files[0].exists()
    lock.release()


def test_another_programs_lock_is_honoured_while_it_uses_the_port(tmp_path: Path, pty: str, quick: None) -> None:
    file = file_of(tmp_path, pty)
    with running(opens=pty) as pid:
        file.write_text(f"{pid:>10} minicom\n")
        with pytest.raises(Locked) as refused:
            acquire(pty, tmp_path)
    assert refused.value.holder.pid == pid
    assert str(pid) in file.read_text()
    acquire(pty, tmp_path).release()  # it has ended


@pytest.mark.parametrize("form", ["{:>10}\n", "{}", "{:>10} gammu\n"])
def test_a_lock_of_a_program_that_has_ended_is_removed(tmp_path: Path, pty: str, form: str) -> None:
    file_of(tmp_path, pty).write_text(form.format(ended()))
    lock = acquire(pty, tmp_path)
    assert _owner(lock.files[0]) == os.getpid()
    lock.release()
    file_of(tmp_path, pty).write_bytes(ended().to_bytes(4, "little"))
    acquire(pty, tmp_path).release()


def test_a_number_that_another_program_has_by_now_locks_nothing(tmp_path: Path, pty: str, quick: None) -> None:
    with running() as pid:
        file_of(tmp_path, pty).write_text(f"{pid:>10}\n")
        acquire(pty, tmp_path).release()


def test_a_predecessor_with_our_number_locks_nothing(tmp_path: Path, pty: str) -> None:
    """In a container the bridge has the same pid after each start."""
    file_of(tmp_path, pty).write_text(f"{os.getpid():>10}\n")
    lock = acquire(pty, tmp_path)
    assert lock.files
    lock.release()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content", [b"", b"minicom\n", b"\xff" * 64, b"0\n", b"-5\n", b"99999999999999999999\n", b"1e3"]
)
def test_garbage_locks_nothing(tmp_path: Path, pty: str, quick: None, content: bytes) -> None:
    file_of(tmp_path, pty).write_bytes(content)
    lock = acquire(pty, tmp_path)
    assert lock.files
    lock.release()


def test_what_is_no_file_neither_blocks_nor_locks(tmp_path: Path, pty: str, quick: None) -> None:
    file = file_of(tmp_path, pty)
    os.mkfifo(file)
    acquire(pty, tmp_path).release()
    file.symlink_to("/proc/kmsg")
    acquire(pty, tmp_path).release()
    (tmp_path / "kept").write_text(f"{os.getpid()}")
    file.symlink_to(tmp_path / "kept")
    acquire(pty, tmp_path).release()
    assert (tmp_path / "kept").exists()
    file.mkdir()
    assert acquire(pty, tmp_path).files == ()


def test_without_a_folder_there_are_no_lock_files(tmp_path: Path, pty: str) -> None:
    lock = acquire(pty, tmp_path / "none")
    assert lock.files == ()
    lock.release()


@given(st.binary(max_size=100))
def test_any_content_is_a_pid_or_none(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "any"
    file.write_bytes(content)
    pid = _owner(file)
    assert pid is None or 0 < pid <= HIGHEST_PID


async def test_an_open_port_is_locked_and_a_closed_one_is_not(pty: str) -> None:
    link = await open_port(pty, protocol_factory=Nobody)
    assert _owner(file_of(FOLDER, pty)) == os.getpid()
    link.abort()
    assert await link.wait_closed(SOON)
    assert not file_of(FOLDER, pty).exists()


async def test_a_port_that_did_not_open_is_not_locked(pty: str) -> None:
    with running(opens=pty) as pid, pytest.raises(PortBusy) as busy:
        await open_port(pty, protocol_factory=Nobody)
    assert f"(pid {pid}) holds it" in busy.value.hint
    assert not file_of(FOLDER, pty).exists()


async def test_who_has_locked_the_port_is_named_with_the_fix(pty: str) -> None:
    with running(opens=pty) as pid:
        file_of(FOLDER, pty).write_text(f"{pid:>10}\n")
        with pytest.raises(PortBusy) as busy:
            await open_port(pty, protocol_factory=Nobody)
    assert f"(pid {pid}) has locked it" in busy.value.hint
    assert f"remove {file_of(FOLDER, pty)}" in busy.value.hint
    link = await open_port(pty, protocol_factory=Nobody)  # it has ended, and its lock is stale
    link.abort()
    assert await link.wait_closed(SOON)


# The programs that people run (domain A13)


@pytest.fixture
def phones(tmp_path: Path) -> Iterator[Bench]:
    with bench(tmp_path / "phones", ["sim800l"]) as found:
        yield found


def gammu(phones: Bench, directory: Path, locking: str) -> Path:
    """Its configuration, with the port by its true name: that is what its lock file is called after."""
    config = gammu_config(phones, directory)
    text = config.read_text().replace(phones.ports[0], os.path.realpath(phones.ports[0]))
    config.write_text(text + f"use_locking = {locking}\n")
    return config


def identify(config: Path) -> subprocess.CompletedProcess[str]:
    arguments = [need("gammu"), "-c", str(config), "identify"]
    return subprocess.run(arguments, env=ENVIRONMENT, capture_output=True, text=True, timeout=20, check=False)


@pytest.mark.peer
@pytest.mark.parametrize("locking", ["yes", "no"])
async def test_gammu_keeps_off_our_port(phones: Bench, tmp_path: Path, locking: str) -> None:
    config = gammu(phones, tmp_path, locking)
    link = await open_port(phones.ports[0], protocol_factory=Nobody)
    refused = await asyncio.to_thread(identify, config)
    link.abort()
    assert await link.wait_closed(SOON)
    assert refused.returncode != 0
    assert ("locked" if locking == "yes" else "busy") in refused.stdout + refused.stderr


@pytest.mark.peer
@pytest.mark.parametrize("locking", ["yes", "no"])
async def test_we_keep_off_gammus_port(phones: Bench, tmp_path: Path, locking: str) -> None:
    for name in ("inbox", "outbox", "sent", "error"):
        (tmp_path / name).mkdir()
    config = gammu(phones, tmp_path, locking)
    config.write_text(config.read_text() + GAMMU_SMSD.format(directory=tmp_path))
    port = phones.ports[0]
    lock = file_of(FOLDER, os.readlink(port))
    with daemon(need("gammu-smsd"), "-c", str(config), directory=tmp_path) as process:
        eventually(lambda: process.pid in {holder.pid for holder in holders_of(port)}, "it has the port")
        with pytest.raises(PortBusy) as busy:
            await open_port(port, protocol_factory=Nobody)
    assert f"gammu-smsd (pid {process.pid})" in busy.value.hint
    assert "sudo systemctl disable --now gammu-smsd" in busy.value.hint
    assert ("has locked it" if locking == "yes" else "holds it") in busy.value.hint
    link = await open_port(port, protocol_factory=Nobody)  # it has ended, and its lock file stayed behind
    link.abort()
    assert await link.wait_closed(SOON)
    assert not lock.exists()


@pytest.mark.peer
async def test_we_keep_off_the_port_of_sms_server_tools_which_lock_nothing(phones: Bench, tmp_path: Path) -> None:
    for folder in ("outgoing", "checked", "incoming", "failed", "sent", "report", "stats"):
        (tmp_path / folder).mkdir()
    config, port = tmp_path / "smsd.conf", phones.ports[0]
    memory = SMSTOOLS_MEMORY["sim800l"] + "\nkeep_open = yes"
    config.write_text(SMSTOOLS.format(port=port, directory=tmp_path, memory=memory))
    with daemon(need("smsd"), "-t", f"-c{config}", directory=tmp_path):
        eventually(lambda: "smsd" in {holder.program for holder in holders_of(port)}, "it has the port")
        with pytest.raises(PortBusy) as busy:
            await open_port(port, protocol_factory=Nobody)
    assert "smsd (pid" in busy.value.hint
    assert "sudo systemctl disable --now smstools" in busy.value.hint
