"""Requests that switch sending off and on."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictStr


class PauseRequest(BaseModel):
    """`bridge/request/pause`: orders are accepted and wait, nothing is sent."""

    model_config = ConfigDict(extra="forbid")

    paused: StrictBool = Field(True, description="false: as the request `resume`, for who has one topic for both")
    reason: StrictStr | None = Field(None, max_length=200, description="shown beside the pause; no secrets")


class ResumeRequest(BaseModel):
    """`bridge/request/resume`: what waits is sent."""

    model_config = ConfigDict(extra="forbid")
