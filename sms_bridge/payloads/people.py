"""Requests about contacts and groups."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, StrictInt, StrictStr

from sms_bridge.core import quiet

NAME = r"^[0-9]*[a-z_-][a-z0-9_-]*$"
MOST_MEMBERS = 10_000


def _hours(texts: tuple[str, ...]) -> tuple[str, ...]:
    quiet.windows(texts)
    return texts


def _zone(name: str) -> str:
    quiet.zone(name)
    return name


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Name = Annotated[StrictStr, Field(pattern=NAME, max_length=32)]
Priority = Annotated[StrictInt, Field(ge=-128, le=127)]
Hours = Annotated[
    tuple[StrictStr, ...],
    Field(max_length=quiet.MOST),
    AfterValidator(_hours),
    BeforeValidator(_listed, json_schema_input_type=list[str] | str),
]
Zone = Annotated[StrictStr, Field(max_length=64), AfterValidator(_zone)]
Label = Annotated[StrictStr, Field(max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$")]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NothingMore(_Request):
    """`bridge/request/contacts/list`, `groups/list`."""


class ContactRequest(_Request):
    """`bridge/request/contacts/set`: add a contact, or replace one that was added by request."""

    contact: Name = Field(description="@… in orders")
    number: StrictStr = Field(max_length=64, description="in quotes, such as +36301234567")
    name: Label | None = Field(None, description="for people to read")
    quiet_hours: Hours | None = Field(None, description="hours such as 22:00-07:00; null: those of all; []: none")
    time_zone: Zone | None = Field(None, description="of the quiet hours, such as Europe/Budapest")
    priority_breaks_quiet: Priority | None = Field(None, description="orders of this priority are sent all the same")
    language: StrictStr | None = Field(None, pattern=r"^[a-z]{2,3}$", description="such as hu")
    transliterate: StrictBool = Field(False, description="as if each order said so")
    per_day: Annotated[StrictInt, Field(ge=1, le=1000)] | None = Field(None, description="messages in any 24 hours")
    route: StrictStr | None = Field(
        None, pattern=r"^(modems|[a-z][a-z0-9]{0,15}:[a-z0-9_-]{1,32})$", description="the route that is tried first"
    )
    modem: StrictStr | None = Field(
        None, pattern=r"^[a-z0-9_-]{1,64}$", description="as if each order that names none said so"
    )


class GroupRequest(_Request):
    """`bridge/request/groups/set`: add a group, or replace one that was added by request."""

    group: Name = Field(description="#… in orders")
    members: list[StrictStr] = Field(
        min_length=1, max_length=MOST_MEMBERS, description="contacts' names and numbers, no groups"
    )
    name: Label | None = Field(None, description="for people to read")
    quiet_hours: Hours = Field((), description="for what comes by way of this group")
    time_zone: Zone | None = Field(None, description="of the quiet hours")
    priority_breaks_quiet: Priority | None = Field(None, description="orders of this priority are sent all the same")


class ContactName(_Request):
    """`bridge/request/contacts/remove`."""

    contact: Name = Field(description="its name")


class GroupName(_Request):
    """`bridge/request/groups/remove`."""

    group: Name = Field(description="its name")
