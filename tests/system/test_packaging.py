"""The container, the compose file, Home Assistant's app: linted, and done by hand as far as no Docker allows."""

from __future__ import annotations

import http.server
import json
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from sms_bridge.config import load
from tests.support.stack import free_port

ROOT = Path(__file__).resolve().parents[2]
APP = ROOT / "homeassistant/app"
PACKAGED = (
    "sms_bridge/store/schema/001_initial.sql",
    "hardware/modem/profiles/huawei.json",
    "hardware/at/cms_cme_actions.csv",
)
DOCKERFILES = [ROOT / "Dockerfile", APP / "Dockerfile"]


@dataclass
class Step:
    """One instruction."""

    word: str
    rest: str


@dataclass
class Stage:
    """From one FROM to the next."""

    base: str
    name: str
    steps: list[Step] = field(default_factory=list)


def stages(file: Path) -> list[Stage]:
    """A Dockerfile, taken apart."""
    text = re.sub(r"(?m)^\s*#.*\n", "", file.read_text(encoding="utf-8"))
    text = text.replace("\\\n", " ")
    found: list[Stage] = []
    for line in filter(None, (line.strip() for line in text.splitlines())):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            found.append(Stage(base, name))
        else:
            found[-1].steps.append(Step(word, rest.strip()))
    return found


def yaml_of(file: Path) -> Any:
    return YAML(typ="safe").load(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_the_dockerfiles_are_sound(file: Path) -> None:
    found = stages(file)
    last = found[-1]
    assert all(re.fullmatch(r"[a-z./-]+:\d[\w.-]+", stage.base) for stage in found), "each base has a version"
    words = [step.word for stage in found for step in stage.steps]
    known = set("ARG LABEL RUN COPY ENV USER WORKDIR VOLUME STOPSIGNAL HEALTHCHECK ENTRYPOINT CMD".split())
    assert set(words) <= known, "no ADD, no MAINTAINER, no EXPOSE of what is not there"
    for stage in found:
        for step in stage.steps:
            if step.word == "RUN" and "apt-get" in step.rest:
                assert "rm -rf /var/lib/apt/lists/*" in step.rest
                assert "--no-install-recommends" in step.rest
                assert re.search(r"apt-get update.*&&.*install", step.rest), "one layer: an old list names what is gone"
                assert "upgrade" not in step.rest
            if step.word == "RUN" and "pip install" in step.rest:
                assert "--no-cache-dir" in step.rest
            assert "sudo" not in step.rest
            assert "curl" not in step.rest, "nothing is fetched past the package managers"
    for word in ("ENTRYPOINT", "CMD"):
        (one,) = [step for step in last.steps if step.word == word]
        assert isinstance(json.loads(one.rest), list), "exec form: signals reach the process"
    entry = json.loads(next(step.rest for step in last.steps if step.word == "ENTRYPOINT"))
    assert entry[0] == "tini"
    (health,) = [step for step in last.steps if step.word == "HEALTHCHECK"]
    assert json.loads(health.rest.partition("CMD ")[2])[-1] == "health"
    labels = next(step.rest for step in last.steps if step.word == "LABEL")
    assert "org.opencontainers.image.licenses" in labels
    assert dict(pair.split("=", 1) for pair in shlex.split(labels))["org.opencontainers.image.title"] == "sms-bridge"


def test_the_container_is_nobody_and_the_app_says_why_it_is_not() -> None:
    image = stages(ROOT / "Dockerfile")[-1]
    users = [step.rest for step in image.steps if step.word == "USER"]
    assert users == ["sms-bridge"]
    assert "useradd --system --uid 10001" in " ".join(step.rest for step in image.steps)
    assert [step.word for step in image.steps][-1] == "CMD"
    text = (APP / "Dockerfile").read_text(encoding="utf-8")
    assert "hadolint ignore=DL3002" in text


def context(target: Path) -> Path:
    """The build context: what `.dockerignore` lets through."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert lines[0] == "*", "nothing but what is named"
    for name in (line[1:] for line in lines if line.startswith("!")):
        source = ROOT / name
        assert source.exists(), name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target / name)
    return target


def copy(step: Step, source: Path, root: Path, workdir: str) -> None:
    """COPY as Docker does it."""
    *names, to = [word for word in step.rest.split() if not word.startswith("--")]
    target = root / (to if to.startswith("/") else f"{workdir}/{to}").lstrip("/")
    for name in names:
        found = source / name.lstrip("/")
        assert found.exists(), f"COPY {name}: not in the context"
        if found.is_dir():
            shutil.copytree(found, target, dirs_exist_ok=True, symlinks=True)
        else:
            place = target / found.name if to.endswith("/") else target
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(found, place)


def replay(stage: Stage, source: Path, root: Path) -> None:
    """COPY, WORKDIR and RUN of a stage below `root`. What apt and useradd do to a system is left out."""
    workdir = "/"
    for step in stage.steps:
        if step.word == "WORKDIR":
            workdir = step.rest
            (root / workdir.lstrip("/")).mkdir(parents=True, exist_ok=True)
        elif step.word == "COPY" and "--from" not in step.rest:
            copy(step, source, root, workdir)
        elif step.word == "RUN" and "apt-get" not in step.rest:
            # Of pip, what it does with our own files: no network, and no minute of it.
            line = step.rest.replace("/opt/", f"{root}/opt/").replace(
                "python -m venv", f"{sys.executable} -m venv --without-pip"
            )
            site = f"{root}/opt/sms-bridge/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
            build = f"{sys.executable} -c 'import setuptools; setuptools.setup()' -q build_py --build-lib {site}"
            line = re.sub(r"\S+/bin/pip install .*", build, line)
            subprocess.run(["sh", "-ec", line], check=True, cwd=root / workdir.lstrip("/"), env=_env(), timeout=50)


def _env() -> dict[str, str]:
    keep = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "SMS_BRIDGE_CONFIG")}
    return {**keep, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


def _site() -> str:
    """Where the test's own environment has the dependencies."""
    import pydantic

    return str(Path(pydantic.__file__).parents[1])


@pytest.mark.slow
def test_the_image_is_built_by_hand_and_knows_its_commands(tmp_path: Path) -> None:
    pytest.importorskip("setuptools")
    build, final = stages(ROOT / "Dockerfile")
    root = tmp_path / "build"
    replay(build, context(tmp_path / "context"), root)
    fresh = tmp_path / "final"
    for step in final.steps:
        if step.word == "COPY":
            assert step.rest.startswith("--from=build ")
            copy(step, root, fresh, "/data")
    program = fresh / "opt/sms-bridge/bin/python"
    shown = subprocess.run(
        [str(program), "-m", "sms_bridge", "config", "check"],
        capture_output=True, text=True, check=True, cwd=tmp_path,
        env={**_env(), "PYTHONPATH": _site(), "STATE_DIRECTORY": str(tmp_path), "SMS_BRIDGE_MQTT_HOST": "broker"},
    )  # fmt: skip
    assert "broker:1883" in shown.stdout
    packages = next(fresh.glob("opt/sms-bridge/lib/python*/site-packages"))
    for name in PACKAGED:
        assert (packages / name).is_file(), f"{name} is not packaged"


def test_compose_starts_both_without_privileges() -> None:
    found = yaml_of(ROOT / "compose.yaml")
    bridge, broker = found["services"]["bridge"], found["services"]["broker"]
    text = (ROOT / "compose.yaml").read_text(encoding="utf-8")
    assert "privileged" not in text.replace("# Not privileged", "")
    assert {rule.split(" #")[0] for rule in bridge["device_cgroup_rules"]} == {"c 188:* rmw", "c 166:* rmw"}
    assert "/dev:/dev" in bridge["volumes"]
    assert bridge["cap_drop"] == ["ALL"]
    assert bridge["environment"]["SMS_BRIDGE_MQTT_HOST"] == "broker"
    assert bridge["restart"] == broker["restart"] == "unless-stopped"
    assert re.fullmatch(r"[a-z-]+:\d[\d.]*", broker["image"])
    assert all(port.startswith("127.0.0.1:") for port in broker["ports"]), "an open broker is for this machine only"
    names = [volume.split(":")[0] for service in (bridge, broker) for volume in service["volumes"]]
    assert {name for name in names if not name.startswith(("/", "."))} == found["volumes"].keys()
    conf = found["configs"]["mosquitto"]["content"]
    for line in ("autosave_on_changes true", "max_queued_messages 100000", "persistence true"):
        assert line in conf


def test_the_brokers_configuration_is_one(tmp_path: Path) -> None:
    conf = yaml_of(ROOT / "compose.yaml")["configs"]["mosquitto"]["content"]
    file = tmp_path / "mosquitto.conf"
    file.write_text(conf.replace("1883", f"{free_port()} 127.0.0.1").replace("/mosquitto/data/", f"{tmp_path}/"))
    with subprocess.Popen(["mosquitto", "-c", str(file)], stderr=subprocess.PIPE, text=True) as broker:
        assert broker.stderr is not None
        said = []
        for line in broker.stderr:
            said.append(line)
            if "running" in line or "Error" in line:
                break
        broker.kill()
    assert "running" in said[-1], said


# Home Assistant's app.

REQUIRED = ("name", "version", "slug", "description", "arch")


def test_the_app_has_what_the_supervisor_wants() -> None:
    found = yaml_of(APP / "config.yaml")
    assert all(found[key] for key in REQUIRED)
    assert found["uart"] is found["usb"] is found["udev"] is found["ingress"] is True
    assert found["services"] == ["mqtt:want"]
    assert found["init"] is False
    assert "devices" not in found, "a list of ports is always too short"
    assert set(found["arch"]) <= {"aarch64", "amd64"}, "Home Assistant has given up 32 bits"
    assert re.fullmatch(r"[a-z0-9_]+", found["slug"])
    # The Supervisor starts no app of which an option that is not marked as optional is missing.
    optional = {key for key, kind in found["schema"].items() if isinstance(kind, str) and kind.endswith("?")}
    assert found["schema"].keys() - optional <= found["options"].keys() <= found["schema"].keys()
    words = yaml_of(APP / "translations/en.yaml")["configuration"]
    assert words.keys() == found["schema"].keys(), "each option has its words"
    assert {"name", "url", "maintainer"} <= yaml_of(ROOT / "homeassistant/repository.yaml").keys()
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None
    assert found["version"] == version[1]
    for name in ("DOCS.md", "run.sh", "configure.py", "Dockerfile"):
        assert (APP / name).is_file()
    assert (APP / "run.sh").stat().st_mode & stat.S_IXUSR


def test_the_apps_folder_can_be_made(tmp_path: Path) -> None:
    subprocess.run([str(ROOT / "scripts/make-app.sh"), str(tmp_path / "out")], check=True, capture_output=True)
    app = tmp_path / "out/app"
    (stage,) = stages(app / "Dockerfile")
    for step in stage.steps:
        if step.word == "COPY":
            for name in step.rest.split()[:-1]:
                assert (app / name).exists(), name
    assert (app / "src/sms_bridge/app.py").is_file()
    assert (app / "src/pyproject.toml").is_file()
    assert not list(app.rglob("__pycache__"))
    again = subprocess.run(
        [str(ROOT / "scripts/make-app.sh"), str(tmp_path / "out")], check=False, capture_output=True, text=True
    )
    assert again.returncode == 1
    for script in (APP / "run.sh", ROOT / "scripts/make-app.sh"):
        subprocess.run(["sh", "-n", str(script)], check=True)


@pytest.fixture
def supervisor() -> Iterator[tuple[str, list[str]]]:
    """What answers /services/mqtt, and the tokens that it was shown."""
    shown: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            shown.append(str(self.headers["Authorization"]))
            data = {
                "host": "core-mosquitto",
                "port": 1883,
                "username": "addons",
                "password": "it's $ecret",
                "ssl": False,
            }
            body = json.dumps({"result": "ok", "data": data}).encode()
            self.send_response(200 if self.path == "/services/mqtt" else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", shown
    server.shutdown()
    thread.join()
    server.server_close()


def run_app(tmp_path: Path, options: dict[str, Any], url: str) -> tuple[subprocess.CompletedProcess[str], Path]:
    """run.sh with a `sms-bridge` that checks its configuration instead of running."""
    data, config = tmp_path / "data", tmp_path / "config/sms-bridge.yaml"
    data.mkdir(exist_ok=True)
    (data / "options.json").write_text(json.dumps(options))
    bin_ = tmp_path / "bin"
    bin_.mkdir(exist_ok=True)
    (bin_ / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (bin_ / "python").chmod(0o755)
    fake = bin_ / "sms-bridge"
    fake.write_text(f'#!/bin/sh\necho "$@"\nexec {sys.executable} -m sms_bridge config check "$3" --json\n')
    fake.chmod(0o755)
    env = {**os.environ, "PATH": f"{bin_}:{os.environ['PATH']}", "SMS_BRIDGE_DATA": str(data), "PYTHONPATH": str(ROOT)}
    env |= {"SMS_BRIDGE_CONFIG": str(config), "SUPERVISOR_URL": url, "SUPERVISOR_TOKEN": "t0ken"}
    done = subprocess.run([str(APP / "run.sh")], capture_output=True, text=True, env=env, check=False, timeout=30)
    return done, config


def test_options_and_the_supervisors_broker_become_a_configuration(
    tmp_path: Path, supervisor: tuple[str, list[str]]
) -> None:
    url, shown = supervisor
    options = {"default_region": "hu", "log_level": "warning", "contacts": [{"name": "anna", "number": "+36301234567"}]}
    done, config = run_app(tmp_path, options, url)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["ok"] is True
    assert shown == ["Bearer t0ken"]
    env = dict(
        line.removeprefix("export ").split("=", 1) for line in (tmp_path / "data/broker.env").read_text().splitlines()
    )
    environ = {key: shlex.split(value)[0] for key, value in env.items()}
    assert (tmp_path / "data/broker.env").stat().st_mode & 0o777 == 0o600
    found = load(config, environ=environ)
    assert (found.mqtt.host, found.mqtt.username, found.mqtt.password) == ("core-mosquitto", "addons", "it's $ecret")
    assert found.mqtt.local is False
    assert (found.default_region, found.logging.level, dict(found.contacts)) == (
        "HU",
        "warning",
        {"anna": "+36301234567"},
    )
    assert "ecret" not in config.read_text()
    # What a person wrote stays, and the page's next options are merged into it.
    config.write_text("# mine\nlimits: {max_parts: 3}\n" + config.read_text())
    done, _ = run_app(tmp_path, {**options, "default_region": "DE"}, url)
    assert done.returncode == 0, done.stderr
    assert config.read_text().startswith("# mine\n")
    assert load(config, environ={}).default_region == "DE"
    assert load(config, environ={}).limits.max_parts == 3


def test_an_app_without_a_broker_and_with_wrong_options_says_so(tmp_path: Path) -> None:
    done, _ = run_app(tmp_path, {"contacts": []}, "http://127.0.0.1:9")
    assert done.returncode == 0, done.stderr
    assert "install the Mosquitto app" in done.stderr
    done, _ = run_app(tmp_path, {"contacts": [{"name": "anna", "number": "no"}]}, "http://127.0.0.1:9")
    assert done.returncode == 1
    assert "contacts.anna" in done.stderr
    assert "Traceback" not in done.stderr
    done, _ = run_app(tmp_path, {"mqtt": {"host": "10.0.0.9", "port": 1884}}, "http://127.0.0.1:9")
    assert "SMS_BRIDGE_MQTT_PORT=1884" in (tmp_path / "data/broker.env").read_text()
