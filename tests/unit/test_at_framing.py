"""Ring 2: bytes from a modem into lines and prompts, however they are cut."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.at.framing import MAX_LINE, PROMPT, AtFramer, Line, Prompt

# What modems are made of, so that random streams hit the interesting places.
PIECES = st.lists(
    st.sampled_from(
        [
            b"\r",
            b"\n",
            b"\r\n",
            b"\r\r\n",
            b">",
            b"> ",
            b" ",
            b"\x00",
            b"\x1a",
            b"\x1b",
            b"OK",
            b"+CMGS: 17",
            b"RING",
            b"\xff",
        ]
    )
    | st.binary(max_size=12),
    max_size=30,
).map(b"".join)


def lines(*texts: str) -> list[Line | Prompt]:
    return [Line(text) for text in texts]


def fed(pieces: Iterable[bytes], *, expect: bool = False, max_line: int = MAX_LINE) -> list[Line | Prompt]:
    framer = AtFramer(max_line)
    framer.expect_prompt = expect
    return [event for piece in pieces for event in framer.feed(piece)]


@pytest.mark.parametrize(
    ("stream", "texts"),
    [
        (b"\r\nOK\r\n", ["OK"]),
        (b"OK\r\n", ["OK"]),  # no leading CR LF
        (b"\r\r\n+CSQ: 20,99\r\r\n\r\r\nOK\r\r\n", ["+CSQ: 20,99", "OK"]),
        (b"+CSQ: 20,99\nOK\n", ["+CSQ: 20,99", "OK"]),
        (b"AT+CSQ\r+CSQ: 20,99\rOK\r", ["AT+CSQ", "+CSQ: 20,99", "OK"]),
        (b"\x00\x00\r\nO\x00K\r\n\x00", ["OK"]),
        (b"\x11\r\nOK\x13\r\n", ["OK"]),
        (b"\x1b\r\nOK\r\n", ["OK"]),  # an echoed ESC
        (b"0011AA\x1a\r\n+CMGS: 1\r\n", ["0011AA", "+CMGS: 1"]),  # the echo of a PDU
        (b"0011AA\x1a+CMGS: 1\r\n", ["0011AA", "+CMGS: 1"]),
        (b"\r\nd\xe9\xff\r\n", ["d\xe9\xff"]),
        (b"\r\n  OK \t\r\n", ["OK"]),
        (b"\r\n\r\n \r\n", []),
        (b"> \r\n", [">"]),  # nobody asked for a prompt
        (b"half a line", []),
    ],
)
def test_lines(stream: bytes, texts: list[str]) -> None:
    assert fed([stream]) == lines(*texts)
    assert fed(stream[i : i + 1] for i in range(len(stream))) == lines(*texts)


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"\r\n> ", [PROMPT]),
        (b"\r\n>", [PROMPT]),
        (b">", [PROMPT]),
        (b"AT+CMGS=23\r\r\n> ", [Line("AT+CMGS=23"), PROMPT]),
        (b'\r\n+CMTI: "SM",1\r\n\r\n> ', [Line('+CMTI: "SM",1'), PROMPT]),
        (b'\r\n> \r\n+CMTI: "SM",1\r\n', [PROMPT, Line('+CMTI: "SM",1')]),
        (b'\r\n> +CMTI: "SM",1\r\n', [PROMPT, Line('+CMTI: "SM",1')]),  # glued behind it
        (b'\r\n>\r\n+CMTI: "SM",1\r\n ', [PROMPT, Line('+CMTI: "SM",1')]),  # between the prompt's two characters
        (b"\r\n\x00>\x00 ", [PROMPT]),
        (b"\r\n> \r\n> \r\nOK\r\n", [PROMPT, Line(">"), Line("OK")]),  # one event clears the expectation
        (b'+CUSD: 0,"a > b",15\r\n', [Line('+CUSD: 0,"a > b",15')]),  # not at the start of a line
        (b"\r\n+CMS ERROR: 38\r\n", [Line("+CMS ERROR: 38")]),
    ],
)
def test_prompts(stream: bytes, events: list[Line | Prompt]) -> None:
    assert fed([stream], expect=True) == events
    assert fed((stream[i : i + 1] for i in range(len(stream))), expect=True) == events


def test_a_prompt_is_told_before_any_line_end_comes() -> None:
    framer = AtFramer()
    framer.expect_prompt = True
    assert framer.feed(b"\r\n") == []
    assert framer.feed(b">") == [PROMPT]
    assert not framer.expect_prompt


def test_an_expectation_set_by_an_event_acts_on_the_next_one() -> None:
    framer = AtFramer()
    seen: list[Line | Prompt] = []
    for event in framer.events(b"\r\nOK\r\n> "):
        seen.append(event)
        framer.expect_prompt = event == Line("OK")
    assert seen == [Line("OK"), PROMPT]


def test_a_prompt_that_stood_there_before_the_question_is_not_its_answer() -> None:
    framer = AtFramer()
    assert framer.feed(b"\r\n> ") == []
    assert framer.forget_stale_prompt()
    assert not framer.forget_stale_prompt()
    framer.expect_prompt = True
    assert framer.feed(b"\r\n> ") == [PROMPT]


def test_half_a_urc_is_not_forgotten_with_a_stale_prompt() -> None:
    framer = AtFramer()
    framer.feed(b"\r\n+CM")
    assert not framer.forget_stale_prompt()
    assert framer.feed(b'TI: "SM",1\r\n') == lines('+CMTI: "SM",1')


def test_a_stream_without_line_ends_is_bounded_and_counted_and_ends_with_its_line() -> None:
    framer = AtFramer()
    started = time.perf_counter()
    for _ in range(256):
        assert framer.feed(b"\xaa" * 1024) == []
    assert framer.discarded == 1
    assert framer.feed(b"\r\nOK\r\n") == lines("OK")
    assert time.perf_counter() - started < 2.0


def test_256_kb_byte_by_byte_does_not_hang() -> None:
    framer = AtFramer()
    framer.expect_prompt = True
    started = time.perf_counter()
    for _ in range(256 * 1024):
        framer.feed(b"x")
    assert framer.discarded == 1
    assert time.perf_counter() - started < 10.0


@given(PIECES, st.lists(st.integers(0, 400), max_size=12), st.booleans(), st.sampled_from([3, 8, MAX_LINE]))
def test_the_same_stream_cut_in_any_way_gives_the_same_events(
    stream: bytes, cuts: list[int], expect: bool, max_line: int
) -> None:
    whole = fed([stream], expect=expect, max_line=max_line)
    bounds = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    pieces = [stream[start:end] for start, end in itertools.pairwise(bounds)]
    assert fed((stream[i : i + 1] for i in range(len(stream))), expect=expect, max_line=max_line) == whole
    assert fed(pieces, expect=expect, max_line=max_line) == whole


@given(PIECES, st.lists(st.integers(0, 400), max_size=12))
def test_cuts_do_not_matter_when_events_change_the_mode(stream: bytes, cuts: list[int]) -> None:
    def run(pieces: Iterable[bytes]) -> list[Line | Prompt]:
        framer, seen = AtFramer(), []
        for piece in pieces:
            for event in framer.events(piece):
                seen.append(event)
                framer.expect_prompt = isinstance(event, Line) and len(event.text) % 2 == 0
        return seen

    bounds = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    pieces = [stream[start:end] for start, end in itertools.pairwise(bounds)]
    assert run([stream]) == run(pieces) == run(stream[i : i + 1] for i in range(len(stream)))


@given(st.binary(max_size=2000))
def test_any_bytes_give_clean_lines(stream: bytes) -> None:
    for event in fed([stream], expect=True):
        if isinstance(event, Line):
            assert event.text
            assert not set(event.text) & set("\r\n\x00\x1a\x1b")
