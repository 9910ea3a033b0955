"""Numbers and texts stay where they belong: not one in logs, retained topics, discovery, metrics and bundles."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
import urllib.request
from pathlib import Path

import paho.mqtt.client as paho

from sms_bridge.payloads.asyncapi import model_of
from tests.support.stack import Stack, free_port, running, wait_until

# Each stands for something that nobody else may read; digits without what people put before them.
OUT, IN, CONTACT, CALLER, REFUSED = "309990011", "309990022", "309990033", "309990044", "309990055"
TEXT_OUT, TEXT_IN = "Pelargonium out", "Pelargonium in"
PIN, TOKEN, PASSWORD = "0000", "tok-Pelargonium-1234", "pw-Pelargonium"
SECRETS = (
    OUT,
    IN,
    CONTACT,
    CALLER,
    REFUSED,
    "Pelargonium",
    TEXT_OUT.encode().hex(),
    TEXT_OUT.encode("utf-16-be").hex(),
)


def test_no_number_and_no_text_leaves_by_a_side_door(tmp_path: Path) -> None:
    port = free_port()
    extra = (
        f'contacts: {{anna: "+36{CONTACT}"}}\nlimits: {{max_parts: 3}}\n'
        f"web: {{port: {port}, tokens: [{{token: {TOKEN}, scopes: [metrics, read]}}]}}\n"
    )
    with running(tmp_path, extra=extra, env={"SMS_BRIDGE_MQTT_PASSWORD": PASSWORD}) as stack:
        _live(stack)
        said = {
            "log": stack.bridge.log.read_text(encoding="utf-8") if stack.bridge.log else "",
            "logging": json.dumps(stack.observer.of("bridge/logging")),
            "metrics": _metrics(port),
            "retained": json.dumps(_retained(stack.broker.port)),
            "bundle": _bundle(stack, tmp_path / "help.tar.gz"),
        }
        # All that was published is as the contract says; and it is here that a number may stand.
        allowed = [item for item in stack.observer.seen if item.topic in ("sms/status", "sms/in")]
        assert all(any(secret in json.dumps(item.payload) for item in allowed) for secret in (OUT, IN, TEXT_IN))
        for item in stack.observer.seen:
            check = model_of(item.topic)
            if (
                check is not None
                and item.payload != b""
                and not item.topic.startswith(("sms/out", "sms/bridge/request/"))
            ):
                check.validate_json(json.dumps(item.payload))
    assert len(said["log"].splitlines()) > 5, "there is a log to look into"
    assert "sms_bridge_modem_sent_total" in said["metrics"]
    assert "homeassistant/" in said["retained"]
    for place, text in said.items():
        assert text, place
        low = text.lower()
        found = [secret for secret in (*SECRETS, TOKEN, PASSWORD) if secret.lower() in low]
        assert not found, (
            f"{place}: {found}: {[line for line in text.splitlines() if found[0].lower() in line.lower()][:3]}"
        )


def _live(stack: Stack) -> None:
    """What a day brings: sent, refused, rejected, received, in parts, not decodable, called."""
    observer, emulation = stack.observer, stack.emulation
    observer.publish("out", {"id": "a", "to": f"+36{OUT}", "text": TEXT_OUT})
    observer.wait_state("a", "delivered")
    observer.publish("out", {"id": "b", "to": "@anna", "text": f"{TEXT_OUT} ő" * 5})
    observer.wait_state("b", "delivered")
    emulation.do("fault", modem=0, name="cms_error", code=21)
    observer.publish("out", {"id": "c", "to": f"+36{REFUSED}", "text": TEXT_OUT})
    observer.wait_state("c", "failed", "delivered", "unknown")
    observer.publish("out", {"id": "d", "to": f"+36{OUT}x", "text": TEXT_OUT})
    observer.wait_state("d", "rejected")
    observer.publish("out", {"id": "e", "to": f"+36{OUT}", "text": TEXT_OUT * 60})
    observer.wait_state("e", "rejected")
    observer.publish("out", f"{{'{TEXT_OUT}")
    observer.publish(f"out/36{OUT}", TEXT_OUT)
    emulation.do("deliver", modem=0, **{"from": f"+36{IN}", "text": TEXT_IN})
    observer.wait_for("in", lambda message: message["text"] == TEXT_IN)
    emulation.do("call", modem=0, **{"from": f"+36{CALLER}"})
    observer.wait_for("modem/modem0/call", lambda call: CALLER in str(call["number"]))
    observer.request("message/get", id="a")
    observer.request("message/estimate", text=TEXT_OUT, to=f"+36{OUT}")
    observer.request("sim/unlock", modem="modem0", pin=PIN)
    observer.request("modem/ussd", modem="modem0", code="*100#")


def _metrics(port: int) -> str:
    request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return str(answer.read().decode())


def _retained(port: int) -> dict[str, str]:
    """What a newcomer is told, but for the last messages, which may be switched off."""
    found: dict[str, str] = {}
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="newcomer")
    client.on_message = lambda _client, _data, message: found.update({message.topic: message.payload.decode()})
    client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
    client.connect("127.0.0.1", port)
    client.loop_start()
    wait_until(lambda: "sms/bridge/modems" in found and any(t.startswith("homeassistant/") for t in found), 10, "told")
    client.disconnect()
    client.loop_stop()
    assert "sms/last/in" in found
    return {topic: text for topic, text in found.items() if not topic.startswith("sms/last/")}


def _bundle(stack: Stack, file: Path) -> str:
    command = [
        sys.executable,
        "-m",
        "sms_bridge",
        "doctor",
        "--config",
        str(stack.bridge.config),
        "--bundle",
        str(file),
    ]
    subprocess.run(command, capture_output=True, check=False, timeout=50)
    with tarfile.open(fileobj=io.BytesIO(file.read_bytes())) as tar:
        members = [tar.extractfile(name) for name in tar.getnames()]
        return "\n".join(member.read().decode() for member in members if member is not None)
