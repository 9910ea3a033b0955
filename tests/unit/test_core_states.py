"""The table of moves, ULIDs, numbers of lanes."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sms_bridge.core import ulid
from sms_bridge.core.errors import MoveError
from sms_bridge.core.model import Order, SendRequest
from sms_bridge.core.moves import move
from sms_bridge.core.numbers import DictContactBook
from sms_bridge.core.settings import CoreSettings
from sms_bridge.core.states import MOVES, PART_MOVES, PART_RANK, RANK, OrderState, PartState
from sms_bridge.core.submission import prepare


def order() -> Order:
    request = SendRequest(to=("+36301234567",), text="x", id="a")
    return prepare(request, 0, CoreSettings(), DictContactBook(), lambda name: True).orders[0]


def test_no_move_goes_back():
    for state, targets in MOVES.items():
        assert all(RANK[target] > RANK[state] for target in targets), state
    for part, nexts in PART_MOVES.items():
        # A refused try is the one case where a part has less than it seemed to have.
        assert all(PART_RANK[target] > PART_RANK[part] for target in nexts - {PartState.NOT_SENT}), part


def test_every_state_is_in_the_tables():
    assert set(MOVES) == set(RANK) == set(OrderState)
    assert set(PART_MOVES) == set(PART_RANK) == set(PartState)


def test_every_state_leads_to_an_end():
    for state in OrderState:
        reached, frontier = {state}, {state}
        while frontier:
            frontier = {t for s in frontier for t in MOVES[s]} - reached
            reached |= frontier
        assert any(not MOVES[s] for s in reached), state


@pytest.mark.parametrize(("state", "to"), list(itertools.product(OrderState, OrderState)))
def test_one_function_makes_a_move_or_refuses_it(state, to):
    it = order()
    it.state = state
    if to in MOVES[state]:
        event = move(it, to, 1234)
        assert (event.state, event.ts, it.state, it.state_at) == (to, 1234, to, 1234)
    else:
        with pytest.raises(MoveError):
            move(it, to, 1234)
        assert it.state is state


@given(st.integers(0, 2**48 - 1), st.integers(0, 2**48 - 1))
def test_ulids_sort_by_time_and_are_distinct(a, b):
    one, two = ulid.new(a), ulid.new(b)
    assert len(one) == 26
    assert one != two
    if a != b:
        assert (one < two) == (a < b)
