"""A profile's JSON read strictly: every value has a type and a form, every mistake a sentence for who wrote it."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import StrEnum
from importlib.resources.abc import Traversable
from typing import Any, NoReturn, TypeVar

__all__ = ["Fields", "ProfileError", "read"]

E = TypeVar("E", bound=StrEnum)
T = TypeVar("T")
Rows = tuple[tuple[int, ...], ...]

_REQUIRED: Any = object()
_ID = re.compile(r"([0-9a-f]{4}):([0-9a-f]{4}|\*)\Z")


class ProfileError(ValueError):
    """A sentence: the file, the field, what is expected there."""


class Fields:
    """One JSON object on its way to be understood. Each method takes one field; `end` refuses what is left."""

    def __init__(self, file: str, path: str, data: object) -> None:
        self.file = file
        self._path = path
        if not isinstance(data, dict):
            raise ProfileError(f"{file}: {path or 'the file'}: expected an object in braces, not {_shown(data)}")
        self._data: dict[str, Any] = dict(data)
        self._known: list[str] = []

    def text(self, key: str, default: str = _REQUIRED, *, pattern: str = "", form: str = "a text") -> str:
        """A text that is not empty and has only printable characters; `form` says in words what `pattern` wants."""
        return self._take(key, default, lambda value, where: self._text(value, where, pattern, form))

    def texts(
        self, key: str, default: tuple[str, ...] = (), *, pattern: str = "", form: str = "a text"
    ) -> tuple[str, ...]:
        """A list of such texts, without doubles."""
        return self._list(key, default, lambda value, where: self._text(value, where, pattern, form))

    def flag(self, key: str, default: bool) -> bool:
        def check(value: object, where: str) -> bool:
            if not isinstance(value, bool):
                self._fail(where, "true or false", value)
            return value

        return self._take(key, default, check)

    def seconds(self, key: str, most: float, default: float = 0.0) -> float:
        """0 to `most` seconds."""

        def check(value: object, where: str) -> float:
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
                self._fail(where, f"seconds between 0 and {most:g}", value)
            return float(value)

        return self._take(key, default, check)

    def count(self, key: str, least: int, most: int, default: int) -> int:
        return self._take(key, default, lambda value, where: self._count(value, where, least, most))

    def counts(self, key: str, least: int, most: int, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        return self._list(key, default, lambda value, where: self._count(value, where, least, most))

    def rows(self, key: str, columns: int, least: int, most: int, default: Rows = ()) -> Rows:
        """A list of lists of `columns` numbers each."""

        def check(value: object, where: str) -> tuple[int, ...]:
            if not isinstance(value, list) or len(value) != columns:
                self._fail(where, f"a list of {columns} numbers", value)
            return tuple(self._count(item, f"{where}[{i}]", least, most) for i, item in enumerate(value))

        return self._list(key, default, check)

    def choice(self, key: str, kind: type[E], default: E) -> E:
        """One of an enum's values."""
        return self._take(key, default, lambda value, where: self._choice(value, where, kind))

    def choices(self, key: str, kind: type[E], default: tuple[E, ...] = ()) -> tuple[E, ...]:
        return self._list(key, default, lambda value, where: self._choice(value, where, kind))

    def usb_ids(self, key: str) -> tuple[tuple[int, int | None], ...]:
        """`vvvv:pppp`; None for the product stands for all of a vendor's that no file names."""

        def check(value: object, where: str) -> tuple[int, int | None]:
            match = _ID.match(value) if isinstance(value, str) else None
            if match is None:
                wanted = 'lower-case hexadecimal such as "12d1:1506", or "12d1:*" for the rest of a vendor'
                self._fail(where, wanted, value)
            return int(match[1], 16), None if match[2] == "*" else int(match[2], 16)

        return self._list(key, (), check)

    def table(self, key: str, name: Callable[[str], T | None], form: str, kind: type[E]) -> dict[T, E]:
        """An object from names, which `name` understands (else None) and `form` describes, to an enum's values."""
        result: dict[T, E] = {}
        for text, value, where in self._items(key):
            understood = name(text)
            if understood is None:
                self._fail(where, form, text)
            result[understood] = self._choice(value, where, kind)
        return result

    def texts_by_name(self, key: str, pattern: str, form: str, default: Mapping[str, str]) -> Mapping[str, str]:
        """An object from names of a form to texts."""
        if key not in self._data:
            self._known.append(key)
            return default
        result: dict[str, str] = {}
        for text, value, where in self._items(key):
            self._text(text, where, pattern, form)
            result[text] = self._text(value, where, "", "a text")
        return result

    def objects(self, key: str) -> Iterator[Fields]:
        """A list of objects, each to be taken apart in its turn."""
        for index, value in enumerate(self._values(key) or ()):
            yield Fields(self.file, f"{self._where(key)}[{index}]", value)

    def end(self) -> None:
        """All was taken, or there are fields that nobody knows."""
        for key in self._data:
            close = difflib.get_close_matches(key, self._known, 1)
            advice = f'did you mean "{close[0]}"?' if close else f"known here: {', '.join(self._known)}"
            raise ProfileError(f"{self.file}: {self._where(key)}: there is no such field; {advice}")

    def refuse(self, key: str, sentence: str) -> NoReturn:
        """A field whose form was right and whose value is not."""
        raise ProfileError(f"{self.file}: {self._where(key)}: {sentence}")

    def _take(self, key: str, default: T, check: Callable[[object, str], T]) -> T:
        self._known.append(key)
        if key in self._data:
            return check(self._data.pop(key), self._where(key))
        if default is _REQUIRED:
            raise ProfileError(f"{self.file}: {self._where(key)}: is missing")
        return default

    def _list(self, key: str, default: tuple[T, ...], check: Callable[[object, str], T]) -> tuple[T, ...]:
        values = self._values(key)
        if values is None:
            return default
        found = tuple(check(value, f"{self._where(key)}[{index}]") for index, value in enumerate(values))
        for index, value in enumerate(found):
            if value in found[:index]:
                raise ProfileError(
                    f"{self.file}: {self._where(key)}[{index}]: {_shown(values[index])} stands there twice"
                )
        return found

    def _items(self, key: str) -> Iterator[tuple[str, object, str]]:
        def check(value: object, where: str) -> dict[str, object]:
            if not isinstance(value, dict):
                self._fail(where, "an object in braces", value)
            return value

        nothing: dict[str, object] = {}
        for text, value in self._take(key, nothing, check).items():
            yield text, value, f"{self._where(key)}.{text}"

    def _values(self, key: str) -> list[object] | None:
        def check(value: object, where: str) -> list[object] | None:
            if not isinstance(value, list):
                self._fail(where, "a list in brackets", value)
            return value

        return self._take(key, None, check)

    def _text(self, value: object, where: str, pattern: str, form: str) -> str:
        if not isinstance(value, str) or not value.strip() or not value.isprintable():
            self._fail(where, form, value)
        if pattern and not re.fullmatch(pattern, value):
            self._fail(where, form, value)
        return value

    def _count(self, value: object, where: str, least: int, most: int) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            self._fail(where, f"a whole number between {least} and {most}", value)
        return value

    def _choice(self, value: object, where: str, kind: type[E]) -> E:
        names = [member.value for member in kind]
        if value not in names:
            self._fail(where, f"one of {', '.join(names)}", value)
        return kind(value)

    def _fail(self, where: str, expected: str, got: object) -> NoReturn:
        raise ProfileError(f"{self.file}: {where}: expected {expected}, not {_shown(got)}")

    def _where(self, key: str) -> str:
        return f"{self._path}.{key}" if self._path else key


def read(file: Traversable) -> Fields:
    """The object in `file`. Raises ProfileError for what is no JSON object, or names a field twice."""
    try:
        data = json.loads(file.read_text(encoding="utf-8"), object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        raise ProfileError(f"{file.name}: line {error.lineno}, column {error.colno}: {error.msg}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ProfileError(f"{file.name}: cannot be read: {error}") from None
    except _Twice as twice:
        raise ProfileError(f"{file.name}: {twice.args[0]}: stands there twice") from None
    return Fields(file.name, "", data)


class _Twice(Exception):
    pass


def _once(pairs: Iterable[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in pairs:
        if key in found:
            raise _Twice(key)
        found[key] = value
    return found


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
