"""The house itself: its layers, its size, what its pages say, and what must not stand in it."""

from __future__ import annotations

import ast
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sms_bridge.cli import COMMANDS
from sms_bridge.config import load
from sms_bridge.config.document import read
from sms_bridge.config.schema import json_schema
from sms_bridge.payloads.orders import parse_order

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
MAX_FUNCTION, MAX_MODULE = 60, 600  # lines; tables are excepted
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def sources(*folders: str) -> list[Path]:
    return sorted(file for folder in folders for file in (ROOT / folder).rglob("*.py"))


def files() -> Iterator[Path]:
    """What belongs to the project: known to git or about to be, or all of it where there is no git."""
    try:
        done = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=50,
            check=True,
        )
        names = done.stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        top = ("hardware", "sms_bridge", "tests", "bench", "docs", "scripts")
        names = [str(file.relative_to(ROOT)) for folder in top for file in (ROOT / folder).rglob("*.*")]
    yield from (ROOT / name for name in names if (ROOT / name).is_file() and "__pycache__" not in name)


def own_lines(function: ast.AST) -> int:
    """Lines of a function without those of the functions inside it."""
    inside = [node for node in ast.iter_child_nodes(function) if isinstance(node, FUNCTIONS)]
    return span(function) - sum(span(node) for node in inside)


def span(node: ast.AST) -> int:
    return int(getattr(node, "end_lineno", 0)) - int(getattr(node, "lineno", 0)) + 1


def blocks(language: str) -> list[tuple[str, str]]:
    return [
        (page.name, text)
        for page in PAGES
        for found, text in FENCE.findall(page.read_text(encoding="utf-8"))
        if found == language
    ]


def shell_lines() -> list[str]:
    return [line for _, text in blocks("sh") for line in text.splitlines()]


def shell_words() -> list[list[str]]:
    return [shlex.split(line, comments=True) for line in shell_lines()]


def test_the_layers_hold() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_functions_and_modules_can_be_read() -> None:
    long = []
    for file in sources("hardware", "sms_bridge"):
        if "tables" in str(file.relative_to(ROOT)):
            continue
        text = file.read_text(encoding="utf-8")
        if (lines := text.count("\n")) > MAX_MODULE:
            long.append(f"{file.relative_to(ROOT)}: {lines} lines")
        functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, FUNCTIONS)]
        big = [node for node in functions if own_lines(node) >= MAX_FUNCTION]
        long += [f"{file.relative_to(ROOT)}:{node.lineno}: {node.name} is too long" for node in big]
    assert not long


def test_nothing_is_left_open_and_nothing_speaks_of_elsewhere() -> None:
    # Put together here, so that this file does not find itself.
    words = ["TO" + "DO", "FIX" + "ME", "X" + "XX", "NotImplemented" + "Error", "/wo" + "rk/", "/tmp/" + "brief"]
    words += [
        "py" + "pi.org",
        "files.python" + "hosted",
        "deb.deb" + "ian.org",
        "registry.npm" + "js",
        "pytest.mark.x" + "fail",
    ]
    found = [
        f"{file.relative_to(ROOT)}: {word}"
        for file in files()
        if file.suffix in (".py", ".md", ".toml", ".yaml", ".sh", ".sql", ".json", ".csv", "")
        and file.name != "LICENSE"
        for word in words
        if re.search(rf"(?<![A-Za-z]){re.escape(word)}", file.read_text(encoding="utf-8", errors="replace"))
    ]
    assert not found


def test_the_licence_is_whole() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text


@pytest.mark.parametrize(("page", "text"), blocks("yaml"))
def test_configurations_in_the_pages_load(page: str, text: str, tmp_path: Path) -> None:
    file = tmp_path / "sms-bridge.yaml"
    file.write_text(text, encoding="utf-8")
    load(file, environ={})


def test_the_example_loads_as_it_is_and_with_everything_switched_on(tmp_path: Path) -> None:
    example = ROOT / "config.example.yaml"
    assert load(example, environ={}).groups == {"family": ("@anna", "@bela")}
    lines = example.read_text(encoding="utf-8").splitlines()
    bare = [re.sub(r"^# (?=( |[a-z_]+:))", "", line) for line in lines]
    assert bare != lines
    file = tmp_path / "sms-bridge.yaml"
    file.write_text("\n".join(bare), encoding="utf-8")
    (tmp_path / "mqtt-password").write_text("secret\n")
    settings = load(file, environ={})
    assert settings.mqtt.password == "secret"
    assert [modem.name for modem in settings.modems] == ["stick-1", "cabinet"]


def test_payloads_in_the_pages_are_json_and_orders_are_taken() -> None:
    orders = 0
    for page, text in blocks("json"):
        payload = json.loads(text)
        assert isinstance(payload, dict), page
        if "event_type" not in payload:
            parse_order(text.encode())
            orders += 1
    for words in shell_words():
        if words[:1] == ["mosquitto_pub"] and words[words.index("-t") + 1] == "sms/out":
            parse_order(words[words.index("-m") + 1].encode())
            orders += 1
        if words[:1] == ["curl"] and words[-1].endswith("/messages"):
            parse_order(words[words.index("-d") + 1].encode())
            orders += 1
    assert orders >= 4


def test_automations_in_the_pages_are_yaml_and_their_orders_are_taken() -> None:
    orders = 0
    for page, text in blocks("text"):
        if not text.startswith("alias:"):
            continue
        automation = read(text.encode(), page).data
        assert automation.keys() >= {"alias", "triggers", "actions"}
        for action in automation["actions"]:
            if action.get("action") != "mqtt.publish":
                continue
            template = re.fullmatch(r"\{\{ (\{.*\}) \| to_json \}\}", action["data"]["payload"], re.DOTALL)
            assert template
            assert action["data"]["topic"] == "sms/out"
            parse_order(re.sub(r"(?<=: )question\b", '"question-1"', template[1]).encode())
            orders += 1
    assert orders >= 2


def test_commands_in_the_pages_exist() -> None:
    used = {match[1] for line in shell_lines() for match in re.finditer(r"\bsms-bridge ([a-z]+)", line)}
    assert used <= COMMANDS.keys()
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for line in shell_lines():
        if target := re.match(r"make ([a-z-]+)", line):
            assert re.search(rf"^{target[1]}:", makefile, re.MULTILINE), line


def test_control_lines_in_the_pages_are_understood() -> None:
    from sms_bridge.cli.control import _requests

    seen = 0
    for words in shell_words():
        if words[1:2] == ["control"]:
            assert all(request["do"] for request in _requests(tuple(words[2:])))
            seen += 1
    assert seen >= 4


def test_every_key_is_in_the_page_of_the_configuration() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    properties = json_schema()["properties"]
    keys = [*properties["mqtt"]["properties"], *properties["modems"]["items"]["properties"]]
    keys += [key for name in properties for key in properties[name].get("properties", {})]
    keys += properties["smpp"]["additionalProperties"]["properties"]
    missing = [key for key in keys if f"`{key}`" not in text]
    missing += [name for name in properties if not re.search(rf"^## .*\b{name}\b", text, re.MULTILINE)]
    assert not missing


def test_defaults_in_the_page_are_those_of_the_code() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    wrong = []
    for name, section in json_schema()["properties"].items():
        chapter = re.search(rf"^## {name}$(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
        for key, rule in section.get("properties", {}).items():
            row = re.search(rf"^\| `{key}` \| ([^|]*) \|", chapter[1], re.MULTILINE) if chapter else None
            if row and "default" in rule and seconds(row[1]) != seconds(str(rule["default"])):
                wrong.append(f"{name}.{key}: {row[1]} is {rule['default']}")
    assert not wrong


def seconds(text: str) -> str | float:
    """A default as the page or the schema writes it, for comparing."""
    plain = text.strip().strip("`").lower()
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([smhd]?)", plain)
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}[match[2]] if match else plain


def test_links_in_the_pages_lead_somewhere() -> None:
    broken = [
        f"{page.name}: {target}"
        for page in PAGES
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8"))
        if "://" not in target and not (page.parent / target).exists()
    ]
    text = (ROOT / "docs" / "how-a-message-travels.md").read_text(encoding="utf-8")
    named = [name for name in re.findall(r"`((?:[a-z_]+/)+[a-z_.]*)`", text) if not name.startswith("sms/")]
    broken += [name for name in named if not any((ROOT / base / name).exists() for base in ("", "sms_bridge"))]
    assert len(named) > 15
    assert not broken


def test_scripts_are_shell_and_executable() -> None:
    for script in [*sorted((ROOT / "scripts").glob("*.sh")), ROOT / ".ci" / "run"]:
        assert script.stat().st_mode & 0o111, script
        shell = "bash" if "bash" in script.read_text(encoding="utf-8").splitlines()[0] else "sh"
        done = subprocess.run([shell, "-n", str(script)], capture_output=True, text=True, timeout=20, check=False)
        assert done.returncode == 0, done.stderr


def test_the_readme_shows_the_two_commands_first() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = [line.split("#")[0].strip() for line in FENCE.findall(text)[0][1].splitlines()]
    assert commands == ["make run", "make test"]
