"""Changes to the configuration by program: what a person wrote stays as it was, with comments, order and quotes.

`merge` says what is meant, as plain data; `rewrite` does it to the text and proves that it reads back as exactly that.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from sms_bridge.config.document import KeyPath, dotted, read
from sms_bridge.config.errors import ConfigError, Problem

HEADER = b"# Written by sms-bridge. Comments that you add stay; docs/configuration.md has every key.\n"

_PLAIN = re.compile(r"(?!(?:true|false|null|yes|no|on|off)\Z)[A-Za-z][A-Za-z0-9_-]*\Z", re.IGNORECASE)
_ITEM = re.compile(r"( *)- ")
_KEY = re.compile(r"( *)(?:- +)?[^\s#'\"-][^:#]*:\s*(?:#.*)?\Z")


def merge(old: Any, changes: Any) -> Any:
    """`changes` over `old`: groups of keys are merged, null takes a key away, all else is replaced."""
    if not isinstance(changes, Mapping):
        return changes
    result = dict(old) if isinstance(old, Mapping) else {}
    for key, value in changes.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), value)
    return result


def paths(changes: Any, path: KeyPath = ()) -> list[str]:
    """The keys that `changes` names, as people write them."""
    if isinstance(changes, Mapping) and changes:
        return [found for key, value in changes.items() for found in paths(value, (*path, str(key)))]
    return [dotted(path)]


def rewrite(raw: bytes, wanted: Mapping[str, Any], file: str) -> bytes:
    """The text of `raw` so changed that it reads as `wanted`. ConfigError where that cannot be done in place."""
    text = raw.decode("utf-8-sig")
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096  # no line is broken that was none
    step, offset = _indents(text)
    yaml.indent(mapping=step, sequence=offset + 2, offset=offset)
    try:
        data = yaml.load(text)
        if data is None:
            return _fresh(text, wanted, yaml)
        _apply(data, wanted)
        out = io.StringIO()
        yaml.dump(data, out)
        written = out.getvalue().encode()
    except (YAMLError, ValueError, TypeError, AttributeError, KeyError, IndexError) as error:
        raise _cannot(file, f"the file cannot be changed by program: {error}") from error
    if read(written, file).data != wanted:
        raise _cannot(file, "the file cannot be changed by program: it is written in an uncommon way (anchors?)")
    return written


def _fresh(text: str, wanted: Mapping[str, Any], yaml: YAML) -> bytes:
    """Nothing but comments so far."""
    out = io.StringIO()
    yaml.dump(_node(wanted), out)
    head = text if not text or text.endswith("\n") else f"{text}\n"
    return (head or HEADER.decode()).encode() + out.getvalue().encode()


def _apply(node: Any, wanted: Any) -> None:
    """Make the tree `node` equal to `wanted`, touching what differs."""
    if isinstance(node, CommentedMap) and isinstance(wanted, Mapping):
        known_before = {str(key) for key in node}
        for key in [key for key in node if str(key) not in wanted]:
            new = next(
                (name for name in wanted if name not in known_before and _plain(node[key]) == wanted[name]), None
            )
            if new is None:
                _remove(node, key)
            else:
                known_before.add(new)
                _rename(node, key, new)
        known = {str(key): key for key in node}
        for name, value in wanted.items():
            key = known.get(name, name)
            if key not in node or not _alike(node[key], value):
                _put(node, key, value)
            elif isinstance(value, Mapping) and not value and node[key]:
                _empty(node, key)
            else:
                _apply(node[key], value)
    elif isinstance(node, CommentedSeq) and isinstance(wanted, Sequence):
        for index, value in enumerate(wanted):
            if index >= len(node):
                node.append(_node(value))
            elif _alike(node[index], value):
                _apply(node[index], value)
            elif not _same(node[index], value):
                node[index] = _node(value)
        while len(node) > len(wanted):
            del node[len(node) - 1]


def _alike(node: Any, value: Any) -> bool:
    """Whether the one can be made the other by changing what is in it."""
    if isinstance(node, CommentedMap):
        return isinstance(value, Mapping)
    return isinstance(node, CommentedSeq) and isinstance(value, list | tuple)


def _put(node: CommentedMap, key: Any, value: Any) -> None:
    if key in node and _same(node[key], value):
        return
    new = key not in node
    last = next(reversed(node), None) if new else None
    node[key] = _node(value)
    if new and last is not None:
        _pass_on(node, last, key)


def _same(node: Any, value: Any) -> bool:
    """A scalar that says this already, in whatever spelling."""
    if isinstance(node, bool) or isinstance(value, bool):
        return node is value
    return type(value) in (str, int, float) and isinstance(node, type(value)) and node == value


def _pass_on(node: CommentedMap, last: Any, key: Any) -> None:
    """What is written below the last key of a group belongs to what follows the group: a new key goes before it."""
    value = node[last]
    if isinstance(value, CommentedMap | CommentedSeq) and value:
        return  # it hangs somewhere within: the new key comes after it
    slots = node.ca.items.get(last)
    token = slots[2] if slots and len(slots) > 2 else None
    if token is None or "\n" not in token.value:
        return
    own, _, below = token.value.partition("\n")
    if not below.strip():
        return
    token.value = f"{own}\n"
    if not own.strip():
        node.ca.items.pop(last)
    node.yaml_set_comment_before_after_key(key)  # makes the slots
    node.ca.items[key] = [None, None, _token(token, f"\n{below}"), None]


def _rename(node: CommentedMap, old: Any, new: str) -> None:
    """The same value under another key, in its place and with its comment."""
    place, value, slots = list(node).index(old), node[old], node.ca.items.get(old)
    del node[old]
    node.ca.items.pop(old, None)
    node.insert(place, new, value)
    if slots:
        node.ca.items[new] = slots


def _plain(node: Any) -> Any:
    if isinstance(node, CommentedMap):
        return {str(key): _plain(value) for key, value in node.items()}
    return [_plain(value) for value in node] if isinstance(node, CommentedSeq) else node


def _remove(node: CommentedMap, key: Any) -> None:
    """Take a key away, and its own comment; what is written below it stays."""
    keys = list(node)
    place = keys.index(key)
    token = _last_token(node, key)
    del node[key]
    node.ca.items.pop(key, None)
    below = token.value.partition("\n")[2] if token is not None else ""
    if not below.strip():
        return
    if place == 0:
        if len(keys) > 1:
            node.ca.comment = [None, [*((node.ca.comment or [None, None])[1] or []), _token(token, below)]]
        return
    before = keys[place - 1]
    tail = _last_token(node, before)
    if tail is not None:
        tail.value = f"{tail.value.rstrip(chr(10))}\n{below}"
    else:
        node.ca.items[before] = [None, None, _token(token, f"\n{below}"), None]


def _empty(node: CommentedMap, key: Any) -> None:
    """A group that loses all its keys, and none of what is written below it."""
    token = _last_token(node, key)
    node[key] = _node({})
    below = token.value.partition("\n")[2] if token is not None else ""
    node.ca.items.pop(key, None)
    if below.strip():
        node.ca.items[key] = [None, None, _token(token, f"\n{below}"), None]


def _last_token(node: Any, key: Any) -> Any:
    """The comment that ends what stands under `key`."""
    value = node[key]
    if isinstance(value, CommentedMap) and value and not value.fa.flow_style():
        return _last_token(value, next(reversed(value)))
    if isinstance(value, CommentedSeq) and len(value) and not value.fa.flow_style():
        return _last_token(value, len(value) - 1)
    slots = node.ca.items.get(key)
    if not slots:
        return None
    return (slots[2] if len(slots) > 2 else None) if isinstance(node, CommentedMap) else slots[0]


def _token(like: Any, value: str) -> Any:
    return type(like)(value, like.start_mark, like.end_mark)


def _node(value: Any) -> Any:
    """Plain data as YAML is written here: text that could be mistaken for anything else stands in quotes."""
    if isinstance(value, Mapping):
        result = CommentedMap((_node(key), _node(item)) for key, item in value.items())
        if not value:
            result.fa.set_flow_style()
        return result
    if isinstance(value, list | tuple):
        items = CommentedSeq(_node(item) for item in value)
        if all(not isinstance(item, Mapping | list | tuple) for item in value):
            items.fa.set_flow_style()
        return items
    if isinstance(value, str) and not _PLAIN.match(value):
        return DoubleQuotedScalarString(value)
    return value


def _indents(text: str) -> tuple[int, int]:
    """(columns of a level, columns of a list's dash below its key), as this person writes; else two and two."""
    step, offset, above = 0, -1, None
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        indent = len(line) - len(line.lstrip(" "))
        if above is not None:
            if _ITEM.match(line):
                offset = indent - above if offset < 0 <= indent - above else offset
            elif indent > above and not step:
                step = indent - above
        above = indent if _KEY.match(line) and not _ITEM.match(line) else None
    return step if 0 < step <= 8 else 2, offset if 0 <= offset <= 8 else 2


def _cannot(file: str, message: str) -> ConfigError:
    return ConfigError([Problem(file, 0, 0, "", message, "change it by hand, then restart the bridge")])
