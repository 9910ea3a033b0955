"""USSD, balances and calls through the whole: broker, bridge, emulated phones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sms_bridge.payloads.schemas import Call
from tests.support.stack import Stack, running, wait_until

ANNA = "+36301234567"
CONFIG = """\
contacts: {anna: "+36301234567"}
ussd: {allow: ["*140*{digits}#"]}
calls: {hang_up: true}
balance:
  - modem: modem0
    ussd: "*111#"
    replies: ["1"]
    pattern: 'egyenlege: (?P<amount>[0-9.,]+) (?P<currency>Ft).*?(?P<expires>[0-9.]{10})'
    low: 2000
    expires_soon: 366d
  - modem: modem1
    sms: {to: "1755", text: BALANCE, from: [Telekom]}
    pattern: '(?P<amount>[0-9.,]+) EUR'
    currency: EUR
"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder: Path = tmp_path_factory.mktemp("services")
    with running(folder, modems=2, personalities=["e3372", "sim800l"], extra=CONFIG) as started:
        yield started


def test_a_menu_by_request(stack: Stack) -> None:
    ask = stack.observer.request
    stack.emulation.do("ussd", modem=0, code="*140*5#", answer="Sure?", menu={"1": {"answer": "Köszönjük"}}, delay=0)
    assert ask("modem/ussd", modem="modem0", code="*140*5#")["data"] == {"text": "Sure?", "session": "open"}
    assert ask("modem/ussd", modem="modem0", reply="1")["data"] == {"text": "Köszönjük", "session": "closed"}
    refused = ask("modem/ussd", modem="modem0", code="**21*36301234567#")
    assert refused["status"] == "error"
    assert "not allowed" in refused["error"]
    assert "no USSD menu is open" in ask("modem/ussd", modem="modem0", reply="1")["error"]
    assert "does not know this USSD code" in ask("modem/ussd", modem="modem1", code="*999#")["error"]


def test_a_balance_by_ussd_is_shown_and_its_events_told_once(stack: Stack) -> None:
    for _ in range(2):
        answer = stack.observer.request("modem/balance", modem="modem0")
        assert answer["data"]["amount"] == 1234.5
    shown = stack.observer.wait_for("modem/modem0", lambda p: p["balance"]["amount"] == 1234.5).payload["balance"]
    assert (shown["currency"], shown["expires"]) == ("HUF", "2031-01-31")
    low = stack.observer.wait_for("bridge/event", lambda p: p["event_type"] == "balance_low").payload
    assert (low["modem"], low["amount"], low["threshold"]) == ("modem0", 1234.5, 2000)
    assert len([e for e in stack.observer.of("bridge/event") if e["event_type"] == "balance_low"]) == 1


def test_a_balance_by_message_is_read_on_its_way_in(stack: Stack) -> None:
    answer = stack.observer.request("modem/balance", modem="modem1")
    assert answer["data"]["asked"] is True
    assert stack.observer.wait_state(answer["data"]["id"], "sent")["to"] == "1755"
    stack.emulation.do("deliver", modem=1, **{"from": "Telekom", "text": "Balance: 12,5 EUR"})
    stack.observer.wait_for("in", lambda p: p["text"] == "Balance: 12,5 EUR")
    shown = stack.observer.wait_for("modem/modem1", lambda p: p["balance"]["amount"] == 12.5).payload["balance"]
    assert shown["currency"] == "EUR"


def test_a_call_is_told_and_refused(stack: Stack) -> None:
    since = len(stack.observer.seen)
    stack.emulation.do("call", modem=0, **{"from": ANNA, "rings": 5, "interval": 5})
    began = stack.observer.wait_for("modem/modem0/call", lambda p: p["event_type"] == "call", since=since).payload
    assert (began["number"], began["contact"]) == (ANNA, "anna")
    ended = stack.observer.wait_for(
        "modem/modem0/call", lambda p: p["event_type"] == "rejected_call", since=since
    ).payload
    assert Call.model_validate(began).modem == Call.model_validate(ended).modem == "modem0"
    assert ended["rings"] >= 1
    wait_until(lambda: stack.emulation.do("stats", modem=0)["hung_up"] == 1, 5, "it was hung up")
    assert len([p for p in stack.observer.of("modem/modem0/call") if p["event_type"] == "call"]) == 1
