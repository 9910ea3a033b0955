"""What every test stands on: Hypothesis profiles, the order of the rings, checks that nothing is left behind."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

if "SMS_BRIDGE_LAB" not in os.environ:  # the kernel lab has no properties, and its machine no seconds to spare
    from hypothesis import HealthCheck, settings

    # No deadline per example: two busy cores say nothing about the code. The time-out per test still stands.
    settings.register_profile("default", max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.register_profile("nightly", max_examples=100_000, deadline=None, suppress_health_check=list(HealthCheck))
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

# mosquitto and smsd live where a Debian user's PATH does not look.
os.environ["PATH"] = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])

RINGS = ("unit", "exchange", "device", "system", "kernel")  # fast ones first: a failure shows early
SETTLE_DEADLINE = 2.0  # seconds for threads, children and fds that are being closed to be gone
TASK_DEADLINE = 0.5  # seconds for tasks that were cancelled to end
ASYNCIO_COMPLAINTS = ("never retrieved", "was destroyed but it is pending", "Exception in callback", "Unclosed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_ring)


def _ring(item: pytest.Item) -> int:
    parts = Path(item.path).parts
    return next((index for index, ring in enumerate(RINGS) if ring in parts), len(RINGS))


@pytest.fixture(scope="session", autouse=True)
def no_loop_by_accident() -> None:
    """Keeps `get_event_loop` from making a loop that nobody closes."""
    asyncio.set_event_loop(None)


@pytest.fixture(autouse=True)
def leaves_nothing_behind() -> Iterator[None]:
    """Fails a test after which a file descriptor, thread or child process is left that was not there before."""
    fds, threads, children = _open_fds(), set(threading.enumerate()), _children()
    yield
    _check_leaks(fds, threads, children)


@pytest.fixture(autouse=True)
def leaves_no_task_behind(request: pytest.FixtureRequest, leaves_nothing_behind: None) -> None:
    """Fails an asynchronous test after whose last fixture a task still runs."""
    if pytest_asyncio.is_async_test(request.node):
        # In before the test's own fixtures and out after them; the event loop closes between this and the check above.
        request.getfixturevalue("_leaves_no_task_behind")


@pytest_asyncio.fixture
async def _leaves_no_task_behind() -> AsyncIterator[None]:
    mine = asyncio.current_task()
    before = asyncio.all_tasks()
    yield
    left = asyncio.all_tasks() - before - {mine, asyncio.current_task()}
    if left:
        _, left = await asyncio.wait(left, timeout=TASK_DEADLINE)
    if left:
        pytest.fail(f"tasks still run after the test: {[repr(task) for task in left]}")


@pytest.fixture(autouse=True)
def logs_are_well_formed() -> Iterator[None]:
    """Fails a test in which a log call had wrong arguments, at any level, or asyncio found an exception nobody took."""
    watcher = _LogWatcher()
    root = logging.getLogger()
    level = root.level
    root.addHandler(watcher)
    root.setLevel(logging.DEBUG)
    yield
    gc.collect(0)
    root.removeHandler(watcher)
    root.setLevel(level)
    if watcher.complaints:
        pytest.fail("\n".join(watcher.complaints))


class _LogWatcher(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.complaints: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage()
        except Exception as error:
            self.complaints.append(f"bad log call in {record.pathname}:{record.lineno}: {error!r}, {record.msg!r}")
            return
        if record.name == "asyncio" and any(words in message for words in ASYNCIO_COMPLAINTS):
            self.complaints.append(f"asyncio: {message}: {record.exc_info[1]!r}" if record.exc_info else message)


def _check_leaks(fds: dict[int, str], threads: set[threading.Thread], children: set[int]) -> None:
    problems = [
        _settled("threads", lambda: [t.name for t in threading.enumerate() if t not in threads and t.is_alive()]),
        _settled("child processes", lambda: [_process_name(pid) for pid in _children() - children]),
        _settled("file descriptors", lambda: [f"{fd} -> {name}" for fd, name in _new_fds(fds).items()]),
    ]
    if any(problems):
        pytest.fail("; ".join(problem for problem in problems if problem))


def _settled(what: str, left: Callable[[], list[str]]) -> str:
    """Empty once nothing is left, or what is left after the deadline."""
    end = time.monotonic() + SETTLE_DEADLINE
    found = left()
    if found:
        gc.collect()
    while found and time.monotonic() < end:
        time.sleep(0.02)
        found = left()
    return f"{what} left by the test: {', '.join(found)}" if found else ""


def _open_fds() -> dict[int, str]:
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue  # the fd of the listing itself
    return found


def _new_fds(before: dict[int, str]) -> dict[int, str]:
    return {
        fd: name
        for fd, name in _open_fds().items()
        if fd not in before and not name.startswith(("/dev/urandom", "/dev/null")) and ".hypothesis" not in name
    }


def _children() -> set[int]:
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        try:
            found.update(int(pid) for pid in (task / "children").read_text().split())
        except OSError:
            continue  # the thread ended meanwhile
    return found


def _process_name(pid: int) -> str:
    try:
        return f"{pid} {Path(f'/proc/{pid}/cmdline').read_bytes().replace(bytes(1), b' ').decode(errors='replace')}"
    except OSError:
        return str(pid)
