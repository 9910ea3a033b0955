"""Hostile YAML: bounded, never anything but a ConfigError."""

from __future__ import annotations

import string
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sms_bridge.config import ConfigError, load
from sms_bridge.config.document import MAX_BYTES, read, resolve
from sms_bridge.config.report import problems_of
from sms_bridge.config.schema import ROOT

BOMB_SECONDS = 20.0  # generous for a loaded machine; unbounded expansion would take hours


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
        + "".join(f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join([f'*{chr(97 + i)}'] * 10)}]\n" for i in range(12)),
        "a: &a [*a]\n",
        "&a {x: *a}\n",
        "[" * 100_000,
        "{a: " * 50_000,
        "- " * 100_000,
        "a: [" + "x," * 120_000 + "]",
        "? " * 20_000,
        "&a " * 1000 + "x",
        "#" * (MAX_BYTES + 1),
        "x: 1" + "0" * 5000,
        "%YAML 99999999999999999999.1\n---\na: 1\n",
        "%TAG ! tag:yaml.org,2002:python/object:\n---\na: !os.system x\n",
        "!!python/object/apply:os.system [echo]\n",
    ],
    ids=lambda text: text[:12],
)
def test_bombs_end_soon_in_a_sentence(tmp_path: Path, text: str) -> None:
    file = tmp_path / "bomb.yaml"
    file.write_text(text)
    started = time.monotonic()
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert time.monotonic() - started < BOMB_SECONDS
    assert len(str(caught.value)) < 20_000


PIECES = ["mqtt", "modems", "port", "pin", ": ", "\n", "  ", "- ", "{", "}", "[", "]", ",", "'", '"', "&a", "*a", "!t", "|", ">", "?", "#", "\t", "---", "0000", "+36301234567", "é", "\\", "\ufeff", "\x85", "%"]  # fmt: skip # noqa: E501


def check(raw: bytes) -> None:
    try:
        document = read(raw, "f")
        found = problems_of(ROOT, document, "f")[1]
    except ConfigError as error:
        found = list(error.problems)
    assert all(problem.line >= 0 and str(problem).startswith("f:1" if problem.line == 1 else "f") for problem in found)


@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join))
def test_any_near_yaml_gives_data_or_problems(text: str) -> None:
    check(text.encode())


@given(st.binary(max_size=200))
def test_any_bytes_give_data_or_problems(raw: bytes) -> None:
    check(raw)


@given(st.text(alphabet=string.printable + "éű👍\u2028", max_size=200))
def test_any_text_gives_data_or_problems(text: str) -> None:
    check(text.encode())


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("nul", "nul"),
        ("true", True),
        ("FALSE", False),
        ("yes", "yes"),
        ("NO", "NO"),
        ("12", 12),
        ("-1", -1),
        ("0012", 12),
        ("+36", 36),
        ("0x1f", 31),
        ("0o17", 15),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("12:30", "12:30"),
        ("1_000", "1_000"),
        ("1.2.3", "1.2.3"),
        (".", "."),
        ("9" * 41, "9" * 41),
    ],
)
def test_plain_scalars_by_the_core_schema(text: str, value: object) -> None:
    found = resolve(text)
    assert found == value
    assert type(found) is type(value)
