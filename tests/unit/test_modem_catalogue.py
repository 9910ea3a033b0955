"""The page of supported modems is what the profiles say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hardware.modem import profile
from hardware.modem.catalogue import BEGIN, END, PAGE, renewed, tables
from hardware.modem.profile import Kind, Radio, shipped


def test_the_page_is_up_to_date() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == renewed(page), "run: .venv/bin/python -m hardware.modem.catalogue"


def test_every_usb_id_that_a_person_may_meet_is_on_it() -> None:
    text = tables()
    for family in shipped():
        for model in family.models:
            for vid, pid in model.ids:
                shown = f"`{vid:04x}:{'*' if pid is None else f'{pid:04x}'}`"
                assert (shown in text) == (model.kind is not Kind.OTHER), shown


def test_what_has_no_lte_is_marked() -> None:
    """Domain A12."""
    rows = {line.split(" | ")[0]: line for line in tables().splitlines()}
    for family in shipped():
        for model in family.models:
            if model.kind is Kind.MODEM:
                old = set(model.radio) <= {Radio.GSM, Radio.UMTS, Radio.CDMA}
                assert ("G ⚠ |" in rows[f"| {model.name}"]) == old, model.name
    assert "2G ⚠" in rows["| SIM800, SIM808, SIM868, SIM900 on a serial adapter"]
    assert "2G ? |" in rows["| BG96"]


def test_every_field_of_a_file_is_explained() -> None:
    """What the loader knows is what the page tells."""
    source = Path(profile.__file__).read_text(encoding="utf-8")
    used = set(re.findall(r'fields\.[a-z_]+\(\s*"([a-z_]+)"', source))
    used |= set(re.findall(r'(?:words|urcs|_prefix)\((?:fields, )?"([a-z_]+)"', source))
    used -= {"name"}
    assert len(used) > 35
    page = PAGE.read_text(encoding="utf-8")
    assert {field for field in used if f"`{field}`" not in page} == set()


def test_a_page_without_its_marks_is_not_written() -> None:
    with pytest.raises(ValueError, match="where the tables belong"):
        renewed("# Supported modems\n")
    assert renewed(f"a\n{BEGIN}\nold\n{END}\nb").startswith(f"a\n{BEGIN}\n\n### ")
