"""Requests, retained states and the log topic on a real broker."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hardware.types import ModemState, ModemStatus
from sms_bridge.core.errors import CoreError
from sms_bridge.mqtt import requests as requests_module
from sms_bridge.mqtt.handlers import make_handlers
from sms_bridge.mqtt.requests import RequestError, text_field, whole_field
from tests.support.mqttlab import Peer, PlainBroker, core, eventually, room
from tests.support.stack import Broker

NUMBER = "+36301234567"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    started = PlainBroker(tmp_path / "broker", "allow_anonymous true").start()
    yield started
    started.stop()


@pytest.fixture
def peer(broker: Broker) -> Iterator[Peer]:
    found = Peer(broker.port)
    yield found
    found.stop()


async def _echo(fields: dict[str, Any]) -> Any:
    return {"got": fields, "id": text_field(fields, "id"), "limit": whole_field(fields, "limit", 50, 1, 1000)}


async def _list(fields: dict[str, Any]) -> Any:
    return whole_field(fields, "limit", 50, 1, 1000)


async def _fail(fields: dict[str, Any]) -> Any:
    raise KeyError("inside")


async def _refuse(fields: dict[str, Any]) -> Any:
    raise RequestError("there is no such modem")


async def _hang(fields: dict[str, Any]) -> Any:
    await asyncio.sleep(600)


HANDLERS = {
    "message/get": _echo,
    "inbox/list": _list,
    "backup": _fail,
    "modem/reset": _refuse,
    "modem/interview": _hang,
}


async def test_every_request_is_answered_and_its_transaction_echoed(
    broker: Broker, peer: Peer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests_module, "DEADLINE", 0.3)
    async with core(tmp_path) as heart, room(tmp_path, heart, broker.port, handlers=HANDLERS) as mqtt:
        for name, payload, words in (
            ("message/get", {"transaction": [1], "id": "a"}, None),
            ("message/get", {"transaction": [1]}, "`id` is missing"),
            (
                "message/get",
                {"transaction": [1], "id": "a", "limit": 1},
                "there is no field 'limit' here; there are: id",
            ),
            ("inbox/list", {"transaction": [1], "limit": True}, "`limit` must be"),
            ("backup", {"transaction": [1]}, "inside the bridge: KeyError"),
            ("modem/reset", {"transaction": [1]}, "there is no such modem"),
            ("modem/interview", {"transaction": [1]}, "not done within"),
            ("modem/ussd", {"transaction": [1]}, "not available"),
            ("modem/balance", {"transaction": [1]}, "not available"),
        ):
            before = len(peer.payloads(f"sms/bridge/response/{name}"))
            peer.publish(f"sms/bridge/request/{name}", payload)
            topic = f"sms/bridge/response/{name}"
            await eventually(lambda t=topic, b=before: len(peer.payloads(t)) > b, f"an answer to {name}")  # type: ignore[misc]
            answer = peer.payloads(topic)[-1]
            assert answer["transaction"] == [1]
            if words is None:
                assert answer["status"] == "ok"
                assert answer["data"] == {"got": {"id": "a"}, "id": "a", "limit": 50}
            else:
                assert answer["status"] == "error"
                assert words in answer["error"]
                assert answer["data"] == {}
        for name in ("no/such", "../../x y"):
            peer.publish(f"sms/bridge/request/{name}", "")
            answer = await peer.wait("sms/bridge/response/unknown")
            assert "there is no such request" in answer["error"]
        for bad in ("[", "[]", b"\xff", "x" * 70_000):
            before = len(peer.payloads("sms/bridge/response/message/get"))
            peer.publish("sms/bridge/request/message/get", bad)
            await eventually(
                lambda b=before: len(peer.payloads("sms/bridge/response/message/get")) > b,  # type: ignore[misc]
                "an answer",
            )
            assert peer.payloads("sms/bridge/response/message/get")[-1]["status"] == "error"
        assert mqtt.link.connects == 1


async def test_a_retained_request_is_never_obeyed(broker: Broker, peer: Peer, tmp_path: Path) -> None:
    done: list[dict[str, Any]] = []

    async def restart(fields: dict[str, Any]) -> None:
        done.append(fields)

    peer.publish("sms/bridge/request/restart", {"transaction": 1}, retain=True)
    async with core(tmp_path) as heart, room(tmp_path, heart, broker.port, handlers={"restart": restart}) as mqtt:
        peer.publish("sms/bridge/request/restart", {"transaction": 2})
        assert await peer.wait("sms/bridge/response/restart") == {"status": "ok", "data": {}, "transaction": 2}
        await eventually(lambda: not mqtt.intake.unacked, "acknowledged")
        assert done == [{}]


async def test_the_core_answers(broker: Broker, peer: Peer, tmp_path: Path) -> None:
    done: list[str] = []

    async def reset(name: str, step: str) -> None:
        done.append(f"{name} {step}")

    async def unlock(name: str, pin: str, puk: str | None, force: bool) -> dict[str, object]:
        done.append(f"{name} {pin} {puk} {force}")
        return {"sim": "ready"}

    async def ask(name: str, payload: dict[str, Any]) -> dict[str, Any]:
        key = f"{name}-{len(peer.heard)}"
        peer.publish(f"sms/bridge/request/{name}", {**payload, "transaction": key})
        answer: dict[str, Any] = await peer.wait(f"sms/bridge/response/{name}", lambda p: p.get("transaction") == key)
        return answer

    async with core(tmp_path) as heart:
        handlers = make_handlers(heart.service, modems=lambda: ["stick-1"], reset=reset, unlock=unlock)
        async with room(tmp_path, heart, broker.port, handlers=handlers):
            peer.publish("sms/out", {"id": "a", "to": NUMBER, "text": "x"})
            assert (await ask("message/get", {"id": "a"}))["data"]["orders"][0]["state"] == "queued"
            assert "no message" in (await ask("message/get", {"id": "b"}))["error"]
            assert "nothing is sent again" in (await ask("message/resend", {"id": "a"}))["error"]
            assert (await ask("message/cancel", {"id": "a"}))["data"]["cancelled"] == 1
            assert "any more: it is cancelled" in (await ask("message/cancel", {"id": "a"}))["error"]
            assert "no message" in (await ask("message/cancel", {"id": "b"}))["error"]
            estimate = (await ask("message/estimate", {"text": "őű" * 40}))["data"]
            assert (estimate["encoding"], estimate["parts"]) == ("ucs2", 2)
            assert set(estimate["ucs2_characters"]) == {"ő", "ű"}
            assert (await ask("inbox/list", {"before": 7}))["data"] == {"messages": [], "next": None}
            assert "`limit`" in (await ask("inbox/list", {"limit": 10_000}))["error"]
            assert (await ask("modem/reset", {"modem": "stick-1"}))["status"] == "ok"
            assert (await ask("modem/reset", {"modem": "stick-1", "step": "usb_reset"}))["status"] == "ok"
            assert "there are: stick-1" in (await ask("modem/reset", {"modem": "stick-2"}))["error"]
            assert "`step`" in (await ask("modem/reset", {"modem": "stick-1", "step": 7}))["error"]
            assert (await ask("sim/unlock", {"modem": "stick-1", "pin": "0123"}))["data"] == {"sim": "ready"}
            full = {"modem": "stick-1", "pin": "0123", "puk": "00001234", "force": True}
            assert (await ask("sim/unlock", full))["status"] == "ok"
            for wrong, said in (
                ({"pin": 4711}, 'text in quotes, such as "0123": a number loses its zeros'),
                ({"pin": "0123", "puk": 47110815}, "`puk` must be text in quotes"),
                ({}, "`pin` is missing"),
                ({"pin": "0123", "force": "yes"}, "`force` must be true or false"),
                ({"pin": "0123", "pinn": "4711"}, "there is no field 'pinn' here"),
            ):
                answer = await ask("sim/unlock", {"modem": "stick-1", **wrong})
                assert said in answer["error"]
                assert "4711" not in str(answer)
            assert "not available" in (await ask("restart", {}))["error"]
    assert done == [
        "stick-1 auto",
        "stick-1 usb_reset",
        "stick-1 0123 None False",
        "stick-1 0123 00001234 True",
    ]


class Ussd:
    """A menu without a modem."""

    async def begin(self, modem: str, code: str) -> Any:
        if code == "**21*1#":
            raise CoreError("this code is not allowed", hint="add it under `ussd: allow:`")
        return {"text": f"{modem} {code}", "session": "open"}

    async def go_on(self, modem: str, reply: str) -> Any:
        return {"text": f"{modem} {reply}", "session": "closed"}

    async def end(self, modem: str) -> Any:
        return {"text": None, "session": "closed"}


async def test_requests_about_ussd_and_balances(broker: Broker, peer: Peer, tmp_path: Path) -> None:
    async def balance(name: str) -> Any:
        raise CoreError("no balance is configured for this modem", hint="add it under `balance:`")

    async def ask(name: str, payload: dict[str, Any]) -> dict[str, Any]:
        key = f"{name}-{len(peer.heard)}"
        peer.publish(f"sms/bridge/request/{name}", {**payload, "modem": "stick-1", "transaction": key})
        answer: dict[str, Any] = await peer.wait(f"sms/bridge/response/{name}", lambda p: p.get("transaction") == key)
        return answer

    async with core(tmp_path) as heart:
        handlers = make_handlers(heart.service, modems=lambda: ["stick-1"], balance=balance, ussd=Ussd())
        async with room(tmp_path, heart, broker.port, handlers=handlers):
            menu = await ask("modem/ussd", {"code": "*100#"})
            assert menu["data"] == {"text": "stick-1 *100#", "session": "open"}
            assert (await ask("modem/ussd", {"reply": "1"}))["data"] == {"text": "stick-1 1", "session": "closed"}
            assert (await ask("modem/ussd", {"cancel": True}))["data"] == {"text": None, "session": "closed"}
            for wrong in ({}, {"code": "*1#", "reply": "1"}, {"cancel": False}, {"reply": "1", "cancel": True}):
                assert "give one of" in (await ask("modem/ussd", wrong))["error"]
            for wrong in ({"code": 100}, {"reply": 1}, {"code": ""}):
                assert "missing" in (await ask("modem/ussd", wrong))["error"]
            refused = await ask("modem/ussd", {"code": "**21*1#"})
            assert refused["error"] == "this code is not allowed (add it under `ussd: allow:`)"
            assert "no balance is configured" in (await ask("modem/balance", {}))["error"]


async def test_a_request_sees_the_orders_that_came_before_it(broker: Broker, peer: Peer, tmp_path: Path) -> None:
    async with core(tmp_path) as heart:

        async def cancel(fields: dict[str, Any]) -> Any:
            return await heart.service.cancel(text_field(fields, "id"))

        async with room(tmp_path, heart, broker.port, handlers={"message/cancel": cancel}):
            for number in range(20):
                peer.publish("sms/out", {"id": f"o{number}", "to": NUMBER, "text": "x"})
                peer.publish("sms/bridge/request/message/cancel", {"id": f"o{number}", "transaction": number})
                await peer.wait("sms/status", lambda p, n=number: p["id"] == f"o{n}" and p["state"] == "cancelled")  # type: ignore[misc]


async def test_response_topic_of_a_request(broker: Broker, peer: Peer, tmp_path: Path) -> None:
    async with core(tmp_path) as heart, room(tmp_path, heart, broker.port, handlers=HANDLERS):
        peer.publish(
            "sms/bridge/request/message/get", {"id": "a"}, ResponseTopic="my/answers", CorrelationData=b"\xff\x00"
        )
        assert (await peer.wait("my/answers"))["status"] == "ok"
        message = next(m for m in peer.heard if m.topic == "my/answers")
        assert message.properties is not None
        assert vars(message.properties)["CorrelationData"] == b"\xff\x00"


async def test_modem_states_are_retained_repeated_after_a_reconnection_and_calm(
    broker: Broker, peer: Peer, tmp_path: Path
) -> None:
    async with core(tmp_path) as heart, room(tmp_path, heart, broker.port) as mqtt:
        status = ModemStatus("stick-1", started_at=datetime.now(UTC), imsi="216301234567890")
        mqtt.states.modem_changed(status)
        status.state = ModemState.READY
        mqtt.states.modem_changed(status)
        await peer.wait("sms/modem/stick-1", lambda p: p["state"] == "ready" and p["imsi"] == "2163…90")
        assert (await peer.wait("sms/modem/stick-1/availability", lambda p: p["state"] == "online")) is not None
        before = len(peer.payloads("sms/modem/stick-1"))
        for signal in range(200):
            status.signal_dbm = -110 + signal % 50
            mqtt.states.modem_changed(status)
            await asyncio.sleep(0.002)
        await peer.wait("sms/modem/stick-1", lambda p: p["signal_dbm"] == -61)
        assert len(peer.payloads("sms/modem/stick-1")) - before <= 3
        mqtt.link.drop("cut by the test")
        count = len(peer.payloads("sms/modem/stick-1"))
        await eventually(lambda: len(peer.payloads("sms/modem/stick-1")) > count, "repeated")
        late = Peer(broker.port, "sms/modem/#")
        assert (await late.wait("sms/modem/stick-1"))["state"] == "ready"
        late.stop()
        mqtt.states.modem_changed(ModemStatus("stick-2"))
        mqtt.states.modem_gone("stick-2")
        await eventually(lambda: not mqtt.states.pending, "published")
    assert peer.payloads("sms/modem/stick-1/availability")[-1] == {"state": "offline"}
    late = Peer(broker.port, "sms/modem/#")
    await late.wait("sms/modem/stick-1")
    assert not [message for message in late.heard if "stick-2" in message.topic]
    late.stop()


async def test_the_log_is_published_with_numbers_masked_and_never_floods(
    broker: Broker, peer: Peer, tmp_path: Path
) -> None:
    logger = logging.getLogger("sms_bridge.test_of_the_log_topic")
    async with core(tmp_path) as heart, room(tmp_path, heart, broker.port) as mqtt:
        mqtt.attach_log(logger)
        logger.warning("cannot reach %s", "+36 30 123 4567")
        found = await peer.wait("sms/bridge/logging")
        assert found == {"level": "warning", "message": "cannot reach +36…67", "namespace": logger.name}
        for number in range(5000):
            logger.info("flood %d", number)
        await asyncio.sleep(0.3)
        assert 10 < len(peer.payloads("sms/bridge/logging")) < 80
        mqtt.detach_log()
        assert not logger.handlers
