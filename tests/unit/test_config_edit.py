"""Changes to the configuration by program: what a person wrote stays; the file is replaced whole or not at all."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sms_bridge.config import ConfigError, files, load
from sms_bridge.config.document import read
from sms_bridge.config.edit import merge, rewrite
from sms_bridge.config.migrations import migrate, renamed
from tests.support.examples import examples

TEXT = """\
# top
mqtt:
  host: 192.168.1.10   # the broker
  # a note

default_region: HU   # here

modems:
  - name: stick-1     # left
    imei: "860461024123456"
    pin: "0123"   # secret
  # between
  - port: /dev/ttyUSB2
# after the modems
sending:
  max_attempts: 3  # tries
  retry_delay: 10s # wait

# people
contacts:
  anna: "+36301234567"   # sister
  'bela': '+36209876543'
# the end
"""


NEW = "+36305555555"
SENDING = ["sending:", "  max_attempts: 3  # tries", "  retry_delay: 10s # wait"]


def change(text: str, changes: dict[str, Any]) -> tuple[list[str], list[str], dict[str, Any]]:
    """Lines that went, lines that came, and what the file says then."""
    old = read(text.encode(), "f").data or {}
    written = rewrite(text.encode(), merge(old, changes), "f").decode()
    before, after = text.splitlines(), written.splitlines()
    return (
        [x for x in before if x not in after],
        [x for x in after if x not in before],
        read(written.encode(), "f").data,
    )


@pytest.mark.parametrize(
    ("changes", "gone", "come"),
    [
        ({"sending": {"max_attempts": 5}}, ["  max_attempts: 3  # tries"], ["  max_attempts: 5  # tries"]),
        ({"sending": {"sticky": "off"}}, [], ['  sticky: "off"']),
        ({"sending": {"max_attempts": None}}, ["  max_attempts: 3  # tries"], []),
        ({"sending": {"retry_delay": None}}, ["  retry_delay: 10s # wait"], []),
        ({"contacts": {"cili": "+36305555555"}}, [], ['  cili: "+36305555555"']),
        ({"contacts": {"anna": NEW}}, ['  anna: "+36301234567"   # sister'], [f'  anna: "{NEW}"   # sister']),
        ({"contacts": None}, ["contacts:", '  anna: "+36301234567"   # sister', "  'bela': '+36209876543'"], []),
        ({"limits": {"max_parts": 4}}, [], ["limits:", "  max_parts: 4"]),
        ({"default_region": "DE"}, ["default_region: HU   # here"], ["default_region: DE   # here"]),
        ({"groups": {"all": ["anna", "bela"]}}, [], ["groups:", "  all: [anna, bela]"]),
        ({"sending": {"max_attempts": None, "retry_delay": None}}, SENDING, ["sending: {}"]),
        ({"sending": {"max_attempts": 3}}, [], []),
    ],
)  # fmt: skip
def test_only_the_lines_that_are_meant_change(changes: dict[str, Any], gone: list[str], come: list[str]) -> None:
    assert change(TEXT, changes)[:2] == (gone, come)


def test_a_file_of_comments_and_an_empty_one() -> None:
    assert rewrite(b"# mine\n", {"limits": {"max_parts": 4}}, "f") == b"# mine\nlimits:\n  max_parts: 4\n"
    assert rewrite(b"", {"limits": {"max_parts": 4}}, "f").endswith(b"limits:\n  max_parts: 4\n")


def test_what_looks_like_a_number_stays_text() -> None:
    pins = {"a": "0123", "b": "+36301234567", "c": "true", "d": "null", "e": "1e3", "f": "~", "g": "", "h": "a: b #c"}
    assert read(rewrite(b"x: 1\n", {"x": 1, **pins}, "f"), "f").data == {"x": 1, **pins}


def test_what_is_written_with_anchors_is_left_alone() -> None:
    text = b"a: &x {one: 1}\nb: *x\n"
    with pytest.raises(ConfigError, match="by hand"):
        rewrite(text, {"a": {"one": 2}, "b": {"one": 1}}, "f")


_values = st.recursive(
    st.one_of(st.booleans(), st.integers(-9, 10**6), st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=3)),
    max_leaves=6,
)


@settings(max_examples=examples(60), deadline=None)
@given(st.dictionaries(st.sampled_from(["sending", "contacts", "limits", "x"]), _values, max_size=3))
def test_whatever_is_asked_for_is_written_or_refused(changes: dict[str, Any]) -> None:
    wanted = merge(read(TEXT.encode(), "f").data, changes)
    with suppress(ConfigError):
        assert read(rewrite(TEXT.encode(), wanted, "f"), "f").data == wanted


def test_a_file_is_replaced_with_its_mode_and_the_last_version_kept(tmp_path: Path) -> None:
    file, link = tmp_path / "a.yaml", tmp_path / "link.yaml"
    file.write_text("old")
    file.chmod(0o640)
    link.symlink_to(file)
    files.replace(link, b"new")
    assert file.read_bytes() == b"new"
    assert link.is_symlink()
    assert (tmp_path / "a.yaml.bak").read_text() == "old"
    assert {stat.S_IMODE(one.stat().st_mode) for one in tmp_path.glob("a.yaml*")} == {0o640}
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.yaml", "a.yaml.bak", "link.yaml"]
    files.replace(tmp_path / "fresh.yaml", b"x")
    assert stat.S_IMODE((tmp_path / "fresh.yaml").stat().st_mode) == 0o600


def test_a_file_that_cannot_be_written_says_what_helps(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    with pytest.raises(ConfigError, match="cannot be written"):
        files.replace(tmp_path / "plain" / "sms-bridge.yaml", b"x")
    folder = tmp_path / "closed"
    folder.mkdir()
    (folder / "a.yaml").write_text("old")
    folder.chmod(0o500)
    if os.geteuid():  # root may write anywhere
        with pytest.raises(ConfigError, match=r"may not write there.*data folder"):
            files.replace(folder / "a.yaml", b"new")
    folder.chmod(0o700)
    assert (folder / "a.yaml").read_text() == "old"


# An option as it could be renamed one day, below a list and at the top.
STEPS = (renamed(("modems", "port"), "device"), renamed(("sending", "max_attempts"), "tries"))


def test_an_older_file_is_brought_to_this_form_with_its_comments() -> None:
    found = migrate(TEXT.encode(), "f", STEPS)
    assert found.since == 1
    text = found.raw.decode()
    assert "tries: 3" in text
    assert "  - device: /dev/ttyUSB2" in text
    assert "version: 3" in text
    assert [line for line in TEXT.splitlines() if line.lstrip().startswith("#") and line not in text] == []
    again = migrate(found.raw, "f", STEPS)
    assert again.since is None
    assert again.raw == found.raw
    assert migrate(found.raw, "f", (*STEPS, renamed(("mqtt", "host"), "server"))).since == 3


@pytest.mark.parametrize("text", ["", "version: x", "version: true", "- a", "version: 0", "a: {b: [1]}", "modems: 5"])
def test_nonsense_is_left_to_the_check_of_the_whole(text: str) -> None:
    migrate(text.encode(), "f", STEPS)


def test_a_file_of_a_newer_program_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("version: 9\n")
    with pytest.raises(ConfigError, match=r"a.yaml:1: version: this file is of version 9.*newer"):
        load(file, environ={})


def test_only_run_rewrites_an_older_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("# mine\nlimits:\n  parts: 4   # few\n")
    monkeypatch.setattr(migrate, "__defaults__", ((renamed(("limits", "parts"), "max_parts"),),))
    assert load(file, environ={}).limits.max_parts == 4
    assert not (tmp_path / "a.yaml.v1.bak").exists()
    assert load(file, environ={}, upgrade=True).limits.max_parts == 4
    assert file.read_text() == "# mine\nlimits:\n  max_parts: 4 # few\nversion: 2\n"
    assert (tmp_path / "a.yaml.v1.bak").read_text() == "# mine\nlimits:\n  parts: 4   # few\n"
