"""What an order may ask for besides being sent: an answer, and more messages when nothing comes of it."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum

from sms_bridge.core.errors import CoreError

MAX_OPTIONS = 20
MAX_WORD = 40  # characters of a word of an option, and of its value
MAX_HELP = 300  # characters
MAX_STEPS = 10
LONGEST = 7 * 86_400  # s that a person is given for an answer, or a step waits
READ = 1000  # characters of a reply that are looked at

# No letter or digit that is read as another one: 22 x 8 x 22 names, which need differ for one recipient only.
_LETTERS, _DIGITS = "abcdefghkmnpqrstuvwxyz", "23456789"
_TOKEN = re.compile(rf"#\s?([{_LETTERS}][{_DIGITS}][{_LETTERS}])(?![^\W_])", re.IGNORECASE)
_STEP = re.compile(r"/e[0-9]{1,2}(?:-[0-9A-Z]{26})?\Z")
_WHOLE = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ı": "i", "æ": "ae", "œ": "oe", "þ": "th", "ð": "d"})

STEP_SOURCE = "escalation"  # of orders that steps made


class AskError(CoreError, ValueError):
    """What an order asks for cannot be; the text is a sentence for its sender."""


@dataclass(frozen=True, slots=True)
class Option:
    """One answer among those that are offered."""

    name: str  # the first of its words, as it was given
    value: str  # what the automation gets
    words: tuple[str, ...]  # folded

    @classmethod
    def of(cls, key: str, value: str) -> Option:
        """`yes|igen` is an option of two words. AskError: a key without a letter, digit or symbol in it."""
        names = [name.strip() for name in key.split("|")]
        words = tuple(fold(name) for name in names)
        if not all(words) or len(key) > MAX_WORD * 5 or any(len(name) > MAX_WORD for name in names):
            raise AskError(f"an option has 1 to {MAX_WORD} characters, more words of it stand behind `|`")
        return cls(names[0], value, words)


@dataclass(frozen=True, slots=True)
class Expect:
    """`expect_reply`: an answer is waited for, from the moment at which the message has gone out."""

    within: float  # seconds
    options: tuple[Option, ...] = ()  # (): any text is the answer
    any: bool = False  # a text that fits no option is an answer too
    token: bool = False  # the message ends with a mark that makes the reply sure
    help: str | None = None  # sent once to who answers something else
    note: str | None = None  # the bridge's own, for what asked

    def closes(self, option: Option | None) -> bool:
        """Whether this is the answer; otherwise it is waited on."""
        return option is not None or self.any or not self.options


class Until(StrEnum):
    """How far a message must come so that nothing more is done."""

    SENT = "sent"
    DELIVERED = "delivered"
    REPLY = "reply"


@dataclass(frozen=True, slots=True)
class Step:
    """One step of `escalate`. Without `to`, to those whom the message has not reached."""

    after: float  # seconds from the acceptance, or from `send_at`
    to: tuple[str, ...] = ()
    route: str | None = None
    modem: str | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Escalate:
    steps: tuple[Step, ...]
    until: Until | None = None  # None: a reply where one is expected, else delivery


class Asked(StrEnum):
    """The states of a question."""

    NEW = "new"  # its message has not gone out
    OPEN = "open"
    ANSWERED = "answered"
    LATE = "late"  # its time is over, and nobody has answered
    OVER = "over"  # cancelled, or answered too late


@dataclass(slots=True)
class Question:
    """An answer that is waited for from one recipient. The journal's row."""

    order_seq: int
    id: str  # the order's
    recipient: str
    token: str | None
    state: Asked
    expires_at: int | None  # UTC ms; None until the message has gone out
    helped: bool
    expect: Expect


class StepState(StrEnum):
    """The states of a step."""

    WAITS = "waits"
    DONE = "done"  # its order is made
    FAILED = "failed"  # its order was rejected
    OVER = "over"  # it was not needed, or the order was cancelled or has expired


@dataclass(slots=True)
class StepRow:
    """A step that waits, or what became of it. The journal's row."""

    order_seq: int  # of the first recipient's order
    n: int  # from 1
    state: StepState
    due_at: int | None  # UTC ms; None until the order's `send_at`
    until: Until
    expires: bool  # the deadline is a span of time, which a clock that jumps moves
    step: Step
    expect: Expect | None
    made: str | None = None  # the id of its order


def fold(text: str) -> str:
    """What two spellings of a word have in common: no case, accents, punctuation, invisible or doubled characters."""
    kept = []
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text[:READ]).casefold())
    for character in plain.translate(_WHOLE):
        category = unicodedata.category(character)
        if category in ("Mn", "Me", "Cf", "Sk"):
            continue
        if category == "Nd":
            kept.append(str(unicodedata.decimal(character)))
        else:
            kept.append(" " if category[0] in "ZCP" else character)
    return " ".join("".join(kept).split())


def choose(options: tuple[Option, ...], text: str) -> Option | None:
    """The option that `text` is, or begins with."""
    said = fold(text)
    begun: list[tuple[int, Option]] = []
    for option in options:
        for word in option.words:
            if said == word:
                return option
            if said.startswith(f"{word} "):
                begun.append((len(word), option))
    return max(begun, key=lambda found: found[0])[1] if begun else None


def root_of(id: str, source: str) -> str:
    """The id that the automation knows: of the order whose step this is, or its own."""
    return _STEP.sub("", id) if source == STEP_SOURCE else id


def step_of(id: str, source: str) -> int | None:
    """The number of the step that made this order."""
    found = _STEP.search(id) if source == STEP_SOURCE else None
    return int(found[0][2:].split("-")[0]) if found else None


def token_of(id: str) -> str:
    """The mark of an order, always the same: `a7x`."""
    digest = hashlib.blake2b(id.encode("utf-8", "surrogatepass"), digest_size=3).digest()
    return _LETTERS[digest[0] % len(_LETTERS)] + _DIGITS[digest[1] % len(_DIGITS)] + _LETTERS[digest[2] % len(_LETTERS)]


def with_token(text: str, token: str) -> str:
    """`text` with the mark, once."""
    mark = f"#{token}"
    return text if text.endswith(mark) else f"{text} {mark}"


def take_token(text: str) -> tuple[str | None, str]:
    """The mark in a reply, and the reply without it."""
    found = _TOKEN.search(text[:READ])
    return (None, text) if found is None else (found[1].lower(), text[: found.start()] + " " + text[found.end() :])


def expect_json(expect: Expect) -> str:
    options = [["|".join(option.words), option.name, option.value] for option in expect.options]
    return json.dumps([expect.within, options, expect.any, expect.token, expect.help, expect.note])


def expect_from(text: str) -> Expect:
    within, options, any_text, token, help_text, note = json.loads(text)
    found = tuple(Option(name, value, tuple(words.split("|"))) for words, name, value in options)
    return Expect(within, found, any_text, token, help_text, note)


def step_json(step: Step) -> str:
    return json.dumps([step.after, step.to, step.route, step.modem, step.text])


def step_from(text: str) -> Step:
    after, to, route, modem, words = json.loads(text)
    return Step(after, tuple(to), route, modem, words)
