"""The requests below `sms/bridge/request/` and the `data` of their answers, for the published schemas.

A request says all of its fields: another one is refused by name. An answer may get further fields in later versions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr

from sms_bridge.payloads.people import ContactName, ContactRequest, GroupName, GroupRequest, NothingMore
from sms_bridge.payloads.switches import PauseRequest, ResumeRequest


class Request(BaseModel):
    """Fields of a request. `transaction`, any JSON value, may stand beside them and comes back in the answer."""

    model_config = ConfigDict(extra="forbid")


class AnswerData(BaseModel):
    """The `data` of an answer whose `status` is ok."""

    model_config = ConfigDict(extra="allow")


ModemName = Annotated[
    StrictStr,
    Field(validation_alias=AliasChoices("modem", "id", "name"), description="a modem's name; also read: id, name"),
]
Secret = Annotated[StrictStr, Field(pattern=r"^[0-9]{4,8}$")]


class NoFields(Request):
    """A request without fields."""


class OfModem(Request):
    """A request about one modem."""

    modem: ModemName


class OfMessage(Request):
    """A request about the orders of one id."""

    id: StrictStr = Field(description="the id that the order was given, or got")


class EstimateRequest(Request):
    """`message/estimate`: what a text costs, before it is sent."""

    text: StrictStr = Field(
        validation_alias=AliasChoices("text", "message", "content"), description="also read: message, content"
    )
    encoding: Literal["auto", "gsm7", "ucs2"] | None = "auto"
    to: StrictStr | None = Field(None, description="one recipient: which route and modem would send it, and why")
    language: StrictStr | None = Field(None, description="of the reader, such as uk: for the replacement")
    national: list[StrictStr] | None = Field(None, description="national tables that may be used, such as turkish")
    route: StrictStr | None = Field(None, description="as in an order")
    modem: StrictStr | None = Field(None, description="as in an order")
    priority: Annotated[StrictInt, Field(ge=-128, le=127)] | None = Field(None, description="as in an order")
    flash: StrictBool | None = Field(None, description="as in an order")


class InboxRequest(Request):
    """`inbox/list`: received messages, newest first."""

    limit: Annotated[StrictInt, Field(ge=1, le=500)] | None = 50
    before: Annotated[StrictInt, Field(ge=1)] | None = Field(None, description="what the page before named as `next`")


class RenameRequest(Request):
    """`modem/rename`."""

    old: StrictStr = Field(validation_alias=AliasChoices("from", "old", "modem"), description="also read: old, modem")
    new: StrictStr = Field(validation_alias=AliasChoices("to", "new", "name"), description="also read: new, name")


class ResetRequest(OfModem):
    """`modem/reset`: one step of its recovery."""

    step: StrictStr = Field("auto", description="resync, reopen, cfun, usb_reset, authorize, power or auto")


class UssdRequest(OfModem):
    """`modem/ussd`: exactly one of `code`, `reply` and `cancel`."""

    code: StrictStr | None = Field(None, description="such as *100#")
    reply: StrictStr | None = Field(None, description="to the menu that is open")
    cancel: StrictBool | None = None


class AtRequest(OfModem):
    """`modem/at`: one AT command, where the configuration allows it."""

    command: StrictStr = Field(description="such as AT+CSQ")


class UnlockRequest(OfModem):
    """`sim/unlock`: a PIN, or a PUK and a new PIN."""

    pin: Secret = Field(description="in quotes")
    puk: Annotated[StrictStr, Field(pattern=r"^[0-9]{8}$")] | None = None
    force: StrictBool = Field(False, description="use even the last attempt")


class OptionsRequest(Request):
    """`options`: a part of the configuration, merged into its file."""

    options: dict[str, Any] = Field(min_length=1, description="as in the configuration; null restores a default")


class ModemOptionsRequest(OfModem):
    """`modem/options`: the same for a modem's entry."""

    options: dict[str, Any] = Field(min_length=1, description="as under `modems`; null restores a default")


class BackupRequest(Request):
    """`backup`."""

    secrets: StrictBool = Field(False, description="true: with the passwords and PINs of the configuration")


class SelfTestRequest(Request):
    """`self_test`: one modem texts another."""

    sender: StrictStr | None = Field(None, description="a modem's name")
    receiver: StrictStr | None = Field(None, description="a modem's name")


class Orders(AnswerData):
    """The last status of each recipient."""

    id: str
    orders: list[dict[str, Any]]


class Cancelled(Orders):
    """What was cancelled."""

    cancelled: int


class Resent(AnswerData):
    """How many of state `unknown` are sent again."""

    id: str
    resent: int


class Foreign(AnswerData):
    """A character that the GSM alphabet lacks."""

    character: str
    code: str
    count: int
    positions: list[int] = Field(description="from 0, at most a hundred")
    replacement: str | None


class Replacement(AnswerData):
    """A text in the GSM alphabet, with what it costs."""

    text: str
    encoding: str
    parts: int
    units: int
    per_part: int
    left: int
    emoji_named: bool = Field(description="it says pictures in words, which an order never does")


class Estimate(AnswerData):
    """What a text costs."""

    encoding: str
    parts: int
    units: int
    per_part: int
    left: int = Field(description="units in the last part")
    ucs2_characters: list[str]
    foreign: list[Foreign] = Field(description="the same, each with its places and what would do instead")
    replacement: Replacement | None = Field(description="the text that would be cheaper")


class InboxPage(AnswerData):
    """Messages as on `sms/in`."""

    messages: list[dict[str, Any]]
    next: int | None


class Renamed(AnswerData):
    """Both names."""

    old: str = Field(alias="from")
    new: str = Field(alias="to")


class Removed(AnswerData):
    """A modem is forgotten; so many orders failed with it."""

    modem: str
    failed: int


class StepDone(AnswerData):
    """What was done."""

    step: str
    result: str
    sentence: str


class Unlocked(AnswerData):
    """The SIM's state after it."""

    sim: str
    pin_attempts_left: int | None
    puk_attempts_left: int | None


class UssdSaid(AnswerData):
    """What the network said."""

    text: str | None
    session: Literal["open", "closed"]


class AtSaid(AnswerData):
    """The lines of an answer."""

    modem: str
    command: str
    lines: list[str]


class OptionsChanged(AnswerData):
    """What was changed, and what waits for a restart."""

    changed: list[str]
    file: str
    restart_required: bool
    restart_for: list[str]


class BackupMade(AnswerData):
    """Where it is."""

    file: str
    bytes: int
    secrets: bool
    left_out: list[str]


class TestBegun(AnswerData):
    """The test's order and its modems."""

    id: str
    sender: str
    receiver: str


class Paused(AnswerData):
    """Whether sending is paused."""

    paused: bool
    changed: bool


@dataclass(frozen=True, slots=True)
class Kind:
    """One request: what it takes, what it answers."""

    request: type[BaseModel]
    answer: type[BaseModel] = AnswerData


REQUESTS: dict[str, Kind] = {
    "health_check": Kind(NoFields),
    "restart": Kind(NoFields),
    "backup": Kind(BackupRequest, BackupMade),
    "options": Kind(OptionsRequest, OptionsChanged),
    "pause": Kind(PauseRequest, Paused),
    "resume": Kind(ResumeRequest, Paused),
    "self_test": Kind(SelfTestRequest, TestBegun),
    "modem/rename": Kind(RenameRequest, Renamed),
    "modem/options": Kind(ModemOptionsRequest, OptionsChanged),
    "modem/remove": Kind(OfModem, Removed),
    "modem/interview": Kind(OfModem),
    "modem/reset": Kind(ResetRequest, StepDone),
    "modem/ussd": Kind(UssdRequest, UssdSaid),
    "modem/balance": Kind(OfModem),
    "modem/at": Kind(AtRequest, AtSaid),
    "sim/unlock": Kind(UnlockRequest, Unlocked),
    "contacts/list": Kind(NothingMore),
    "contacts/set": Kind(ContactRequest),
    "contacts/remove": Kind(ContactName),
    "groups/list": Kind(NothingMore),
    "groups/set": Kind(GroupRequest),
    "groups/remove": Kind(GroupName),
    "message/estimate": Kind(EstimateRequest, Estimate),
    "message/cancel": Kind(OfMessage, Cancelled),
    "message/get": Kind(OfMessage, Orders),
    "message/resend": Kind(OfMessage, Resent),
    "inbox/list": Kind(InboxRequest, InboxPage),
}


def fields_of(model: type[BaseModel]) -> frozenset[str]:
    """All names by which its fields may be called."""
    names: set[str] = set()
    for name, field in model.model_fields.items():
        alias = field.validation_alias
        if isinstance(alias, AliasChoices):
            names |= {choice for choice in alias.choices if isinstance(choice, str)}
        else:
            names.add(alias if isinstance(alias, str) else name)
    return frozenset(names)
