"""What leaves the process in logs, and that logging never holds anything up."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sms_bridge.core.events import mask_sim
from sms_bridge.core.redaction import mask, redact
from sms_bridge.mqtt.logtopic import MqttLogHandler
from sms_bridge.observe.logging import MAX_WAITING, Writer, set_up

log = logging.getLogger("test.observe")


@pytest.fixture
def started() -> Iterator[Callable[..., Writer]]:
    root = logging.getLogger()
    level, quiet = root.level, logging.getLogger("asyncio").level
    writers: list[Writer] = []

    def start(*args: object, **kwargs: object) -> Writer:
        writers.append(set_up(*args, **kwargs))  # type: ignore[arg-type]
        return writers[-1]

    yield start
    for writer in writers:
        writer.stop()
    root.setLevel(level)
    logging.getLogger("asyncio").setLevel(quiet)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("to +36301234567 now", "to +36…67 now"),
        ("to 36301234567", "to 363…67"),
        ("to:+36301234567-hez", "to:+36…67-hez"),
        ("+36 30 123 4567, +36-30-123-4567, +36 (30) 1234567", "+36…67, +36…67, +36…67"),
        ("sms/out/36301234567", "sms/out/363…67"),
        ('AT+CPIN="1234"', "AT+CPIN=****"),
        ("AT+CPIN=1234", "AT+CPIN=****"),
        ("pin: 0000", "pin: ****"),
        ("'pin': '0000'", "'pin': ****"),
        ("password=hunter2, next", "password=****, next"),
        ("> 0011000B916330214365F700F1FF04D4F29C0E", "> <19 octets>"),
        ("0791361907002039 and text", "079…39 and text"),
        ("imsi 216301234567890", "imsi 216…90"),
        ("iccid 8936304412345678901", "iccid 893…01"),
        ("two +36301234567 +36209876543", "two +36…67 +36…43"),
        # Not numbers: ports, dates, versions, ids, fractions, sizes.
        ("127.0.0.1:1883", "127.0.0.1:1883"),
        ("2026-11-22T19:00:07+00:00", "2026-11-22T19:00:07+00:00"),
        ("took 0.1234567 s", "took 0.1234567 s"),
        ("order 01JD3K5T7V9WXYZ0123456789A", "order 01JD3K5T7V9WXYZ0123456789A"),
        ("cli-1234567890ab", "cli-1234567890ab"),
        ("/dev/ttyUSB12 at 115200", "/dev/ttyUSB12 at 115200"),
        ("CMS 38, 4096 bytes", "CMS 38, 4096 bytes"),
    ],
)
def test_what_is_taken_out_and_what_stays(text: str, expected: str) -> None:
    assert redact(text) == expected


@given(
    st.from_regex(r"\+?[0-9]{9,15}", fullmatch=True), st.sampled_from(["to {}", "{}", "({})", "'{}'", "{}, x", "a={}"])
)
def test_no_whole_number_is_left(number: str, around: str) -> None:
    assert number.lstrip("+") not in redact(around.format(number))


@given(st.text(max_size=300))
def test_redaction_takes_any_text(text: str) -> None:
    redact(text)


def test_redaction_of_a_long_line_is_quick() -> None:
    started = time.monotonic()
    for char in "0A+ .":
        redact(char * 100_000)
    redact("password " * 20_000)
    redact("+CPIN " * 20_000)
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("identity", "masked"),
    [("8936304412345678942", "8936…42"), ("123456789", "1234…89"), ("12345678", "…"), ("", None), (None, None)],
)
def test_identities_are_masked(identity: str | None, masked: str | None) -> None:
    assert mask(identity) == mask_sim(identity) == masked


def test_a_sim_without_an_iccid_has_no_mask() -> None:
    assert mask_sim("modem:stick-1") is None


async def test_the_log_on_mqtt_says_no_more_than_the_one_on_stderr() -> None:
    said: list[str] = []
    handler = MqttLogHandler(said.append, asyncio.get_running_loop())
    handler.handle(logging.makeLogRecord({"msg": "+36301234567 0011000B916330214365F700F1FF04D4F29C0E pin: 0000"}))
    await asyncio.sleep(0)
    assert json.loads(said[0])["message"] == "+36…67 <19 octets> pin: ****"


def test_arguments_and_tracebacks_are_redacted_too(started: Callable[..., Writer]) -> None:
    stream = io.StringIO()
    writer = started("debug", stream=stream, environ={})
    log.debug("to %s", "+36301234567")
    try:
        raise ValueError("bad number +36301234567")
    except ValueError:
        log.exception("failed for %s", "+36301234567")
    writer.stop()
    text = stream.getvalue()
    assert "301234" not in text
    assert "ValueError: bad number +36…67" in text
    assert "DEBUG test.observe: to +36…67" in text


def test_json_lines(started: Callable[..., Writer]) -> None:
    stream = io.StringIO()
    writer = started("info", as_json=True, stream=stream)
    log.debug("not this")
    log.warning("árvíz %d\nsecond line", 1)
    writer.stop()
    (line,) = stream.getvalue().splitlines()
    entry = json.loads(line)
    assert (entry["level"], entry["namespace"], entry["message"]) == ("warning", "test.observe", "árvíz 1\nsecond line")


def test_lines_for_the_journal_carry_the_priority(started: Callable[..., Writer], tmp_path: object) -> None:
    with open(f"{tmp_path}/journal", "w+") as stream:
        stat = os.fstat(stream.fileno())
        writer = started("info", stream=stream, environ={"JOURNAL_STREAM": f"{stat.st_dev}:{stat.st_ino}"})
        log.error("one\ntwo")
        log.info("three")
        writer.stop()
        stream.seek(0)
        assert stream.read().splitlines() == ["<3>test.observe: one", "<3>two", "<6>test.observe: three"]
        again = started("info", stream=stream, environ={"JOURNAL_STREAM": "1:2"})
        log.info("four")
        again.stop()
        stream.seek(0)
        assert stream.read().splitlines()[-1].endswith("Z INFO test.observe: four")


class _Stuck(io.StringIO):
    """A terminal after Ctrl-S."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()

    def write(self, text: str) -> int:
        self.go.wait(20)
        return super().write(text)


def test_a_terminal_that_does_not_read_holds_up_nobody(started: Callable[..., Writer]) -> None:
    stream = _Stuck()
    writer = started("info", stream=stream, environ={})
    begun = time.monotonic()
    for number in range(2 * MAX_WAITING):
        log.info("line %d", number)
    assert time.monotonic() - begun < 10
    stream.go.set()
    log.info("the end")
    writer.stop()
    lines = stream.getvalue().splitlines()
    assert len(lines) < 2 * MAX_WAITING
    assert any("log lines were dropped" in line for line in lines)


def test_a_closed_stderr_is_no_error(started: Callable[..., Writer]) -> None:
    stream = io.StringIO()
    writer = started("info", stream=stream, environ={})
    stream.close()
    log.info("to nobody")
    writer.stop()


def test_setting_up_again_replaces(started: Callable[..., Writer]) -> None:
    first, second = io.StringIO(), io.StringIO()
    started("info", stream=first, environ={})
    writer = started("info", stream=second, environ={})
    log.info("once")
    writer.stop()
    assert first.getvalue() == ""
    assert second.getvalue().count("once") == 1
