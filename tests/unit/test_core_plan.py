"""Which routes a message takes, and why."""

from __future__ import annotations

import pytest

from sms_bridge.core.guards import country_of
from sms_bridge.core.plan import Facts, Plan, RouteFacts, make
from sms_bridge.core.routing import Capabilities, RouteHealth, RoutingSettings, Rule, Strategy

MODEMS, MAIN, BACKUP = "modems", "smpp:main", "smpp:backup"
ROUTES = [RouteFacts(MODEMS), RouteFacts(MAIN), RouteFacts(BACKUP)]
HU, DE = "+36301234567", "+4915112345678"


def plan(facts: Facts | str = HU, *rules: Rule, routes=ROUTES, turn: int = 0, costs=None) -> Plan:
    facts = Facts(facts) if isinstance(facts, str) else facts
    return make(facts, routes, RoutingSettings(rules, costs or {}), country_of, turn)


def test_without_rules_the_modems_are_first_and_the_others_follow_as_they_stand():
    assert plan().routes == (MODEMS, MAIN, BACKUP)


def test_the_first_rule_that_fits_decides():
    rules = Rule((BACKUP,), prefixes=("+3630",)), Rule((MAIN,), prefixes=("+36",)), Rule((MODEMS, MAIN))
    assert plan(HU, *rules).routes == (BACKUP,)
    assert plan("+36201234567", *rules).routes == (MAIN,)
    assert plan(DE, *rules).routes == (MODEMS, MAIN)
    assert plan(HU, *reversed(rules)).routes == (MODEMS, MAIN)


@pytest.mark.parametrize(
    ("rule", "facts", "fits"),
    [
        (Rule((MAIN,), countries=("HU",)), Facts(HU), True),
        (Rule((MAIN,), countries=("HU", "AT")), Facts(DE), False),
        (Rule((MAIN,), countries=("HU",)), Facts("1755"), False),
        (Rule((MAIN,), priority=5), Facts(HU, priority=5), True),
        (Rule((MAIN,), priority=5), Facts(HU, priority=4), False),
        (Rule((MAIN,), classes=("flash",)), Facts(HU, kind="flash"), True),
        (Rule((MAIN,), classes=("flash",)), Facts(HU), False),
        (Rule((MAIN,), prefixes=("+49", "+36")), Facts(HU), True),
        (Rule((MAIN,), prefixes=("+36",), priority=1), Facts(HU), False),
    ],
)
def test_what_a_rule_looks_at(rule, facts, fits):
    assert (plan(facts, rule).routes == (MAIN,)) is fits


def test_the_cheapest_for_this_number_goes_first_and_an_unknown_price_last():
    rule = Rule((MODEMS, MAIN, BACKUP), Strategy.LEAST_COST)
    costs = {MAIN: {"+": 0.08, "+36": 0.02}, BACKUP: {"+36": 0.05, "+49": 0.01}}
    assert plan(HU, rule, costs=costs).routes == (MAIN, BACKUP, MODEMS)
    assert plan(DE, rule, costs=costs).routes == (BACKUP, MAIN, MODEMS)
    assert "0.02 a part" in plan(HU, rule, costs=costs).steps[0].reason


def test_each_is_the_first_in_its_turn():
    rule = Rule((MODEMS, MAIN, BACKUP), Strategy.ROUND_ROBIN)
    firsts = [plan(HU, rule, turn=turn).routes for turn in range(4)]
    assert firsts == [(MODEMS, MAIN, BACKUP), (MAIN, BACKUP, MODEMS), (BACKUP, MODEMS, MAIN), (MODEMS, MAIN, BACKUP)]


def test_each_is_the_first_as_often_as_its_weight_says():
    rule = Rule((MODEMS, MAIN), Strategy.WEIGHTED, weights={MAIN: 3})
    firsts = [plan(HU, rule, turn=turn).routes[0] for turn in range(8)]
    assert (firsts.count(MAIN), firsts.count(MODEMS)) == (6, 2)
    assert all(set(plan(HU, rule, turn=turn).routes) == {MAIN, MODEMS} for turn in range(8))


def test_an_order_that_names_a_route_has_no_other():
    found = plan(Facts(HU, route=BACKUP), Rule((MODEMS,)))
    assert found.routes == (BACKUP,)
    assert {step.route for step in found.left_out} == {MODEMS, MAIN}
    assert plan(Facts(HU, route="modem")).routes == plan(Facts(HU, route="modems")).routes == (MODEMS,)


def test_an_unknown_route_is_answered_with_those_that_exist():
    found = plan(Facts(HU, route="smpp:nobody"))
    assert (found.routes, found.unknown) == ((), True)
    assert found.problem == "there is no route 'smpp:nobody'; there are: modems, smpp:main, smpp:backup"


def test_an_order_for_a_modem_stays_with_the_modems():
    assert plan(Facts(HU, modem="stick-1"), Rule((BACKUP,))).routes == (MODEMS,)


def test_what_cannot_take_it_is_left_out_with_the_reason():
    routes = [
        RouteFacts(MODEMS, barred="the day's budget is spent"),
        RouteFacts(MAIN, Capabilities(max_parts=1)),
        RouteFacts(BACKUP, Capabilities(binary=False, flash=False)),
    ]
    found = plan(Facts(HU, parts=3), routes=routes)
    assert found.routes == (BACKUP,)
    assert {step.route: step.reason for step in found.left_out} == {
        MODEMS: "the day's budget is spent",
        MAIN: "3 parts are more than the 1 it takes",
    }
    nobody = plan(Facts(HU, parts=3, kind="data"), routes=routes)
    assert nobody.routes == ()
    assert "smpp:backup: it takes text only" in (nobody.problem or "")


def test_a_route_that_a_rule_names_and_that_is_gone_is_left_out():
    found = plan(HU, Rule(("smpp:old", MODEMS)))
    assert found.routes == (MODEMS,)
    assert any((step.route, step.reason) == ("smpp:old", "there is no such route") for step in found.left_out)


def test_one_that_is_down_stays_in_the_plan_and_that_is_said():
    routes = [RouteFacts(MODEMS, health=RouteHealth(False, "no modem is in service")), RouteFacts(MAIN)]
    found = plan(routes=routes)
    assert found.routes == (MODEMS, MAIN)
    assert found.steps[0].reason.endswith("(down now: no modem is in service)")


def test_an_answer_goes_out_where_the_question_came_in():
    assert plan(Facts(HU, known=BACKUP)).routes == (BACKUP, MODEMS, MAIN)
    assert plan(Facts(HU, known=BACKUP), Rule((MODEMS, MAIN))).routes == (MODEMS, MAIN)
