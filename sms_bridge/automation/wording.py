"""The words of a command: what a text must be, which words of it are arguments, and what they are put into. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from sms_bridge.core.asking import fold
from sms_bridge.core.commandplan import Argument, CommandPlan

LONGEST = 300  # characters; no command is longer
_PLACE = re.compile(r"\{([a-z][a-z0-9_]{0,31})\}")
_NUMBER = re.compile(r"[+-]?[0-9]{1,9}")
_WORD = re.compile(r"[A-Za-z0-9_.-]{1,20}")
_SECRET = re.compile(r"\d{4,}")  # of any script


@dataclass(frozen=True, slots=True)
class Spoken:
    """A text that begins as a command does."""

    words: tuple[str, ...]  # for the places of its arguments, as they came
    secret: str | None  # the word behind them
    fits: bool  # there are as many words as the command has


def spoken(plan: CommandPlan, text: str) -> Spoken | None:
    """What `text` says to this command; None: it is not this command."""
    if len(text) > LONGEST:
        return None
    said = [word for word in text.split() if fold(word)]  # a mark of direction alone is no word
    wanted = plan.text.split()
    keyword = _keyword(plan)
    if [fold(word) for word in said[: len(keyword)]] != keyword:
        return None
    secret = None
    if plan.pin is not None or plan.totp is not None:
        if len(said) == len(wanted) + 1:
            secret = said.pop()
        else:
            return Spoken((), None, False)
    if len(said) != len(wanted):
        return Spoken((), secret, False)
    words = []
    for is_, should in zip(said, wanted, strict=True):
        if _PLACE.fullmatch(should):
            words.append(is_)
        elif fold(is_) != fold(should):
            return Spoken((), secret, False)
    return Spoken(tuple(words), secret, True)


def masked(plan: CommandPlan, text: str) -> str | None:
    """The text without what may be its PIN or code; None: it holds none."""
    if plan.pin is None and plan.totp is None:
        return None
    keyword = _keyword(plan)
    if [fold(word) for word in text.split(maxsplit=len(keyword))[: len(keyword)]] != keyword:
        return None
    return _SECRET.sub("****", text)


def arguments(plan: CommandPlan, words: tuple[str, ...]) -> dict[str, str | int] | None:
    """The arguments as they may be used; None: one of them may not."""
    found: dict[str, str | int] = {}
    kinds = {argument.name: argument for argument in plan.arguments}
    for name, word in zip(places(plan.text), words, strict=True):
        value = _value(kinds[name], word)
        if value is None:
            return None
        found[name] = value
    return found


def places(text: str) -> list[str]:
    """The names of the arguments in it, in their order."""
    return _PLACE.findall(text)


def filled(template: str, values: Mapping[str, str | int | None]) -> str:
    """`{name}` replaced by the value, as it stands inside a JSON text; other braces stay."""

    def value(match: re.Match[str]) -> str:
        if match[1] not in values:
            return match[0]
        return json.dumps("" if values[match[1]] is None else str(values[match[1]]), ensure_ascii=True)[1:-1]

    return _PLACE.sub(value, template)


@lru_cache(maxsize=256)
def _keyword(plan: CommandPlan) -> list[str]:
    """The words before the first argument."""
    found = []
    for word in plan.text.split():
        if _PLACE.fullmatch(word):
            break
        found.append(fold(word))
    return found


def _value(argument: Argument, word: str) -> str | int | None:
    if argument.choices:
        said = fold(word)
        return next((choice for choice in argument.choices if fold(choice) == said), None)
    if argument.low is not None and argument.high is not None:
        plain = word if _NUMBER.fullmatch(word) else fold(word)
        if not _NUMBER.fullmatch(plain):
            return None
        number = int(plain)
        return number if argument.low <= number <= argument.high else None
    return word if _WORD.fullmatch(word) else None
