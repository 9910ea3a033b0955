"""All that is known of an order, for the person who asks."""

from __future__ import annotations

import json
from typing import Any

from sms_bridge.core import replies
from sms_bridge.core.clock import rfc3339
from sms_bridge.core.events import mask_sim, status_json
from sms_bridge.core.lanes import routes_of
from sms_bridge.core.model import MODEMS, Attempt, Order
from sms_bridge.core.moves import status_of
from sms_bridge.core.plan import MODEM
from sms_bridge.core.ports import Reader


def of_id(reader: Reader, id: str) -> list[dict[str, Any]]:
    """The last status of each order of this id, with its plan of routes and all its attempts."""
    return [
        {
            **status_of_order(order),
            "plan": [_shown(route) for route in routes_of(order.plan)],
            "attempts": [_attempt_dict(a) for a in reader.attempts(order.seq)],
            **replies.describe(reader, order.seq),
        }
        for order in reader.orders_of(id)
    ]


def status_of_order(order: Order) -> dict[str, Any]:
    """As on `sms/status`."""
    result: dict[str, Any] = json.loads(status_json(status_of(order)))
    return result


def _attempt_dict(attempt: Attempt) -> dict[str, Any]:
    return {
        "part": attempt.part + 1,
        "attempt": attempt.attempt,
        "state": attempt.state.value,
        "route": _shown(attempt.route),
        "modem": attempt.modem or None,
        "sim": mask_sim(attempt.sim) if attempt.route == MODEMS else None,
        "began_at": rfc3339(attempt.began_at),
        "ended_at": rfc3339(attempt.ended_at) if attempt.ended_at is not None else None,
        "mr": attempt.mr,
        "message_id": attempt.message_id,
        "error": attempt.error_code,
        "error_text": attempt.error_text,
        "report_status": attempt.report_status,
    }


def _shown(route: str) -> str:
    """As a status calls it."""
    return MODEM if route == MODEMS else route
