"""Which options are adopted at once, and which wait for the next start."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from sms_bridge.config import Settings, load
from sms_bridge.config.document import read
from sms_bridge.config.loader import FILE_NAME
from sms_bridge.core.errors import StoreRefused
from sms_bridge.parts.backup import without_secrets
from sms_bridge.parts.options import LIVE, Modem, Options, OptionsError, compose
from sms_bridge.store.folder import FolderLock

TEXT = """\
# mine
modems:
  - name: stick-1   # the first
    imei: "860461024123456"
sending: {max_attempts: 3}
"""


def options(tmp_path: Path, text: str | None = TEXT) -> tuple[Options, list[Settings], Path]:
    file = tmp_path / "config.yaml"
    if text is not None:
        file.write_text(text)
    settings = load(file if text is not None else None, data_dir=tmp_path / "data", environ={})
    settings.data_dir.mkdir()
    adopted: list[Settings] = []
    return Options(settings, adopted.append), adopted, file


async def test_what_can_be_changed_is_changed_and_the_file_says_so(tmp_path: Path) -> None:
    found, adopted, file = options(tmp_path)
    answer = await found.change({"sending": {"max_attempts": 5}, "contacts": {"anna": "+36301234567"}})
    assert answer == {
        "changed": ["sending.max_attempts", "contacts"], "file": str(file), "restart_required": False, "restart_for": []
    }  # fmt: skip
    assert adopted[-1].sending.max_attempts == 5
    assert adopted[-1].contacts["anna"] == "+36301234567"
    assert "stick-1   # the first" in file.read_text()
    assert (tmp_path / "config.yaml.bak").read_text() == TEXT


async def test_what_cannot_waits_for_the_next_start_and_is_named_until_it_is_taken_back(tmp_path: Path) -> None:
    found, adopted, file = options(tmp_path)
    answer = await found.change({"sending": {"result_timeout": "5m"}, "mqtt": {"keepalive": 60}})
    assert answer["restart_for"] == ["mqtt", "sending.result_timeout"]
    assert adopted[-1].sending.result_timeout == Settings().sending.result_timeout
    answer = await found.change({"limits": {"max_parts": 3}})
    assert answer["restart_required"] is True, "what waited still waits"
    answer = await found.change({"sending": {"result_timeout": None}, "mqtt": {"keepalive": None}})
    assert answer["restart_required"] is False
    assert load(file, environ={}).limits.max_parts == 3


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sending": {"max_attempts": 99}}, "sending.max_attempts: must be a whole number from 1 to 20"),
        ({"sendin": {"max_attempts": 3}}, "did you mean sending"),
        ({"groups": {"family": ["nobody"]}}, "there is no such contact"),
        ({"data_dir": "/tmp"}, "in the file only"),
        ({"modems": [{"name": "x"}]}, "needs one of imei"),
        ({"contacts": {"anna": 36301234567}}, "put it in quotes"),
        ({"sending": 5}, "must be a group of keys"),
    ],
)
async def test_a_wrong_value_is_answered_in_words_and_nothing_changes(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    found, adopted, file = options(tmp_path)
    with pytest.raises(OptionsError, match=words):
        await found.change(changes)
    assert file.read_text() == TEXT
    assert adopted == []


async def test_a_file_that_somebody_is_working_on_is_not_touched(tmp_path: Path) -> None:
    found, _, file = options(tmp_path)
    file.write_text(TEXT + "oops\n")
    with pytest.raises(OptionsError):
        await found.change({"limits": {"max_parts": 3}})
    assert file.read_text() == TEXT + "oops\n"


async def test_without_a_file_one_is_made_in_the_data_folder_where_it_is_found_again(tmp_path: Path) -> None:
    found, _, _ = options(tmp_path, None)
    answer = await found.change({"limits": {"max_parts": 3}})
    assert answer["file"] == str(tmp_path / "data" / FILE_NAME)
    assert load(tmp_path / "data" / FILE_NAME, environ={}).limits.max_parts == 3
    await found.change({"limits": {"max_recipients": 3}})
    assert load(tmp_path / "data" / FILE_NAME, environ={}).limits.max_parts == 3


async def test_a_modem_has_options_of_its_own(tmp_path: Path) -> None:
    found, adopted, file = options(tmp_path)
    answer = await found.change_modem(Modem("stick-1", "860461024123456"), {"quota": {"per_day": 5}, "pin": "0123"})
    assert answer["restart_for"] == ["modems.stick-1.pin"]
    assert adopted[-1].modems[0].quota.per_day == 5
    assert adopted[-1].modems[0].pin is None
    answer = await found.change_modem(Modem("quectel-1", "860461024123457"), {"number": "+36301112222"})
    assert adopted[-1].modems[1].number == "+36301112222"
    assert answer["restart_for"] == ["modems.stick-1.pin"]
    assert "0123" not in str(answer)
    names = [(modem.name, modem.imei) for modem in load(file, environ={}).modems]
    assert names == [("stick-1", "860461024123456"), ("quectel-1", "860461024123457")]


@pytest.mark.parametrize(
    ("modem", "changes", "words"),
    [
        (Modem("stick-1", None), {"name": "x"}, "modem/rename"),
        (Modem("stick-1", None), {"imei": "1"}, "which modem it is"),
        (Modem("virtual-1", None), {"number": "+361"}, "no IMEI"),
        (Modem("stick-1", None), {"pin": 1234}, "in quotes"),
    ],
)
async def test_what_a_modem_cannot_be_told(tmp_path: Path, modem: Modem, changes: dict[str, Any], words: str) -> None:
    found, _, file = options(tmp_path)
    with pytest.raises(OptionsError, match=words):
        await found.change_modem(modem, changes)
    assert file.read_text() == TEXT


def test_the_list_of_live_options_names_what_there_is() -> None:
    settings = Settings()
    for section, keys in LIVE.items():
        group = getattr(settings, section)
        assert all(hasattr(group, key) for key in keys or ()), section
    assert compose(settings, settings) == (settings, ())
    page = (Path(__file__).parents[2] / "docs/topics.md").read_text(encoding="utf-8")
    told = page[page.index("At once: ") : page.index("The rest is written")]
    assert all(f"`{section}" in told for section in LIVE), "docs/topics.md names them"


def test_a_copy_without_secrets_opens_no_door() -> None:
    text = (
        "# mine\nmqtt: {host: h, username: u, password: p}   # broker\n"
        'commands:\n  gate:\n    pin: "1234"\n    topic: a/b\n  lamp:\n    topic: c/d\n'
        "contacts: {pin: '+36301234567', token: '+36301234568'}\n"
    )
    raw, gone = without_secrets(text.encode(), "f")
    assert gone == ["mqtt.password", "commands.gate"]
    assert raw is not None
    assert b"# mine" in raw
    data = read(raw, "f").data
    assert data["commands"] == {"lamp": {"topic": "c/d"}}
    assert set(data["contacts"]) == {"pin", "token"}
    kept, gone = without_secrets(b"a: &x {password: p, z: q}\ncontacts: *x\n", "f")
    assert (kept, gone) == (None, ["sms-bridge.yaml"]), "what cannot be taken apart is left out"


def test_a_folder_belongs_to_one_bridge(tmp_path: Path) -> None:
    held = rf"a bridge works in .* \(process {os.getpid()}\)"
    with FolderLock(tmp_path), pytest.raises(StoreRefused, match=held):
        FolderLock(tmp_path).take()
    with FolderLock(tmp_path):
        pass
    with pytest.raises(StoreRefused, match="cannot be opened"):
        FolderLock(tmp_path / "none").take()
