"""The configuration of commands by SMS: what it becomes, and what is wrong with it, with its line."""

from __future__ import annotations

import base64
import json

import pytest

from sms_bridge.cli.bundle import _configuration
from sms_bridge.config import load
from sms_bridge.config.errors import ConfigError
from sms_bridge.config.schema import ROOT
from sms_bridge.core.commandplan import Argument, CommandPlan

SECRET = base64.b32encode(b"12345678901234567890").decode()
WHOLE = f"""\
contacts: {{anna: "+36301234567"}}
groups: {{family: [anna]}}
commands:
  gate:
    from: [anna, "#family", "+36 20 999-9999"]
    text: gate {{action}} {{minutes}} {{who}}
    arguments:
      action: [open, close]
      minutes: 1-60
      who: word
    topic: home/gate/set
    payload: '{{"state": "{{action}}", "by": "{{contact}}"}}'
    totp: {SECRET.lower()}
    confirm: 2m
    limit: 3/day
"""


def write(tmp_path, text):
    file = tmp_path / "sms-bridge.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def test_a_command_with_all_there_is(tmp_path):
    (plan,) = load(write(tmp_path, WHOLE), environ={}).commands
    assert plan == CommandPlan(
        name="gate",
        text="gate {action} {minutes} {who}",
        senders=("@anna", "#family", "+36209999999"),
        topic="home/gate/set",
        arguments=(Argument("action", ("open", "close")), Argument("minutes", low=1, high=60), Argument("who")),
        payload='{"state": "{action}", "by": "{contact}"}',
        totp=b"12345678901234567890",
        confirm=120.0,
        limit=(3, 86_400.0),
    )
    assert "12345" not in repr(plan)


def test_a_bundle_has_none_of_its_secrets(tmp_path):
    settings = load(write(tmp_path, WHOLE.replace("confirm: 2m", "max_age: 2m")), environ={})
    shown = json.dumps(_configuration(settings, None))
    assert "max_age" in shown
    assert not any(secret in shown for secret in ("12345", SECRET, "+3620"))


def test_the_secret_from_a_file_or_the_environment(tmp_path):
    (tmp_path / "gate.totp").write_text(SECRET + "\n")
    for line, environ in (("totp_file: gate.totp", {}), ("totp_env: GATE", {"GATE": SECRET})):
        text = WHOLE.replace(f"totp: {SECRET.lower()}", line)
        assert load(write(tmp_path, text), environ=environ).commands[0].totp == b"12345678901234567890"


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("[anna, ", "[ana, ", 5, "did you mean anna"),
        ("    topic: home/gate/set\n", "", 4, "topic"),
        ("home/gate/set", "home/#", 11, "topic"),
        ("home/gate/set", "sms/out", 11, "a topic of the bridge itself"),
        ("{minutes} {who}", "{minutes}{who}", 6, "a word of its own"),
        ("{minutes} {who}", "{minutes} {whom}", 6, "nothing says what {whom} may be"),
        ("{minutes} {who}", "{minutes}", 10, "does not stand in the text"),
        ("gate {action} {minutes} {who}", '"{action} {minutes} {who}"', 6, "the first a word"),
        ("1-60", "60-1", 9, "a range"),
        ("[open, close]", "[]", 8, "a list of words"),
        ("{contact}", "{contct}", 12, "there is no argument contct"),
        ("    confirm: 2m\n", "    pin: 0000\n", 14, "quotes"),
        ("    confirm: 2m\n", '    pin: "1234"\n', 13, "stands beside"),
        (f"totp: {SECRET.lower()}", "totp: abc", 13, "base32"),
        (f"totp: {SECRET.lower()}", "totp_env: GATE", 13, "base32"),
        (f"totp: {SECRET.lower()}", "totp_file: none", 13, "cannot read"),
        ("limit: 3/day", "limit: often", 15, "in a time"),
        ("  gate:\n", "  Gate 1:\n", 4, "a name of a-z"),
        ("confirm: 2m", "confrim: 2m", 14, "did you mean confirm"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path, old, new, line, says):
    assert old in WHOLE
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path, WHOLE.replace(old, new)), environ={})
    found = [(problem.line, f"{problem.message} {problem.hint}") for problem in caught.value.problems]
    assert any(line == at and says in text for at, text in found), found


def test_no_secret_stands_in_an_error(tmp_path):
    for line in ("totp: 1SECRETSECRET1", 'pin: "SECRET"'):
        with pytest.raises(ConfigError) as caught:
            load(write(tmp_path, WHOLE.replace(f"totp: {SECRET.lower()}", line)), environ={})
        assert "SECRET" not in str(caught.value)


def test_the_json_schema_knows_commands():
    entry = ROOT.json["properties"]["commands"]["additionalProperties"]
    assert set(entry["required"]) == {"from", "text", "topic"}
    assert all(rule["description"] for rule in entry["properties"].values())
