"""Modems that text each other, a SIM whose messages are dropped: the whole stack through a broker (domain A12, B4)."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

from tests.support.stack import Stack, running, wait_until

STRANGER = "+36301234567"
SELF_TEST = """\
self_test:
  every: 24h
  budget: 3/day
"""


def results(stack: Stack) -> list[dict[str, Any]]:
    return [event for event in stack.observer.of("bridge/event") if event["event_type"] == "self_test"]


def wait_result(stack: Stack, sender: str, receiver: str, since: int = 0) -> dict[str, Any]:
    def fits(event: Any) -> bool:
        return event["event_type"] == "self_test" and (event["sender"], event["receiver"]) == (sender, receiver)

    found: dict[str, Any] = stack.observer.wait_for("bridge/event", fits, since=since).payload
    return found


def test_two_modems_text_each_other_within_the_budget_and_nobody_else_sees_it(tmp_path: Path) -> None:
    waits = {"self_test": {"settle": 0.0}}
    with running(tmp_path, modems=2, extra=SELF_TEST, waits=waits, latency="0.1") as stack:
        first = wait_result(stack, "modem0", "modem1")
        assert (first["outcome"], first["loss"]) == ("arrived", 0.0)
        assert 0.0 <= first["latency"] < 10.0
        wait_result(stack, "modem1", "modem0")
        sides = stack.observer.request("health_check")["data"]["self_test"]
        assert sides["modem0"]["sent"] == {"latency": first["latency"], "loss": 0.0, "tests": 1}
        assert sides["modem1"]["received"] == sides["modem0"]["sent"]

        asked = stack.observer.request("self_test", sender="modem0", receiver="modem0")
        assert asked["status"] == "ok", asked
        assert asked["data"]["id"].startswith("self-test-")
        assert wait_result(stack, "modem0", "modem0")["outcome"] == "arrived"
        refused = stack.observer.request("self_test")
        assert refused["status"] == "error"
        assert "budget of 3 in 24 hours" in refused["error"]

        since = len(stack.observer.seen)
        stack.restart_bridge(signal.SIGKILL)
        stack.wait_ready(since=since)
        assert "budget of 3" in stack.observer.request("self_test")["error"], "a restart gives no new budget"
        bodies = [line["text"] for line in stack.emulation.ledger("submit")]
        assert len(bodies) == 3
        assert all(body.startswith("sms-bridge self-test ") for body in bodies)

        # The same words from a stranger are a stranger's words.
        stack.emulation.do("deliver", modem=0, **{"from": STRANGER, "text": "sms-bridge self-test ABCDEFGH-ABCDEFGH"})
        stack.observer.wait_for("in", lambda p: p["from"] == STRANGER)
        assert len(stack.observer.of("in")) == 1
        assert len(stack.observer.request("inbox/list")["data"]["messages"]) == 1
        assert len({event["id"] for event in results(stack)}) == 3  # one may be published again after a kill


def test_a_test_that_does_not_arrive_is_lost_and_is_known_when_it_comes_late(tmp_path: Path) -> None:
    waits = {"self_test": {"timeout": 1.0}}
    with running(tmp_path, modems=2, waits=waits) as stack:
        stack.observer.wait_for("modem/modem1", lambda p: p["number"])
        stack.emulation.do("fault", modem=1, name="storage_full", hard=True)
        asked = stack.observer.request("self_test", sender="modem0", receiver="modem1")
        assert asked["status"] == "ok", asked
        lost = wait_result(stack, "modem0", "modem1")
        assert (lost["outcome"], lost["latency"], lost["loss"]) == ("lost", None, 1.0)
        stack.emulation.do("clear", modem=1)
        late = stack.observer.wait_for("bridge/event", lambda p: p.get("outcome") == "late").payload
        assert late["id"] == lost["id"] == asked["data"]["id"]
        assert late["latency"] >= 1.0
        assert stack.observer.of("in") == []


def test_a_sim_whose_messages_are_dropped_is_found_out(tmp_path: Path) -> None:
    waits = {"health": {"report_time": 1.0}}
    with running(tmp_path, modems=2, waits=waits) as stack:
        stack.emulation.do("fault", modem=0, name="filtered")
        for number in range(6):
            to = f"+3630123456{number}"
            for modem in (0, 1):
                stack.observer.publish(f"modem/modem{modem}/out", {"id": f"{modem}-{number}", "to": to, "text": "x"})
        for number in range(6):
            stack.observer.wait_state(f"1-{number}", "delivered")
            stack.observer.wait_state(f"0-{number}", "sent")
        found = stack.observer.wait_for(
            "modem/modem0", lambda p: p["state"] == "ready" and p["health"] == "warn"
        ).payload
        assert found["state"] == "ready"
        assert found["health_reason"].startswith("what this SIM sends never gets a delivery report, while others do (")
        assert stack.observer.of("modem/modem1")[-1]["health"] == "pass"
        listed = stack.observer.wait_for(
            "bridge/modems", lambda p: any(f["check"] == "unreported" for f in p[0]["findings"])
        ).payload
        assert [f["check"] for f in listed[1]["findings"] if f["health"] != "pass"] == []

        stack.emulation.do("clear", modem=0)
        stack.observer.publish("modem/modem0/out", {"id": "again", "to": STRANGER, "text": "x"})
        stack.observer.wait_state("again", "delivered")
        wait_until(lambda: stack.observer.of("modem/modem0")[-1]["health"] == "pass", 10, "it is well again")
