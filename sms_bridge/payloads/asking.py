"""`expect_reply` and `escalate` of a send request: from JSON values to `core.asking`, or a sentence."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr
from pydantic import ValidationError as Invalid

from sms_bridge.core.asking import (
    LONGEST,
    MAX_HELP,
    MAX_OPTIONS,
    MAX_STEPS,
    MAX_WORD,
    AskError,
    Escalate,
    Expect,
    Option,
    Step,
    Until,
)

Seconds = Annotated[StrictInt | StrictFloat, Field(ge=1, le=LONGEST)]
Name = Annotated[StrictStr, Field(pattern=r"^[a-z0-9_:-]{1,64}$")]
Typed = Annotated[StrictStr, Field(min_length=1, max_length=64)]
Value = Annotated[StrictStr, Field(max_length=MAX_WORD)]


class WantedReply(BaseModel):
    """An answer that is waited for."""

    model_config = ConfigDict(extra="forbid", title="Expected reply")

    within: Seconds = Field(description="seconds from the moment at which the message has gone out")
    options: dict[StrictStr, Value] | list[StrictStr] = Field(
        default_factory=dict,
        max_length=MAX_OPTIONS,
        description="what may be answered, and what that means: {'1': 'open', 'no|nem': 'ignore'}; or a list",
    )
    any: StrictBool = Field(False, description="a text that fits no option is an answer too")
    token: StrictBool = Field(False, description="the message ends with a mark such as #a7x, for the reply to repeat")
    help: Annotated[StrictStr, Field(min_length=1, max_length=MAX_HELP)] | None = Field(
        None, description="sent once to who answers something else"
    )


class WantedStep(BaseModel):
    """What is done when the message has come to nothing by then."""

    model_config = ConfigDict(extra="forbid", title="Step of an escalation")

    after: Seconds = Field(description="seconds from the acceptance, or from `send_at`")
    to: Typed | Annotated[list[Typed], Field(min_length=1, max_length=100)] | None = Field(
        None, description="without it: those whom the message has not reached"
    )
    route: Name | None = None
    modem: Name | None = None
    text: Annotated[StrictStr, Field(min_length=1)] | None = None


class WantedEscalation(BaseModel):
    """Steps, and how far a message must come so that none is taken."""

    model_config = ConfigDict(extra="forbid", title="Escalation")

    steps: Annotated[list[WantedStep], Field(min_length=1, max_length=MAX_STEPS)]
    until: Until | None = Field(None, description="without it: reply where one is expected, else delivered")


def expect_of(value: Any) -> Expect | None:
    """`expect_reply` as an automation gives it. ValueError with a sentence."""
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = {"within": value}
    try:
        wanted = WantedReply.model_validate(value)
    except Invalid as error:
        raise ValueError(_sentence("expect_reply", error)) from None
    given = wanted.options
    pairs = given.items() if isinstance(given, dict) else [(word.split("|")[0].strip(), word) for word in given]
    try:
        options = tuple(Option.of(*pair) if isinstance(given, dict) else Option.of(pair[1], pair[0]) for pair in pairs)
    except AskError as error:
        raise ValueError(f"`expect_reply`: {error}") from None
    words = [word for option in options for word in option.words]
    if len(words) != len(set(words)):
        twice = next(word for word in words if words.count(word) > 1)
        raise ValueError(f"`expect_reply`: the answer '{twice}' stands for two options")
    return Expect(float(wanted.within), options, wanted.any, wanted.token, wanted.help)


def escalate_of(value: Any) -> Escalate | None:
    """`escalate` as an automation gives it. ValueError with a sentence."""
    if value is None or value == []:
        return None
    try:
        wanted = WantedEscalation.model_validate({"steps": value} if isinstance(value, list) else value)
    except Invalid as error:
        raise ValueError(_sentence("escalate", error)) from None
    return Escalate(tuple(_step(step) for step in wanted.steps), wanted.until)


ExpectReply = Annotated[Expect | None, BeforeValidator(expect_of, json_schema_input_type=Seconds | WantedReply | None)]
Escalation = Annotated[
    Escalate | None,
    BeforeValidator(escalate_of, json_schema_input_type=list[WantedStep] | WantedEscalation | None),
]

_SECONDS = f"a number of seconds from 1 to {LONGEST}"
_EXPECTED = {
    "expect_reply": f'{_SECONDS}, or an object such as {{"within": 600, "options": {{"1": "open"}}}}',
    "escalate": f'a list of 1 to {MAX_STEPS} steps such as {{"after": 60, "to": "@boss"}}',
    "step": 'an object such as {"after": 60, "to": "@boss"}',
    "steps": f'a list of 1 to {MAX_STEPS} steps such as {{"after": 60, "to": "@boss"}}',
    "within": _SECONDS,
    "after": _SECONDS,
    "options": f'at most {MAX_OPTIONS} answers such as {{"1": "open"}}, with texts of at most {MAX_WORD} characters',
    "any": "true or false",
    "token": "true or false",
    "help": f"a text of 1 to {MAX_HELP} characters",
    "to": 'a number in quotes, an "@alias", a "#group", or a list of them',
    "route": "a route's name",
    "modem": "a modem's name",
    "text": "text in quotes",
    "until": '"sent", "delivered" or "reply"',
}


def _step(wanted: WantedStep) -> Step:
    to = (wanted.to,) if isinstance(wanted.to, str) else tuple(wanted.to or ())
    return Step(float(wanted.after), to, wanted.route, wanted.modem, wanted.text)


def _sentence(field: str, error: Invalid) -> str:
    """What is wrong first, and what it should be."""
    first = error.errors(include_url=False, include_context=False)[0]
    unknown = first["type"] == "extra_forbidden"
    # A place has the names of pydantic's own kinds in it, where there was a choice of them.
    place = [part for part in first["loc"] if isinstance(part, int) or part in _EXPECTED or unknown]
    where, name = [f"`{field}`"], field
    if place[:1] == ["steps"] and len(place) > 1:
        del place[0]
    if place and isinstance(place[0], int):
        where.append(f"step {place[0] + 1}")
        name = "step"
        del place[0]
    if place:
        name = str(place[0])
        shown = "".join(character if character.isprintable() else "\ufffd" for character in name[:40])
        where.append(f"`{shown}`")
    if unknown:
        return f"{', '.join(where)}: there is no such field"
    if first["type"] == "missing":
        return f"{', '.join(where)} is missing: {_EXPECTED[name]}"
    return f"{', '.join(where)} must be {_EXPECTED[name]}"
