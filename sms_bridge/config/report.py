"""From what voluptuous found to sentences with a place."""

from __future__ import annotations

from typing import Any

import voluptuous as vol

from sms_bridge.config.document import Document, KeyPath, dotted
from sms_bridge.config.errors import Problem
from sms_bridge.config.kinds import Either, ListOf, MapOf, Section

SHOWN = 60  # characters of a wrong value that a hint repeats


def problems_of(root: Section, document: Document, file: str) -> tuple[dict[str, Any] | None, list[Problem]]:
    """The checked data, or None and everything that is wrong with it."""
    try:
        return root(document.data), []
    except vol.MultipleInvalid as error:
        return None, [_problem(root, document, file, one) for one in error.errors]
    except vol.Invalid as error:
        return None, [_problem(root, document, file, error)]


def problem_at(document: Document, file: str, path: KeyPath, message: str, hint: str = "") -> Problem:
    """A problem at the value of `path`, or at the nearest place above it that the file has."""
    here = path
    while here and here not in document.values and here not in document.keys:
        here = here[:-1]
    mark = document.values.get(here) or document.keys.get(here)
    key = document.keys.get(here)
    if mark is not None and key is not None and mark.text is None:
        mark = key  # of a group or a quoted text, the line with the key
    return Problem(file, mark.line if mark else 1, mark.column if mark else 1, dotted(path), message, hint)


def _problem(root: Section, document: Document, file: str, error: Any) -> Problem:
    path: KeyPath = tuple(str(key.schema) if isinstance(key, vol.Marker) else key for key in error.path)
    mark = document.values.get(path)
    text = mark.text if mark and mark.text is not None else ""
    if isinstance(error, vol.RequiredFieldInvalid):
        return problem_at(document, file, path[:-1], f"{path[-1]} is missing", f"add {path[-1]}: …")
    if error.error_message == "extra keys not allowed":
        section = _section(root, path[:-1])
        meant = section.meant(str(path[-1])) if section else ""
        known = ", ".join(str(key.schema) for key in section.keys) if section else ""
        hint = f"did you mean {meant}?" if meant else f"known here: {known}"
        key = document.keys.get(path)
        line, column = (key.line, key.column) if key else (1, 1)
        return Problem(file, line, column, dotted(path), "there is no such key", hint)
    if document.data is None or mark is None:
        return problem_at(document, file, path, error.error_message)
    hint = getattr(error, "hint", "")
    if "{" in hint:
        key_text = str(path[-1]) if path and isinstance(path[-1], str) else "- "
        hint = hint.replace("{key}: ", "- " if key_text == "- " else f"{key_text}: ").replace("{text}", text[:SHOWN])
    message = str(error.error_message)
    if text == "" and document.data is not None and mark.text == "":
        message += ", and nothing stands here"
    return problem_at(document, file, path, message, hint)


def _section(root: Section, path: KeyPath) -> Section | None:
    """The group of keys at `path`."""
    kind: Any = root
    for key in path:
        if isinstance(key, int) and isinstance(kind, ListOf):
            kind = kind.item
        elif isinstance(kind, Section):
            kind = next((value for known, value in kind.keys.items() if known.schema == key), None)
        elif isinstance(kind, MapOf):
            kind = kind.value.full if isinstance(kind.value, Either) else kind.value
        else:
            return None
    return kind if isinstance(kind, Section) else None
