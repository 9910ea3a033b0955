"""A broker that dies, is away, or wants a password and TLS: the whole stack, judged by the ledger of the network."""

from __future__ import annotations

import getpass
import random
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.support.oracle import LedgerReader, Oracle
from tests.support.stack import Broker, Stack, free_port, running, wait_until

ANNA = "+36301234567"
KILLS = 5
OUR_USER = f"user {getpass.getuser()}\n"  # else mosquitto, started by root, takes one that cannot read or write here
RANK = ["scheduled", "queued", "sending", "unknown", "sent", "delivered"]


def first_seen(payloads: list[dict[str, Any]], key: str) -> list[Any]:
    """The values of `key` in the order in which each appeared for the first time."""
    return list(dict.fromkeys(payload[key] for payload in payloads))


def assert_in_order(stack: Stack, names: list[str]) -> None:
    """Every order went from queued to delivered; repeats, but never backwards at their first appearance."""
    for name in names:
        states = list(dict.fromkeys(stack.observer.states(name)))
        assert states == sorted(states, key=RANK.index), (name, states)
        assert states[-1] == "delivered", (name, states)
        assert {"queued", "sending", "sent"} <= set(states), (name, states)


@pytest.mark.slow
@pytest.mark.timeout(90)
@pytest.mark.parametrize("killed", [True, False], ids=["killed", "stopped"])
def test_a_broker_that_goes_away_finds_everything_when_it_is_back(tmp_path: Path, killed: bool) -> None:
    names = [f"order {number}" for number in range(20)]
    texts = {modem: [f"in {modem}.{number}" for number in range(30)] for modem in range(2)}
    broker = Broker(tmp_path / "broker", extra=OUR_USER)
    with running(tmp_path, modems=2, latency="0.1", broker=broker) as stack:
        for name in names:
            stack.observer.publish("out", {"id": name, "to": ANNA, "text": name})
        _deliver(stack, texts, 0, 5)
        wait_until(lambda: len(stack.emulation.ledger("submit")) > 4, 20, "orders are under way")
        if killed:
            _kill_with_messages_in_hand(stack)
        else:
            _stop_when_quiet(stack)
            (broker.directory / "mosquitto.db").unlink()  # nor does it remember anybody
        _deliver(stack, texts, 5, 30)
        wait_until(lambda: _drained(stack, 0) and _drained(stack, 1), 20, "the SIMs are drained without a broker")
        wait_until(lambda: len(stack.emulation.ledger("submit")) == 20, 20, "orders go out without a broker")
        # The observer first: what a broker publishes before it subscribes again would pass it by.
        stack.bridge.pause()
        stack.broker.start()
        stack.observer.wait_subscribed()
        stack.bridge.resume()
        for name in names:
            stack.observer.wait_state(name, "delivered")
        wait_until(lambda: len(first_seen(stack.observer.of("in"), "text")) == 60, 20, "all messages on sms/in")
        assert Counter(line["text"] for line in stack.emulation.ledger("submit")) == Counter(names)
        assert_in_order(stack, names)
        received = stack.observer.of("in")
        for modem, wanted in texts.items():
            mine = [payload for payload in received if payload["modem"] == f"modem{modem}"]
            assert first_seen(mine, "text") == wanted
        assert len({(p["id"], p["text"]) for p in received}) == 60, "a repeat has the id that it had"
        assert len({p["id"] for p in received}) == 60
        assert stack.bridge.log is not None
        assert ("resumed session" in stack.bridge.log.read_text(encoding="utf-8")) == killed


def test_the_bridge_starts_without_a_broker_and_works(tmp_path: Path) -> None:
    with running(tmp_path) as stack:
        stack.bridge.stop()
        stack.broker.stop()
        stack.bridge.start()
        stack.emulation.do("deliver", modem=0, **{"from": ANNA, "text": "nobody listens"})
        wait_until(lambda: _drained(stack, 0), 20, "the SIM is drained without a broker")
        stack.bridge.stop(signal.SIGKILL)
        stack.broker.start()
        stack.observer.wait_subscribed()
        stack.bridge.start()
        stack.observer.wait_for("in", lambda p: p["text"] == "nobody listens")
        stack.observer.publish("out", {"id": "answer", "to": ANNA, "text": "we do"})
        stack.observer.wait_state("answer", "delivered")


@pytest.mark.slow
@pytest.mark.timeout(90)
def test_orders_without_an_id_are_sent_once_though_the_bridge_is_killed_while_they_come(tmp_path: Path) -> None:
    dice = random.Random(19)
    texts: list[str] = []

    def publish(seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            texts.append(f"nameless {len(texts)}")
            stack.observer.publish("out", {"to": ANNA, "text": texts[-1], "transaction": texts[-1]})
            time.sleep(0.004)

    with running(tmp_path, modems=2) as stack:
        for _ in range(KILLS):
            publish(dice.uniform(0.1, 0.3))
            stack.bridge.stop(signal.SIGKILL)
            publish(0.02)
            stack.bridge.start()
            time.sleep(dice.uniform(0.3, 0.8))  # it may be connecting, taking orders or sending when it is killed

        def last() -> dict[str, str]:
            return {status["transaction"]: status["state"] for status in stack.observer.of("status")}

        wait_until(
            lambda: set(last()) == set(texts) and set(last().values()) <= {"unknown", "sent", "delivered"},
            30,
            "every order has come to a state that lasts",
            every=0.1,
        )
        sent = Counter(line["text"] for line in stack.emulation.ledger("submit"))
        assert set(sent.values()) == {1}, "doubled"
        assert set(sent) <= set(texts)
        lost = [text for text, state in last().items() if state != "unknown" and not sent[text]]
        assert not lost
        assert sum(state == "unknown" for state in last().values()) <= 2 * KILLS
        ids = {status["transaction"]: set[str]() for status in stack.observer.of("status")}
        for status in stack.observer.of("status"):
            ids[status["transaction"]].add(status["id"])
        assert all(len(found) == 1 for found in ids.values()), "one order, one id"


@pytest.mark.slow
def test_a_broker_that_stands_still_for_longer_than_the_keep_alive(tmp_path: Path) -> None:
    names = [f"o{number}" for number in range(40)]
    with running(tmp_path, modems=2, latency="0.1", waits={"mqtt": {"keepalive": 1}}) as stack:
        oracle = Oracle()
        stack.observer.listeners.append(oracle.hear)
        assert stack.broker.process is not None
        assert stack.bridge.log is not None
        for name in names:
            oracle.ordered(name)
            stack.observer.publish("out", {"id": name, "to": ANNA, "text": f"#{name}#"})
        wait_until(lambda: len(stack.emulation.ledger("submit")) > 4, 20, "orders are under way")
        stack.broker.process.send_signal(signal.SIGSTOP)
        for number in range(20):
            oracle.delivered(tag := f"in{number}", text := f"#{tag}#")
            stack.emulation.do("deliver", modem=number % 2, **{"from": ANNA, "text": text})
        wait_until(lambda: len(stack.emulation.ledger("submit")) == 40, 20, "orders go out all the same")
        wait_until(lambda: _drained(stack, 0) and _drained(stack, 1), 20, "the SIMs are drained")
        log = stack.bridge.log
        wait_until(lambda: "connection" in log.read_text(encoding="utf-8"), 20, "it is known to be gone")
        stack.broker.process.send_signal(signal.SIGCONT)
        wait_until(lambda: not oracle.waiting(), 30, "all is published")
        wait_until(lambda: all(oracle.state(name) == "delivered" for name in names), 20, "all are delivered")
        stack.bridge.stop()
        found = oracle.judge(LedgerReader(stack.emulation.directory), stack.bridge.data / "journal.db")
        assert found.faults() == {}


@pytest.mark.parametrize("protocol", ["311", "5"])
def test_a_broker_with_password_and_tls(tmp_path: Path, protocol: str) -> None:
    make_certificate(tmp_path)
    secure = free_port()
    extra = f"""\
{OUR_USER}per_listener_settings true
listener {secure} 127.0.0.1
allow_anonymous false
password_file {tmp_path / "passwords"}
cafile {tmp_path / "ca.pem"}
certfile {tmp_path / "broker.pem"}
keyfile {tmp_path / "broker.key"}
"""
    broker = Broker(tmp_path / "broker", extra=extra)
    mqtt = [
        "username: bridge",
        "password_file: password",
        f'protocol: "{protocol}"',
        "tls:",
        f"  ca: {tmp_path / 'ca.pem'}",
    ]
    (tmp_path / "password").write_text("s3cret wörd\n", encoding="utf-8")
    with running(tmp_path, broker=broker, mqtt=mqtt, mqtt_port=secure) as stack:
        stack.observer.publish("out", {"id": "safe", "to": ANNA, "text": "over TLS " * 60})
        assert stack.observer.wait_state("safe", "delivered")["parts"] == 4
        stack.emulation.do("deliver", modem=0, **{"from": ANNA, "text": "Über TLS €" * 60})
        stack.observer.wait_for("in", lambda p: p["text"] == "Über TLS €" * 60)
        broker.stop(signal.SIGKILL)
        stack.bridge.pause()
        broker.start()
        stack.observer.wait_subscribed()
        stack.bridge.resume()
        stack.observer.publish("out", {"id": "again", "to": ANNA, "text": "once more"})
        stack.observer.wait_state("again", "delivered")
        assert stack.bridge.log is not None
        log = stack.bridge.log.read_text(encoding="utf-8")
        assert ("MQTT 3.1.1" if protocol == "311" else "MQTT 5") in log
        assert "s3cret" not in log


def make_certificate(directory: Path) -> None:
    """An authority, a certificate for 127.0.0.1, and mosquitto's password file."""

    def run(*command: str) -> None:
        subprocess.run(command, check=True, capture_output=True, cwd=directory)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    run("openssl", "req", *key, "-x509", "-days", "2", "-subj", "/CN=Test CA", "-keyout", "ca.key", "-out", "ca.pem")
    run("openssl", "req", *key, "-subj", "/CN=broker", "-keyout", "broker.key", "-out", "broker.csr")
    (directory / "names").write_text("subjectAltName=IP:127.0.0.1")
    run(
        "openssl", "x509", "-req", "-in", "broker.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
        "-days", "2", "-extfile", "names", "-out", "broker.pem",
    )  # fmt: skip
    run("mosquitto_passwd", "-b", "-c", "passwords", "bridge", "s3cret wörd")


def _kill_with_messages_in_hand(stack: Stack) -> None:
    """The bridge publishes what the broker never reads; what it did read, the observer has."""
    assert stack.broker.process is not None
    stack.broker.process.send_signal(signal.SIGSTOP)
    time.sleep(0.4)
    stack.broker.stop(signal.SIGKILL)


def _stop_when_quiet(stack: Stack) -> None:
    """What the broker has acknowledged, the observer has: the last word in its session would be lost with it."""
    stack.bridge.pause()
    seen = -1
    while seen != len(stack.observer.seen):
        seen = len(stack.observer.seen)
        time.sleep(0.1)
    stack.broker.stop()
    stack.bridge.resume()


def _deliver(stack: Stack, texts: dict[int, list[str]], first: int, end: int) -> None:
    for number in range(first, end):
        for modem, own in texts.items():
            stack.emulation.do("deliver", modem=modem, **{"from": ANNA, "text": own[number]})


def _drained(stack: Stack, index: int) -> bool:
    found = stack.emulation.do("inbox", modem=index)
    return not found["messages"] and not found["waiting"]
