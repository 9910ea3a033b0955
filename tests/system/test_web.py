"""The whole bridge over HTTP: orders leave, nothing is lost or doubled by a kill, nothing says whose number it is."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

from tests.support.stack import free_port, running, wait_until

TOKEN = "system-test-token-0123"
AUTH = {"Authorization": f"Bearer {TOKEN}"}


def web_config(port: int, more: str = "") -> str:
    tokens = [
        f"    - {{name: all, token: {TOKEN}, scopes: [send, read, admin, metrics]}}",
        "    - {name: panel, token: panel-test-token-0123, scopes: [read]}",
    ]
    return f"web:\n  port: {port}\n  tokens:\n" + "\n".join(tokens) + "\n" + more


def order(id: str, text: str = "Front door open") -> dict[str, str]:
    return {"id": id, "to": "+36301234567", "text": text}


def test_an_order_goes_all_the_way_and_what_comes_in_is_told(tmp_path):
    port = free_port()
    with running(tmp_path, extra=web_config(port)) as stack, httpx.Client(base_url=f"http://127.0.0.1:{port}") as http:
        assert wait_until(lambda: http.get("/health/ready").status_code == 200, 10, "ready")
        with http.stream("GET", "/events?kinds=received", headers=AUTH) as events:
            assert http.post("/api/v1/messages", json=order("door-1"), headers=AUTH).status_code == 202
            stack.observer.wait_state("door-1", "sent", "delivered")
            stack.emulation.do("deliver", modem=0, **{"from": "+36209876543", "text": "on my way"})
            lines = events.iter_lines()
            data = next(line for line in lines if line.startswith("data: "))
        assert json.loads(data[6:])["text"] == "on my way"
        (found,) = http.get("/api/v1/messages/door-1", headers=AUTH).json()["orders"]
        assert found["state"] in ("sent", "delivered")
        assert http.get("/api/v1/inbox", headers=AUTH).json()["messages"][0]["text"] == "on my way"
        assert [row["text"] for row in stack.emulation.ledger("submit")] == ["Front door open"]

        assert http.get("/api/v1/inbox", headers={"Authorization": "Bearer wrong"}).status_code == 401
        panel = {"Authorization": "Bearer panel-test-token-0123"}
        refused = http.post("/api/v1/messages", json=order("door-2"), headers=panel)
        assert (refused.status_code, refused.json()["scope"]) == (403, "send")
        unknown = http.post("/api/v1/messages", json=order("door-3") | {"txt": "x"}, headers=AUTH)
        assert (unknown.status_code, unknown.json()["field"]) == (422, "txt")
        modem = http.get("/api/v1/modems/modem0", headers=AUTH).json()
        assert modem["state"] == "ready"

        page = http.get("/metrics", headers=AUTH).text
        assert 'sms_bridge_modem_state{modem="modem0",state="ready"} 1.0' in page
        log = stack.bridge.log.read_text()
        for secret in ("36301234567", "36209876543", modem["iccid"], modem["imei"], "on my way", "door open"):
            assert secret not in page
            assert secret not in log
        assert TOKEN not in log
        stack.bridge.stop()
        assert "Traceback" not in stack.bridge.log.read_text()


def test_a_kill_between_the_commit_and_the_answer_loses_nothing_and_a_retry_doubles_nothing(tmp_path):
    port, total, seed = free_port(), 60, random.Random(5)
    with running(tmp_path, extra=web_config(port)) as stack:
        wait_until(lambda: answers(port), 10, "the HTTP interface")
        accepted: set[str] = set()

        async def send_all() -> None:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=5) as http:
                await asyncio.gather(*(send(http, n) for n in range(total) if f"k-{n}" not in accepted))

        async def send(http: httpx.AsyncClient, n: int) -> None:
            body = {"to": "+36301234567", "text": f"message {n}"}
            try:
                answer = await http.post("/api/v1/messages", json=body, headers=AUTH | {"Idempotency-Key": f"k-{n}"})
            except httpx.HTTPError:
                return  # the bridge was killed: asked again, with the same key
            assert (answer.status_code, answer.json()["id"]) == (202, f"k-{n}")
            accepted.add(answer.json()["id"])

        async def killed(after: float) -> None:
            task = asyncio.create_task(send_all())
            await asyncio.sleep(after)
            stack.bridge.stop(9)
            await task

        for _ in range(3):
            asyncio.run(killed(seed.uniform(0.005, 0.06)))
            stack.bridge.start()
            wait_until(lambda: answers(port), 15, "the HTTP interface")
        asyncio.run(send_all())
        assert len(accepted) == total

        def over() -> bool:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=AUTH) as http:
                page = http.get("/api/v1/messages?limit=500").json()["messages"]
            return len(page) == total and all(m["state"] in ("sent", "delivered", "unknown") for m in page)

        wait_until(over, 30, "every order is over", 0.2)
        texts = [row["text"] for row in stack.emulation.ledger("submit") if row["accepted"]]
        assert len(texts) == len(set(texts)), "one was sent twice"
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=AUTH) as http:
            unknown = http.get("/api/v1/messages?state=unknown&limit=500").json()["messages"]
        assert len(texts) + len(unknown) >= total  # what was on the air when it was killed may have left or not
        assert {f"message {n}" for n in range(total)} - set(texts) <= {
            f"message {m['id'].removeprefix('k-')}" for m in unknown
        }


def test_a_port_that_is_taken_stops_nothing_but_the_interface(tmp_path):
    with httpx.Client() as _, running(tmp_path, extra=web_config(free_port())) as first:
        port = int(first.bridge.config.read_text().split("web:\n  port: ")[1].split()[0])
        wait_until(lambda: answers(port), 10, "the HTTP interface")
        with running(tmp_path / "second", extra=web_config(port)) as second:
            second.observer.publish("out", order("o-1"))
            second.observer.wait_state("o-1", "sent", "delivered")
            assert f"another program listens on 127.0.0.1:{port} already" in second.bridge.log.read_text()
            second.observer.wait_for("bridge/health", lambda p: "HTTP interface is off" in str(p["warnings"]))


def test_a_webhook_answers_an_sms_while_another_never_does(tmp_path):
    with receiver_in_a_thread() as (url, posts), socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(1)  # takes connections, and says nothing
        hooks = f"webhooks:\n  - {{name: silent, url: 'http://127.0.0.1:{silent.getsockname()[1]}/x', timeout: 1}}\n"
        hooks += f"  - {{name: house, url: '{url}', secret: a-secret-of-the-house}}\n"
        with running(tmp_path, extra=hooks) as stack:
            wait_until(lambda: "webhooks: silent, house" in stack.bridge.log.read_text(), 15, "they are known")
            stack.emulation.do("deliver", modem=0, **{"from": "+36209876543", "text": "gate?"})
            sent = wait_until(lambda: stack.emulation.ledger("submit"), 15, "the reply leaves")
            assert [(row["to"], row["text"]) for row in sent] == [("+36209876543", "opened: gate?")]
            stack.bridge.stop(9)  # what was taken may be told again, and is not sent again
            stack.bridge.start()
            stack.emulation.do("deliver", modem=0, **{"from": "+36209876543", "text": "thanks"})
            wait_until(lambda: len(stack.emulation.ledger("submit")) == 2, 20, "the second reply leaves")
            assert [row["text"] for row in stack.emulation.ledger("submit")] == ["opened: gate?", "opened: thanks"]
            assert {post["data"]["text"] for post in posts} == {"gate?", "thanks"}
            assert url not in stack.bridge.log.read_text()
            stack.bridge.stop()
            assert "Traceback" not in stack.bridge.log.read_text()


@contextmanager
def receiver_in_a_thread() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Somebody's web application: answers each message with another one."""
    posts: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posts.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            answer = json.dumps({"reply": f"opened: {posts[-1]['data']['text']}"}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            """Be silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/hook", posts
        finally:
            server.shutdown()
            thread.join()


def answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health/live").status_code == 200
    except httpx.HTTPError:
        return False
