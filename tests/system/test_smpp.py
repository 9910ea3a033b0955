"""The whole bridge with an SMPP account: MQTT on one side, a message centre on the other (domain G13)."""

from __future__ import annotations

import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.support.node_smsc import NodeSmsc
from tests.support.smsc_process import SmscProcess, account
from tests.support.stack import Stack, running, wait_until

NUMBER = "+36301234567"
ROUTE = "smpp:backup"
AT_ONCE = "routing: {settle: 0, back_after: 0}\n"
FINAL = ("sent", "delivered", "failed", "unknown", "expired")


def order(stack: Stack, id: str, **fields: object) -> None:
    stack.observer.publish("out", {"id": id, "to": NUMBER, "text": id, "route": ROUTE} | fields)


def wait_up(stack: Stack) -> None:
    """The account is bound, as `sms/bridge/health` shows it."""

    def up() -> bool:
        routes = stack.observer.request("health_check")["data"]["routes"]
        return any(route["name"] == ROUTE and route["state"] == "up" for route in routes)

    wait_until(up, 20, "the account is bound", 0.1)


def test_out_and_in_and_what_takes_over_from_a_modem(tmp_path: Path) -> None:
    with SmscProcess(tmp_path / "smsc") as smsc, running(tmp_path, extra=account(smsc.port) + AT_ONCE) as stack:
        wait_up(stack)
        order(stack, "one", transaction=7)
        status = stack.observer.wait_state("one", "delivered")
        assert (status["route"], status["modem"], status["transaction"]) == (ROUTE, None, 7)
        assert stack.observer.states("one") == ["queued", "sending", "sent", "delivered"]
        smsc.do("deliver", **{"from": "36301234567", "to": "36209998888", "text": "OK"})
        found = stack.observer.wait_for("in", lambda p: p["route"] == ROUTE).payload
        assert (found["from"], found["to"], found["text"], found["modem"]) == (NUMBER, "+36209998888", "OK", None)
        stack.observer.publish("out", {"id": "auto", "to": "+36305556666", "text": "auto"})
        assert stack.observer.wait_state("auto", *FINAL)["modem"] == "modem0"
        stack.emulation.do("unplug", modem=0)
        stack.observer.publish("out", {"id": "alarm", "to": "+36305556666", "text": "alarm"})
        assert stack.observer.wait_state("alarm", "delivered")["route"] == ROUTE
        assert smsc.texts() == ["one", "alarm"]
        assert len(stack.emulation.ledger("submit")) == 1


def test_a_kill_in_the_middle_doubles_nothing(tmp_path: Path) -> None:
    """What was with the centre is unknown or sent after the restart; the rest goes out once (domain E3.2)."""
    with (
        SmscProcess(tmp_path / "smsc", latency=0.3, receipts="none") as smsc,
        running(tmp_path, extra=account(smsc.port, window=5)) as stack,
    ):
        wait_up(stack)
        ids = [f"k{number}" for number in range(30)]
        for id in ids:
            order(stack, id, delivery_report=False)
        wait_until(lambda: len(smsc.ledger("submit")) >= 12, 20, "some are with the centre")
        stack.restart_bridge(signal.SIGKILL)
        states = Counter(stack.observer.wait_state(id, *FINAL, deadline=40)["state"] for id in ids)
        texts = Counter(smsc.texts())
        assert max(texts.values()) == 1
        assert states["sent"] + states["unknown"] == 30
        assert states["unknown"] <= 2 * 5 + 1  # a window, and what was begun ahead of it
        sent = {id for id in ids if stack.observer.states(id)[-1] == "sent"}
        assert sent <= texts.keys()


def test_one_hundred_orders_through_all_that_can_go_wrong(tmp_path: Path) -> None:
    """Throttling, lost and late and reversed answers, receipts first, ids in two forms, an unbind, cuts, half PDUs."""
    with SmscProcess(tmp_path / "smsc") as smsc:
        extra = account(smsc.port, window=10, response_timeout="5s")
        with running(tmp_path, extra=extra) as stack:
            wait_up(stack)
            smsc.set(receipts="before", ids="hex", receipt_ids="dec")
            storms: list[dict[str, object]] = [
                {"reverse": 2},
                {"reverse": 0, "refuse": 3, "refuse_status": 0x58},
                {"late_responses": 2, "late_by": 0.5},
                {"drop_responses": 2},
                {"refuse": 2, "refuse_status": 0x0B},
                {"nack": 1},
                {"cut_after": 5},
            ]
            ids = [f"g{number}" for number in range(98)]
            for number, storm in enumerate(storms):
                smsc.set(**storm)
                for id in ids[14 * number : 14 * number + 14]:
                    order(stack, id, to=f"+363055{id[1:]:0>5}")
                smsc.do("raw", hex="00000011000000050000000000000001ff" + "00000010000badff0000000000000009")
                wait_until(lambda: smsc.do("state")["links"], 20, "the account is bound")
                time.sleep(0.2)
            smsc.set(reverse=0)
            smsc.do("raw", hex="0000ffff00000005")  # half a PDU, and no more comes
            smsc.do("cut")
            states = Counter(stack.observer.wait_state(id, *FINAL, deadline=60)["state"] for id in ids)
            texts = Counter(smsc.texts())
            assert max(texts.values()) == 1, "nothing is doubled"
            assert sum(states.values()) == 98
            # What the centre has, it delivers; of those whose answer was lost as well nobody knows.
            wait_until(
                lambda: all(stack.observer.states(id)[-1] in ("delivered", "unknown") for id in texts),
                30,
                "all receipts fit",
            )
            last = {id: stack.observer.states(id)[-1] for id in ids}
            assert sum(state == "unknown" for state in last.values()) <= 2 + 2 * 10  # lost answers, and by two cuts
            assert {last[id] for id in ids if id not in texts} <= {"failed", "unknown"}
            for id in ids:
                seen = stack.observer.states(id)
                assert seen.count("delivered") <= 1
                assert "delivered" not in seen or seen[-1] == "delivered", "no state goes back"


def test_a_centre_that_is_away_and_comes_back(tmp_path: Path) -> None:
    with SmscProcess(tmp_path / "smsc") as smsc, running(tmp_path, extra=account(smsc.port) + AT_ONCE) as stack:
        wait_up(stack)
        smsc.stop()
        stack.observer.wait_for("bridge/event", lambda p: p["event_type"] == "route_down" and p["route"] == ROUTE)
        order(stack, "waits")
        time.sleep(0.3)
        assert stack.observer.states("waits") == ["queued"]
        smsc.start()
        assert stack.observer.wait_state("waits", "delivered")["route"] == ROUTE


def test_a_wrong_password_is_an_event(tmp_path: Path) -> None:
    with SmscProcess(tmp_path / "smsc") as smsc:
        extra = account(smsc.port).replace('"secret"', '"wrong"')
        with running(tmp_path, extra=extra) as stack:
            event = stack.observer.wait_for("bridge/event", lambda p: p["event_type"] == "route_refused").payload
            assert event["route"] == ROUTE
            assert "the password is wrong" in event["reason"]
            health = stack.observer.request("health_check")["data"]
            assert "the password is wrong" in health["reason"]
            assert len(smsc.ledger("bind")) == 1


@pytest.mark.peer
def test_a_message_centre_that_somebody_else_wrote(tmp_path: Path) -> None:
    with NodeSmsc() as node, running(tmp_path, extra=account(node.port)) as stack:
        wait_up(stack)
        order(stack, "long", text="árvíztűrő " * 20)
        status = stack.observer.wait_state("long", "delivered")
        assert (status["parts"], status["parts_sent"]) == (3, 3)
        assert "".join(entry["text"] for entry in node.of_kind("submit")) == "árvíztűrő " * 20
        node.do("deliver", **{"from": "36301234567", "to": "36209998888", "text": "OK"})
        found = stack.observer.wait_for("in", lambda p: p["route"] == ROUTE).payload
        assert (found["from"], found["text"]) == (NUMBER, "OK")
        assert stack.bridge.stop() == 0
        assert node.of_kind("unbind")
