"""Requests that switch sending off and on."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, StrictStr


class PauseRequest(BaseModel):
    """`bridge/request/pause`: orders are accepted and wait, nothing is sent."""

    model_config = ConfigDict(extra="forbid")

    reason: StrictStr | None = Field(None, max_length=200, description="shown beside the pause; no secrets")


class ResumeRequest(BaseModel):
    """`bridge/request/resume`: what waits is sent."""

    model_config = ConfigDict(extra="forbid")
