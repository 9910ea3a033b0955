"""The REST interface: `/api/v1`, `/health`, `/metrics`, `/events`; each endpoint is an edge of what MQTT can do too."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import Receive, Send
from starlette.types import Scope as AsgiScope

from sms_bridge.core.errors import StoreError
from sms_bridge.core.events import to_json
from sms_bridge.core.model import Accepted, SendRequest
from sms_bridge.core.states import OrderState
from sms_bridge.payloads import jsontext, orders
from sms_bridge.web import problems
from sms_bridge.web.access import Gate, Scope, Token
from sms_bridge.web.bodies import answer_and_discard, read_json_body
from sms_bridge.web.metrics import CONTENT_TYPE, Metrics
from sms_bridge.web.orders import Orders
from sms_bridge.web.ports import Bridge, Refusal
from sms_bridge.web.problems import Problem
from sms_bridge.web.stream import Stream

log = logging.getLogger(__name__)

ROOT = "/api/v1"
MAX_PAGE = 500  # messages of one answer
MODEM_ACTIONS = {
    "reset": "modem/reset",
    "interview": "modem/interview",
    "balance": "modem/balance",
    "ussd": "modem/ussd",
    "unlock": "sim/unlock",
}

Endpoint = Callable[[Request, Token], Awaitable[Response]]


class Api:
    """An ASGI application. Every failure is a problem document with a sentence."""

    def __init__(
        self, bridge: Bridge, gate: Gate, stream: Stream, metrics: Metrics, *, max_body: int = 256 * 1024
    ) -> None:
        self.orders = Orders(bridge.service)
        self._bridge = bridge
        self._gate = gate
        self._stream = stream
        self._metrics = metrics
        self._max_body = max_body
        self._openapi = b""
        self._routes = self._make_routes()
        self._router = Router(self._routes, redirect_slashes=False)

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        scope["app"] = self  # so that the router raises for a wrong method instead of answering in its own words
        try:
            await self._router(scope, receive, send)
            return
        except Problem as found:
            problem = found
        except HTTPException as error:
            problem = self._of_router(error, scope)
        except StoreError as error:
            problem = problems.not_stored(error)
        except Refusal as refusal:
            problem = problems.of_code(refusal.code, str(refusal))
        except TimeoutError:
            problem = Problem(504, "too_slow", "this was not done in time; it may still be under way")
        except Exception as error:
            log.exception("a request failed")
            problem = Problem(500, "internal", f"this failed inside the bridge: {type(error).__name__}")
        self._metrics.refused(problem.code)
        if problem.status == 413:
            await answer_and_discard(problem.response(), receive, send)
        else:
            await problem.response()(scope, receive, send)

    def _make_routes(self) -> list[Route]:
        send, read, admin = (Scope.SEND,), (Scope.READ,), (Scope.ADMIN,)
        api = [
            self._route("/messages", "POST", send, self._send),
            self._route("/messages", "GET", read, self._messages),
            self._route("/messages/{id:path}/resend", "POST", send, self._resend),
            self._route("/messages/{id:path}", "GET", (*read, *send), self._message),
            self._route("/messages/{id:path}", "DELETE", send, self._cancel),
            self._route("/estimate", "POST", (*send, *read), self._estimate),
            self._route("/inbox", "GET", read, self._inbox),
            self._route("/modems", "GET", read, self._modems),
            self._route("/modems/{name}", "GET", read, self._modem),
            self._route("/modems/{name}/{action}", "POST", admin, self._modem_action),
            self._route("/requests/{name:path}", "POST", admin, self._request),
            Route(f"{ROOT}/openapi.json", self._document),
        ]
        return [
            *api,
            Route("/health/live", self._live),
            Route("/health/ready", self._ready),
            Route("/health", self._health),
            self._route("/metrics", "GET", (Scope.METRICS,), self._figures, root=""),
            self._route("/events", "GET", read, self._events, root=""),
        ]

    def _route(self, path: str, method: str, scopes: tuple[Scope, ...], endpoint: Endpoint, root: str = ROOT) -> Route:
        gate = self._gate

        async def guarded(request: Request) -> Response:
            client = request.client.host if request.client is not None else "?"
            return await endpoint(request, gate.admit(request.headers.get("authorization"), client, *scopes))

        return Route(f"{root}{path}", guarded, methods=[method])

    # Orders

    async def _send(self, request: Request, token: Token) -> Response:
        order = self._order(await read_json_body(request, self._max_body), request, token)
        answer = await self.orders.submit(order)
        if not isinstance(answer, Accepted):
            raise problems.of_rejections(answer.rejections, answer.id)
        self._metrics.accepted(answer.orders)
        body = {
            "id": answer.id,
            "orders": answer.orders,
            "repeated": answer.repeated,
            "state": answer.state,
            "rejected": [problems.as_dict(each) for each in answer.rejections],
            "transaction": order.transaction,
        }
        return _json(body, 202, {"Location": f"{ROOT}/messages/{quote(answer.id)}"})

    def _order(self, body: bytes, request: Request, token: Token) -> SendRequest:
        try:
            order = orders.parse_order(body)
        except orders.Refused as refused:
            raise problems.of_rejections([refused.rejection], refused.rejection.id) from None
        order.source = f"http:{token.name}"
        key = request.headers.get("idempotency-key")
        if key is not None and order.id is None:
            order.id = _as_id(key)
        return order

    async def _messages(self, request: Request, _token: Token) -> Response:
        query = _query(request, "state", "before", "limit")
        state = query.get("state")
        if state is not None and state not in list(OrderState):
            raise _bad_query("state", f"one of {', '.join(OrderState)}")
        before = _whole(query, "before", 1, 2**62)
        page = await self._bridge.messages(state, before, _whole(query, "limit", 1, MAX_PAGE) or 50)
        return _json({"messages": page.items, "next": page.next})

    async def _message(self, request: Request, _token: Token) -> Response:
        return _json(await self._bridge.ask("message/get", {"id": request.path_params["id"]}))

    async def _cancel(self, request: Request, _token: Token) -> Response:
        return _json(await self._bridge.ask("message/cancel", {"id": request.path_params["id"]}))

    async def _resend(self, request: Request, _token: Token) -> Response:
        return _json(await self._bridge.ask("message/resend", {"id": request.path_params["id"]}), 202)

    async def _estimate(self, request: Request, _token: Token) -> Response:
        return _json(await self._bridge.ask("message/estimate", await self._fields(request)))

    async def _inbox(self, request: Request, _token: Token) -> Response:
        query = _query(request, "before", "limit")
        fields = {"before": _whole(query, "before", 1, 2**62), "limit": _whole(query, "limit", 1, MAX_PAGE)}
        return _json(await self._bridge.ask("inbox/list", fields))

    # Modems, and the bridge itself

    async def _modems(self, _request: Request, _token: Token) -> Response:
        return _json({"modems": self._bridge.modems()})

    async def _modem(self, request: Request, _token: Token) -> Response:
        return _json(self._find_modem(request.path_params["name"]))

    async def _modem_action(self, request: Request, _token: Token) -> Response:
        name, action = request.path_params["name"], request.path_params["action"]
        self._find_modem(name)
        if action not in MODEM_ACTIONS:
            text = f"there is no such thing to do with a modem; there are: {', '.join(MODEM_ACTIONS)}"
            raise Problem(404, "not_found", text)
        fields = await self._fields(request, empty=True)
        return _json(await self._bridge.ask(MODEM_ACTIONS[action], {**fields, "modem": name}))

    async def _request(self, request: Request, _token: Token) -> Response:
        name = request.path_params["name"]
        if name not in self._bridge.requests():
            text = f"there is no such request; there are: {', '.join(sorted(self._bridge.requests()))}"
            raise Problem(404, "not_found", text)
        return _json(await self._bridge.ask(name, await self._fields(request, empty=True)))

    def _find_modem(self, name: str) -> Mapping[str, Any]:
        modems = self._bridge.modems()
        for modem in modems:
            if modem["name"] == name:
                return modem
        there = ", ".join(str(modem["name"]) for modem in modems) or "none"
        raise Problem(404, "not_found", f"there is no such modem; there are: {there}")

    async def _fields(self, request: Request, *, empty: bool = False) -> dict[str, Any]:
        """The object in the body; with `empty` there need be none."""
        if empty and request.headers.get("content-length", "0") == "0" and "transfer-encoding" not in request.headers:
            return {}
        body = await read_json_body(request, self._max_body)
        try:
            found = jsontext.parse(body)
        except jsontext.JsonError as error:
            raise Problem(400, "invalid_json", f"the body is {error}") from None
        if not isinstance(found, dict):
            raise Problem(400, "invalid_json", "the body is no object: write {…}")
        return found

    def _of_router(self, error: HTTPException, scope: AsgiScope) -> Problem:
        if error.status_code == 405:
            fitting = [route for route in self._routes if route.path_regex.match(scope["path"])]
            allowed = ", ".join(sorted({method for route in fitting for method in route.methods or ()}))
            text = f"{scope['method'][:16]} cannot be done here; there is: {allowed}"
            return Problem(405, "method_not_allowed", text, headers={"Allow": allowed})
        return Problem(404, "not_found", f"there is nothing at this path; {ROOT}/openapi.json lists what there is")

    # What is watched

    async def _live(self, _request: Request) -> Response:
        return _json({"status": "pass"})

    async def _ready(self, _request: Request) -> Response:
        reasons = list(self._bridge.not_ready())
        return _json({"status": "fail" if reasons else "pass", "reasons": reasons}, 503 if reasons else 200)

    async def _health(self, _request: Request) -> Response:
        return _json(self._bridge.health())

    async def _figures(self, _request: Request, _token: Token) -> Response:
        return Response(await self._metrics.page(await self._bridge.figures()), media_type=CONTENT_TYPE)

    async def _events(self, request: Request, _token: Token) -> Response:
        query = _query(request, "kinds")
        if request.method == "HEAD":
            return Response(media_type="text/event-stream")
        return self._stream.response(query.get("kinds"), request.headers.get("last-event-id"))

    async def _document(self, _request: Request) -> Response:
        if not self._openapi:
            from sms_bridge.web.openapi import document  # here: few ask for it, and its models take memory

            self._openapi = to_json(document()).encode()
        return Response(self._openapi, media_type="application/json")


def _json(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(to_json(value), status, headers, "application/json")


def _as_id(key: str) -> str:
    """The order's id from an Idempotency-Key, which may stand in quotes (a structured field, RFC 8941 3.3.3)."""
    id = key[1:-1] if len(key) > 1 and key[0] == key[-1] == '"' else key
    if not 0 < len(id) <= orders.MAX_ID or not id.isprintable():
        text = f"the header Idempotency-Key must be 1 to {orders.MAX_ID} printable characters"
        raise Problem(422, "invalid_id", text, field="Idempotency-Key")
    return id


def _query(request: Request, *known: str) -> Mapping[str, str]:
    """The parameters after `?`, each at most once. Problem: one that is not known."""
    for name, _ in request.query_params.multi_items():
        if name not in known:
            shown = "".join(c if c.isprintable() else "\ufffd" for c in name[:40])
            text = f"there is no parameter `{shown}` here; there are: {', '.join(known)}"
            raise Problem(422, "unknown_field", text, field=shown)
    return request.query_params


def _whole(query: Mapping[str, str], name: str, low: int, high: int) -> int | None:
    value = query.get(name)
    if value is None:
        return None
    if not value.isascii() or not value.isdigit() or len(value) > 19 or not low <= int(value) <= high:
        raise _bad_query(name, f"a whole number from {low} to {high}")
    return int(value)


def _bad_query(name: str, expected: str) -> Problem:
    return Problem(422, "invalid_field", f"`{name}` must be {expected}", field=name)
