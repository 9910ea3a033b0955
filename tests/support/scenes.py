"""What the tests of a whole stack say again and again: an order, what the network got of it, what the journal knows."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hardware.pdu import DeliverRequest, StatusReportRequest, encode_deliver, encode_status_report
from tests.support.stack import Stack, wait_until

ANNA = "+36301234567"
SILENT = "+36309990000"  # never answers: no status report comes by itself, see `hush`


def hush(stack: Stack) -> None:
    """Messages to SILENT are never reported."""
    stack.emulation.do("outside", modem=0, number=SILENT, status=None)


def order(stack: Stack, id: str, **fields: Any) -> None:
    """An order whose text is its id."""
    stack.observer.publish("out", {"id": id, "to": SILENT, "text": id, **fields})


def submitted(stack: Stack, text: str) -> list[dict[str, Any]]:
    """What the network got with this text, accepted or refused."""
    return [line for line in stack.emulation.ledger("submit") if line["text"] == text]


def accepted(stack: Stack, text: str) -> int:
    return sum(line["accepted"] for line in submitted(stack, text))


def details(stack: Stack, id: str) -> dict[str, Any]:
    """The status of an order of one recipient, with its attempts, as the journal has it."""
    answer = stack.observer.request("message/get", id=id)
    assert answer["status"] == "ok", answer
    found: dict[str, Any] = answer["data"]["orders"][0]
    return found


def report_for(line: dict[str, Any], status: int = 0, number: str | None = None) -> str:
    """A status report, `delivered` if nothing else is said, for what stands in this line of the ledger."""
    now = datetime.now(UTC)
    return encode_status_report(StatusReportRequest(number or line["to"], line["mr"], now, now, status=status))


def parts_of(text: str, ref: int, sender: str = ANNA, **fields: Any) -> list[str]:
    """The PDUs of a long message, from now."""
    return encode_deliver(DeliverRequest(sender, datetime.now(UTC), text=text, ref=ref, **fields))


def wait_in_service(stack: Stack, index: int, since: int) -> None:
    """It is in service, or was again after `since`."""
    states = stack.observer.of(f"modem/modem{index}")
    if states[-1]["state"] != "ready":
        stack.observer.wait_for(f"modem/modem{index}", lambda p: p["state"] == "ready", since=since)


def wait_drained(stack: Stack, deadline: float = 20.0) -> None:
    """Nothing lies on any SIM or waits for room there."""

    def drained() -> bool:
        found = [stack.emulation.do("inbox", modem=index) for index in range(stack.emulation.modems)]
        return not any(one["messages"] or one["waiting"] for one in found)

    wait_until(drained, deadline, "the SIMs are empty")


def mend(stack: Stack) -> None:
    """Every modem of the stack is well and in service again."""
    since = len(stack.observer.seen)
    for index in range(stack.emulation.modems):
        stack.emulation.do("clear", modem=index)
        stack.emulation.do("plug", modem=index)
    stack.emulation.do("set_latency", latency="0")
    for index in range(stack.emulation.modems):
        wait_in_service(stack, index, since)
