"""Ring 2: octets of a message centre into frames, however they are cut."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sms_bridge.routes.smpp.framing import HEADER, LONGEST, Framer
from sms_bridge.routes.smpp.pdu import pack

FRAMES = st.lists(
    st.builds(pack, st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.binary(max_size=40), st.integers(0, 255)),
    max_size=8,
)


def fed(pieces: list[bytes]) -> tuple[list[bytes], str | None]:
    framer = Framer()
    return [frame for piece in pieces for frame in framer.feed(piece)], framer.broken


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    return [stream[start:end] for start, end in itertools.pairwise(edges)]


def test_every_two_pieces_of_a_stream_give_the_same_frames() -> None:
    frames = [pack(4, 1, b"x" * 30), pack(0x80000015, 2), pack(5, 3, b"\0\0\0\x10" * 5)]
    stream = b"".join(frames)
    for place in range(len(stream) + 1):
        assert fed([stream[:place], stream[place:]]) == (frames, None)


@given(FRAMES, st.lists(st.integers(0, 2**16), max_size=20), st.binary(max_size=40))
def test_any_cut_of_any_stream_gives_the_same(frames: list[bytes], places: list[int], garbage: bytes) -> None:
    stream = b"".join(frames) + garbage
    whole = fed([stream])
    assert whole[0][: len(frames)] == frames
    assert fed(cut(stream, places)) == whole
    assert fed([stream[i : i + 1] for i in range(len(stream))]) == whole


@pytest.mark.parametrize("length", [0, 1, HEADER - 1, LONGEST + 1, 2**31, 2**32 - 1])
def test_a_bad_length_ends_the_stream_with_a_reason(length: int) -> None:
    good = pack(0x15, 1)
    frames, broken = fed([good + length.to_bytes(4, "big") + b"\0" * 100, good])
    assert frames == [good]
    assert broken is not None
    assert str(length) in broken


@pytest.mark.parametrize("length", [HEADER, LONGEST])
def test_the_smallest_and_the_largest_frame_are_taken(length: int) -> None:
    frame = pack(5, 1, bytes(length - HEADER))
    assert fed([frame]) == ([frame], None)


def test_a_length_that_never_comes_true_holds_no_more_than_came() -> None:
    framer = Framer()
    assert framer.feed(LONGEST.to_bytes(4, "big") + b"x" * 10) == []
    assert framer.waiting == 14
