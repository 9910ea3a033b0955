"""The main job on real processes: the broker, the emulated phones behind ptys, the bridge, a subscriber."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.stack import Stack, running, wait_until

TEXT = "árvíztűrő tükörfúrógép 👍"
LONG = "Öt hűtőházból kértünk színhúst. " * 12 + "👍"
STRANGER = "+36301234567"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("stack"), modems=2) as started:
        yield started


def states_of(stack: Stack, order: str) -> list[str]:
    return [status["state"] for status in stack.observer.of("status") if status["id"] == order]


def test_a_text_with_accents_and_an_emoji_is_queued_sent_and_delivered(stack: Stack) -> None:
    stack.observer.publish("out", {"id": "first", "to": STRANGER, "text": TEXT, "transaction": {"a": [1]}})
    status = stack.observer.wait_state("first", "delivered")
    assert status["to"] == STRANGER
    assert status["event_type"] == "delivered"
    assert status["encoding"] == "ucs2"
    assert status["parts"] == status["parts_sent"] == 1
    assert status["modem"] in ("modem0", "modem1")
    assert status["transaction"] == {"a": [1]}
    assert status["error"] is None
    states = states_of(stack, "first")
    assert states == sorted(states, key=["queued", "sending", "sent", "delivered"].index)
    sent = [line for line in stack.emulation.ledger("submit") if line["text"] == TEXT]
    assert len(sent) == 1


def test_a_long_text_leaves_whole_on_one_sim(stack: Stack) -> None:
    stack.observer.publish("out", {"id": "long", "to": STRANGER, "text": LONG})
    status = stack.observer.wait_state("long", "delivered")
    assert status["parts"] == status["parts_sent"] > 3
    parts = [line for line in stack.emulation.ledger("submit") if line["concat"] and line["to"] == STRANGER]
    parts = parts[-status["parts"] :]
    assert "".join(line["text"] for line in parts) == LONG
    assert len({line["iccid"] for line in parts}) == 1


def test_a_reply_appears_whole_on_sms_in(stack: Stack) -> None:
    stack.emulation.do("deliver", modem=0, **{"from": STRANGER, "text": LONG})
    got = stack.observer.wait_for("in", lambda p: p["text"] == LONG).payload
    assert got["event_type"] == "received"
    assert got["from"] == STRANGER
    assert got["modem"] == "modem0"
    assert got["parts"] > 3
    assert got["partial"] is False
    assert got["missing"] == []
    # Deleted from the SIM once it was stored.
    wait_until(lambda: not stack.emulation.do("inbox", modem=0)["messages"], 10, "the SIM is empty")


def test_one_emulated_phone_texts_the_other(stack: Stack) -> None:
    numbers = [modem["number"] for modem in stack.emulation.do("list")["modems"]]
    stack.observer.publish("modem/modem0/out", {"id": "a-to-b", "to": numbers[1], "text": "ping €"})
    got = stack.observer.wait_for("in", lambda p: p["text"] == "ping €").payload
    assert got["modem"] == "modem1"
    assert got["from"] == numbers[0]
    assert stack.observer.wait_state("a-to-b", "delivered")["modem"] == "modem0"


def test_the_text_itself_on_a_recipient_topic(stack: Stack) -> None:
    before = len(stack.observer.seen)
    stack.observer.publish("out/36301234567", "just text")
    seen = stack.observer.wait_for("status", lambda p: p["state"] == "delivered", since=before)
    assert seen.payload["to"] == STRANGER
    assert seen.payload["id"]
    assert [line for line in stack.emulation.ledger("submit") if line["text"] == "just text"]


def test_an_undecodable_message_goes_raw_and_the_next_one_arrives(stack: Stack) -> None:
    stack.emulation.do("deliver_pdu", modem=1, pdu="07916303000000F0040B9163")
    raw = stack.observer.wait_for("raw", lambda p: True).payload
    assert raw["pdu"].upper().startswith("07916303000000F0040B9163")
    assert raw["reason"]
    stack.emulation.do("deliver", modem=1, **{"from": STRANGER, "text": "after the bad one"})
    stack.observer.wait_for("in", lambda p: p["text"] == "after the bad one")
    wait_until(lambda: not stack.emulation.do("inbox", modem=1)["messages"], 10, "the SIM is empty")


BAD: list[tuple[str, Any, str]] = [
    ("invalid JSON", "{nonsense", "invalid_json"),
    ("not an object", "[1, 2]", "invalid_json"),
    ("an unknown field", {"id": "bad-1", "to": STRANGER, "text": "x", "txet": "y"}, "unknown_field"),
    ("no recipient", {"id": "bad-2", "text": "x"}, "no_recipient"),
    ("no recipient in the list", {"id": "bad-3", "to": [], "text": "x"}, "no_recipient"),
    ("a number with CR", {"id": "bad-4", "to": "+3630\r1234567", "text": "x"}, "invalid_number"),
    ("a number with Ctrl-Z", {"id": "bad-5", "to": "+36301234567\x1a", "text": "x"}, "invalid_number"),
    ("an empty text", {"id": "bad-6", "to": STRANGER, "text": ""}, "empty_text"),
    ("256 kB of text", {"id": "bad-7", "to": STRANGER, "text": "x" * 262_144}, "too_long"),
    ("a sender, of a modem", {"id": "bad-8", "to": STRANGER, "text": "x", "sender": "ME"}, "invalid_sender"),
]


@pytest.mark.parametrize(("what", "payload", "code"), BAD, ids=[item[0] for item in BAD])
def test_bad_input_is_rejected_in_words_and_the_next_order_goes_through(
    stack: Stack, what: str, payload: Any, code: str
) -> None:
    before = len(stack.observer.seen)
    stack.observer.publish("out", payload)
    rejected = stack.observer.wait_for("status", lambda p: p["state"] == "rejected", since=before).payload
    assert rejected["error"]["code"] == code, rejected
    assert len(rejected["error"]["text"]) > 10
    if isinstance(payload, dict) and "id" in payload:
        assert rejected["id"] == payload["id"]
    follower = f"after {what}"
    stack.observer.publish("out", {"id": follower, "to": STRANGER, "text": "fine"})
    stack.observer.wait_state(follower, "delivered")


def test_a_retained_command_is_never_obeyed(tmp_path: Path) -> None:
    with running(tmp_path) as stack:
        stack.observer.publish("out", {"id": "kept", "to": STRANGER, "text": "retained text"}, retain=True)
        rejected = stack.observer.wait_state("kept", "rejected")
        assert rejected["error"]["code"] == "retained"
        stack.bridge.stop(signal.SIGTERM)
        before = len(stack.observer.seen)
        stack.bridge.start()
        stack.observer.wait_for("modem/modem0", lambda p: p["state"] == "ready", since=before)
        stack.observer.publish("out", {"id": "after kept", "to": STRANGER, "text": "fine"})
        stack.observer.wait_state("after kept", "delivered")
        assert not [line for line in stack.emulation.ledger("submit") if line["text"] == "retained text"]


def test_an_id_used_twice_sends_once_and_another_text_is_a_conflict(stack: Stack) -> None:
    order = {"id": "twice", "to": STRANGER, "text": "only once"}
    stack.observer.publish("out", order)
    stack.observer.wait_state("twice", "delivered")
    before = len(stack.observer.seen)
    stack.observer.publish("out", order)
    again = stack.observer.wait_for("status", lambda p: p["id"] == "twice", since=before).payload
    assert again["state"] == "delivered"
    stack.observer.publish("out", {**order, "text": "something else"})
    clash = stack.observer.wait_for("status", lambda p: p["state"] == "rejected", since=before).payload
    assert (clash["id"], clash["error"]["code"]) == ("twice", "conflict")
    texts = [line["text"] for line in stack.emulation.ledger("submit")]
    assert texts.count("only once") == 1
    assert "something else" not in texts


def test_sigterm_ends_in_order_with_a_send_in_flight(tmp_path: Path) -> None:
    with running(tmp_path, latency="1") as stack:
        stack.observer.publish("out", {"id": "flying", "to": STRANGER, "text": "in flight"})
        stack.observer.wait_state("flying", "sending")
        assert stack.bridge.stop() == 0
        assert len(stack.emulation.ledger("submit")) == 1
        stack.observer.wait_for("bridge/state", lambda p: p["state"] == "offline")
        stack.bridge.start()
        assert stack.observer.wait_state("flying", "sent", "delivered")
        assert "unknown" not in states_of(stack, "flying")
        assert len(stack.emulation.ledger("submit")) == 1


def test_status_payloads_hold_every_key_of_the_contract(stack: Stack) -> None:
    stack.observer.publish("out", {"id": "keys", "to": STRANGER, "text": "x"})
    status = stack.observer.wait_state("keys", "sent")
    expected = "event_type id to state route modem sim parts parts_sent encoding attempt ts error transaction".split()
    assert set(expected) <= set(status)
    stack.emulation.do("deliver", modem=0, **{"from": STRANGER, "text": "keys"})
    got = stack.observer.wait_for("in", lambda p: p["text"] == "keys").payload
    expected = (
        "event_type id from contact to text modem route sent_at received_at parts partial missing encoding class type"
        " port data in_reply_to"
    ).split()
    assert set(expected) <= set(got)
    assert json.dumps(stack.observer.of("modem/modem0")[-1]).count("imei") == 1
