"""What is published of the contract follows the code: schemas, the AsyncAPI document, the list of all keys."""

from __future__ import annotations

import json
import re
from pathlib import Path

from sms_bridge.config.reference import page
from sms_bridge.mqtt.requests import KNOWN
from sms_bridge.mqtt.topics import Kind, Topics
from sms_bridge.payloads.asyncapi import document, model_of
from sms_bridge.payloads.published import files
from sms_bridge.payloads.requests import REQUESTS, fields_of

DOCS = Path(__file__).resolve().parents[2] / "docs"
HOW = "the models have changed: run `make docs` (scripts/docs.sh)"


def test_the_published_files_are_those_of_the_models() -> None:
    wanted = files()
    there = {f"schemas/{file.name}" for file in (DOCS / "schemas").iterdir()} | {"asyncapi.yaml"}
    assert there == wanted.keys(), HOW
    for name, text in wanted.items():
        assert (DOCS / name).read_text(encoding="utf-8") == text, f"{name}: {HOW}"
    assert (DOCS / "reference.md").read_text(encoding="utf-8") == page(), f"reference.md: {HOW}"


def test_each_request_has_its_models() -> None:
    assert REQUESTS.keys() == KNOWN, "a request has its models in sms_bridge/payloads/requests.py"


def test_the_asyncapi_document_holds_together() -> None:
    found = document()
    assert found["asyncapi"] == "3.0.0"
    whole = json.dumps(found)
    for path in re.findall(r'"\$ref": "#/([^"]+)"', whole):
        place: object = found
        for step in path.split("/"):
            assert isinstance(place, dict)
            place = place[step]
    topics = Topics("sms")
    for name in (
        "sms/out",
        "sms/in",
        "sms/status",
        "sms/bridge/state",
        topics.modem("x"),
        topics.logging,
        topics.event,
    ):
        assert model_of(name) is not None
    addresses = [channel["address"] for channel in found["channels"].values()]
    assert len(set(addresses)) == len(addresses)
    for operation in found["operations"].values():
        assert operation["action"] in ("send", "receive")
    # What the bridge subscribes to is what it receives in the document.
    received = {
        found["channels"][o["channel"]["$ref"].split("/")[-1]]["address"]
        for o in found["operations"].values()
        if o["action"] == "receive"
    }
    for address in received:
        concrete = re.sub(r"\{[a-z]+\}", "36301234567", address)
        assert topics.parse(concrete).kind is not Kind.OTHER, address


def test_requests_are_read_under_all_their_names() -> None:
    assert fields_of(REQUESTS["modem/rename"].request) == {"from", "old", "modem", "to", "new", "name"}
    model = REQUESTS["modem/ussd"].request
    assert model.model_validate({"id": "stick-1", "code": "*100#"}).model_dump()["modem"] == "stick-1"
