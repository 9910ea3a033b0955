"""What systemd hears, on a socket like its own."""

from __future__ import annotations

import os
import socket

import pytest

from sms_bridge.observe.systemd import Notifier


@pytest.fixture
def heard(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(str(tmp_path / "notify"))
        end.setblocking(False)

        def read():
            found = []
            while True:
                try:
                    found.append(end.recv(1000).decode())
                except BlockingIOError:
                    return found

        yield str(tmp_path / "notify"), read


def test_ready_status_alive_stopping(heard):
    address, read = heard
    notifier = Notifier({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())})
    notifier.ready()
    for _ in range(3):
        notifier.alive()
        notifier.status("2 of 2\nmodems ready")
    notifier.stopping()
    assert read() == ["READY=1", "WATCHDOG=1", "STATUS=2 of 2 modems ready", "STOPPING=1"]


@pytest.mark.parametrize("more", [{}, {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "x"}])
def test_no_watchdog_that_is_not_ours(heard, more):
    address, read = heard
    Notifier({"NOTIFY_SOCKET": address, **more}).alive()
    assert read() == []


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": "/nowhere/at/all"}, {"NOTIFY_SOCKET": "@no-such-name"}])
def test_without_systemd_nothing_happens(environ):
    notifier = Notifier(environ)
    notifier.ready()
    notifier.status("x")
    notifier.stopping()


def test_an_abstract_socket():
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        name = f"sms-bridge-test-{os.getpid()}"
        end.bind("\0" + name)
        Notifier({"NOTIFY_SOCKET": "@" + name}).ready()
        assert end.recv(100) == b"READY=1"
