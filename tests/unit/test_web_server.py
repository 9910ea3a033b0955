"""The HTTP server on a real socket: slow clients, TLS, the port, the end."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from contextlib import asynccontextmanager

import httpx
import pytest

from sms_bridge.core.model import OutboxRow
from sms_bridge.web import bodies
from sms_bridge.web import server as server_module
from sms_bridge.web.server import ListenError, WebServer
from tests.support.certificates import certificate
from tests.support.stack import free_port
from tests.support.web_rig import TOKENS, open_web

DOOR = {"id": "door-1", "to": "+36301234567", "text": "Front door open"}
HEAD = f"POST /api/v1/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKENS['all']}\r\n"
JSON = "Content-Type: application/json\r\n"


@asynccontextmanager
async def serving(folder, **options):
    async with open_web(folder) as web:
        server = WebServer(web.api, "127.0.0.1", free_port(), **options)
        await server.start()
        try:
            yield web, server
        finally:
            web.stream.close()
            await server.stop()


async def talk(server: WebServer, request: str) -> bytes:
    """What comes back until the other side closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(request.encode())
    try:
        async with asyncio.timeout(10):
            return await reader.read()
    finally:
        writer.close()


async def post(server: WebServer, order: dict, scheme: str = "http", **options) -> httpx.Response:
    async with httpx.AsyncClient(**options) as client:
        url = f"{scheme}://127.0.0.1:{server.port}/api/v1/messages"
        return await client.post(url, json=order, headers={"Authorization": f"Bearer {TOKENS['all']}"})


async def test_orders_over_one_connection(tmp_path):
    async with serving(tmp_path) as (_, server), httpx.AsyncClient() as client:
        url = f"http://127.0.0.1:{server.port}/api/v1/messages"
        headers = {"Authorization": f"Bearer {TOKENS['send']}"}
        for n in range(3):
            answer = await client.post(url, json=DOOR | {"id": f"o-{n}"}, headers=headers)
            assert (answer.status_code, answer.json()["id"]) == (202, f"o-{n}")
            assert answer.headers["cache-control"] == "no-store"
            assert "server" not in answer.headers


async def test_ten_megabytes_are_refused_without_being_read(tmp_path, monkeypatch):
    async with serving(tmp_path) as (_, server):
        monkeypatch.setattr(bodies, "LINGER", 0.1)
        answer = await talk(server, HEAD + JSON + "Content-Length: 10000000\r\n\r\n" + "x" * 100)
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "payload_too_large"
        monkeypatch.undo()
        whole = await post(server, DOOR | {"text": "x" * 10_000_000})
        assert whole.status_code == 413
        assert (await post(server, DOOR)).status_code == 202


async def test_a_head_that_never_ends_is_cut_off_and_others_are_served(tmp_path, monkeypatch):
    monkeypatch.setattr(server_module, "HEAD_DEADLINE", 0.3)
    monkeypatch.setattr(server_module, "LOOK", 0.05)
    async with serving(tmp_path) as (_, server):
        slow = asyncio.create_task(talk(server, HEAD))
        silent = asyncio.create_task(talk(server, ""))
        assert (await post(server, DOOR)).status_code == 202
        done, _ = await asyncio.wait({slow, silent}, timeout=5)
        assert len(done) == 2
        for task in done:
            assert isinstance(task.exception(), ConnectionResetError) or task.result() == b""


async def test_a_client_that_does_not_read_its_stream_is_cut_off(tmp_path, monkeypatch):
    monkeypatch.setattr(server_module, "STALL_DEADLINE", 0.3)
    monkeypatch.setattr(server_module, "LOOK", 0.05)
    async with serving(tmp_path) as (web, server):
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.setblocking(False)
            await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", server.port))
            request = f"GET /events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKENS['read']}\r\n\r\n"
            await asyncio.get_running_loop().sock_sendall(client, request.encode())
            await until(lambda: web.stream.clients == 1)
            for n in range(400):  # less than what drops it for being behind, more than the sockets hold
                web.stream.added([OutboxRow(n + 1, "status", json.dumps("x" * 16_384))])
                await asyncio.sleep(0)
            await until(lambda: web.stream.clients == 0)


async def test_nonsense_is_answered_with_400_and_the_log_is_silent(tmp_path, caplog):
    async with serving(tmp_path) as (_, server):
        assert (await talk(server, "\x16\x03\x01 nonsense\r\n\r\n")).startswith(b"HTTP/1.1 400 ")
        assert (await talk(server, "GET / HTTP/1.1\r\nX: " + "y" * 100_000 + "\r\n\r\n")).startswith(b"HTTP/1.1 400 ")
        smuggled = HEAD + JSON + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        assert b" 202 " not in await talk(server, smuggled + "GET / HTTP/1.1\r\nConnection: close\r\nHost: x\r\n\r\n")
    assert not caplog.records


async def test_a_port_that_is_taken_is_a_sentence(tmp_path):
    async with serving(tmp_path) as (web, server):
        with pytest.raises(ListenError, match=r"another program listens on 127\.0\.0\.1:\d+ already: choose"):
            await WebServer(web.api, "127.0.0.1", server.port).start()
        with pytest.raises(ListenError, match=r"192\.0\.2\.1"):
            await WebServer(web.api, "192.0.2.1", free_port()).start()


async def test_the_end_waits_for_no_stream_and_no_idle_client(tmp_path):
    async with serving(tmp_path) as (web, server), httpx.AsyncClient() as client:
        await client.get(f"http://127.0.0.1:{server.port}/health/live")
        headers = {"Authorization": f"Bearer {TOKENS['read']}"}
        async with client.stream("GET", f"http://127.0.0.1:{server.port}/events", headers=headers) as answer:
            await until(lambda: web.stream.clients == 1)
            web.stream.added([OutboxRow(1, "in", '{"id":"a"}')])
            lines = answer.aiter_lines()
            while await anext(lines) != "event: received":
                pass
            web.stream.close()
            async with asyncio.timeout(3):
                await server.stop()


async def test_https(tmp_path):
    cert, key = certificate(tmp_path)
    async with serving(tmp_path, cert=cert, key=key) as (_, server):
        trust = ssl.create_default_context(cafile=str(cert))
        assert (await post(server, DOOR, "https", verify=trust)).status_code == 202
        with pytest.raises(httpx.HTTPError):
            await post(server, DOOR, "http")
    async with open_web(tmp_path) as web:
        with pytest.raises(ListenError, match="cannot be used with its key"):
            await WebServer(web.api, "127.0.0.1", free_port(), cert=key, key=key).start()


async def test_a_renewed_certificate_is_used_without_a_restart(tmp_path, caplog):
    cert, key = certificate(tmp_path)
    async with serving(tmp_path, cert=cert, key=key) as (_, server):
        renewal = server_module.Certificate(server._server.config.ssl, cert, key)
        (tmp_path / "new").mkdir()
        new_cert, new_key = certificate(tmp_path / "new")
        new_cert.replace(cert)
        renewal.look()  # between the two: they do not fit, and the old one is kept
        assert "the new certificate is not used" in caplog.text
        new_key.replace(key)
        renewal.look()
        trust = ssl.create_default_context(cafile=str(cert))
        assert (await post(server, DOOR, "https", verify=trust)).status_code == 202


async def test_an_address_that_this_machine_lacks_does_not_take_the_others_with_it(tmp_path, monkeypatch):
    both = [
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("2001:db8::1", 0, 0, 0)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0)),
    ]

    async def two(*_args, **_more):
        return both

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", two)
    async with open_web(tmp_path) as web:
        server = WebServer(web.api, "localhost", 0)
        await server.start()
        assert (await talk(server, "GET /health/live HTTP/1.0\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        await server.stop()


@pytest.mark.parametrize(("trusted", "shown"), [((), "127.0.0.1"), (("127.0.0.1",), "203.0.113.7")])
async def test_only_a_trusted_proxy_says_who_the_client_is(tmp_path, trusted, shown):
    async with serving(tmp_path, trusted_proxies=trusted) as (_, server), httpx.AsyncClient() as client:
        for _ in range(11):
            headers = {"Authorization": "Bearer wrong", "X-Forwarded-For": "203.0.113.7"}
            answer = await client.get(f"http://127.0.0.1:{server.port}/api/v1/modems", headers=headers)
        assert answer.status_code == 429
        assert f"came from {shown}:" in answer.json()["detail"]


async def until(condition, deadline: float = 5.0) -> None:
    end = asyncio.get_running_loop().time() + deadline
    while not condition():
        assert asyncio.get_running_loop().time() < end
        await asyncio.sleep(0.01)
