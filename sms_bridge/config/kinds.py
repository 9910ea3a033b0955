"""What a value may be: voluptuous validators that also know their JSON Schema and say what to write instead."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import voluptuous as vol

QUOTES = 'put it in quotes: {key}: "{text}"'
NAME = r"[a-z0-9_-]{1,32}"
SYNONYMS = {
    "address": "host",
    "apn": "init_commands",
    "baud": "baudrate",
    "broker": "host",
    "bridge": "mqtt",
    "country": "default_region",
    "device": "port",
    "devices": "modems",
    "ip": "host",
    "modem": "modems",
    "pass": "password",
    "path": "port",
    "phone": "number",
    "pin_code": "pin",
    "pincode": "pin",
    "prefix": "base_topic",
    "region": "default_region",
    "server": "host",
    "serial": "modems",
    "speed": "baudrate",
    "ssl": "tls",
    "tty": "port",
    "topic": "base_topic",
    "user": "username",
}


_Clean = Callable[[str], str]


class Wrong(vol.Invalid):
    """An error with its way out; `hint` may use {key} and {text}, the value as it was typed."""

    def __init__(self, message: str, hint: str = "", path: list[Any] | None = None) -> None:
        super().__init__(message, path)
        self.hint = hint


class Kind(Protocol):
    """A validator: returns the value to use, raises Invalid; `json` is the same rule as a JSON Schema."""

    def __call__(self, value: Any) -> Any: ...

    @property
    def json(self) -> dict[str, Any]: ...


class Text:
    """A line of text; numbers are refused, because YAML has dropped their zeros and plus signs by then."""

    def __init__(
        self, pattern: str, expected: str, *, clean: _Clean = str.strip, raw: str = "", hint: _Clean | None = None
    ) -> None:
        """`pattern`: what `clean` must leave; `raw`: the same before cleaning, where that does more than strip."""
        self._pattern = re.compile(rf"(?:{pattern})\Z")
        self._expected = expected
        self._clean = clean
        self._hint = hint
        before = raw or rf"\s*(?:{pattern})\s*"
        self.json: dict[str, Any] = {"type": "string", "pattern": f"^(?:{before})$"}

    def __call__(self, value: Any) -> str:
        if isinstance(value, int | float) and not isinstance(value, bool):
            raise Wrong("is read as a number here", QUOTES)
        if not isinstance(value, str):
            raise Wrong(f"must be {self._expected}")
        text = self._clean(value)
        if not self._pattern.match(text):
            raise Wrong(f"must be {self._expected}", self._hint(text) if self._hint else "")
        return text


class Whole:
    """A whole number in a range."""

    def __init__(self, low: int, high: int) -> None:
        self._low, self._high = low, high
        self.json = {"type": "integer", "minimum": low, "maximum": high}

    def __call__(self, value: Any) -> int:
        if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value):
            raise Wrong("must be a number", "remove the quotes")
        if isinstance(value, bool) or not isinstance(value, int) or not self._low <= value <= self._high:
            raise Wrong(f"must be a whole number from {self._low} to {self._high}")
        return value


class Real:
    """A number in a range, whole or not."""

    def __init__(self, low: float, high: float) -> None:
        self._low, self._high = low, high
        self.json = {"type": "number", "minimum": low, "maximum": high}

    def __call__(self, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not self._low <= value <= self._high:
            raise Wrong(f"must be a number from {self._low:g} to {self._high:g}", "such as 500 or 2.5, without quotes")
        return value


class Flag:
    """true or false."""

    json = {"type": "boolean"}  # noqa: RUF012 # never changed

    def __call__(self, value: Any) -> bool:
        if isinstance(value, bool):
            return value
        yes, no = ("yes", "on", "y", "1"), ("no", "off", "n", "0")
        text = str(value).lower()
        instead = "true" if text in yes else "false" if text in no else ""
        raise Wrong("must be true or false", f"write {{key}}: {instead}" if instead else "")


class Choice:
    """One of a few words; `also` maps other spellings to them."""

    def __init__(self, *options: str, also: Mapping[Any, str] | None = None) -> None:
        self._options = options
        self._also = dict(also or {})
        self.json = {"enum": [*options, *self._also]}

    def __call__(self, value: Any) -> str:
        if isinstance(value, str | int) and not isinstance(value, bool):
            if value in self._options:
                return str(value)
            if value in self._also:
                return str(self._also[value])
        near = difflib.get_close_matches(str(value).lower(), self._options, 1, 0.6)
        raise Wrong(f"must be one of {', '.join(self._options)}", f"did you mean {near[0]}?" if near else "")


class Number:
    """One of a few numbers."""

    def __init__(self, *options: int) -> None:
        self._options = options
        self.json = {"enum": list(options)}

    def __call__(self, value: Any) -> int:
        if isinstance(value, bool) or value not in self._options:
            raise Wrong(f"must be one of {', '.join(map(str, self._options))}")
        return int(value)


class Duration:
    """Seconds, from `45`, `45s`, `10m`, `24h` or `30d`."""

    UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}  # noqa: RUF012 # never changed
    FORM = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?) ?([smhd]?)\Z")

    def __init__(self, low: float, high: float) -> None:
        self._low, self._high = low, high
        self.json = {
            "anyOf": [
                {"type": "number", "minimum": low, "maximum": high},
                {"type": "string", "pattern": r"^[0-9]{1,9}(\.[0-9]{1,3})? ?[smhd]?$"},
            ]
        }

    def __call__(self, value: Any) -> float:
        match = self.FORM.match(value.strip()) if isinstance(value, str) else None
        if match:
            seconds = float(match[1]) * self.UNITS[match[2]]
        elif isinstance(value, int | float) and not isinstance(value, bool):
            seconds = float(value)
        else:
            raise Wrong("must be a time", "write 45, 45s, 10m, 24h or 30d")
        if not self._low <= seconds <= self._high:
            raise Wrong(f"must be between {spoken(self._low)} and {spoken(self._high)}")
        return seconds


class Span:
    """Two times in seconds, from `2-6` or one number."""

    FORM = re.compile(r"([0-9]{1,4}(?:\.[0-9]{1,3})?)(?: ?- ?([0-9]{1,4}(?:\.[0-9]{1,3})?))?\Z")
    json = {  # noqa: RUF012 # never changed
        "anyOf": [
            {"type": "number", "minimum": 0, "maximum": 600},
            {"type": "string", "pattern": r"^[0-9]{1,4}(\.[0-9]{1,3})?( ?- ?[0-9]{1,4}(\.[0-9]{1,3})?)?$"},
        ]
    }

    def __call__(self, value: Any) -> tuple[float, float]:
        text = str(value).strip() if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
        match = self.FORM.match(text)
        if not match:
            raise Wrong("must be seconds, or a range of seconds", "write 0.5 or 2-6")
        low, high = float(match[1]), float(match[2] or match[1])
        if low > high or high > 600:
            raise Wrong("must be a range of seconds from the smaller to the larger, up to 600", "write 2-6")
        return low, high


class Budget:
    """How many of something in which time, from `2/day`: (2, seconds of a day); at most 100."""

    PERIODS = {"hour": 3600.0, "day": 86_400.0, "week": 7 * 86_400.0, "month": 30 * 86_400.0}  # noqa: RUF012 # never changed
    FORM = re.compile(r"(100|[0-9]{1,2}) ?/ ?(hour|day|week|month)\Z")
    json = {"type": "string", "pattern": rf"^\s*{FORM.pattern[:-2]}\s*$"}  # noqa: RUF012 # never changed

    def __call__(self, value: Any) -> tuple[int, float]:
        match = self.FORM.match(value.strip()) if isinstance(value, str) else None
        if not match:
            count = value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 100 else 2
            raise Wrong("must be a number, at most 100, in a time", f"write {{key}}: {count}/day")
        return int(match[1]), self.PERIODS[match[2]]

    @classmethod
    def spoken(cls, value: tuple[int, float]) -> str:
        """As it stands in the configuration."""
        return f"{value[0]}/{next(name for name, seconds in cls.PERIODS.items() if seconds == value[1])}"


class Rate:
    """How many of something in any span of a time, from `20/1h` or `500/day`: (20, 3600.0). `off`: None."""

    FORM = re.compile(r"([0-9]{1,7}) ?/ ?(?:([0-9]{1,5}) ?)?(s|m|h|d|minute|hour|day)\Z")
    json = {"type": "string", "pattern": rf"^\s*(?:off|{FORM.pattern[:-2]})\s*$"}  # noqa: RUF012 # never changed

    def __init__(self, most: int) -> None:
        self._most = most

    def __call__(self, value: Any) -> tuple[int, float] | None:
        text = value.strip() if isinstance(value, str) else ""
        if text == "off":
            return None
        match = self.FORM.match(text)
        count = int(match[1]) if match else 0
        seconds = int(match[2] or 1) * Duration.UNITS[match[3][0]] if match else 0.0
        if not 1 <= count <= self._most or not 60 <= seconds <= 86_400:
            raise Wrong(f"must be off, or a number up to {self._most} in a time from 1m to 24h", "write {key}: 20/1h")
        return count, seconds

    @classmethod
    def spoken(cls, count: int, seconds: float) -> str:
        """As it stands in the configuration."""
        return f"{count}/{spoken(seconds)}"


class Several:
    """A list, or one word that means all of them: None."""

    def __init__(self, item: Kind, word: str, most: int, example: str) -> None:
        self._word = word
        self._list = ListOf(item, most, example)

    @property
    def json(self) -> dict[str, Any]:
        return {"anyOf": [{"enum": [self._word]}, {**self._list.json, "type": "array"}]}

    def __call__(self, value: Any) -> tuple[Any, ...] | None:
        if value == self._word:
            return None
        if not isinstance(value, list):
            raise Wrong(f"must be {self._word}, or a list")
        return tuple(self._list(value))


class ListOf:
    """A list; all its errors at once. Nothing after the colon is the empty list."""

    def __init__(self, item: Kind, most: int, example: str) -> None:
        self.item = item
        self._most = most
        self._example = example

    @property
    def json(self) -> dict[str, Any]:
        return {"type": ["array", "null"], "items": self.item.json, "maxItems": self._most}

    def __call__(self, value: Any) -> list[Any]:
        if value is None:
            return []
        if not isinstance(value, list):
            raise Wrong("must be a list", f"write each entry on a line of its own: {self._example}")
        if len(value) > self._most:
            raise Wrong(f"has {len(value)} entries, and may have {self._most}")
        return list(_collect(((index, index, item) for index, item in enumerate(value)), self.item).values())


class MapOf:
    """Names of one's own choice with a value each."""

    def __init__(self, name: Kind, value: Kind, most: int, example: str) -> None:
        self._name = name
        self.value = value
        self._most = most
        self._example = example

    @property
    def json(self) -> dict[str, Any]:
        return {
            "type": ["object", "null"],
            "propertyNames": self._name.json,
            "additionalProperties": self.value.json,
            "maxProperties": self._most,
        }

    def __call__(self, value: Any) -> dict[str, Any]:
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise Wrong("must be names with a value each", f"such as {self._example}")
        if len(value) > self._most:
            raise Wrong(f"has {len(value)} entries, and may have {self._most}")
        return _collect(((key, key, (key, item)) for key, item in value.items()), self._entry)

    def _entry(self, entry: tuple[str, Any]) -> Any:
        self._name(entry[0])
        return self.value(entry[1])


class Section:
    """A group of known keys; nothing after the colon means all defaults. `one_of`: exactly one of these must be."""

    def __init__(self, keys: dict[Any, Kind], example: str, *, one_of: tuple[str, ...] = ()) -> None:
        self.keys = keys
        self._example = example
        self._one_of = one_of
        self._check = vol.Schema(keys)

    @property
    def json(self) -> dict[str, Any]:
        result: dict[str, Any] = {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                str(key.schema): {**kind.json, "description": key.description} for key, kind in self.keys.items()
            },
        }
        if self._one_of:
            return {**result, "oneOf": [{"required": [key]} for key in self._one_of]}
        required = [str(key.schema) for key in self.keys if isinstance(key, vol.Required)]
        # A group with a key that must be there cannot be left empty.
        return {**result, "required": required} if required else {**result, "type": ["object", "null"]}

    def __call__(self, value: Any) -> dict[str, Any]:
        if value is not None and not isinstance(value, dict):
            raise Wrong("must be a group of keys", f"each on a line of its own, indented, such as {self._example}")
        given = {} if value is None else value
        errors: list[Any] = list(self._choice(given))
        try:
            result: dict[str, Any] = self._check(given)
        except vol.MultipleInvalid as error:
            raise vol.MultipleInvalid([*errors, *error.errors]) from None
        if errors:
            raise vol.MultipleInvalid(errors)
        return result

    def _choice(self, given: dict[Any, Any]) -> Iterator[Wrong]:
        """What is wrong about the keys of which there must be exactly one."""
        found = [key for key in self._one_of if key in given]
        if self._one_of and not found:
            yield Wrong(f"needs one of {', '.join(self._one_of)}", f"such as {self._example}")
        for key in found[1:]:
            yield Wrong(f"stands beside {found[0]}", "keep one of the two; make another entry for the other", [key])

    def meant(self, key: str) -> str:
        """What somebody who wrote the unknown `key` may have meant; empty if there is no telling."""
        known = [str(known.schema) for known in self.keys]
        word = key.strip().lower().replace("-", "_")
        if word in known:
            return word
        if SYNONYMS.get(word) in known:
            return SYNONYMS[word]
        return next(iter(difflib.get_close_matches(word, known, 1, 0.6)), "")


class Either:
    """A plain value, or a group of keys where there is more to say."""

    def __init__(self, plain: Kind, full: Section) -> None:
        self._plain = plain
        self.full = full

    @property
    def json(self) -> dict[str, Any]:
        return {"anyOf": [self._plain.json, self.full.json]}

    def __call__(self, value: Any) -> Any:
        return self.full(value) if isinstance(value, dict) else self._plain(value)


def spoken(seconds: float) -> str:
    """A time as a person writes it in the configuration."""
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g}{unit}"
    return f"{seconds:g}s"


def as_name(text: str) -> str:
    """A name that may stand in a topic, made from what somebody wrote: `Béla 2` gives `bela-2`."""
    plain = unicodedata.normalize("NFKD", text.lower()).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9_-]+", "-", plain).strip("-")[:32]


def _collect(entries: Any, kind: Callable[[Any], Any]) -> dict[Any, Any]:
    result, errors = {}, []
    for place, name, value in entries:
        try:
            result[name] = kind(value)
        except vol.MultipleInvalid as error:
            error.prepend([place])
            errors += error.errors
        except vol.Invalid as error:
            error.prepend([place])
            errors.append(error)
    if errors:
        raise vol.MultipleInvalid(errors)
    return result
