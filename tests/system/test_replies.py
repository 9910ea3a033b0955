"""Questions, alarms and commands through the whole house: broker, bridge, modem, and what is left of them by a kill."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest

from tests.support.stack import Stack, running, wait_until

ANNA, BOSS = "+36301234567", "+36205551111"
EXTRA = f"""\
contacts: {{anna: "{ANNA}", boss: "{BOSS}"}}
commands:
  gate:
    from: [anna]
    text: gate {{action}}
    arguments: {{action: [open, close]}}
    topic: home/gate/set
    payload: '{{"state": "{{action}}"}}'
    pin: "4711"
    answer: done
"""


class House:
    """What listens outside of the bridge's own topics."""

    def __init__(self, port: int) -> None:
        self.got: list[tuple[str, bytes, bool]] = []
        self._ready = threading.Event()
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=f"house-{port}")
        self.client.on_connect = lambda client, *_: client.subscribe("home/#", qos=1)
        self.client.on_subscribe = lambda *_: self._ready.set()
        self.client.on_message = lambda _c, _u, m: self.got.append((m.topic, m.payload, m.retain))
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        assert self._ready.wait(10)

    def stop(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()
        del self.client


@pytest.fixture
def stack(tmp_path: Path) -> Any:
    with running(tmp_path, extra=EXTRA) as started:
        yield started


def submitted(stack: Stack, to: str) -> list[str]:
    """What the network took for this number, from its ledger."""
    return [entry["text"] for entry in stack.emulation.ledger("submit") if entry["to"] == to]


def test_reply_one_to_open_the_gate_and_a_command_with_a_pin(stack: Stack) -> None:
    house = House(stack.broker.port)
    try:
        stack.observer.publish(
            "out",
            {
                "id": "gate-1",
                "to": "@anna",
                "text": "1: open",
                "expect_reply": {"within": 60, "options": {"1": "open"}},
            },
        )
        stack.observer.wait_state("gate-1", "sent", "delivered")
        stack.emulation.do("deliver", modem=0, **{"from": ANNA, "text": "1 please"})
        answer = stack.observer.wait_for("in", lambda p: p["text"] == "1 please").payload
        assert answer["in_reply_to"] == "gate-1"
        assert answer["reply"] == {"option": "1", "value": "open", "late": False, "step": None}
        stack.emulation.do("deliver", modem=0, **{"from": ANNA, "text": "gate open 0000"})
        denied = stack.observer.wait_for("bridge/event", lambda p: p["event_type"] == "command_denied").payload
        assert denied["reason"] == "pin"
        stack.emulation.do("deliver", modem=0, **{"from": ANNA, "text": "Gate OPEN 4711"})
        wait_until(lambda: house.got, 20, "the command is published")
        assert house.got == [("home/gate/set", b'{"state": "open"}', False)]
        shown = [message["text"] for message in stack.observer.of("in")]
        assert shown == ["1 please", "gate open ****", "Gate OPEN ****"]
        wait_until(lambda: submitted(stack, ANNA)[1:] == ["done"], 20, "the answer is sent")
    finally:
        house.stop()


def test_each_step_of_an_alarm_is_taken_once_over_kills(stack: Stack) -> None:
    """A kill at any moment: before a step, in the second of it, after it."""
    observer = stack.observer
    observer.publish(
        "out",
        {"id": "fire", "to": "@anna", "text": "Fire", "priority": 9, "expect_reply": 600,
         "escalate": [{"after": 2, "to": "@boss"}, {"after": 5, "to": "@boss", "text": "Fire, again"}]},
    )  # fmt: skip
    observer.wait_state("fire", "queued")
    began = time.monotonic()
    for at in (1.0, 2.6, 4.4):
        time.sleep(max(0.0, began + at - time.monotonic()))
        stack.restart_bridge()
    for id in ("fire/e1", "fire/e2"):
        observer.wait_state(id, "sent", "delivered", "unknown")
    answer = observer.request("message/get", id="fire")["data"]["orders"][0]
    assert [step["state"] for step in answer["escalate"]] == ["done", "done"]
    for id in ("fire/e1", "fire/e2"):
        # A kill may have what was told told again, word for word.
        assert (
            len({status["ts"] for status in observer.of("status") if (status["id"], status["state"]) == (id, "queued")})
            == 1
        )
    told = {(event["id"], event["step"]) for event in observer.of("bridge/event") if event["event_type"] == "escalated"}
    assert told == {("fire", 1), ("fire", 2)}
    texts = submitted(stack, BOSS)
    assert len(texts) == len(set(texts)) <= 2
