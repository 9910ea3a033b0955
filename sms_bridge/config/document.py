"""YAML text to plain data that remembers where each value stood and how it was written.

ruamel.yaml only cuts the text into events. Values are resolved here, by the YAML 1.2 core schema: the text as typed
stays at hand (`pin: 0000` is the number 0, and the person needs to hear of `0000`), and nothing in a file can make
this slow or deep: size, depth and the number of nodes after expanding aliases are bounded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    DocumentStartEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceStartEvent,
)
from ruamel.yaml.reader import ReaderError

from sms_bridge.config.errors import ConfigError, Problem

MAX_BYTES = 262_144  # ten thousand contacts; read in under two seconds on a small machine
MAX_DEPTH = 16  # the deepest place of the schema is 4
MAX_NODES = 50_000  # after aliases were expanded

Key = str | int
KeyPath = tuple[Key, ...]

_NULL = re.compile(r"(?:~|null|Null|NULL)?\Z")
_BOOL = re.compile(r"(?:true|True|TRUE)\Z|(?:false|False|FALSE)\Z")
_INT = re.compile(r"[-+]?[0-9]{1,40}\Z")
_BASED = re.compile(r"0(?:o[0-7]{1,20}|x[0-9a-fA-F]{1,16})\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]{1,40}|[0-9]{1,40}(?:\.[0-9]{0,40})?)(?:[eE][-+]?[0-9]{1,3})?\Z")
_STR_TAG = "tag:yaml.org,2002:str"

_HINTS = (
    ("'\\t'", "indent with spaces, not with tabs"),
    ("mapping values are not allowed", "is the line indented like its neighbours, and text with ': ' in it in quotes?"),
    ("expected <block end>", "is the line indented like its neighbours?"),
    ("could not find expected ':'", "is there a ':' with a space after the key?"),
    ("found unexpected end of stream", "is a quote, '[' or '{' left open?"),
    ("undefined alias", "an alias *name needs an anchor &name further up"),
    ("expected alphabetic or numeric character", "text that starts with * or & needs quotes"),
    ("cannot start any token", "text that starts with @, ` or % needs quotes"),
)


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a value stands, from 1, and the text of a plain scalar as it was typed."""

    line: int
    column: int
    text: str | None = None


@dataclass(slots=True)
class Document:
    """`data` of dicts, lists, str, int, float, bool, None; marks by path, of keys and of values."""

    data: Any = None
    keys: dict[KeyPath, Mark] = field(default_factory=dict)
    values: dict[KeyPath, Mark] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


@dataclass(slots=True)
class _Node:
    kind: str  # "scalar", "list", "map"
    mark: Mark
    value: Any = None
    items: list[_Node] = field(default_factory=list)  # of a map: key, value, key, value


def read(raw: bytes, file: str) -> Document:
    """Raises ConfigError if `raw` is no YAML; what else is wrong stands in the document's `problems`."""
    if len(raw) > MAX_BYTES:
        raise _error(file, 0, 0, f"the file has {len(raw)} bytes", f"a configuration has at most {MAX_BYTES}")
    document = Document()
    root = _compose(_events(_decode(raw, file), file), file, document.problems)
    if root is not None:
        _Expander(document, file).expand(root)
    return document


def _decode(raw: bytes, file: str) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise _error(
            file, line, 1, f"byte 0x{raw[error.start]:02x} is not UTF-8", "save the file with the encoding UTF-8"
        ) from None


def _events(text: str, file: str) -> Iterator[Any]:
    try:
        yield from YAML(typ="safe", pure=True).parse(text)
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise _error(file, line, 1, f"the character U+{ord(text[error.position]):04X} may not stand here") from None
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = str(error.problem or error.context or "not YAML").strip()
        hint = next((hint for words, hint in _HINTS if words in problem), "")
        raise _error(file, mark.line + 1 if mark else 0, mark.column + 1 if mark else 0, problem, hint) from None
    except (YAMLError, ValueError, OverflowError, AttributeError, TypeError, IndexError, KeyError) as error:
        # The parser lets a few of its own slips through, such as chr() of an escape beyond Unicode.
        raise _error(file, 0, 0, f"not YAML: {error}") from None


def _compose(events: Iterable[Any], file: str, problems: list[Problem]) -> _Node | None:
    """The node tree of the one document; aliases point at the anchored node. Never recurses."""
    root: _Node | None = None
    stack: list[_Node] = []
    anchors: dict[str, _Node] = {}
    documents = nodes = 0
    for event in events:
        if isinstance(event, DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise _error(file, event.start_mark.line + 1, 1, "a second document starts here", "remove the '---'")
            continue
        if isinstance(event, CollectionEndEvent):
            stack.pop()
            continue
        node = _node(event, anchors, file, problems)
        if node is None:
            continue
        nodes += 1
        if nodes > MAX_NODES:
            raise _error(file, node.mark.line, node.mark.column, "too many values")
        if stack:
            stack[-1].items.append(node)
        elif root is None:
            root = node
        if isinstance(event, MappingStartEvent | SequenceStartEvent):
            stack.append(node)
            if len(stack) > MAX_DEPTH:
                raise _error(file, node.mark.line, node.mark.column, f"nested deeper than {MAX_DEPTH} levels")
    return root


def _node(event: Any, anchors: dict[str, _Node], file: str, problems: list[Problem]) -> _Node | None:
    if not isinstance(event, ScalarEvent | MappingStartEvent | SequenceStartEvent | AliasEvent):
        return None
    mark = Mark(event.start_mark.line + 1, event.start_mark.column + 1)
    if isinstance(event, AliasEvent):
        target = anchors.get(event.anchor)
        if target is None:
            message = f"nothing above is called &{event.anchor}"
            raise _error(file, mark.line, mark.column, message, "text that starts with * needs quotes")
        return target
    tag = None if event.ctag is None else str(event.ctag)
    if isinstance(event, ScalarEvent):
        plain = event.implicit[0] and tag is None
        node = _Node("scalar", Mark(mark.line, mark.column, event.value if plain else None), event.value)
        if plain:
            node.value = resolve(event.value)
    else:
        node = _Node("map" if isinstance(event, MappingStartEvent) else "list", mark)
    if tag is not None and not tag.startswith("tag:yaml.org,2002:") and tag != "!":
        hint = "write the value itself; a password can stand in a file of its own: password_file"
        problems.append(Problem(file, mark.line, mark.column, "", f"tags such as {tag} are not read here", hint))
    if event.anchor:
        anchors[event.anchor] = node
    return node


def resolve(text: str) -> Any:
    """A plain scalar by the YAML 1.2 core schema: `NO`, `on` and `12:30` stay text."""
    if _NULL.match(text):
        return None
    if _BOOL.match(text):
        return text[0] in "tT"
    if _INT.match(text):
        return int(text)
    if _BASED.match(text):
        return int(text, 0)
    if _FLOAT.match(text):
        return float(text)
    return text


class _Expander:
    """Turns the node tree into plain data, with a mark for each path."""

    def __init__(self, document: Document, file: str) -> None:
        self._document = document
        self._file = file
        self._nodes = 0

    def expand(self, root: _Node) -> None:
        self._document.data = self._value(root, ())

    def _value(self, node: _Node, path: KeyPath) -> Any:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise self._error(node, "too many values once the aliases are written out")
        if len(path) > MAX_DEPTH:
            raise self._error(node, f"nested deeper than {MAX_DEPTH} levels")
        self._document.values[path] = node.mark
        if node.kind == "scalar":
            return node.value
        if node.kind == "list":
            return [self._value(item, (*path, index)) for index, item in enumerate(node.items)]
        result: dict[str, Any] = {}
        for key, value in zip(node.items[::2], node.items[1::2], strict=True):
            name = self._key(key)
            here = (*path, name)
            if name in result:
                first = self._document.keys[here].line
                self._problem(key, here, f"this key stands twice, first in line {first}", "keep one of them")
            self._document.keys[here] = key.mark
            result[name] = self._value(value, here)
        return result

    def _key(self, node: _Node) -> str:
        if node.kind != "scalar":
            raise self._error(node, "a key must be a word")
        return node.mark.text if node.mark.text is not None else str(node.value)

    def _problem(self, node: _Node, path: KeyPath, message: str, hint: str) -> None:
        problem = Problem(self._file, node.mark.line, node.mark.column, dotted(path), message, hint)
        self._document.problems.append(problem)

    def _error(self, node: _Node, message: str) -> ConfigError:
        return _error(self._file, node.mark.line, node.mark.column, message)


def dotted(path: Iterable[Key]) -> str:
    """A path as people write it: `modems[0].pin`."""
    text = ""
    for key in path:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else str(key)
    return text


def _error(file: str, line: int, column: int, message: str, hint: str = "") -> ConfigError:
    return ConfigError([Problem(file, line, column, "", message, hint)])
