"""The payloads of the contract as models, for the schemas in `docs/`; not imported by the running bridge."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from sms_bridge.core.states import OrderState
from sms_bridge.payloads.orders import SendOrder


class _Payload(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Reason(_Payload):
    """Why; `code` is stable."""

    code: str
    text: str
    retryable: bool


class Status(_Payload):
    """`sms/status`: every state change of every outbound message."""

    event_type: OrderState
    id: str | None
    to: str | None
    state: OrderState
    route: str | None
    modem: str | None
    sim: str | None = Field(description="masked ICCID")
    parts: int
    parts_sent: int
    encoding: str | None
    attempt: int
    ts: AwareDatetime
    error: Reason | None
    transaction: Any


class Answer(_Payload):
    """Which option of the question a message is."""

    option: str | None = Field(description="as the order named it; null: none of them")
    value: str | None = Field(description="what that means; null when it came too late")
    late: bool
    step: int | None = Field(description="of the escalation that asked; null: the order itself")


class Received(_Payload):
    """`sms/in`: a received message; repeats carry the same `id`."""

    event_type: Literal["received"]
    id: str
    sender: str = Field(alias="from")
    contact: str | None
    to: str | None
    text: str | None
    modem: str | None
    route: str
    sent_at: AwareDatetime | None
    received_at: AwareDatetime
    parts: int
    partial: bool
    missing: list[int]
    encoding: str
    message_class: int | None = Field(alias="class")
    type: Literal["text", "data", "flash", "silent", "mms_notification", "voicemail"]
    port: int | None
    data: str | None = Field(description="base64")
    in_reply_to: str | None = Field(description="the id of the order that it answers")
    reply: Answer | None = Field(description="where that order expected a reply")


class State(_Payload):
    """`sms/bridge/state` and `sms/modem/<name>/availability`."""

    state: Literal["online", "offline"]


class Call(_Payload):
    """`sms/modem/<name>/call`: it rings; it was not answered; it was hung up."""

    event_type: Literal["call", "missed_call", "rejected_call"]
    ts: AwareDatetime
    modem: str
    number: str | None = Field(description="null when withheld")
    contact: str | None
    rings: int | None = Field(None, description="when it is over")
    seconds: int | None = Field(None, description="from the first ring to the last, when it is over")


class Response(_Payload):
    """`sms/bridge/response/<name>`."""

    status: Literal["ok", "error"]
    data: Any
    error: str | None = None
    transaction: Any = None


SCHEMAS: dict[str, type[BaseModel]] = {
    "send_request": SendOrder,
    "status": Status,
    "received": Received,
    "state": State,
    "call": Call,
    "response": Response,
}
