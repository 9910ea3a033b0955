"""Home Assistant itself as a child: a fresh configuration, an owner with a token, its MQTT integration, its log."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import os
import re
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from tests.support.stack import ROOT, free_port, stop_process, wait_until

logging.getLogger("httpx").setLevel(logging.WARNING)  # a line for each question
logging.getLogger("httpcore").setLevel(logging.WARNING)

BLUEPRINTS = ROOT / "docs" / "examples" / "home-assistant"
START_DEADLINE = 90.0  # s; two seconds on an idle machine
DEADLINE = 20.0  # s for anything else

CONFIGURATION = """\
homeassistant: {{name: House, time_zone: UTC, country: HU}}
http: {{server_host: 127.0.0.1, server_port: {port}}}
api:
logger: {{default: info}}
"""

# What it says of itself on a machine without its own packages, and of being started with --skip-pip.
OF_ITSELF = re.compile(
    r"Skipping pip installation|zlib_ng|turbojpeg|TurboJPEG|isal|libpcap|"
    r"Detected that|custom integration|\[homeassistant\.components\.(?:camera|stream|ffmpeg|go2rtc|usb|dhcp|bluetooth)"
)
ENTRY = re.compile(r"^(?=\d{4}-\d\d-\d\d \d\d:)", re.MULTILINE)
TROUBLE = re.compile(r"\S+ \S+ (?:WARNING|ERROR|CRITICAL) ")


@dataclass
class HomeAssistant:
    """`start`, and `stop`; what is asked of it goes over its REST API."""

    directory: Path
    mqtt_port: int
    extra: str = ""  # more lines for its configuration.yaml
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    _token: str = ""
    _read: int = 0  # octets of the log that were judged

    def start(self) -> HomeAssistant:
        """Until it is running; the first time with the broker set up as a person would, in the dialogue.

        What is in `extra` comes after that, with a restart: an automation may want the broker.
        """
        if not self.directory.exists():
            self._prepare()
            self._run()
            self._set_up_mqtt()
            if self.extra:
                self.stop()
                with (self.directory / "configuration.yaml").open("a", encoding="utf-8") as file:
                    file.write(self.extra)
        if self.process is None:
            self._run()
        wait_until(self._has_mqtt, DEADLINE, "its MQTT integration works", every=0.1)
        return self

    def stop(self) -> None:
        stop_process(self.process, signal.SIGTERM)
        self.process = None

    @property
    def log(self) -> Path:
        return self.directory.parent / "home-assistant.log"

    def state(self, entity: str) -> str | None:
        """None: there is no such entity."""
        found = self.entity(entity)
        return None if found is None else str(found["state"])

    def entity(self, entity: str) -> dict[str, Any] | None:
        answer = self._ask("GET", f"states/{entity}")
        return None if answer is None else dict(answer)

    def states(self) -> dict[str, str]:
        return {one["entity_id"]: one["state"] for one in self._ask("GET", "states")}

    def wait_state(self, entity: str, *wanted: str) -> dict[str, Any]:
        wait_until(lambda: self.state(entity) in wanted, DEADLINE, f"{entity} is {wanted}", every=0.1)
        found = self.entity(entity)
        assert found is not None
        return found

    def ours(self) -> dict[str, str]:
        """Entity and state of all that has come by MQTT."""
        listed = json.loads(self.template("{{ integration_entities('mqtt') | tojson }}"))
        states = self.states()
        return {entity: states[entity] for entity in sorted(listed) if entity in states}

    def device(self, entity: str, attribute: str) -> str:
        return self.template(f"{{{{ device_attr('{entity}', '{attribute}') }}}}")

    def call(self, service: str, entity: str, **data: Any) -> None:
        """An action, as an automation would call it."""
        domain, _, name = service.partition(".")
        self._ask("POST", f"services/{domain}/{name}", {"entity_id": entity, **data})

    def webhook(self, id: str, body: Any) -> None:
        """As somebody else in the house would call it."""
        self._ask("POST", f"webhook/{id}", body)

    def template(self, text: str) -> str:
        return str(self._ask("POST", "template", {"template": text}))

    def version(self) -> str:
        return str(self._ask("GET", "config")["version"])

    def complaints(self) -> list[str]:
        """Warnings and errors since the last call, but for those that are about Home Assistant's own house."""
        with self.log.open("rb") as file:
            file.seek(self._read)
            text = file.read().decode(errors="replace")
            self._read = file.tell()
        entries = ENTRY.split(text)  # with the traceback below
        return [one for one in entries if TROUBLE.match(one) and not OF_ITSELF.search(one.splitlines()[0])]

    def _run(self) -> None:
        venv = ROOT / os.environ["HA_VENV"]
        command = [str(venv / "bin" / "hass"), "--config", str(self.directory), "--skip-pip", "--log-no-color"]
        with self.log.open("ab") as out:
            self.process = subprocess.Popen([*command, "--verbose"], stdout=out, stderr=out, cwd=self.directory)
        wait_until(self._runs, START_DEADLINE, f"Home Assistant runs; its log is {self.log}", every=0.1)

    def _prepare(self) -> None:
        storage = self.directory / ".storage"
        storage.mkdir(parents=True)
        (self.directory / "configuration.yaml").write_text(CONFIGURATION.format(port=self.port), "utf-8")
        for blueprint in BLUEPRINTS.glob("*.yaml"):
            domain = blueprint.name.partition("_")[0]
            folder = self.directory / "blueprints" / domain / "sms_bridge"
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(blueprint, folder)
        auth, self._token = _owner()
        for key, data in (
            ("auth", auth),
            ("onboarding", {"done": ["user", "core_config", "analytics", "integration"]}),
        ):
            version = {"version": 4 if key == "onboarding" else 1, "minor_version": 1, "key": key}
            (storage / key).write_text(json.dumps({**version, "data": data}), "utf-8")

    def _set_up_mqtt(self) -> None:
        flow = self._ask("POST", "config/config_entries/flow", {"handler": "mqtt", "show_advanced_options": False})
        if flow["type"] == "menu":
            flow = self._ask("POST", f"config/config_entries/flow/{flow['flow_id']}", {"next_step_id": "broker"})
        broker = {"broker": "127.0.0.1", "port": self.mqtt_port}
        done = self._ask("POST", f"config/config_entries/flow/{flow['flow_id']}", broker)
        assert done["type"] == "create_entry", done

    def _runs(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"Home Assistant ended:\n{self.log.read_text(errors='replace')[-3000:]}"
        try:
            return bool(self._ask("GET", "config")["state"] == "RUNNING")
        except (httpx.HTTPError, TypeError):
            return False

    def _has_mqtt(self) -> bool:
        entries = self._ask("GET", "config/config_entries/entry")
        return [one["state"] for one in entries if one["domain"] == "mqtt"] == ["loaded"]

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        url, headers = f"http://127.0.0.1:{self.port}/api/{path}", {"Authorization": f"Bearer {self._token}"}
        answer = httpx.request(method, url, headers=headers, json=body, timeout=DEADLINE)
        if answer.status_code == 404 and method == "GET":
            return None
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if "json" in answer.headers.get("content-type", "") else answer.text


def until(condition: Callable[[], Any], what: str) -> None:
    """Not as often as `wait_until` would: each look is a question over HTTP."""
    wait_until(condition, DEADLINE, what, every=0.1)


@contextmanager
def home_assistant(directory: Path, mqtt_port: int, extra: str = "") -> Iterator[HomeAssistant]:
    """A started one, with its MQTT integration; stopped on the way out, and then nothing may stand in its log."""
    house = HomeAssistant(directory, mqtt_port, extra)
    try:
        yield house.start()
    finally:
        house.stop()
    found = house.complaints()
    assert not found, "Home Assistant's log has:\n" + "\n".join(found)


def _owner() -> tuple[dict[str, Any], str]:
    """The storage of an owner with a long-lived access token, and that token."""
    user, refresh, key = secrets.token_hex(16), secrets.token_hex(16), secrets.token_hex(64)
    now = datetime.now(UTC)
    token = {
        "id": refresh,
        "user_id": user,
        "client_id": None,
        "client_name": "test",
        "client_icon": None,
        "token_type": "long_lived_access_token",
        "created_at": now.isoformat(),
        "access_token_expiration": 315_360_000.0,
        "token": secrets.token_hex(64),
        "jwt_key": key,
        "last_used_at": None,
        "last_used_ip": None,
        "expire_at": None,
        "credential_id": None,
        "version": None,
    }
    person = {"id": user, "group_ids": ["system-admin"], "is_owner": True, "is_active": True, "name": "Owner"}
    groups = [{"id": f"system-{one}", "name": one} for one in ("admin", "users", "read-only")]
    claims = {"iss": refresh, "iat": int(time.time()), "exp": int(time.time()) + 86_400}
    users = [{**person, "system_generated": False, "local_only": False}]
    return {"users": users, "groups": groups, "credentials": [], "refresh_tokens": [token]}, _jwt(claims, key)


def _jwt(claims: dict[str, Any], key: str) -> str:
    """RFC 7519 with HS256."""
    parts = [_b64(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims)]
    signature = hmac.new(key.encode(), ".".join(parts).encode(), hashlib.sha256).digest()
    return ".".join([*parts, _b64(signature)])


def _b64(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()
