"""Third-party programs on the emulated phones: they must take them for real.

Each has its own configuration and spool below the test's directory; none becomes a daemon.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.at_client import Bench, bench

pytestmark = [pytest.mark.peer, pytest.mark.slow]

STRANGER = "+36301234567"
TEXT = "Árvíztűrő tükörfúrógép 👍, és még egyszer: árvíztűrő tükörfúrógép, hogy biztosan két részben menjen el!"
REPLY = "Öt szép szűzlány őrült írót nyúz 👍, és ezt addig ismétli, amíg a hálózat három részre nem vágja. " * 2
ENVIRONMENT = {"PATH": os.environ.get("PATH", "/usr/bin:/bin") + ":/usr/sbin", "LC_ALL": "C.UTF-8"}
COMMAND_DEADLINE = 20.0  # seconds; gammu takes four to find out what it talks to
DAEMON_DEADLINE = 20.0

GAMMU = """\
[gammu]
device = {port}
connection = at115200
synchronizetime = no
logfile = {directory}/gammu.log
logformat = textall
"""

GAMMU_SMSD = """\
[smsd]
service = files
logfile = {directory}/smsd.log
debuglevel = 255
inboxpath = {directory}/inbox/
outboxpath = {directory}/outbox/
sentsmspath = {directory}/sent/
errorsmspath = {directory}/error/
checksecurity = 0
checkbattery = 0
checksignal = 0
checknetwork = 0
receivefrequency = 1
statusfrequency = 0
commtimeout = 1
loopsleep = 1
deliveryreport = log
"""

SMSTOOLS = """\
devices = modem
outgoing = {directory}/outgoing
checked = {directory}/checked
incoming = {directory}/incoming
failed = {directory}/failed
sent = {directory}/sent
report = {directory}/report
stats = {directory}/stats
logfile = {directory}/smsd.log
infofile = {directory}/smsd.working
pidfile = {directory}/smsd.pid
loglevel = 7
delaytime = 1
delaytime_mainprocess = 1
errorsleeptime = 1
trust_outgoing = no

[modem]
device = {port}
init = AT+CNMI=2,1,0,2,0
incoming = yes
report = yes
baudrate = 115200
{memory}
decode_unicode_text = no
"""


@pytest.fixture
def phones(tmp_path: Path) -> Iterator[Bench]:
    with bench(tmp_path / "phones", ["sim800l"]) as running:
        yield running


def need(program: str) -> str:
    found = shutil.which(program, path=ENVIRONMENT["PATH"])
    assert found, f"{program} is not installed: apt install gammu gammu-smsd smstools"
    return found


def run(*arguments: str, directory: Path) -> str:
    """Run a program to its end; its output."""
    result = subprocess.run(
        arguments, cwd=directory, env=ENVIRONMENT, capture_output=True, text=True, timeout=COMMAND_DEADLINE, check=False
    )
    assert result.returncode == 0, f"{arguments}: {result.returncode}\n{result.stdout}\n{result.stderr}"
    return result.stdout


@contextlib.contextmanager
def daemon(*arguments: str, directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A program that stays, in a session of its own so that its children go with it."""
    process = subprocess.Popen(
        arguments,
        cwd=directory,
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 15)
        try:
            process.wait(3)
        except subprocess.TimeoutExpired:
            pass
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        process.wait(5)


def eventually(condition: Callable[[], Any], what: str, log: Path | None = None) -> Any:
    end = time.monotonic() + DAEMON_DEADLINE
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.05)
    tail = log.read_text(errors="replace")[-2000:] if log and log.exists() else ""
    raise AssertionError(f"not within {DAEMON_DEADLINE:g} s: {what}\n{tail}")


def gammu_config(phones: Bench, directory: Path) -> Path:
    config = directory / "gammurc"
    config.write_text(GAMMU.format(port=phones.ports[0], directory=directory))
    return config


def submitted(phones: Bench, text: str, count: int) -> Callable[[], bool]:
    """Whether exactly `count` parts that make `text` have crossed to the stranger."""

    def check() -> bool:
        entries = [entry for entry in phones.ledger("submit") if entry["to"] == STRANGER and entry["accepted"]]
        return len(entries) == count and "".join(entry["text"] for entry in entries) == text

    return check


@pytest.mark.parametrize("name", ["sim800l", "e173", "ec25"])
def test_gammu_sends_in_parts_with_a_report(tmp_path: Path, name: str) -> None:
    with bench(tmp_path / "phones", [name]) as phones:
        config = gammu_config(phones, tmp_path)
        gammu = (need("gammu"), "-c", str(config))
        out = run(
            *gammu, "sendsms", "TEXT", STRANGER, "-report", "-autolen", "300", "-unicode", "-textutf8", TEXT,
            directory=tmp_path,
        )  # fmt: skip
        assert out.count("OK, message reference=") == 2
        assert submitted(phones, TEXT, 2)()
        assert {entry["concat"]["total"] for entry in phones.ledger("submit")} == {2}
        assert [entry["status_report"] for entry in phones.ledger("submit")] == [True, True]
        assert len(phones.ledger("report")) == 2


@pytest.mark.parametrize("name", ["sim800l", "sim7600", "sara"])
def test_gammu_identifies_and_reads(tmp_path: Path, name: str) -> None:
    with bench(tmp_path / "phones", [name]) as phones:
        config = gammu_config(phones, tmp_path)
        gammu = (need("gammu"), "-c", str(config))
        identity = run(*gammu, "identify", directory=tmp_path)
        card = phones.do("list")["modems"][0]
        assert card["imei"] in identity
        assert card["imsi"] in identity
        parts = phones.do("deliver", modem=0, **{"from": STRANGER, "text": REPLY})["parts"]
        listed = run(*gammu, "geteachsms", directory=tmp_path)
        assert f"{parts} SMS parts in 1 SMS sequences" in listed
        assert REPLY.strip() in listed
        assert f'"{STRANGER}"' in listed
        assert "+36209300099" in run(*gammu, "getsmsc", directory=tmp_path)


def test_gammu_deletes_what_it_has_read(phones: Bench, tmp_path: Path) -> None:
    gammu = (need("gammu"), "-c", str(gammu_config(phones, tmp_path)))
    phones.do("deliver", modem=0, **{"from": STRANGER, "text": "short"})
    assert "short" in run(*gammu, "getsms", "1", "1", directory=tmp_path)
    run(*gammu, "deletesms", "1", "1", directory=tmp_path)
    assert phones.do("inbox", modem=0)["messages"] == []


def test_gammu_smsd_sends_and_receives(phones: Bench, tmp_path: Path) -> None:
    for name in ("inbox", "outbox", "sent", "error"):
        (tmp_path / name).mkdir()
    config = gammu_config(phones, tmp_path)
    config.write_text(config.read_text() + GAMMU_SMSD.format(directory=tmp_path))
    log = tmp_path / "smsd.log"
    run(
        need("gammu-smsd-inject"), "-c", str(config), "TEXT", STRANGER, "-report", "-autolen", "300", "-unicode",
        "-textutf8", TEXT, directory=tmp_path,
    )  # fmt: skip
    with daemon(need("gammu-smsd"), "-c", str(config), directory=tmp_path):
        eventually(submitted(phones, TEXT, 2), "both parts are sent", log)
        phones.do("deliver", modem=0, **{"from": STRANGER, "text": REPLY})
        eventually(
            lambda: not phones.do("inbox", modem=0)["messages"] and _gammu_inbox(tmp_path), "the SIM is read", log
        )
        eventually(lambda: list((tmp_path / "sent").iterdir()), "the order is filed as sent", log)
        time.sleep(1)
    assert "".join(_gammu_inbox(tmp_path)) == REPLY
    assert len(phones.ledger("submit")) == 2, "nothing twice"
    assert len(phones.ledger("report")) == 2
    assert not list((tmp_path / "error").iterdir())


def _gammu_inbox(directory: Path) -> Sequence[str]:
    files = sorted(path for path in (directory / "inbox").iterdir() if STRANGER in path.name)
    return [path.read_text(encoding="utf-8") for path in files]


SMSTOOLS_MEMORY = {
    "sim800l": "memory_start = 1",
    "e173": "memory_start = 0",
    # Reports are stored apart from messages.
    "sim7600": "memory_start = 0\nprimary_memory = SM\nsecondary_memory = SR\nsecondary_memory_max = 30",
}


@pytest.mark.parametrize("name", list(SMSTOOLS_MEMORY))
def test_smstools_sends_receives_and_files_the_report(tmp_path: Path, name: str) -> None:
    for folder in ("outgoing", "checked", "incoming", "failed", "sent", "report", "stats"):
        (tmp_path / folder).mkdir()
    log = tmp_path / "smsd.log"
    with bench(tmp_path / "phones", [name]) as phones:
        config = tmp_path / "smsd.conf"
        memory = SMSTOOLS_MEMORY[name]
        config.write_text(SMSTOOLS.format(port=phones.ports[0], directory=tmp_path, memory=memory))
        order = f"To: {STRANGER.removeprefix('+')}\nReport: yes\nAlphabet: UCS2\nAutosplit: 3\n\n"
        (tmp_path / "outgoing" / "order").write_bytes(order.encode() + TEXT.encode("utf-16-be"))
        phones.do("deliver", modem=0, **{"from": STRANGER, "text": REPLY})
        with daemon(need("smsd"), "-t", f"-c{config}", directory=tmp_path):
            eventually(submitted(phones, TEXT, 2), "both parts are sent", log)
            eventually(lambda: list((tmp_path / "sent").iterdir()), "the order is filed as sent", log)
            body = eventually(lambda: _smstools_body(tmp_path / "incoming", STRANGER), "the message is filed", log)
            eventually(lambda: len(list((tmp_path / "report").iterdir())) == 2, "both reports are filed", log)
            eventually(lambda: not phones.do("inbox", modem=0)["messages"], "the SIM is emptied", log)
        assert body.decode("utf-16-be") == REPLY
        for report in (tmp_path / "report").iterdir():
            assert "Status: 0,Ok" in report.read_text()
        assert not list((tmp_path / "failed").iterdir())
        assert phones.stats()["unknown_commands"] == []


def _smstools_body(folder: Path, sender: str) -> bytes:
    """The body of the one file that has all parts."""
    for path in folder.iterdir():
        head, _, body = path.read_bytes().partition(b"\n\n")
        if re.search(rb"^From: " + sender.removeprefix("+").encode(), head, re.MULTILINE) and len(body) > 280:
            return body
    return b""
