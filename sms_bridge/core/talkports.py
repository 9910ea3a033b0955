"""What is asked of the store about conversations: questions, steps, automatic answers. A part of `core.ports`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from sms_bridge.core.asking import Question, StepRow
from sms_bridge.core.commandplan import Dispatch
from sms_bridge.core.model import Order
from sms_bridge.core.states import OrderState


class TalkReader(Protocol):
    """Reads."""

    def questions_of(self, recipient: str, limit: int) -> list[Question]:
        """The questions to this recipient that are not over: open ones, then late ones, each newest first."""

    def questions_like(self, tail: str, limit: int) -> list[Question]:
        """The same for all recipients whose number ends so (seven digits)."""

    def question(self, order_seq: int) -> Question | None:
        """The question that an order asks."""

    def questions_new(self) -> bool:
        """Whether there are any whose time has not begun."""

    def questions_asked(self, limit: int) -> list[tuple[Question, OrderState]]:
        """Of those, the ones whose orders are over, with the states of these."""

    def steps(self, order_seq: int) -> list[StepRow]:
        """The steps of an order, in their order."""

    def written_to(self, recipient: str, since: int, among: int) -> Order | None:
        """What was sent last to `recipient` and accepted since then (UTC ms), among the latest `among` orders."""

    def answer_times(self, peer: str) -> list[int]:
        """When it got automatic answers, UTC ms, the last few."""

    def dispatches(self, limit: int) -> list[Dispatch]:
        """Commands that are to be published, oldest first; those of another run of the machine have expired."""


class Talks(TalkReader, Protocol):
    """Writes."""

    def add_questions(self, questions: Sequence[Question]) -> None:
        """Insert."""

    def save_question(self, question: Question) -> None:
        """Write what may change of a question."""

    def questions_due(self, now: int, limit: int) -> list[Question]:
        """Open ones whose time is over."""

    def add_steps(self, steps: Sequence[StepRow]) -> None:
        """Insert."""

    def save_step(self, step: StepRow) -> None:
        """Write what may change of a step."""

    def start_steps(self, order_seq: int, now: int) -> None:
        """The order's `send_at` has come: the time of its steps begins."""

    def steps_due(self, now: int, limit: int) -> list[StepRow]:
        """Those that wait and whose time has come, oldest first."""

    def save_answer_times(self, peer: str, times: Sequence[int], forget: int) -> None:
        """As `answer_times` gives them back; who got none since `forget` is forgotten."""

    def add_dispatch(self, dispatch: Dispatch) -> None:
        """Insert."""

    def drop_dispatch(self, seq: int) -> None:
        """It is published, or too late."""

    def move_talks(self, by: int, now: int) -> None:
        """As `Upkeep.move_waits`: no wait gets longer than it was to be."""
