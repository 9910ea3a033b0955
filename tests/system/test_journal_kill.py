"""Killed with -9 at any moment, again and again: no order is lost, none goes twice, every event is told."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import Counter, defaultdict
from typing import Any

import pytest

from sms_bridge.core.states import MOVES, RANK, OrderState
from sms_bridge.store import Journal
from tests.support.journal_child import read_facts

ROUNDS = 50
FINAL = {OrderState.SENT, OrderState.UNKNOWN, OrderState.FAILED}


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_killed_again_and_again_it_keeps_every_promise(tmp_path):
    command = [sys.executable, "-m", "tests.support.journal_child", str(tmp_path), str(ROUNDS), "7"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0, done.stderr
    published = read_facts(tmp_path, "published", ROUNDS)
    rows = check_outbox(published)
    statuses = [json.loads(payload) for kind, payload in rows if kind == "status"]
    assert {status["route"] for status in statuses} >= {"modem", "smpp:paper"}
    check_orders(statuses, read_facts(tmp_path, "acked", ROUNDS), read_facts(tmp_path, "ledger", ROUNDS))
    check_inbound(
        [json.loads(payload) for kind, payload in rows if kind == "in"], read_facts(tmp_path, "stored", ROUNDS)
    )


def check_outbox(published: list[list[Any]]) -> list[tuple[str, str]]:
    """Every committed row reached the broker at least once, under one number, without holes."""
    by_seq: dict[int, tuple[str, str]] = {}
    for seq, kind, payload in published:
        assert by_seq.setdefault(seq, (kind, payload)) == (kind, payload), "one number for two messages"
    assert sorted(by_seq) == list(range(1, len(by_seq) + 1))
    return [by_seq[seq] for seq in sorted(by_seq)]


def check_orders(statuses: list[dict[str, Any]], acked: list[list[str]], ledger: list[list[Any]]) -> None:
    history: dict[str, list[OrderState]] = defaultdict(list)
    parts = {}
    for status in statuses:
        history[status["id"]].append(OrderState(status["state"]))
        parts[status["id"]] = status["parts"]
    accepted = [id for line in acked for id in line]
    assert len(accepted) > 60, "the test did not do enough to mean anything"
    assert set(accepted) <= set(history), "an acknowledged order was lost"
    sent = Counter((id, part) for id, part in ledger)
    assert all(count == 1 for count in sent.values()), "a part went to the network twice"
    assert {id for id, _ in sent} <= set(history)
    for id, states in history.items():
        ranks = [RANK[state] for state in states]
        assert ranks == sorted(ranks), (id, states)
        assert states[0] is OrderState.QUEUED
        assert states[-1] in FINAL, (id, states)
        assert sum(not MOVES[state] for state in set(states)) <= 1
        if states[-1] is OrderState.SENT:
            assert all(sent[id, part] == 1 for part in range(parts[id])), (id, states)
    assert {states[-1] for states in history.values()} >= {OrderState.SENT, OrderState.UNKNOWN}


def check_inbound(messages: list[dict[str, Any]], stored: list[list[str]]) -> None:
    texts = {text for (text,) in stored}
    assert len(texts) > 30, "the test did not do enough to mean anything"
    counts = Counter(message["text"] for message in messages)
    assert texts <= set(counts), "a message that was deleted from the SIM was lost"
    assert all(count == 1 for count in counts.values()), "a message was given out twice"
    assert len({message["id"] for message in messages}) == len(messages)


@pytest.mark.timeout(60)
async def test_the_file_is_whole_after_kills(tmp_path):
    command = [sys.executable, "-m", "tests.support.journal_child", str(tmp_path), "5", "3"]
    await asyncio.to_thread(subprocess.run, command, check=True, timeout=50)
    journal = await Journal.open(tmp_path / "data")
    assert not journal.opened.unclean  # the last one closed it
    assert await journal.verify() is None
    await journal.close()
