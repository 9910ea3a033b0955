"""REST over the real core: what is accepted, what is refused and how, who may do what, what is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from sms_bridge.core.errors import StoreError
from sms_bridge.core.states import OrderState
from sms_bridge.web import bodies
from sms_bridge.web.access import FAILURES, WINDOW, Gate, Scope, Token
from sms_bridge.web.openapi import text as openapi_text
from sms_bridge.web.problems import Problem
from tests.support.desk import ANNA, sent
from tests.support.web_rig import MAX_BODY, TOKENS, open_web

ROOT = Path(__file__).parents[2]
DOOR = {"id": "door-1", "to": ANNA, "text": "Front door open"}


@pytest.fixture
async def web(tmp_path):
    async with open_web(tmp_path, knows_modem=lambda name: name == "stick-1") as opened:
        yield opened


def problem(answer: httpx.Response, status: int, code: str) -> dict:
    """The problem document, which every failure is."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    found = answer.json()
    assert (found["status"], found["code"]) == (status, code)
    assert len(found["detail"]) > 10
    return found


async def test_an_order_is_accepted_after_its_commit(web):
    answer = await web.send(DOOR | {"transaction": 23})
    assert answer.status_code == 202
    assert answer.json() == {
        "id": "door-1", "orders": 1, "repeated": False, "state": "queued", "rejected": [], "transaction": 23,
    }  # fmt: skip
    assert answer.headers["location"] == "/api/v1/messages/door-1"
    assert [order.id for order in await web.desk.journal.read(lambda r: r.ready("", None, 9))] == ["door-1"]
    assert web.desk.states("door-1") == ["queued"]


async def test_the_same_order_again_is_repeated_and_another_one_with_its_id_a_conflict(web):
    await web.send(DOOR)
    again = (await web.send(DOOR)).json()
    assert (again["repeated"], again["orders"], again["state"]) == (True, 0, "queued")
    found = problem(await web.send(DOOR | {"text": "Back door open"}), 409, "conflict")
    assert found["id"] == "door-1"


async def test_the_idempotency_key_is_the_id_of_an_order_without_one(web):
    order = {"to": ANNA, "text": "x"}
    first = (await web.send(order, Idempotency_Key='"k-1"')).json()
    assert (first["id"], first["orders"]) == ("k-1", 1)
    assert (await web.send(order, Idempotency_Key="k-1")).json()["repeated"] is True
    assert (await web.send(DOOR, Idempotency_Key="k-2")).json()["id"] == "door-1"
    problem(await web.send(order, Idempotency_Key="x" * 129), 422, "invalid_id")


async def test_orders_that_come_together_share_commits(web):
    before = web.desk.journal.commits
    answers = await asyncio.gather(*(web.send(DOOR | {"id": f"o-{n}"}) for n in range(40)))
    assert [answer.json()["id"] for answer in answers] == [f"o-{n}" for n in range(40)]
    assert web.desk.journal.commits - before <= 4


async def test_the_same_new_order_from_many_clients_at_once_is_one(web):
    answers = [answer.json() for answer in await asyncio.gather(*(web.send(DOOR) for _ in range(10)))]
    assert sum(answer["orders"] for answer in answers) == 1
    assert sum(answer["repeated"] for answer in answers) == 9


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        (b'{"to": "+36301234567", "text": "x", "txt": 1}', 422, "unknown_field", "txt"),
        (b'{"to": 36301234567, "text": "x"}', 422, "invalid_field", "to"),
        (b'{"to": "+36301234567"}', 422, "no_text", "text"),
        (b'{"text": "x"}', 422, "no_recipient", "to"),
        (b'{"to": "12", "text": "x"}', 422, "invalid_number", "to"),
        (b'{"to": "@nobody", "text": "x"}', 422, "unknown_contact", "to"),
        (b'{"to": "+36301234567", "text": "x", "modem": "gone"}', 422, "unknown_modem", "modem"),
        (b'{"to": "+36301234567", "text": "x", "send_at": "tomorrow"}', 422, "invalid_field", "send_at"),
        (b'{"to": "+36301234567", "text": "\xff"}', 400, "invalid_json", None),
        (b'{"to": ', 400, "invalid_json", None),
        (b"[]", 400, "invalid_json", None),
        (b"", 400, "invalid_json", None),
    ],
)  # fmt: skip
async def test_what_is_wrong_with_an_order_is_named(web, body, status, code, field):
    answer = await web.call(
        "POST", "/api/v1/messages", content=body, headers={"Content-Type": "application/json; charset=utf-8"}
    )
    assert problem(answer, status, code).get("field") == field


async def test_of_several_recipients_those_that_are_none_are_named(web):
    answer = (await web.send({"to": [ANNA, "@nobody"], "text": "x"})).json()
    assert answer["orders"] == 1
    assert [(each["to"], each["code"], each["field"]) for each in answer["rejected"]] == [
        ("@nobody", "unknown_contact", "to")
    ]


async def test_an_order_that_the_journal_does_not_take_is_not_accepted(web, monkeypatch):
    async def full(batch):
        raise StoreError("the disk is full")

    monkeypatch.setattr(web.desk.service, "submit", full)
    answer = await web.send(DOOR)
    problem(answer, 503, "not_stored")
    assert int(answer.headers["retry-after"]) > 0


async def test_a_mistake_of_ours_in_one_order_does_not_take_the_others_with_it(web, monkeypatch):
    submit = web.desk.service.submit

    async def stumbles(batch):
        if any(request.text == "bad" for request in batch):
            raise RuntimeError("a mistake")
        return await submit(batch)

    monkeypatch.setattr(web.desk.service, "submit", stumbles)
    bad, good = await asyncio.gather(web.send({"to": ANNA, "text": "bad"}), web.send(DOOR))
    problem(bad, 500, "internal")
    assert good.status_code == 202


async def test_only_json_is_read(web):
    answer = await web.call("POST", "/api/v1/messages", content=b"to=1", headers={"Content-Type": "text/plain"})
    problem(answer, 415, "unsupported_media_type")


async def test_a_large_body_is_refused_before_it_is_read(web, monkeypatch):
    monkeypatch.setattr(bodies, "LINGER_BYTES", 1024)

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(1000):
            pulled.append(1)
            yield b" " * 1024

    pulled: list[int] = []
    json_type = {"Content-Type": "application/json"}
    answer = await web.call("POST", "/api/v1/messages", content=endless(), headers=json_type)
    problem(answer, 413, "payload_too_large")
    assert len(pulled) <= MAX_BODY // 1024 + 3
    pulled.clear()
    told = json_type | {"Content-Length": "10000000"}
    problem(await web.call("POST", "/api/v1/messages", content=endless(), headers=told), 413, "payload_too_large")
    assert len(pulled) <= 2


async def test_a_slow_body_is_given_up(web, monkeypatch):
    async def slow() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(5)

    monkeypatch.setattr(bodies.read_body, "__defaults__", (0.05,))
    monkeypatch.setattr(bodies.read_json_body, "__defaults__", (0.05,))
    answer = await web.call("POST", "/api/v1/messages", content=slow(), headers={"Content-Type": "application/json"})
    problem(answer, 408, "too_slow")


async def test_a_message_is_looked_up_cancelled_and_not_found(web):
    await web.send(DOOR | {"id": "a/b ű"})
    path = "/api/v1/messages/a%2Fb%20%C5%B1"
    found = (await web.call("GET", path)).json()
    assert [(order["to"], order["state"], order["attempts"]) for order in found["orders"]] == [(ANNA, "queued", [])]
    assert (await web.call("DELETE", path)).json()["cancelled"] == 1
    problem(await web.call("DELETE", path), 409, "refused")
    problem(await web.call("GET", "/api/v1/messages/nobody"), 404, "not_found")
    problem(await web.call("DELETE", "/api/v1/messages/nobody"), 404, "not_found")
    problem(await web.call("POST", f"{path}/resend"), 409, "refused")


async def test_messages_are_listed_newest_first_by_state(web):
    for n in range(5):
        await web.send(DOOR | {"id": f"o-{n}"})
    await web.call("DELETE", "/api/v1/messages/o-1")
    await web.desk.send(sent(1))
    page = (await web.call("GET", "/api/v1/messages?limit=3")).json()
    assert [each["id"] for each in page["messages"]] == ["o-4", "o-3", "o-2"]
    rest = (await web.call("GET", f"/api/v1/messages?before={page['next']}")).json()
    assert ([each["id"] for each in rest["messages"]], rest["next"]) == (["o-1", "o-0"], None)
    gone = (await web.call("GET", "/api/v1/messages?state=cancelled")).json()["messages"]
    assert [each["id"] for each in gone] == ["o-1"]
    assert [each["id"] for each in (await web.call("GET", "/api/v1/messages?state=sent")).json()["messages"]] == ["o-0"]


async def test_a_rare_state_is_looked_for_page_by_page(web, monkeypatch):
    monkeypatch.setattr("sms_bridge.store.messages.SPAN", 3)
    for n in range(8):
        await web.send(DOOR | {"id": f"o-{n}"})
    await web.call("DELETE", "/api/v1/messages/o-0")
    found, pages, before = [], 0, ""
    while before is not None:
        page = (await web.call("GET", f"/api/v1/messages?state=cancelled{before}")).json()
        found += [each["id"] for each in page["messages"]]
        before = None if page["next"] is None else f"&before={page['next']}"
        pages += 1
    assert (found, pages) == (["o-0"], 3)


@pytest.mark.parametrize(
    ("query", "code", "field"),
    [("state=lost", "invalid_field", "state"), ("limit=0", "invalid_field", "limit"),
     ("before=-1", "invalid_field", "before"), ("limit=9999999999999999999999", "invalid_field", "limit"),
     ("page=2", "unknown_field", "page")],
)  # fmt: skip
async def test_what_is_wrong_with_a_query_is_named(web, query, code, field):
    assert problem(await web.call("GET", f"/api/v1/messages?{query}"), 422, code)["field"] == field


async def test_received_messages_are_listed(web):
    await web.desk.receive("07916303000000F0040B916303214365F70000621122900000400261F1")
    page = (await web.call("GET", "/api/v1/inbox?limit=10")).json()
    assert len(page["messages"]) == 1
    assert page["messages"][0]["event_type"] == "received"


async def test_a_text_is_estimated(web):
    found = (await web.call("POST", "/api/v1/estimate", json={"text": "ő" * 71})).json()
    assert (found["encoding"], found["parts"], found["ucs2_characters"]) == ("ucs2", 2, ["ő"])
    problem(await web.call("POST", "/api/v1/estimate", json={"text": 5}), 422, "invalid_field")


async def test_modems_are_shown_and_asked(web):
    (modem,) = (await web.call("GET", "/api/v1/modems")).json()["modems"]
    assert modem["name"] == "stick-1"
    assert (await web.call("GET", "/api/v1/modems/stick-1")).json() == modem
    problem(await web.call("GET", "/api/v1/modems/gone"), 404, "not_found")
    asked = await web.call("POST", "/api/v1/modems/stick-1/interview")
    assert asked.json() == {"asked": ["stick-1"]}
    problem(await web.call("POST", "/api/v1/modems/stick-1/explode"), 404, "not_found")
    assert (await web.call("POST", "/api/v1/requests/inbox/list", json={"limit": 5})).json()["messages"] == []
    problem(await web.call("POST", "/api/v1/requests/format_disk"), 404, "not_found")


async def test_paths_and_methods_that_are_not_there(web):
    problem(await web.call("GET", "/"), 404, "not_found")
    answer = await web.call("PUT", "/api/v1/messages", json={})
    problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "GET, HEAD, POST"


@pytest.mark.parametrize(
    ("method", "path", "scopes"),
    [
        ("POST", "/api/v1/messages", {Scope.SEND}), ("GET", "/api/v1/messages", {Scope.READ}),
        ("GET", "/api/v1/messages/x", {Scope.READ, Scope.SEND}), ("DELETE", "/api/v1/messages/x", {Scope.SEND}),
        ("POST", "/api/v1/messages/x/resend", {Scope.SEND}), ("GET", "/api/v1/inbox", {Scope.READ}),
        ("POST", "/api/v1/estimate", {Scope.READ, Scope.SEND}), ("GET", "/api/v1/modems", {Scope.READ}),
        ("GET", "/api/v1/modems/x", {Scope.READ}), ("POST", "/api/v1/modems/x/reset", {Scope.ADMIN}),
        ("POST", "/api/v1/requests/restart", {Scope.ADMIN}), ("GET", "/metrics", {Scope.METRICS}),
        ("GET", "/events?kinds=x", {Scope.READ}),
    ],
)  # fmt: skip
async def test_each_path_needs_its_scope(web, method, path, scopes):
    for scope in Scope:
        answer = await web.call(method, path, scope)
        if scope in scopes:
            assert answer.status_code not in (401, 403)
        else:
            assert problem(answer, 403, "missing_scope")["scope"] in scopes
            assert "web.tokens" in answer.json()["detail"]
    answer = await web.client.request(method, path)
    problem(answer, 401, "unauthorized")
    assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_a_wrong_token_gets_nothing_and_is_not_shown_again(web):
    for header in ("Bearer wrong-token-0123456789", "Basic YTpi", "Bearer", "", f"Bearer {TOKENS['all']}x", "Bearer ű"):
        answer = await web.client.get("/api/v1/modems", headers={"Authorization": header.encode()})
        assert "wrong-token" not in answer.text
        problem(answer, 401, "unauthorized")


def test_many_wrong_tokens_are_slowed_down_and_right_ones_are_not():
    now = [0.0]
    gate = Gate([Token("a", "right-token-0123456789", frozenset({Scope.SEND}))], lambda: now[0])

    def attempt(client: str) -> tuple[int, dict[str, str]]:
        with pytest.raises(Problem) as caught:
            gate.admit("Bearer wrong", client, Scope.SEND)
        return caught.value.status, caught.value.headers

    assert [attempt("10.0.0.1")[0] for _ in range(FAILURES + 1)] == [401] * FAILURES + [429]
    assert attempt("10.0.0.1")[1] == {"Retry-After": str(int(WINDOW))}
    assert attempt("10.0.0.2")[0] == 401
    assert gate.admit("bearer right-token-0123456789", "10.0.0.1", Scope.SEND).name == "a"
    now[0] = WINDOW
    assert attempt("10.0.0.1")[0] == 401


async def test_health_needs_no_token_and_says_why_not(web):
    assert (await web.client.get("/health/live")).status_code == 200
    assert (await web.client.get("/health")).json() == {"status": "pass"}
    assert (await web.client.get("/health/ready")).status_code == 200
    web.reasons.append("no modem is in service")
    answer = await web.client.get("/health/ready")
    assert (answer.status_code, answer.json()["reasons"]) == (503, ["no modem is in service"])


async def test_metrics_count_and_name_nobody(web):
    await web.send(DOOR | {"text": "secret words"})
    await web.send({"to": "+36209876543", "text": "x", "txt": 1})
    await web.desk.send(sent(1))
    await web.desk.receive("07916303000000F0040B916303214365F70000621122900000400261F1")
    page = (await web.call("GET", "/metrics")).text
    lines = page.splitlines()
    assert 'sms_bridge_statuses_total{state="queued"} 1.0' in lines
    assert 'sms_bridge_statuses_total{state="sent"} 1.0' in lines
    assert "sms_bridge_received_total 1.0" in lines
    assert "sms_bridge_http_orders_total 1.0" in lines
    assert 'sms_bridge_http_problems_total{code="unknown_field"} 1.0' in lines
    assert 'sms_bridge_modem_state{modem="stick-1",state="offline"} 1.0' in lines
    assert any(line.startswith("sms_bridge_journal_commit_seconds_bucket") for line in lines)
    assert any(line.startswith("sms_bridge_process_resident_memory_bytes") for line in lines)
    for secret in ("301234567", "209876543", "860461024123456", "893630444", "secret", "words", "door-1"):
        assert secret not in page


async def test_commit_latency_counts_every_commit_once(web):
    await web.send(DOOR)
    journal = web.desk.journal
    assert journal.latency.buckets()[-1][1] == journal.commits
    assert 0 < journal.latency.total < 5


def test_the_published_description_is_the_one_that_is_served():
    assert (ROOT / "docs" / "openapi.json").read_text(encoding="utf-8") == openapi_text(), (
        "run: python -m sms_bridge.web.openapi docs/openapi.json"
    )


async def test_the_description_names_every_path(web):
    document = (await web.client.get("/api/v1/openapi.json")).json()
    assert document["openapi"] == "3.1.0"
    described = {(method.upper(), path) for path, each in document["paths"].items() for method in each}
    served = {
        (method, route.path.replace(":path}", "}"))
        for route in web.api._routes
        for method in route.methods - {"HEAD"}
        if "openapi" not in route.path
    }
    assert described == served
    names = set(document["components"]["schemas"])
    assert {ref.rsplit("/", 1)[1] for ref in _refs(document)} <= names
    assert [state.value for state in OrderState] == document["components"]["schemas"]["OrderState"]["enum"]


def _refs(value: object) -> list[str]:
    return [part.split('"')[1] for part in json.dumps(value).split('"$ref": ')[1:]]
