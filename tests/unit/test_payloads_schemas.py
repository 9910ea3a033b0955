"""The published schemas fit what the core publishes."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from sms_bridge.core.events import received_json, rejection_event, status_json
from sms_bridge.core.model import Rejection
from sms_bridge.payloads.schemas import Received, Status


def test_a_status_of_the_core_fits_its_schema() -> None:
    payload = status_json(rejection_event(Rejection("no_text", "there is no text", "a", transaction=[1]), 1))
    found = Status.model_validate_json(payload)
    assert found.transaction == [1]
    assert found.error is not None
    assert set(json.loads(payload)) == set(Status.model_fields)


def test_a_received_message_of_the_core_fits_its_schema() -> None:
    payload = received_json(
        id="01",
        sender="+36301234567",
        contact=None,
        to=None,
        text="OK",
        modem="stick-1",
        sent_at=datetime.now(UTC),
        received_at=1,
        parts=1,
        missing=[],
        encoding="gsm7",
        message_class=None,
        kind="text",
        port=None,
        data=None,
        in_reply_to="door-1",
        reply={"option": "1", "value": "open", "late": False, "step": None},
    )
    assert Received.model_validate_json(payload).sender == "+36301234567"
