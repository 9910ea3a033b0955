"""Sticks in plugs, on real processes: what a technician sees on MQTT when one comes, goes, moves or cannot be used."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.plug_stack import PlugStack, plugging
from tests.support.stack import wait_until

ANNA = "+36301234567"
ONE, TWO = "quectel-1", "quectel-2"


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[PlugStack]:
    with plugging(tmp_path, 2, latency="0.3") as started:
        yield started


def order(stack: PlugStack, id: str, **fields: object) -> None:
    stack.observer.publish("out", {"id": id, "to": ANNA, "text": id, **fields})


def accepted(stack: PlugStack, text: str) -> int:
    return sum(line["accepted"] for line in stack.emulation.ledger("submit") if line["text"] == text)


def test_a_stick_comes_works_is_pulled_in_a_send_and_comes_back_elsewhere(stack: PlugStack) -> None:
    order(stack, "waits for a modem")
    stack.observer.wait_state("waits for a modem", "queued")
    assert stack.modems() == []
    began = time.monotonic()
    stack.put(0, "1-1.2")
    ready = stack.wait_modem(ONE, "ready")
    print(f"insertion to ready: {ready.at - began:.2f} s")
    assert ready.payload["usb_path"] == "1-1.2"
    stack.observer.wait_state("waits for a modem", "delivered")
    (row,) = stack.modems()
    assert (row["name"], row["identified_by"], row["usb_path"]) == (ONE, "imei", "1-1.2")

    order(stack, "pulled")
    wait_until(lambda: stack.emulation.do("stats", modem=0)["sending"], 10, "a send is under way")
    since, began = len(stack.observer.seen), time.monotonic()
    stack.pull(0, "1-1.2")
    gone = stack.observer.wait_for(f"modem/{ONE}/availability", lambda p: p["state"] == "offline", since=since)
    print(f"unplug to offline: {gone.at - began:.3f} s")
    assert stack.observer.wait_state("pulled", "unknown", "queued", "sent")["state"] in ("unknown", "queued")
    stack.observer.wait_for("bridge/event", lambda p: p["event_type"] == "modem_left" and p["modem"] == ONE)

    since = len(stack.observer.seen)
    stack.put(0, "2-1")
    back = stack.wait_modem(ONE, "ready", since)
    assert back.payload["usb_path"] == "2-1"
    joined = stack.observer.wait_for("bridge/event", lambda p: p["event_type"] == "modem_joined", since=since)
    assert joined.payload["previous_usb_path"] == "1-1.2"
    order(stack, "after")
    stack.observer.wait_state("after", "delivered")
    assert accepted(stack, "pulled") <= 1
    assert stack.observer.states("pulled")[-1] in ("unknown", "delivered", "sent")


def test_what_cannot_be_used_is_in_the_list_with_its_fix(stack: PlugStack) -> None:
    stack.usb.plug("1-3", 0x12D1, 0x14DB, [(0, "02/06/00", "cdc_ether", None)], product="HUAWEI_MOBILE")
    event = stack.observer.wait_for("bridge/event", lambda p: p["event_type"] == "modem_blocked").payload
    assert (event["usb_path"], event["vid_pid"]) == ("1-3", "12d1:14db")
    assert "HiLink" in event["reason"]
    (row,) = stack.modems()
    assert (row["name"], row["state"], row["problem"], row["fix"]) == (None, "blocked", event["reason"], event["fix"])
    stack.usb.unplug("1-3")
    wait_until(lambda: stack.modems() == [], 5, "the list is empty again")


def test_a_modem_is_renamed_with_what_waits_for_it_and_removed_for_good(stack: PlugStack) -> None:
    stack.put(0, "1-1")
    stack.wait_modem(ONE, "ready")
    stack.pull(0, "1-1")
    stack.wait_modem(ONE, "offline")
    order(stack, "bound", modem=ONE)
    stack.observer.wait_state("bound", "queued")
    for bad in ({"from": "no-such", "to": "x"}, {"from": ONE, "to": "Not A Name"}, {"from": ONE}):
        answer = stack.observer.request("modem/rename", **bad)
        assert answer["status"] == "error", answer
    answer = stack.observer.request("modem/rename", **{"from": ONE, "to": "alarm"})
    assert answer["data"] == {"from": ONE, "to": "alarm"}
    wait_until(lambda: stack.observer.of(f"modem/{ONE}")[-1] == b"", 5, "the old topic is empty")
    since = len(stack.observer.seen)
    stack.put(0, "1-1")
    stack.wait_modem("alarm", "ready", since)
    assert stack.observer.wait_state("bound", "delivered")["modem"] == "alarm"
    assert "unplug it first" in stack.observer.request("modem/remove", modem="alarm")["error"]

    stack.pull(0, "1-1")
    wait_until(lambda: [(row["name"], row["port"]) for row in stack.modems()] == [("alarm", None)], 5, "it is away")
    order(stack, "orphan", modem="alarm")
    stack.observer.wait_state("orphan", "queued")
    answer = stack.observer.request("modem/remove", modem="alarm")
    assert answer["data"] == {"modem": "alarm", "failed": 1}, answer
    assert stack.observer.wait_state("orphan", "failed")["error"]["code"] == "modem_removed"
    wait_until(lambda: stack.observer.of("modem/alarm")[-1] == b"", 5, "the topic is empty")
    assert stack.modems() == []
    order(stack, "too late", modem="alarm")
    assert stack.observer.wait_state("too late", "rejected")["error"]["code"] == "unknown_modem"


def test_virtual_modems_leave_for_good_when_a_real_one_comes(tmp_path: Path) -> None:
    with plugging(tmp_path, 1, config="virtual_modems: {count: 1, latency: 1}\n") as stack:
        stack.wait_modem("virtual-1", "ready")
        order(stack, "in flight")
        stack.observer.wait_state("in flight", "sending")
        order(stack, "bound", modem="virtual-1", send_at="2099-01-01T00:00:00Z")
        stack.observer.wait_state("bound", "scheduled")
        stack.put(0, "1-1")
        stack.wait_modem(ONE, "ready")
        # What it was sending got its result; what only it could have sent fails; nothing goes to it any more.
        assert stack.observer.wait_state("in flight", "sent", "unknown")["modem"] == "virtual-1"
        assert stack.observer.wait_state("bound", "failed")["error"]["code"] == "modem_removed"
        wait_until(lambda: stack.observer.of("modem/virtual-1")[-1] == b"", 10, "the virtual modem's topic is empty")
        wait_until(lambda: [row["name"] for row in stack.modems()] == [ONE], 5, "the list has the real one alone")
        order(stack, "real")
        assert stack.observer.wait_state("real", "delivered")["modem"] == ONE
        assert b"leave for good" in (tmp_path / "bridge.log").read_bytes()

        stack.pull(0, "1-1")
        stack.wait_modem(ONE, "offline")
        stack.bridge.stop()
        since = len(stack.observer.seen)
        stack.bridge.start()
        absent = stack.wait_modem(ONE, "offline", since).payload
        assert absent["health_reason"] == "not plugged in"
        stack.observer.wait_for("bridge/health", lambda p: p["modems"] == {"total": 1, "ready": 0}, since=since)
        time.sleep(0.5)
        assert [row["name"] for row in stack.modems()] == [ONE]


def test_a_modem_that_is_named_by_its_imei_asks_for_no_port(tmp_path: Path) -> None:
    with plugging(tmp_path, 1, start=False) as stack:
        imei = stack.emulation.do("list")["modems"][0]["imei"]
        text = stack.bridge.config.read_text()
        stack.bridge.config.write_text(f'{text}modems:\n  - name: gate\n    imei: "{imei}"\n    pin: "4711"\n')
        stack.emulation.do("fault", modem=0, name="pin_required", pin="4711")
        stack.bridge.start()
        stack.wait_modem("gate", "offline")
        stack.put(0, "1-4")
        stack.wait_modem("gate", "ready")
        order(stack, "named", modem="gate")
        stack.observer.wait_state("named", "delivered")
        assert "configuration" in stack.observer.request("modem/rename", **{"from": "gate", "to": "x"})["error"]
