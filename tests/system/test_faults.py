"""What goes wrong between the bridge and the network, with the whole stack; the network's ledger is the judge."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hardware.pdu import DeliverRequest, StatusReportRequest, encode_deliver, encode_status_report
from tests.support.stack import Emulation, Stack, running, wait_until

ANNA = "+36301234567"
SILENT = "+36309990000"  # never answers: no status report comes by itself
RESULT_TIMEOUT = 1.5
WAITS = {"sending": {"result_timeout": RESULT_TIMEOUT}, "inbound": {"reassembly_timeout": 2.0}}
RETRY = "sending:\n  retry_delay: 1s\n"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("faults"), modems=2, extra=RETRY, waits=WAITS) as started:
        started.emulation.do("outside", modem=0, number=SILENT, status=None)
        yield started


@pytest.fixture
def stack(shared: Stack) -> Iterator[Stack]:
    """The shared stack with both modems in service, and in service again afterwards."""
    yield shared
    since = len(shared.observer.seen)
    for index in range(2):
        shared.emulation.do("clear", modem=index)
        shared.emulation.do("plug", modem=index)
    shared.emulation.do("set_latency", latency="0")
    for index in range(2):
        _in_service(shared, index, since)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Stack]:
    """A stack of the test's own, whose bridge may be killed."""
    with running(tmp_path, modems=2) as started:
        started.emulation.do("outside", modem=0, number=SILENT, status=None)
        yield started


def submitted(stack: Stack, text: str) -> list[dict[str, Any]]:
    """What the network got with this text, accepted or refused."""
    return [line for line in stack.emulation.ledger("submit") if line["text"] == text]


def accepted(stack: Stack, text: str) -> int:
    return sum(line["accepted"] for line in submitted(stack, text))


def order(stack: Stack, id: str, **fields: Any) -> None:
    """An order whose text is its id."""
    stack.observer.publish("out", {"id": id, "to": SILENT, "text": id, **fields})


def details(stack: Stack, id: str) -> dict[str, Any]:
    """The status of an order of one recipient, with its attempts, as the journal has it."""
    answer = stack.observer.request("message/get", id=id)
    assert answer["status"] == "ok", answer
    found: dict[str, Any] = answer["data"]["orders"][0]
    return found


def report_for(line: dict[str, Any]) -> str:
    """A status report that says `delivered` for what stands in this line of the ledger."""
    now = datetime.now(UTC)
    return encode_status_report(StatusReportRequest(line["to"], line["mr"], now, now))


def _in_service(stack: Stack, index: int, since: int) -> None:
    states = stack.observer.of(f"modem/modem{index}")
    if states[-1]["state"] != "ready":
        stack.observer.wait_for(f"modem/modem{index}", lambda p: p["state"] == "ready", since=since)


def test_a_modem_that_dies_after_ctrl_z_leaves_one_message_of_unknown_fate(own: Stack) -> None:
    stack = own
    for index in range(2):
        stack.emulation.do("fault", modem=index, name="die_after_ctrl_z")
    order(stack, "died")
    status = stack.observer.wait_state("died", "unknown")
    died = int(status["modem"].removeprefix("modem"))
    assert status["error"]["code"] == "port_lost"
    stack.emulation.do("clear", modem=1 - died)
    since = len(stack.observer.seen)
    stack.emulation.do("plug", modem=died)
    stack.observer.wait_for(f"modem/modem{died}", lambda p: p["state"] == "ready", since=since)
    since = len(stack.observer.seen)
    stack.restart_bridge()
    stack.wait_ready(since=since)
    order(stack, "after died")
    stack.observer.wait_state("after died", "sent")
    assert details(stack, "died")["state"] == "unknown"
    assert len(submitted(stack, "died")) == 1
    stack.emulation.do("deliver_pdu", modem=died, pdu=report_for(submitted(stack, "died")[0]))
    stack.observer.wait_state("died", "delivered")
    assert stack.observer.states("died") == ["queued", "sending", "unknown", "delivered"]
    assert len(submitted(stack, "died")) == 1


def test_a_report_that_waited_in_the_network_resolves_what_a_dead_modem_left_open(stack: Stack) -> None:
    stack.emulation.do("fault", modem=0, name="die_after_ctrl_z")
    order(stack, "reported", to=ANNA, modem="modem0")
    stack.observer.wait_state("reported", "unknown")
    stack.emulation.do("plug", modem=0)
    stack.observer.wait_state("reported", "delivered")
    assert len(submitted(stack, "reported")) == 1


def test_a_lost_result_is_unknown_and_never_sent_again_by_itself(stack: Stack) -> None:
    stack.emulation.do("fault", modem=0, name="lost_result")
    order(stack, "lost result", modem="modem0")
    order(stack, "behind it", modem="modem0")
    status = stack.observer.wait_state("lost result", "unknown")
    assert status["error"]["code"] == "timeout"
    assert stack.observer.wait_state("behind it", "sent")["modem"] == "modem0"
    assert len(submitted(stack, "lost result")) == 1
    assert len(submitted(stack, "behind it")) == 1
    assert stack.observer.states("lost result") == ["queued", "sending", "unknown"]


def test_a_person_who_prefers_two_to_none_gets_a_second_try(stack: Stack) -> None:
    stack.emulation.do("fault", modem=0, name="lost_result")
    order(stack, "twice rather than never", modem="modem0", on_unknown="resend")
    status = stack.observer.wait_state("twice rather than never", "sent", "unknown", "failed")
    assert (status["state"], status["attempt"]) == ("sent", 2)
    lines = submitted(stack, "twice rather than never")
    assert len(lines) == 2
    assert [line["modem"] for line in lines] == [0, 0]


def test_a_result_that_is_slow_is_waited_for_and_nothing_is_written_meanwhile(stack: Stack) -> None:
    stack.emulation.do("fault", modem=0, name="late_result", delay=RESULT_TIMEOUT * 0.6)
    commands = stack.emulation.do("stats", modem=0)["commands"]
    order(stack, "slow", modem="modem0")
    stack.observer.wait_state("slow", "sending")
    stack.emulation.do("deliver", modem=0, **{"from": ANNA, "text": "meanwhile"})
    time.sleep(RESULT_TIMEOUT * 0.3)
    # AT+CMGS and nothing else, though a message waits to be read.
    assert stack.emulation.do("stats", modem=0)["commands"] == commands + 1
    stack.observer.wait_state("slow", "sent")
    assert stack.observer.states("slow") == ["queued", "sending", "sent"]
    stack.observer.wait_for("in", lambda p: p["text"] == "meanwhile")
    assert len(submitted(stack, "slow")) == 1


def test_a_result_after_the_time_out_still_resolves_what_was_unknown(stack: Stack) -> None:
    stack.emulation.do("fault", modem=0, name="late_result", delay=RESULT_TIMEOUT + 1)
    order(stack, "too late", modem="modem0")
    stack.observer.wait_state("too late", "unknown")
    status = stack.observer.wait_state("too late", "sent")
    assert status["parts_sent"] == 1
    assert status["error"] is None
    assert stack.observer.states("too late") == ["queued", "sending", "unknown", "sent"]
    assert len(submitted(stack, "too late")) == 1


def test_what_a_modem_had_not_taken_when_it_left_goes_by_the_other_once(stack: Stack) -> None:
    stack.emulation.do("fault", modem=0, name="unplug", on="cmgs")
    names = [f"moved {number}" for number in range(6)]
    for name in names:
        order(stack, name)
    for name in names:
        assert stack.observer.wait_state(name, "sent")["modem"] == "modem1"
        assert [line["modem"] for line in submitted(stack, name)] == [1]
        assert "unknown" not in stack.observer.states(name)
    assert not stack.emulation.do("list")["modems"][0]["plugged"], "the fault was never met"


def test_a_modem_that_leaves_with_the_message_in_hand_is_not_failed_over(stack: Stack) -> None:
    for index in range(2):
        stack.emulation.do("fault", modem=index, name="unplug", on="ctrl_z")
    order(stack, "in hand")
    stack.observer.wait_state("in hand", "unknown")
    for index in range(2):
        stack.emulation.do("clear", modem=index)
        stack.emulation.do("plug", modem=index)
    order(stack, "after in hand")
    stack.observer.wait_state("after in hand", "sent")
    assert submitted(stack, "in hand") == []  # nobody can know that from here
    assert details(stack, "in hand")["state"] == "unknown"


@pytest.mark.parametrize(("code", "stage"), [(198, "after"), (314, "before")])
def test_a_passing_refusal_is_tried_again_and_sent_once(stack: Stack, code: int, stage: str) -> None:
    name = f"passing {code}"
    stack.emulation.do("set_latency", latency="0.05")
    stack.emulation.do("fault", modem=0, name="cms_error", code=code, stage=stage)
    order(stack, name, modem="modem0")
    status = stack.observer.wait_state(name, "sent")
    assert status["attempt"] == 2
    assert status["error"] is None
    assert accepted(stack, name) == 1
    attempts = details(stack, name)["attempts"]
    assert [(a["state"], a["error"]) for a in attempts] == [("not_sent", f"cms_{code}"), ("sent", None)]


def test_congestion_is_waited_out_for_as_long_as_the_table_says(stack: Stack) -> None:
    stack.emulation.do("fault", modem=0, name="cms_error", code=42)
    order(stack, "congested", modem="modem0")
    wait_until(lambda: details(stack, "congested")["attempts"], 10, "it was tried")
    wait_until(lambda: details(stack, "congested")["attempts"][0]["state"] == "not_sent", 10, "it was refused")
    order(stack, "not held up", modem="modem0")
    stack.observer.wait_state("not held up", "sent")
    time.sleep(1.5)
    found = details(stack, "congested")
    assert (found["state"], len(found["attempts"])) == ("sending", 1)
    assert stack.observer.request("message/cancel", id="congested")["status"] == "ok"
    stack.observer.wait_state("congested", "cancelled")
    assert accepted(stack, "congested") == 0


@pytest.mark.parametrize("code", [1, 195, 304])
def test_a_refusal_for_good_fails_under_its_code(stack: Stack, code: int) -> None:
    name = f"refused {code}"
    stack.emulation.do("fault", modem=0, name="cms_error", code=code)
    order(stack, name, modem="modem0")
    status = stack.observer.wait_state(name, "failed")
    assert status["error"]["code"] == f"cms_{code}"
    assert status["error"]["retryable"] is False
    assert len(status["error"]["text"]) > 5
    assert [line["accepted"] for line in submitted(stack, name)] == [False]


@pytest.mark.parametrize("code", [38, 8])
def test_what_one_sim_is_refused_the_other_may_send(stack: Stack, code: int) -> None:
    name = f"elsewhere {code}"
    stack.emulation.do("fault", modem=0, name="cms_error", code=code)
    stack.emulation.do("set_latency", latency="0.3")
    names = [f"{name} {number}" for number in range(3)]
    for number, one in enumerate(names):
        order(stack, one, to=f"+3630999{code:03d}{number}")  # nobody who knows one of the SIMs
    for one in names:
        stack.observer.wait_state(one, "sent")
        assert accepted(stack, one) == 1
    refusals = [line for one in names for line in submitted(stack, one) if not line["accepted"]]
    assert [line["modem"] for line in refusals] == [0]


@pytest.mark.parametrize("code", [500, 332, 127])
def test_an_error_that_says_nothing_after_ctrl_z_is_unknown(stack: Stack, code: int) -> None:
    name = f"who knows {code}"
    stack.emulation.do("fault", modem=0, name="cms_error", code=code, accepted=True)
    order(stack, name, modem="modem0")
    order(stack, f"after {name}", modem="modem0")
    status = stack.observer.wait_state(name, "unknown")
    assert status["error"]["code"] == f"cms_{code}"
    stack.observer.wait_state(f"after {name}", "sent")
    assert len(submitted(stack, name)) == 1


def test_an_order_given_three_times_is_sent_once(stack: Stack) -> None:
    for _ in range(3):
        order(stack, "thrice")
    stack.observer.wait_state("thrice", "sent")
    order(stack, "after thrice")
    stack.observer.wait_state("after thrice", "sent")
    assert len(submitted(stack, "thrice")) == 1


def test_a_waiting_order_can_be_looked_at_and_cancelled(stack: Stack) -> None:
    stack.emulation.do("set_latency", latency="1")
    order(stack, "blocks", modem="modem0")
    stack.observer.wait_state("blocks", "sending")
    order(stack, "regretted", modem="modem0")
    stack.observer.wait_state("regretted", "queued")
    assert details(stack, "regretted")["attempts"] == []
    answer = stack.observer.request("message/cancel", id="regretted")
    assert [message["state"] for message in answer["data"]["orders"]] == ["cancelled"]
    assert stack.observer.wait_state("regretted", "cancelled")["error"]["code"] == "cancelled"
    stack.observer.wait_state("blocks", "sent")
    order(stack, "goes on", modem="modem0")
    stack.observer.wait_state("goes on", "sent")
    assert submitted(stack, "regretted") == []
    assert stack.observer.request("message/cancel", id="never heard of")["status"] == "error"
    again = stack.observer.request("message/cancel", id="goes on")
    assert (again["status"], "sent" in again["error"]) == ("error", True)
    assert details(stack, "goes on")["state"] == "sent"


def test_a_modem_shows_its_own_queue_and_health_all_of_them(own: Stack) -> None:
    stack = own
    since = len(stack.observer.seen)
    stack.emulation.do("unplug", modem=1)
    stack.observer.wait_for("modem/modem1", lambda p: p["state"] == "offline", since=since)
    for n in range(3):
        order(stack, f"for modem1 {n}", modem="modem1")
    since = len(stack.observer.seen)
    stack.observer.wait_for("modem/modem1", lambda p: p["queue"] == 3)
    assert stack.observer.of("modem/modem0")[-1]["queue"] == 0
    assert stack.observer.request("health_check")["data"]["queue"] == 3
    stack.restart_bridge()  # what nobody can send now is known then, too
    stack.observer.wait_for("modem/modem1", lambda p: p["queue"] == 3, since=since)
    since = len(stack.observer.seen)
    stack.emulation.do("plug", modem=1)
    stack.observer.wait_state("for modem1 2", "sent")
    stack.observer.wait_for("modem/modem1", lambda p: p["queue"] == 0, since=since)


def test_a_deadline_that_passes_in_the_queue_ends_an_order_unsent(stack: Stack) -> None:
    stack.emulation.do("set_latency", latency="1.4")
    order(stack, "ahead", modem="modem0")
    stack.observer.wait_state("ahead", "sending")
    deadline = datetime.now(UTC) + timedelta(seconds=0.8)
    order(stack, "too old", modem="modem0", deadline=deadline.isoformat())
    status = stack.observer.wait_state("too old", "expired")
    assert status["error"]["code"] == "expired"
    order(stack, "young", modem="modem0")
    stack.observer.wait_state("young", "sent")
    assert submitted(stack, "too old") == []


def test_an_order_for_later_is_sent_then_and_not_before(stack: Stack) -> None:
    at = datetime.now(UTC) + timedelta(seconds=2)
    order(stack, "later", send_at=at.isoformat())
    stack.observer.wait_state("later", "scheduled")
    stack.observer.wait_state("later", "sent")
    assert stack.observer.states("later") == ["scheduled", "queued", "sending", "sent"]
    [line] = submitted(stack, "later")
    assert at <= datetime.fromisoformat(line["ts"]) < at + timedelta(seconds=2.5)


def test_parts_in_any_order_and_twice_and_across_a_restart_are_one_message(own: Stack) -> None:
    stack = own
    text = "Öt szép szűzlány őrült írót nyúz. " * 7
    parts = _parts(text, ref=77)
    assert len(parts) == 4

    def give(*numbers: int) -> None:
        for number in numbers:
            stack.emulation.do("deliver_pdu", modem=0, pdu=parts[number - 1])
        wait_until(lambda: not stack.emulation.do("inbox", modem=0)["messages"], 10, "read and deleted")

    give(3, 1, 1)
    stack.bridge.stop(signal.SIGKILL)
    stack.emulation.do("deliver_pdu", modem=0, pdu=parts[3])
    since = len(stack.observer.seen)
    stack.bridge.start()
    stack.wait_ready(since=since)
    give(3, 2)
    got = stack.observer.wait_for("in", lambda p: p["text"] == text).payload
    assert (got["parts"], got["partial"], got["missing"]) == (4, False, [])
    stack.emulation.do("deliver", modem=0, **{"from": ANNA, "text": "the next one"})
    stack.observer.wait_for("in", lambda p: p["text"] == "the next one")
    assert [p["text"] for p in stack.observer.of("in") if p["text"] and p["text"][:10] in text] == [text]


def test_what_came_is_published_as_partial_and_the_whole_when_the_rest_comes(stack: Stack) -> None:
    text = "Jó foxim és don Quijote húszwattos lámpánál ülve egy pár bűvös cipőt készít. " * 2
    first, second, third = _parts(text, ref=78)
    stack.emulation.do("deliver_pdu", modem=1, pdu=third)
    stack.emulation.do("deliver_pdu", modem=1, pdu=first)
    partial = stack.observer.wait_for("in", lambda p: p["partial"]).payload
    assert (partial["parts"], partial["missing"]) == (3, [2])
    assert partial["text"].startswith(text[:60])
    stack.emulation.do("deliver_pdu", modem=1, pdu=second)
    whole = stack.observer.wait_for("in", lambda p: p["text"] == text).payload
    assert whole["id"] == partial["id"]
    assert (whole["partial"], whole["missing"]) == (False, [])


def _parts(text: str, ref: int) -> list[str]:
    return encode_deliver(DeliverRequest(ANNA, datetime.now(UTC), text=text, ref=ref, encoding="ucs2"))


def test_a_sim_that_is_full_at_the_start_is_emptied_and_all_of_it_delivered(tmp_path: Path) -> None:
    def fill(emulation: Emulation) -> None:
        emulation.do("fault", modem=0, name="storage_full")
        emulation.do("deliver", modem=0, **{"from": ANNA, "text": "no room for me"})

    with running(tmp_path, before=fill) as stack:
        old = [line["text"] for line in stack.emulation.ledger("deliver") if line["accepted"]]
        assert len(set(old)) == len(old) > 5
        stack.observer.wait_for("in", lambda p: p["text"] == "no room for me")
        wait_until(lambda: len(stack.observer.of("in")) > len(old), 20, "all on sms/in")
        assert Counter(p["text"] for p in stack.observer.of("in")) == Counter([*old, "no room for me"])
        wait_until(lambda: not stack.emulation.do("inbox", modem=0)["messages"], 10, "the SIM is empty")


@pytest.mark.slow
def test_a_long_message_killed_in_its_middle_never_has_a_part_twice(tmp_path: Path) -> None:
    dice = random.Random(5)
    text = "Árvíztűrő tükörfúrógép. " * 14
    with running(tmp_path, modems=2, latency="0.1") as stack:
        stack.emulation.do("outside", modem=0, number=SILENT, status=None)
        for number in range(3):
            long = f"{number}: {text}"
            since = len(stack.emulation.ledger("submit"))
            seen = len(stack.observer.seen)
            stack.observer.publish("out", {"id": f"long {number}", "to": SILENT, "text": long})
            two_more = since + 2
            wait_until(lambda: len(stack.emulation.ledger("submit")) >= two_more, 20, "two parts are out")  # noqa: B023
            time.sleep(dice.uniform(0, 0.2))
            stack.restart_bridge()
            status = stack.observer.wait_state(f"long {number}", "sent", "unknown")
            stack.wait_ready(since=seen)
            stack.emulation.do("wait_idle", quiet=0.3)
            lines = stack.emulation.ledger("submit")[since:]
            assert status["parts"] == 6
            assert max(Counter(line["concat"]["seq"] for line in lines).values()) == 1, "a part left twice"
            assert len({line["iccid"] for line in lines}) == 1, "parts left by two SIMs"
            assert len({line["concat"]["ref"] for line in lines}) == 1, "parts that do not belong together"
            attempts = details(stack, f"long {number}")["attempts"]
            left = {a["part"]: a["state"] for a in attempts}
            assert set(left) == set(range(1, 7)), "the rest went after the restart"
            unknown = [part for part, state in left.items() if state == "unknown"]
            assert (status["state"] == "unknown") == bool(unknown)
            assert len(unknown) <= 1
            # What is called sent was sent; what is called unknown may or may not have been.
            assert {line["concat"]["seq"] for line in lines} >= set(left) - set(unknown)
            if not unknown:
                assert "".join(line["text"] for line in lines) == long


@pytest.mark.slow
def test_sigterm_with_a_hundred_orders_waiting_loses_none(tmp_path: Path) -> None:
    names = [f"waits {number}" for number in range(100)]
    with running(tmp_path, modems=2, latency="0.1") as stack:
        for name in names:
            order(stack, name, to=ANNA)
        wait_until(lambda: len(stack.observer.of("status")) > 110, 20, "some are under way")
        assert stack.bridge.stop() == 0
        before = len(stack.emulation.ledger("submit"))
        assert 0 < before < 90
        stack.emulation.do("set_latency", latency="0")
        stack.bridge.start()
        for name in names:
            stack.observer.wait_state(name, "delivered")
        assert Counter(line["text"] for line in stack.emulation.ledger("submit")) == Counter(names)
        assert not [status for status in stack.observer.of("status") if status["state"] == "unknown"]
