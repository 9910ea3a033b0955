"""JSON from outside, strictly: total over any octets, the only exception is `JsonError` with a sentence."""

from __future__ import annotations

import json
import math
from typing import Any

MAX_DEPTH = 32

_REPLACEMENT = "\ufffd"


class JsonError(ValueError):
    """What the text is instead of JSON, to follow "is": `not UTF-8: ...`, `empty`."""


def parse(payload: bytes) -> Any:
    """The value of a UTF-8 JSON text. No NaN, no infinity, no key twice, at most `MAX_DEPTH` levels.

    Half a surrogate pair (a text that was cut inside an emoji) becomes U+FFFD.
    """
    value = decode(payload)
    try:
        found = _DECODER.decode(value)
    except json.JSONDecodeError as error:
        raise JsonError(_describe(error, value)) from None
    except RecursionError:
        raise JsonError(f"nested more than {MAX_DEPTH} levels deep") from None
    except JsonError:
        raise
    except ValueError:
        raise JsonError("not usable: it has a number with thousands of digits") from None
    if payload.count(b"[") + payload.count(b"{") > MAX_DEPTH and depth(found) > MAX_DEPTH:
        raise JsonError(f"nested more than {MAX_DEPTH} levels deep")
    if b"\\u" in payload:
        return _without_halves(found)
    return found


def decode(payload: bytes) -> str:
    """UTF-8 to text; a byte order mark at the start is dropped. Raises JsonError with the position."""
    try:
        text = str(payload, "utf-8")
    except UnicodeDecodeError as error:
        raise JsonError(f"not UTF-8: octet 0x{payload[error.start]:02x} at position {error.start}") from None
    return text.removeprefix("\ufeff")


def depth(value: Any) -> int:
    """Levels of lists and objects; iterative, so that hostile nesting costs no stack."""
    deepest = 0
    stack = [(value, 1)]
    while stack:
        item, level = stack.pop()
        if isinstance(item, dict):
            children: Any = item.values()
        elif isinstance(item, list):
            children = item
        else:
            continue
        deepest = max(deepest, level)
        stack.extend((child, level + 1) for child in children)
    return deepest


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise JsonError(f"ambiguous: the key {_shown(key)} stands there twice")
            seen.add(key)
    return found


def _constant(name: str) -> Any:
    raise JsonError(f"not JSON: it has {name}, write null")


def _float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise JsonError(f"not usable: the number {text[:40]} is too large")
    return value


def _describe(error: json.JSONDecodeError, text: str) -> str:
    where = f"line {error.lineno}, column {error.colno}"
    if not text.strip():
        return "empty"
    return f"not JSON at {where}: {error.msg}"


def _without_halves(value: Any) -> Any:
    if isinstance(value, str):
        return _mended(value)
    if isinstance(value, list):
        return [_without_halves(item) for item in value]
    if isinstance(value, dict):
        return {_mended(key): _without_halves(item) for key, item in value.items()}
    return value


def _mended(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        return "".join(_REPLACEMENT if "\ud800" <= character <= "\udfff" else character for character in text)
    return text


def _shown(key: str) -> str:
    return repr(_mended(key[:40]))


_DECODER = json.JSONDecoder(object_pairs_hook=_pairs, parse_constant=_constant, parse_float=_float)
