"""Who holds a port, out of a /proc laid out as the kernel's, and what is said to a person."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hardware.transport.grabbers import KNOWN
from hardware.transport.holders import Holder, describe, fix_for, holders_of, is_tty, rivals_of, who_holds

NODE = "node"


class Proc:
    """A /proc, and a device node beside it."""

    def __init__(self, root: Path) -> None:
        self.proc = root / "proc"
        self.proc.mkdir()
        self.node = root / "ttyUSB2"
        self.node.touch()

    def run(self, pid: int, comm: str, *argv: str, cgroup: str = "0::/init.scope", opens: tuple[str, ...] = ()) -> None:
        process = self.proc / str(pid)
        (process / "fd").mkdir(parents=True)
        (process / "comm").write_text(comm[:15] + "\n")
        (process / "cmdline").write_bytes(b"".join(word.encode() + b"\0" for word in argv or (comm,)))
        (process / "cgroup").write_text(cgroup + "\n")
        for number, target in enumerate(opens or ()):
            (process / "fd" / str(number + 3)).symlink_to(self.node if target == NODE else target)

    def lock(self, pid: int) -> None:
        status = self.node.stat()
        inode = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
        (self.proc / "locks").write_text(
            f"1: POSIX  ADVISORY  WRITE 4 00:18:9 0 EOF\n2: FLOCK  ADVISORY  WRITE {pid} {inode} 0 EOF\nx\n"
            f"2: -> FLOCK  ADVISORY  WRITE 66 {inode} 0 EOF\n3: FLOCK  ADVISORY  WRITE 0 {inode} 0 EOF\n"
        )


@pytest.fixture
def machine(tmp_path: Path) -> Proc:
    return Proc(tmp_path)


def closed(monkeypatch: pytest.MonkeyPatch, *folders: Path) -> None:
    """The kernel refuses to list these, as it does to all but root."""
    listdir = os.listdir

    def refuse(path: object = ".") -> list[str]:
        if Path(str(path)) in folders:
            raise PermissionError(13, "Permission denied")
        return listdir(str(path))

    monkeypatch.setattr(os, "listdir", refuse)


def test_the_one_who_has_it_open(machine: Proc) -> None:
    machine.run(
        812, "ModemManager", "/usr/sbin/ModemManager", cgroup="0::/system.slice/ModemManager.service", opens=(NODE,)
    )
    machine.run(900, "bash", opens=("/dev/null", "/dev/ttyUSB2 (deleted)"))
    holding = who_holds(str(machine.node), machine.proc)
    assert [str(holder) for holder in holding.holders] == ["ModemManager (pid 812)"]
    assert (holding.suspects, holding.unseen) == ((), None)
    (holder,) = holders_of(str(machine.node), machine.proc)
    assert holder == Holder(812, "ModemManager", "ModemManager.service")
    assert fix_for(holder) == "it takes every modem it sees: stop it with: sudo systemctl disable --now ModemManager"
    assert 'udev rule ATTRS{idVendor}=="2c7c", ATTRS{idProduct}=="0125", ENV{ID_MM_DEVICE_IGNORE}="1"; or' in fix_for(
        holder, vid_pid="2c7c:0125"
    )


def test_a_lock_is_seen_without_seeing_the_files(machine: Proc, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.run(77, "gammu-smsd", "/usr/bin/gammu-smsd", cgroup="0::/system.slice/gammu-smsd.service", opens=(NODE,))
    machine.run(78, "cat", opens=(NODE,))
    machine.lock(77)
    closed(monkeypatch, machine.proc / "77" / "fd")
    assert [holder.pid for holder in holders_of(str(machine.node), machine.proc)] == [77]
    holding = who_holds(str(machine.node), machine.proc)
    assert [str(holder) for holder in holding.holders] == ["gammu-smsd (pid 77)", "cat (pid 78)"]
    assert holding.suspects == ()


def test_whom_to_suspect_when_the_files_cannot_be_seen(machine: Proc, monkeypatch: pytest.MonkeyPatch) -> None:
    for pid, name in ((1, "systemd"), (2, "agetty"), (812, "ModemManager"), (813, "smsd")):
        machine.run(pid, name)
    closed(monkeypatch, *(machine.proc / str(pid) / "fd" for pid in (1, 2, 812, 813)))
    holding = who_holds(str(machine.node), machine.proc)
    assert holding.holders == ()
    assert sorted(str(holder) for holder in holding.suspects) == ["ModemManager (pid 812)", "smsd (pid 813)"]
    assert holding.unseen == "4 programs of other users cannot be looked into without root"


def test_in_a_container_it_is_said_that_others_cannot_be_seen(machine: Proc) -> None:
    (machine.proc / "self" / "ns").mkdir(parents=True)
    (machine.proc / "self" / "ns" / "pid").symlink_to("pid:[4026532299]")
    assert (
        who_holds(str(machine.node), machine.proc).unseen == "programs outside this container cannot be seen from here"
    )


@pytest.mark.parametrize(
    ("comm", "argv", "cgroup", "program", "unit", "fix"),
    [
        ("brltty", (), "0::/system.slice/brltty.service", "brltty", "brltty.service", "sudo apt remove brltty"),
        ("gammu-smsd", (), "", "gammu-smsd", None, "disable --now gammu-smsd"),
        ("smsd", ("/usr/sbin/smsd", "-p/run/x"), "", "smsd", None, "disable --now smstools"),
        ("node", ("node", "/opt/zigbee2mqtt/index.js"), "", "zigbee2mqtt", None, "/dev/serial/by-id"),
        ("MainThread", ("node", "index.js"), "0::/system.slice/zigbee2mqtt.service", "zigbee2mqtt",
         "zigbee2mqtt.service", "/dev/serial/by-id"),
        ("node", ("node", "index.js"), f"0::/system.slice/docker-{'a' * 64}.scope", "index.js", None, "docker ps"),
        ("python3", ("python3", "-m", "homeassistant", "-c", "/config"), "", "homeassistant", None, "all is well"),
        ("python3", ("/opt/v/bin/python3", "/opt/v/bin/sms-bridge", "run"), "", "sms-bridge", None, "one is enough"),
        ("python3", ("python3", "-c", "pass"), "", "python3", None, "stop python3"),
        ("python3", ("python3", "/home/pi/door.py"), "", "door.py", None, "stop door.py"),
        ("agetty", ("/sbin/agetty", "ttyUSB2"),
         "0::/system.slice/system-serial\\x2dgetty.slice/serial-getty@ttyUSB2.service", "agetty",
         "serial-getty@ttyUSB2.service", "disable --now serial-getty@ttyUSB2"),
        ("a-very-long-pro", ("/usr/bin/a-very-long-program", "x"), "", "a-very-long-program", None, "stop a-very"),
        ("minicom", (), "1:name=systemd:/user.slice/user-1000.slice/session-3.scope", "minicom", None, "close it"),
        ("mine", (), "0::/user.slice/user@1000.service/app.slice/mine.service", "mine", "mine.service", "--now mine"),
        ("\x1b[2Jevil\n", (), "", "?[2Jevil", None, "stop ?[2Jevil"),
    ],
)  # fmt: skip
def test_a_program_by_the_name_a_person_knows(
    machine: Proc, comm: str, argv: tuple[str, ...], cgroup: str, program: str, unit: str | None, fix: str
) -> None:
    machine.run(5, comm, *argv, cgroup=cgroup)
    holder = describe(5, machine.proc)
    assert (holder.program, holder.unit) == (program, unit)
    assert fix in fix_for(holder, port="/dev/ttyUSB2")


def test_every_known_program_has_a_fix_in_words() -> None:
    for name in KNOWN:
        for container in (False, True):
            words = fix_for(Holder(1, name, None, container), vid_pid="12d1:1001", port="/dev/ttyUSB0")
            assert words.isprintable()
            assert not words.endswith(".")


def test_a_process_that_ended_is_unknown(machine: Proc) -> None:
    assert describe(5, machine.proc) == Holder(5, "unknown")
    machine.run(6, "")
    assert describe(6, machine.proc).program == "unknown"


def test_rivals_are_others_who_have_it_open(machine: Proc) -> None:
    machine.run(os.getpid(), "python3", opens=(NODE,))
    machine.run(78, "cat", opens=(NODE,))
    assert rivals_of(str(machine.node), machine.proc) == [Holder(78, "cat")]


def test_who_plays_the_modem_behind_a_pty_is_no_rival(machine: Proc) -> None:
    machine.run(78, "emulator", opens=("/dev/pts/4711", "/dev/ptmx", "/dev/pts/ptmx"))
    machine.run(79, "smsd", opens=("/dev/pts/4711", "/dev/ptmx"))
    for pid, indices in ((78, ("1", "4711")), (79, ("47110",))):
        (machine.proc / str(pid) / "fdinfo").mkdir()
        for descriptor, index in enumerate(indices, 4):
            (machine.proc / str(pid) / "fdinfo" / str(descriptor)).write_text(f"pos:\t0\ntty-index:\t{index}\n")
    assert [holder.program for holder in rivals_of("/dev/pts/4711", machine.proc)] == ["smsd"]


def test_what_is_a_tty() -> None:
    leader, follower = os.openpty()
    path = os.ttyname(follower)
    try:
        assert is_tty(path)
        assert not is_tty("/dev/null")
        assert not is_tty("/tmp")
        assert not is_tty("/dev/ttyUSB99")
        assert not is_tty(path, Path("/nowhere"))
    finally:
        os.close(leader)
        os.close(follower)
