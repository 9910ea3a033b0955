"""Abuse from the topics (domain G15): nothing of it reaches a modem. The pause outlives the bridge."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.stack import Stack, running, wait_until

ANNA = "+36301234567"


@pytest.fixture
def stack(tmp_path: Path):
    with running(tmp_path) as started:
        yield started


def sent_to(stack: Stack) -> list[str]:
    return [line["to"] for line in stack.emulation.ledger("submit")]


def test_what_is_no_number_and_ten_thousand_messages_to_a_premium_number_stop_before_the_port(stack):
    bad = [f"{ANNA}{character}" for character in '\r\n\x1a\x1b";*#']
    for n, number in enumerate(bad):
        stack.observer.publish("out", {"id": f"bad-{n}", "to": number, "text": "x"})
    for n in range(10):
        numbers = [f"+979{n}{index:08}" for index in range(1000)]
        stack.observer.publish("out", {"id": f"flood-{n}", "to": numbers, "text": "x"})
    stack.observer.publish("out", {"id": "good", "to": ANNA, "text": "x"})
    stack.observer.wait_state("good", "sent", "delivered")
    for n in range(len(bad)):
        assert stack.observer.wait_state(f"bad-{n}", "rejected")["error"]["code"] == "invalid_number"
    flood = [s for s in stack.observer.of("status") if str(s["id"]).startswith("flood")]
    assert (len(flood), {s["error"]["code"] for s in flood}) == (10_000, {"denied_prefix"})
    assert sent_to(stack) == [ANNA]


def test_the_pause_holds_over_a_kill_and_a_restart_and_the_state_is_retained(stack):
    before = len(sent_to(stack))
    assert stack.observer.request("pause", reason="test")["data"]["changed"] is True
    since = len(stack.observer.seen)
    stack.observer.publish("out", {"id": "held-1", "to": ANNA, "text": "one"})
    stack.observer.wait_state("held-1", "queued")
    stack.restart_bridge()
    info = stack.observer.wait_for("bridge/info", lambda p: True, since=since).payload
    assert (info["paused"], info["pause"]["reason"]) == (True, "test")
    stack.wait_ready(since=since)
    stack.observer.publish("out", {"id": "held-2", "to": ANNA, "text": "two"})
    stack.observer.wait_state("held-2", "queued")
    health = stack.observer.request("health_check")["data"]
    assert (health["paused"], len(sent_to(stack))) == (True, before)
    assert stack.observer.request("resume")["data"] == {"paused": False, "changed": True}
    for id in ("held-1", "held-2"):
        stack.observer.wait_state(id, "sent", "delivered")
    wait_until(lambda: stack.observer.of("bridge/info")[-1]["paused"] is False, 5, "the state says that it goes on")
    assert len(sent_to(stack)) == before + 2


def test_two_machines_that_answer_each_other_stop_after_five(tmp_path: Path):
    with running(tmp_path, extra="guards: {}\n") as stack:
        observer = stack.observer
        for n in range(20):
            stack.emulation.do("deliver", modem=0, **{"from": ANNA, "text": f"I am away, message {n}"})
            heard = observer.wait_for("in", lambda p, n=n: p["text"].endswith(f"message {n}")).payload
            observer.publish("out", {"id": f"a-{n}", "to": heard["from"], "text": f"So am I, message {n}"})
            status = observer.wait_state(f"a-{n}", "sent", "delivered", "rejected")
            if status["state"] == "rejected":
                break
        assert (n, status["error"]["code"], len(sent_to(stack))) == (5, "loop", 5)
        assert "rejected lately" in observer.request("health_check")["data"]["warnings"][0]


def test_people_are_added_by_request_and_written_to_by_name_also_after_a_restart(stack):
    observer = stack.observer
    assert observer.request("contacts/set", contact="cili", number=ANNA)["data"] == {
        "contact": "cili",
        "replaced": False,
    }
    observer.request("groups/set", group="girls", members=["cili", "06 20 555 1234"])
    refused = observer.request("contacts/remove", contact="cili")
    assert (refused["status"], "a member of girls" in refused["error"]) == ("error", True)
    since = len(observer.seen)
    stack.restart_bridge()
    info = observer.wait_for("bridge/info", lambda p: True, since=since).payload
    assert (info["config"]["contacts"], info["config"]["groups"]) == (["cili"], ["girls"])
    stack.wait_ready(since=since)
    observer.publish("out/cili", "by name")
    observer.publish("out/girls", "to the group")
    wait_until(lambda: len(sent_to(stack)) == 3, 10, "all three are sent")
    assert sorted(sent_to(stack)) == ["+36205551234", ANNA, ANNA]
    stack.emulation.do("deliver", modem=0, **{"from": ANNA, "text": "hello"})
    assert observer.wait_for("in", lambda p: p["text"] == "hello").payload["contact"] == "cili"
