"""The payloads of the contract, built here and nowhere else."""

from __future__ import annotations

import base64
import json
from datetime import datetime
from json.encoder import encode_basestring
from typing import Any

from sms_bridge.core.clock import rfc3339
from sms_bridge.core.model import Rejection, StatusError, StatusEvent
from sms_bridge.core.redaction import mask
from sms_bridge.core.states import OrderState

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_encode_ascii = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode


def to_json(value: Any) -> str:
    """Compact JSON that can always be written as UTF-8: half surrogates stay escaped."""
    text = _encode(value)
    return text if text.isascii() or is_writable(text) else _encode_ascii(value)


def mask_sim(sim: str | None) -> str | None:
    """`8936…42`; None for a SIM whose ICCID is not known."""
    return None if sim is None or sim.startswith("modem:") else mask(sim)


def status_json(event: StatusEvent) -> str:
    """A status as on `sms/status`; `transaction` is JSON already and is put in as it is."""
    state = event.state.value
    error = _encode(event.error.as_dict()) if event.error else "null"
    # Written out by hand: this is the hot path of accepting orders.
    text = (
        f'{{"event_type":"{state}","id":{_text(event.id)},"to":{_text(event.to)},"state":"{state}",'
        f'"route":{_text(event.route)},"modem":{_text(event.modem)},"sim":{_text(mask_sim(event.sim))},'
        f'"parts":{event.parts},"parts_sent":{event.parts_sent},"encoding":{_text(event.encoding)},'
        f'"attempt":{event.attempt},"ts":"{rfc3339(event.ts)}","error":{error},"transaction":{event.transaction}}}'
    )
    return text if text.isascii() or is_writable(text) else _encode_ascii(json.loads(text))


def is_writable(text: str) -> bool:
    """Whether it can be written as UTF-8: half surrogates come in through JSON escapes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _text(value: str | None) -> str:
    return "null" if value is None else encode_basestring(value)


def rejection_event(rejection: Rejection, now: int) -> StatusEvent:
    """The `rejected` status of input that never became an order."""
    return StatusEvent(
        id=rejection.id,
        to=rejection.to,
        state=OrderState.REJECTED,
        ts=now,
        error=StatusError(rejection.code, rejection.text, rejection.retryable),
        transaction=to_json(rejection.transaction),
    )


def received_json(
    *,
    id: str,
    sender: str,
    contact: str | None,
    to: str | None,
    text: str | None,
    modem: str | None,
    sent_at: datetime | None,
    received_at: int,
    parts: int,
    missing: list[int],
    encoding: str,
    message_class: int | None,
    kind: str,
    port: int | None,
    data: bytes | None,
    in_reply_to: str | None = None,
    reply: dict[str, Any] | None = None,
    route: str = "modem",
) -> str:
    """A received message as on `sms/in`; `data` is base64."""
    return to_json(
        {
            "event_type": "received",
            "id": id,
            "from": sender,
            "contact": contact,
            "to": to,
            "text": text,
            "modem": modem,
            "route": route,
            "sent_at": sent_at.isoformat() if sent_at else None,
            "received_at": rfc3339(received_at),
            "parts": parts,
            "partial": bool(missing),
            "missing": missing,
            "encoding": encoding,
            "class": message_class,
            "type": kind,
            "port": port,
            "data": base64.b64encode(data).decode("ascii") if data is not None else None,
            "in_reply_to": in_reply_to,
            "reply": reply,
        }
    )


def raw_json(*, id: str, pdu: str, reason: str, modem: str, sim: str | None, storage: str, received_at: int) -> str:
    """What could not be decoded, as on `sms/raw`."""
    return to_json(
        {
            "event_type": "raw",
            "id": id,
            "pdu": pdu,
            "reason": reason,
            "modem": modem,
            "sim": mask_sim(sim),
            "storage": storage,
            "received_at": rfc3339(received_at),
        }
    )


def event_json(name: str, now: int, data: dict[str, Any]) -> str:
    """A line on `sms/bridge/event`."""
    return to_json({"event_type": name, "ts": rfc3339(now), **data})
