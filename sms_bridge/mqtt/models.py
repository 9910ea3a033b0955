"""Requests as pydantic models: their fields checked, with a sentence for what is wrong."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from sms_bridge.mqtt.requests import RequestError

M = TypeVar("M", bound=BaseModel)

_SHOWN = 40  # characters of a name that nobody knows


def taken(model: type[M], fields: Mapping[str, Any]) -> M:
    """`fields` as `model`; RequestError says the first thing that is wrong with them, and what should be there."""
    known = list(model.model_fields)
    for key in fields:
        if key not in known:
            near = difflib.get_close_matches(key[:_SHOWN], known, 1)
            there = f"did you mean `{near[0]}`?" if near else f"there are: {', '.join(known) or 'none'}"
            raise RequestError(f"there is no field {key[:_SHOWN]!a} here; {there}")
    try:
        return model.model_validate(dict(fields))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(str(step) for step in first["loc"][:3])
    field = model.model_fields.get(str(first["loc"][0])) if first["loc"] else None
    if first["type"] == "missing":
        raise RequestError(f"`{where}` is missing: {field.description if field else 'give it'}")
    said = first["msg"][:1].lower() + first["msg"][1:]
    raise RequestError(f"`{where}`: {said}" if where else said)
