"""`commands`: what somebody may do by SMS."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

import voluptuous as vol

from sms_bridge.config.kinds import NAME, Budget, Duration, ListOf, MapOf, Section, Text, Whole, Wrong, as_name
from sms_bridge.core.asking import MAX_WORD, fold
from sms_bridge.core.commandplan import Argument, CommandPlan

DAY = 86_400
MAX_COMMANDS = 100
_PLACE = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(-?[0-9]{1,9}) ?(?:-|\.\.) ?(-?[0-9]{1,9})\Z")
_FIXED = ("contact", "id")  # may stand in a payload besides the arguments

# Places in a document, each with what is wrong and what helps.
_Found = Iterator[tuple[tuple[str | int, ...], str, str]]


class _ArgumentKind:
    """A list of words, a range of whole numbers such as `1-60`, or `word`."""

    _words = ListOf(Text(rf"[^\s]{{1,{MAX_WORD}}}", "a word, in quotes"), 50, "- open")

    @property
    def json(self) -> dict[str, Any]:
        word = {"type": "string", "pattern": r"^\s*(?:word|-?[0-9]{1,9} ?(?:-|\.\.) ?-?[0-9]{1,9})\s*$"}
        return {"anyOf": [{**self._words.json, "type": "array"}, word]}

    def __call__(self, value: Any) -> Argument:
        if isinstance(value, list):
            words = tuple(self._words(value))
            if not words or not all(fold(word) for word in words):
                raise Wrong("must be a list of words", "such as [open, close]")
            return Argument("", words)
        text = value.strip() if isinstance(value, str) else ""
        found = _RANGE.match(text)
        if found and int(found[1]) <= int(found[2]):
            return Argument("", low=int(found[1]), high=int(found[2]))
        if text != "word":
            raise Wrong("must be a list of words, a range, or word", "write [open, close], 1-60 or word")
        return Argument("")


def _opt(key: str, description: str) -> Any:
    return vol.Optional(key, description=description)


def _req(key: str, description: str) -> Any:
    return vol.Required(key, description=description)


COMMAND_NAME = Text(
    NAME, "a name of a-z, 0-9, - and _ with at most 32 characters", hint=lambda text: f"write {as_name(text)}"
)
SENDER = Text(
    rf"\+[0-9]{{7,15}}|[@#]?{NAME}",
    "a contact's name, a group's, or a number with +",
    clean=lambda text: re.sub(r"[\s()./-]", "", text) if text.lstrip().startswith("+") else text.strip(),
    raw=rf"\s*\+[\s()./-]*(?:[0-9][\s()./-]*){{7,15}}|\s*[@#]?{NAME}\s*",
)
WORDS = Text(r"[^\x00-\x1f\x7f{}\s][^\x00-\x1f\x7f]{0,159}", "words and {arguments}, the first a word")
TOPIC = Text(
    r"(?!\$)[^\x00-\x1f+#/ ][^\x00-\x1f+#/]*(?:/[^\x00-\x1f+#/]+){0,15}",
    "a topic without +, #, a leading $ and empty levels, such as home/gate/set",
)
PAYLOAD = Text(r"[^\x00]{1,2000}", "a text, in quotes", clean=lambda text: text, raw=r"[^\x00]{1,2000}")
PIN = Text(r"[0-9]{4,8}", "4 to 8 digits in quotes")
BASE32 = Text(
    r"[A-Z2-7]{26,128}",
    "at least 26 characters of base32, in quotes",
    clean=lambda text: re.sub(r"[\s=-]", "", text).upper(),
    raw=r"(?:[\s=-]*[A-Za-z2-7]){26,128}[\s=-]*",
    hint=lambda text: "`openssl rand 20 | base32` makes one",
)
FILE = Text(r"[^\x00-\x1f]{1,1024}", "the path of a file")
VARIABLE = Text(r"[A-Za-z_][A-Za-z0-9_]{0,99}", "the name of an environment variable")
SAID = Text(r"[^\x00-\x1f\x7f]{1,300}", "one line of text")

COMMAND = Section(
    {
        _req("from", "who may: contacts, groups, numbers with +"): ListOf(SENDER, 1000, "- anna"),
        _req("text", "the words, with {arguments} where they differ"): WORDS,
        _req("topic", "where it is published; the one topic of this command"): TOPIC,
        _opt("arguments", "what may stand for them: a list of words, a range such as 1-60, or word"): MapOf(
            Text(r"[a-z][a-z0-9_]{0,31}", "a name of a-z, 0-9 and _"), _ArgumentKind(), 5, "action: [open, close]"
        ),
        _opt("payload", "what is published, with {arguments}, {contact} and {id}; without it a JSON object"): PAYLOAD,
        _opt("pin", "the text ends with this PIN, in quotes"): PIN,
        _opt("totp", "or with a code of an authenticator that has this secret (base32)"): BASE32,
        _opt("totp_file", "a file that holds the secret alone"): FILE,
        _opt("totp_env", "the environment variable that holds it"): VARIABLE,
        _opt("confirm", "ask the sender, and wait so long for YES"): Duration(30, 3600),
        _opt("answer", "what the sender gets when it is done"): SAID,
        _opt("denied", "what an allowed sender gets when it is not"): SAID,
        _opt("limit", "how often a sender may, such as 10/hour"): Budget(),
        _opt("attempts", "wrong PINs or codes in a row, until the sender is locked out"): Whole(1, 10),
        _opt("lockout", "for so long"): Duration(60, 30 * DAY),
        _opt("expires", "what the broker does not take within this time is not executed"): Duration(5, 3600),
        _opt("max_age", "what was under way for longer is not executed"): Duration(30, DAY),
    },
    "from: [anna]",
)
COMMANDS = MapOf(COMMAND_NAME, COMMAND, MAX_COMMANDS, "gate: {from: [anna], text: gate, topic: home/gate/set}")

Secret = Callable[[Mapping[str, Any], str], str | None]
"""The TOTP secret of an entry, of the command of that name; None where it has none, or it cannot be had."""


def command_plans(data: Mapping[str, Any], secret: Secret) -> tuple[CommandPlan, ...]:
    """The checked section as plans."""
    return tuple(_plan(name, entry, secret) for name, entry in data.items())


def check_commands(data: dict[str, Any], base: Any) -> _Found:
    """What no single value shows."""
    commands = data.get("commands")
    contacts = [str(name) for key in ("contacts", "groups") for name in (data.get(key) or {})]
    for name, entry in commands.items() if isinstance(commands, dict) else ():
        if not isinstance(entry, dict):
            continue
        here = ("commands", name)
        for index, typed in enumerate(entry["from"] if isinstance(entry.get("from"), list) else ()):
            word = str(typed).strip().lstrip("@#")
            if not word.startswith("+") and word not in contacts:
                near = get_close_matches(word, contacts, 1, 0.6)
                hint = f"did you mean {near[0]}?" if near else f"add {word} under contacts"
                yield (*here, "from", index), "there is no such contact or group", hint
        secrets = [key for key in ("pin", "totp", "totp_file", "totp_env") if key in entry]
        for key in secrets[1:]:
            yield (*here, key), f"stands beside {secrets[0]}", "keep one of the two"
        yield from _check_words(entry, here)
        topic = entry.get("topic")
        if isinstance(topic, str) and isinstance(base, str) and f"{topic.strip()}/".startswith(f"{base.strip()}/"):
            yield (*here, "topic"), "this is a topic of the bridge itself", "name one of what is to obey"


def totp_secret(text: str) -> bytes | None:
    """The octets of a base32 secret, however it is grouped; None: it is none."""
    plain = re.sub(r"[\s=-]", "", text).upper()
    try:
        found = base64.b32decode(plain + "=" * (-len(plain) % 8))
    except binascii.Error:
        return None
    return found if len(found) >= 16 else None


def _check_words(entry: dict[str, Any], here: tuple[str | int, ...]) -> _Found:
    text, payload = entry.get("text"), entry.get("payload")
    kinds = entry.get("arguments") if isinstance(entry.get("arguments"), dict) else {}
    if not isinstance(text, str):
        return
    named = _PLACE.findall(text)
    for name in named:
        if name not in (kinds or {}):
            yield (*here, "text"), f"nothing says what {{{name}}} may be", f"add {name} under arguments"
    if any(_PLACE.search(word) and not _PLACE.fullmatch(word) for word in text.split()):
        yield (*here, "text"), "an argument is a word of its own", "put spaces around it"
    if len(named) != len(set(named)):
        yield (*here, "text"), "an argument stands in it twice", "give the second one another name"
    if not fold(text.split()[0] if text.split() else ""):
        yield (*here, "text"), "the first word has no letter or digit", "begin with the command's word"
    for name in kinds or {}:
        if name not in named:
            yield (*here, "arguments", name), f"{{{name}}} does not stand in the text", "leave it out"
    for name in re.findall(r"\{([a-z][a-z0-9_]*)\}", payload) if isinstance(payload, str) else ():
        if name not in named and name not in _FIXED:
            yield (*here, "payload"), f"there is no argument {name}", "there are the text's, and contact and id"


def _plan(name: str, entry: Mapping[str, Any], secret: Secret) -> CommandPlan:
    arguments = tuple(dataclasses.replace(kind, name=key) for key, kind in entry.get("arguments", {}).items())
    simple = "text topic payload pin confirm answer denied limit attempts lockout expires max_age".split()
    code = secret(entry, name)
    return CommandPlan(
        name=name,
        senders=tuple(word if word[0] in "+@#" else f"@{word}" for word in entry["from"]),
        arguments=arguments,
        totp=totp_secret(code) if code is not None else None,
        **{key: entry[key] for key in simple if key in entry},
    )
