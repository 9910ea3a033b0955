"""Configurations of Gammu and of SMS Server Tools, as people have them, in the bridge's words."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sms_bridge.cli.foreign import ForeignError
from sms_bridge.cli.gammu import from_smsd_conf, from_smsdrc
from sms_bridge.config import ConfigError, load
from tests.support.examples import examples

SMSDRC = """\
# Configuration file for Gammu SMS Daemon

[gammu]
# Please configure this!
port = /dev/serial/by-id/usb-HUAWEI_HUAWEI_Mobile-if00-port0
connection = at115200
model = at
synchronizetime = yes
logfile = /var/log/gammu.log
atgen_setcnmi = 1,2,0,1,0

[gammu1]
port = /dev/ttyUSB3

[smsd]
service = sql
driver = native_mysql
host = localhost
user = smsd
password = s3cret
PIN = 0173
logfile = syslog
debuglevel = 255
RunOnReceive = /usr/local/bin/on-sms.sh
MaxRetries = 3
RetryTimeout = 60
SendTimeout = 45
ReceiveFrequency = 30
MultipartTimeout = 600
deliveryreport = sms
hangupcalls = 1
phoneid = MODEM1

[include_numbers]
number1 = +36301234567
"""

SMSD = """\
devices = GSM1, Bela 2
outgoing = /var/spool/sms/outgoing
loglevel = 7
eventhandler = /usr/local/bin/smsd_event
autosplit = 3
whitelist = /etc/smsd.white

[GSM1]
device = /dev/ttyS0
incoming = yes
baudrate = 9600
pin = 1234
init = AT+CNMI=2,1
report = yes
number = +36 20 111 2222

[Bela 2]
device = @192.168.1.30:4000
baudrate = 12345
pin = ignore
memory_start = 0

[queues]
"""


def test_a_gammu_smsdrc(tmp_path: Path) -> None:
    text = from_smsdrc(SMSDRC.encode(), "gammu-smsdrc")
    found = load(_write(tmp_path, text), environ={})
    assert [(modem.name, modem.port, modem.baudrate, modem.pin) for modem in found.modems] == [
        ("gammu", "/dev/serial/by-id/usb-HUAWEI_HUAWEI_Mobile-if00-port0", 115_200, "0173")
    ]
    assert (found.sending.max_attempts, found.sending.retry_delay, found.sending.result_timeout) == (3, 60, 45)
    assert (found.inbound.sweep_interval, found.inbound.reassembly_timeout) == (30, 600)
    assert found.calls.hang_up
    comments = [line for line in text.splitlines() if line.startswith("#")]
    for word in ("RunOnReceive", "service", "gammu1" if "gammu1" in text else "only [gammu]", "deliveryreport"):
        assert any(word in line for line in comments), word
    assert "s3cret" not in text, "what is of no use here is not copied"
    assert "0173" not in "\n".join(comments)


def test_a_smsd_conf(tmp_path: Path) -> None:
    text = from_smsd_conf(SMSD.encode(), "smsd.conf")
    found = load(_write(tmp_path, text), environ={})
    assert [(modem.name, modem.port, modem.baudrate, modem.pin, modem.number) for modem in found.modems] == [
        ("gsm1", "/dev/ttyS0", 9600, "1234", "+36201112222"),
        ("bela-2", "socket://192.168.1.30:4000", 115_200, None, None),
    ]
    for word in ("eventhandler", "12345", "whitelist", "init = AT+CNMI=2,1", "autosplit"):
        assert word in text


def test_every_line_of_the_files_is_answered() -> None:
    for text, convert in ((SMSDRC, from_smsdrc), (SMSD, from_smsd_conf)):
        said = convert(text.encode(), "f")
        assert "no counterpart" not in said, "each key of these is known"


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "has no line such as"),
        (b"\x00\x01", "binary"),
        (b"x" * 300_000, "bytes"),
        (b"[gammu]\nport = " + b"x" * 5000, "characters"),
        (b"[smsd]\nPIN = 1\n", "no section"),
    ],
)
def test_what_is_no_such_file(raw: bytes, words: str) -> None:
    with pytest.raises(ForeignError, match=words):
        from_smsdrc(raw, "f")


@pytest.mark.parametrize(
    "value",
    [
        "/dev/../etc/passwd",
        '/dev/x"y',
        "$(reboot)",
        "/dev/ttyUSB0 # x",
        "host:99999",
        "\u202e/dev/ttyS0",
        "COM3",
    ],
)
def test_a_hostile_port_is_no_port(value: str, tmp_path: Path) -> None:
    text = from_smsdrc(f"[gammu]\nport = {value}\n".encode(), "a\nb: c")
    found = load(_write(tmp_path, text), environ={})
    assert not found.modems


_lines = st.lists(
    st.one_of(
        st.sampled_from(["[gammu]", "[smsd]", "[GSM1]", "device = /dev/ttyS0", "port = ttyS1", "pin = 0000", "a = b"]),
        st.text(max_size=30),
        st.builds("{} = {}".format, st.sampled_from(["port", "PIN", "device", "x"]), st.text(max_size=30)),
    ),
    max_size=12,
)  # fmt: skip


@settings(max_examples=examples(80), deadline=None)
@given(_lines)
def test_whatever_the_file_holds_the_result_is_a_valid_configuration(lines: list[str]) -> None:
    import tempfile

    raw = "\n".join(lines).encode("utf-8", "replace")
    for convert in (from_smsdrc, from_smsd_conf):
        try:
            text = convert(raw, "f")
        except ForeignError:
            continue
        with tempfile.TemporaryDirectory() as folder:
            try:
                load(_write(Path(folder), text), environ={})
            except ConfigError as error:
                # Two modems of one name or port: said by the check, with the place.
                assert all("too" in problem.message for problem in error.problems), text  # noqa: PT017


def test_the_command(tmp_path: Path) -> None:
    file = tmp_path / "gammu-smsdrc"
    file.write_text(SMSDRC)
    command = [sys.executable, "-m", "sms_bridge", "import", "gammu-smsdrc"]
    done = subprocess.run([*command, str(file)], capture_output=True, text=True, check=True)
    assert done.stdout == from_smsdrc(SMSDRC.encode(), "gammu-smsdrc")
    gone = subprocess.run([*command, str(tmp_path / "none")], capture_output=True, text=True, check=False)
    assert gone.returncode == 1
    assert "No such file" in gone.stderr
    assert "Traceback" not in gone.stderr


def _write(folder: Path, text: str) -> Path:
    file = folder / "sms-bridge.yaml"
    file.write_text(text, encoding="utf-8")
    return file
