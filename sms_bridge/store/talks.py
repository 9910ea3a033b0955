"""The journal's tables of conversations, behind `core.talkports`. A part of `SqlReader` and `SqlTransaction`."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

from sms_bridge.core.asking import (
    Asked,
    Question,
    StepRow,
    StepState,
    Until,
    expect_from,
    expect_json,
    step_from,
    step_json,
)
from sms_bridge.core.commandplan import Dispatch
from sms_bridge.core.model import Order
from sms_bridge.core.states import OrderState
from sms_bridge.store import rows
from sms_bridge.store.upkeep import MOVED

_QUESTION = "q.order_seq, q.id, q.recipient, q.token, q.state, q.expires_at, q.helped, q.expect"
_STEP = "order_seq, n, state, due_at, until, expires, step, expect, made"
_NOW = "SELECT coalesce((SELECT value FROM meta WHERE name = 'clock_boot'), '')"  # this run of the machine
TAIL = 7  # digits (domain A7.2)


class TalkReads:
    """Implements `core.talkports.TalkReader`."""

    _db: sqlite3.Connection

    def questions_of(self, recipient: str, limit: int) -> list[Question]:
        return self._questions("WHERE q.recipient = ? AND q.state <> 'over'", recipient, limit)

    def questions_like(self, tail: str, limit: int) -> list[Question]:
        return self._questions("WHERE q.tail = ? AND q.state <> 'over'", tail[-TAIL:], limit)

    def question(self, order_seq: int) -> Question | None:
        found = self._questions("WHERE q.order_seq = ?", order_seq, 1)
        return found[0] if found else None

    def questions_new(self) -> bool:
        return bool(self._db.execute("SELECT EXISTS (SELECT 1 FROM questions WHERE state = 'new')").fetchone()[0])

    def questions_asked(self, limit: int) -> list[tuple[Question, OrderState]]:
        sql = (
            f"SELECT {_QUESTION}, o.state FROM questions q JOIN orders o ON o.seq = q.order_seq "
            "WHERE q.state = 'new' AND o.stage = 'done' ORDER BY q.order_seq LIMIT ?"
        )
        return [(_question(row[:-1]), OrderState(row[-1])) for row in self._db.execute(sql, (limit,))]

    def steps(self, order_seq: int) -> list[StepRow]:
        sql = f"SELECT {_STEP} FROM escalations WHERE order_seq = ? ORDER BY n"
        return [_step(row) for row in self._db.execute(sql, (order_seq,))]

    def written_to(self, recipient: str, since: int, among: int) -> Order | None:
        # Bounded by the primary key: an index of its own would have to be kept by each send.
        sql = (
            f"SELECT {rows.ORDER_COLUMNS} FROM orders WHERE seq > (SELECT max(seq) FROM orders) - ?1 "
            "AND recipient = ?2 AND accepted_at > ?3 AND state IN ('sending', 'sent', 'delivered', 'unknown') "
            "ORDER BY seq DESC LIMIT 1"
        )
        row = self._db.execute(sql, (among, recipient, since)).fetchone()
        return rows.order_from(row) if row else None

    def answer_times(self, peer: str) -> list[int]:
        row = self._db.execute("SELECT times FROM auto_answers WHERE peer = ?", (peer,)).fetchone()
        return [int(time) for time in json.loads(row[0])] if row else []

    def dispatches(self, limit: int) -> list[Dispatch]:
        sql = (
            "SELECT seq, command, message, contact, topic, payload, "
            f"iif(boot = ({_NOW}), expires_at, 0) FROM dispatches ORDER BY seq LIMIT ?"
        )
        return [Dispatch(*row) for row in self._db.execute(sql, (limit,))]

    def _questions(self, where: str, value: str | int, limit: int) -> list[Question]:
        order = "ORDER BY q.state NOT IN ('new', 'open'), q.state <> 'late', q.order_seq DESC"
        sql = f"SELECT {_QUESTION} FROM questions q {where} {order} LIMIT ?"
        return [_question(row) for row in self._db.execute(sql, (value, limit))]


class TalkWrites:
    """Implements `core.talkports.Talks` together with `TalkReads`."""

    _db: sqlite3.Connection

    def add_questions(self, questions: Sequence[Question]) -> None:
        self._db.executemany(
            "INSERT INTO questions (order_seq, id, recipient, tail, token, state, expires_at, helped, within_ms, "
            "expect) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    q.order_seq, q.id, q.recipient, q.recipient[-TAIL:], q.token, q.state.value, q.expires_at, q.helped,
                    int(q.expect.within * 1000), expect_json(q.expect),
                )
                for q in questions
            ],
        )  # fmt: skip

    def save_question(self, question: Question) -> None:
        q = question
        sql = "UPDATE questions SET state = ?, expires_at = ?, helped = ? WHERE order_seq = ?"
        self._db.execute(sql, (q.state.value, q.expires_at, q.helped, q.order_seq))

    def questions_due(self, now: int, limit: int) -> list[Question]:
        sql = (
            f"SELECT {_QUESTION} FROM questions q WHERE state = 'open' AND expires_at <= ? ORDER BY expires_at LIMIT ?"
        )
        return [_question(row) for row in self._db.execute(sql, (now, limit))]

    def add_steps(self, steps: Sequence[StepRow]) -> None:
        self._db.executemany(
            f"INSERT INTO escalations (after_ms, {_STEP}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    int(s.step.after * 1000), s.order_seq, s.n, s.state.value, s.due_at, s.until.value, s.expires,
                    step_json(s.step), expect_json(s.expect) if s.expect else None, s.made,
                )
                for s in steps
            ],
        )  # fmt: skip

    def save_step(self, step: StepRow) -> None:
        sql = "UPDATE escalations SET state = ?, made = ? WHERE order_seq = ? AND n = ?"
        self._db.execute(sql, (step.state.value, step.made, step.order_seq, step.n))

    def start_steps(self, order_seq: int, now: int) -> None:
        sql = "UPDATE escalations SET due_at = ? + after_ms WHERE order_seq = ? AND state = 'waits' AND due_at IS NULL"
        self._db.execute(sql, (now, order_seq))

    def steps_due(self, now: int, limit: int) -> list[StepRow]:
        sql = f"SELECT {_STEP} FROM escalations WHERE state = 'waits' AND due_at <= ? ORDER BY due_at, n LIMIT ?"
        return [_step(row) for row in self._db.execute(sql, (now, limit))]

    def save_answer_times(self, peer: str, times: Sequence[int], forget: int) -> None:
        self._db.execute(
            "INSERT OR REPLACE INTO auto_answers (peer, times, at) VALUES (?, ?, ?)",
            (peer, json.dumps(list(times)), times[-1]),
        )
        self._db.execute("DELETE FROM auto_answers WHERE at < ?", (forget,))

    def add_dispatch(self, dispatch: Dispatch) -> None:
        d = dispatch
        self._db.execute(
            "INSERT INTO dispatches (command, message, contact, topic, payload, expires_at, boot) "
            f"VALUES (?, ?, ?, ?, ?, ?, ({_NOW}))",
            (d.command, d.message, d.contact, d.topic, d.payload, d.expires_at),
        )

    def drop_dispatch(self, seq: int) -> None:
        self._db.execute("DELETE FROM dispatches WHERE seq = ?", (seq,))

    def move_talks(self, by: int, now: int) -> None:
        for table, column, most, state in (
            ("questions", "expires_at", "within_ms", "open"),
            ("escalations", "due_at", "after_ms", "waits"),
        ):
            moved = MOVED.replace(":most", most).format(x=column)
            sql = f"UPDATE {table} SET {column} = {moved} WHERE state = '{state}' AND {column} IS NOT NULL"
            self._db.execute(sql, {"by": by, "now": now})
        self._db.execute(f"UPDATE dispatches SET expires_at = expires_at + ? WHERE boot = ({_NOW})", (by,))


def _question(row: Sequence[Any]) -> Question:
    seq, id, recipient, token, state, expires_at, helped, expect = row
    return Question(seq, id, recipient, token, Asked(state), expires_at, bool(helped), expect_from(expect))


def _step(row: Sequence[Any]) -> StepRow:
    seq, n, state, due_at, until, expires, step, expect, made = row
    expected = expect_from(expect) if expect is not None else None
    return StepRow(seq, n, StepState(state), due_at, Until(until), bool(expires), step_from(step), expected, made)
