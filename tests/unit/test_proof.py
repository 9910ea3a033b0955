"""The page that says where each promise is tested names tests that exist, and every scenario."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "docs" / "proof.md").read_text(encoding="utf-8")


def test_every_test_that_the_page_names_is_there() -> None:
    named = re.findall(r"`((?:\w+/)?test_\w+\.py)(?:::(test_\w+))?`", PAGE)
    assert len(named) > 40
    for file, test in named:
        folder = TESTS if file.startswith(("unit/", "device/", "exchange/")) else TESTS / "system"
        text = (folder / file).read_text(encoding="utf-8")
        assert re.search(rf"^(async )?def {test or 'test_'}", text, re.MULTILINE), (file, test)


def test_every_scenario_has_its_row_and_every_file_is_named() -> None:
    assert re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE) == [str(number) for number in range(1, 16)]
    for file in (TESTS / "system" / "scenarios").glob("test_*.py"):
        assert f"`scenarios/{file.name}`" in PAGE
