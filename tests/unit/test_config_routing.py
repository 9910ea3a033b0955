"""The section `routing:`: from YAML to rules, and what is wrong about it in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from sms_bridge.config import ConfigError, load
from sms_bridge.core.routing import RoutingSettings, Rule, Strategy

ACCOUNT = 'smpp:\n  backup: {host: smpp.example.com, system_id: "acme", password: "secret"}\n'


def settings(tmp_path: Path, text: str) -> RoutingSettings:
    file = tmp_path / "sms-bridge.yaml"
    file.write_text(text, encoding="utf-8")
    return load(file, environ={}).routing


def test_without_it_there_are_no_rules(tmp_path: Path) -> None:
    found = settings(tmp_path, "")
    assert (found.rules, found.settle, found.back_after) == ((), 20.0, 5.0)


def test_rules_and_costs_are_read(tmp_path: Path) -> None:
    text = f"""{ACCOUNT}
routing:
  settle: 1m
  rules:
    - prefix: "+36"
      priority: 5
      routes: [modems, "smpp:backup"]
    - country: [at, DE]
      class: flash
      routes: ["smpp:backup", modems]
      strategy: weighted
      weights: {{modems: 3}}
  costs:
    "smpp:backup": {{"+": 0.1, "+36": 0.02}}
"""
    found = settings(tmp_path, text)
    first, second = found.rules
    assert first == Rule(("modems", "smpp:backup"), prefixes=("+36",), priority=5)
    assert (second.countries, second.classes, second.strategy) == (("AT", "DE"), ("flash",), Strategy.WEIGHTED)
    assert dict(second.weights) == {"modems": 3}
    assert (found.settle, found.cost("smpp:backup", "+36301234567"), found.cost("smpp:backup", "+49")) == (
        60,
        0.02,
        0.1,
    )


@pytest.mark.parametrize(
    ("lines", "line", "says", "hint"),
    [
        ("    - routes: [modems, 'smpp:bakcup']", 5, "there is no route smpp:bakcup", "write smpp:backup"),
        ("    - routes: ['ucp:x']", 5, "there is no route ucp:x", "there are: modems, smpp:backup"),
        ("    - routes: [modem]", 5, "modems, or an account", "write modems"),
        ("    - prefix: '36'\n      routes: [modems]", 5, "how numbers begin", 'write "+36"'),
        ("    - prefix: '+36'", 5, "routes", ""),
        ("    - routes: [modems]\n      strategy: cheapest", 6, "strategy", "least_cost"),
    ],
)
def test_what_is_wrong_is_said_with_its_line_and_what_to_write(tmp_path, lines, line, says, hint) -> None:
    with pytest.raises(ConfigError) as caught:
        settings(tmp_path, f"{ACCOUNT}routing:\n  rules:\n{lines}\n")
    (problem,) = caught.value.problems
    assert problem.line == line
    assert says in f"{problem.path} {problem.message}"
    assert hint in f"{problem.hint} {problem.message}"
