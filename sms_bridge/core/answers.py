"""Automatic answers, and the brake that keeps two machines from talking to each other for ever (domain E8.6)."""

from __future__ import annotations

import re

from sms_bridge.core.model import Accepted, SendRequest
from sms_bridge.core.talk import Heard, Talk

GAP = 300_000  # ms between two answers to one peer
PER_DAY = 5
DAY = 86_400_000
EXPIRES = 3600.0  # s; an answer that is older makes no sense to anybody
SOURCE = "answer"

_SUBSCRIBER = re.compile(r"\+[1-9][0-9]{6,14}")


def may_hear(talk: Talk, heard: Heard) -> bool:
    """Whether a machine may answer this sender at all: a subscriber, none of our SIMs, who wrote a text."""
    return heard.kind == "text" and bool(_SUBSCRIBER.fullmatch(heard.sender)) and heard.sender not in talk.own_numbers


def answer(talk: Talk, heard: Heard, text: str) -> bool:
    """Order an automatic answer; False when that would be too many, or nobody is there to answer."""
    if not may_hear(talk, heard) or not _spend(talk, heard.sender):
        return False
    request = SendRequest(
        to=(heard.sender,),
        text=text,
        id=f"answer-{heard.id}",
        delivery_report=False,
        expires_in=EXPIRES,
        source=SOURCE,
    )
    return isinstance(talk.order(request), Accepted)


def _spend(talk: Talk, peer: str) -> bool:
    """Whether it may have one more; counted before it is sent."""
    now = talk.now
    known = talk.tx.answer_times(peer)
    # A time to come was told by a clock that was wrong: it counts as of now.
    recent = [min(time, now) for time in known if now - time < DAY]
    allowed = len(recent) < PER_DAY and (not recent or now - recent[-1] >= GAP)
    if allowed:
        recent.append(now)
    if recent and recent != known:
        talk.tx.save_answer_times(peer, recent, now - 2 * DAY)
    return allowed
