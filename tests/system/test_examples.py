"""The examples of `docs/examples`: they parse, and name topics, fields and metrics that there are."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from ruamel.yaml.constructor import SafeConstructor

from hardware.types import ModemStatus, StorageStatus
from sms_bridge.core.events import received_json
from sms_bridge.core.model import OutboxKind, OutboxRow
from sms_bridge.payloads.asyncapi import TOPICS, model_of
from sms_bridge.payloads.orders import ALIASES, SendOrder
from sms_bridge.payloads.schemas import Received, Status
from sms_bridge.web.metrics import Metrics
from sms_bridge.web.ports import Figures

EXAMPLES = Path(__file__).resolve().parents[2] / "docs/examples"
BLUEPRINTS = sorted((EXAMPLES / "home-assistant").glob("*.yaml"))
FLOWS = sorted((EXAMPLES / "node-red").glob("*.json"))
ORDER_FIELDS = SendOrder.model_fields.keys() | ALIASES.keys()
RECEIVED_FIELDS = {field.alias or name for name, field in Received.model_fields.items()}


class Input(str):
    """`!input name`."""


class _Constructor(SafeConstructor):
    pass


_Constructor.add_constructor("!input", lambda loader, node: Input(loader.construct_scalar(node)))


def blueprint(file: Path) -> dict[str, Any]:
    yaml = YAML(typ="safe", pure=True)
    yaml.Constructor = _Constructor
    found: dict[str, Any] = yaml.load(file.read_text(encoding="utf-8"))
    return found


def walk(value: Any) -> Iterator[Any]:
    yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from walk(inner)


@pytest.mark.parametrize("file", BLUEPRINTS, ids=lambda file: file.stem)
def test_a_blueprint_is_one_and_names_what_there_is(file: Path) -> None:
    found = blueprint(file)
    head = found["blueprint"]
    assert head["domain"] == file.stem.split("_")[0]
    assert {"name", "description", "input", "homeassistant"} <= head.keys()
    assert head["homeassistant"]["min_version"] == "2024.11.0"
    body = {key: value for key, value in found.items() if key != "blueprint"}
    used = {str(item) for item in walk(body) if isinstance(item, Input)}
    assert used == head["input"].keys(), "each input is used, and each that is used is declared"
    assert "sequence" in found if head["domain"] == "script" else {"triggers", "actions"} <= found.keys()
    texts = [item for item in walk(body) if isinstance(item, str) and not isinstance(item, Input)]
    for text in texts:
        assert text.count("{{") == text.count("}}"), text
        assert set(re.findall(r"payload_json\.([a-z_]+)", text)) <= RECEIVED_FIELDS, text
    published = [item["data"] for item in walk(body) if isinstance(item, dict) and item.get("action") == "mqtt.publish"]
    for data in published:
        assert data["topic"] == "{{ base }}/out"
        assert data["qos"] == 1
        assert "retain" not in data
        fields = set(re.findall(r"'([a-z_]+)':", data["payload"]))
        assert {"to", "text"} <= fields <= ORDER_FIELDS
        assert data["payload"].strip().endswith("| to_json }}")


def test_the_blueprints_that_were_promised() -> None:
    assert {file.stem for file in BLUEPRINTS} >= {
        "script_sms_send", "automation_incoming_sms", "automation_alarmo", "automation_alertmanager"
    }  # fmt: skip
    fired = next(
        item
        for item in walk(blueprint(EXAMPLES / "home-assistant/automation_incoming_sms.yaml"))
        if isinstance(item, dict) and "event_data" in item
    )
    assert fired["event"] == "sms.incoming_sms"
    assert fired["event_data"].keys() == {"phone", "date", "text"}


@pytest.mark.parametrize("file", FLOWS, ids=lambda file: file.stem)
def test_a_flow_is_wired_and_its_topics_exist(file: Path) -> None:
    nodes = json.loads(file.read_text(encoding="utf-8"))
    by_id = {node["id"]: node for node in nodes}
    assert len(by_id) == len(nodes)
    tabs = {node["id"] for node in nodes if node["type"] == "tab"}
    for node in nodes:
        for wire in (target for wires in node.get("wires", []) for target in wires):
            assert by_id[wire]["z"] == node["z"]
        if node["type"] in ("mqtt in", "mqtt out"):
            assert by_id[node["broker"]]["type"] == "mqtt-broker"
            assert node["z"] in tabs
            assert model_of(node["topic"]) is not None or node["topic"].startswith("sms2mqtt/"), node["topic"]
            if node["topic"].startswith("sms/"):
                action = next(one.action for one in TOPICS.values() if one.address == node["topic"])
                assert action == ("send" if node["type"] == "mqtt in" else "receive"), "the right way round"
            assert node.get("retain", "false") == "false"


RECEIVED = json.loads(
    received_json(
        id="01JD", sender="+36301234567", contact="anna", to=None, text=" status ", modem="stick-1", sent_at=None,
        received_at=1, parts=1, missing=[], encoding="gsm7", message_class=None, kind="text", port=None, data=None,
    )
)  # fmt: skip
FAILED = {
    "event_type": "failed", "id": "alarm-1", "to": "+36301234567", "state": "failed", "route": "modem", "modem": "x",
    "sim": None, "parts": 1, "parts_sent": 0, "encoding": "gsm7", "attempt": 5, "ts": "2026-11-22T18:00:04+00:00",
    "error": {"code": "cms_38", "text": "no", "retryable": True}, "transaction": None,
}  # fmt: skip


@pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not here")
@pytest.mark.parametrize("file", FLOWS, ids=lambda file: file.stem)
def test_the_functions_of_a_flow_make_orders_that_are_taken(file: Path) -> None:
    assert Received.model_validate(RECEIVED)
    assert Status.model_validate(FAILED)
    nodes = {node["id"]: node for node in json.loads(file.read_text(encoding="utf-8"))}
    given = {"sms/in": RECEIVED, "sms/status": FAILED, "sms2mqtt/send": {"number": "+36301;+36302", "text": "x"}}
    for node in nodes.values():
        if node["type"] != "mqtt in":
            continue
        function = nodes[node["wires"][0][0]]
        target = nodes[function["wires"][0][0]]["topic"]
        script = f"const f = new Function('msg', {json.dumps(function['func'])});"
        script += f"console.log(JSON.stringify(f({{payload: {json.dumps(given[node['topic']])}}})));"
        done = subprocess.run(["node", "-e", script], capture_output=True, text=True, check=True, timeout=20)
        made = json.loads(done.stdout)["payload"]
        if target == "sms/out":
            order = SendOrder.model_validate(made)
            assert order.text
            assert order.to
        else:
            assert all(made.values()), made


def families() -> set[str]:
    """All that `/metrics` can show, with the labels that a rule may name: `name{label`."""
    metrics = Metrics(lambda: {"hook": {}})
    metrics.added([OutboxRow(1, OutboxKind.STATUS, '{"event_type":"sent"}')])
    metrics.refused("unknown_field")
    modem = ModemStatus("stick-1", signal_dbm=-70, storage=StorageStatus(used=1, total=10))
    figures = Figures("1", {"ready": 1}, {"": 1}, [modem], 1, [(0.01, 1)], 0.01, True, 1)
    found: set[str] = set()
    for family in metrics._families(figures):
        for sample in family.samples:
            found.add(sample.name)
            found |= {f"{sample.name}{{{label}" for label in sample.labels}
    return found


def test_dashboard_and_rules_name_metrics_that_there_are() -> None:
    known = families()
    dashboard = json.loads((EXAMPLES / "grafana/sms-bridge.json").read_text(encoding="utf-8"))
    rules = YAML(typ="safe").load((EXAMPLES / "prometheus/sms-bridge.rules.yaml").read_text(encoding="utf-8"))
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    expressions += [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    assert len(expressions) > 20
    for expression in expressions:
        assert expression.count("(") == expression.count(")"), expression
        for name, labels in re.findall(r"(sms_bridge_[a-z_]+)(\{[^}]*\})?", expression):
            assert name in known, f"{name} in {expression}"
            for label in re.findall(r"(\w+)(?:=|!=|=~|!~)", labels):
                assert label == "instance" or f"{name}{{{label}" in known, f"{label} in {expression}"
    for group in rules["groups"]:
        for rule in group["rules"]:
            assert {"alert", "expr", "labels", "annotations"} <= rule.keys()
            assert rule["annotations"]["summary"]
            assert "$labels.modem" not in rule["annotations"]["summary"] or "modem_" in rule["expr"]
    numbers = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(numbers)) == len(numbers)
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
