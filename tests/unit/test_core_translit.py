"""Likenesses for what the GSM alphabet lacks, and what a text costs with and without them."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from hardware.pdu import estimate, repertoire
from sms_bridge.cli.estimate import command
from sms_bridge.core.estimates import describe
from sms_bridge.core.kin import KIN, OF_LANGUAGE
from sms_bridge.core.model import SendRequest
from sms_bridge.core.numbers import DictContactBook
from sms_bridge.core.people import Contact
from sms_bridge.core.settings import CoreSettings
from sms_bridge.core.submission import prepare
from sms_bridge.core.translit import transliterate
from sms_bridge.mqtt.handlers import _estimate
from sms_bridge.mqtt.requests import RequestError
from tests.support.desk import ANNA


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("Árvíztűrő tükörfúrógép", "hu", "Arviztürö tükörfurogép"),
        ("ÁRVÍZTŰRŐ TÜKÖRFÚRÓGÉP", None, "ARVIZTÜRÖ TÜKÖRFUROGÉP"),
        ("Příliš žluťoučký kůň úpěl ďábelské ódy", "cs", "Prilis zlutoucky kun upel dabelské ody"),
        ("Zażółć gęślą jaźń", "pl", "Zazolc gesla jazn"),
        ("Ștefan și Ţiganul, în mână", "ro", "Stefan si Tiganul, in mana"),
        ("İstanbul'da ığdır, şöyle çağır", "tr", "Istanbul'da igdir, söyle cagir"),
        ("Đurđica šeće čaplju žurno", "hr", "Durdica sece caplju zurno"),
        ("Tiếng Việt: Đường phố Nguyễn Huệ", "vi", "Tieng Viet: Duong pho Nguyen Hue"),
        ("Съешь ещё этих булок", "ru", "Sesh eshchyo etikh bulok"),
        ("Київ, Харків, Гончар, п’ять", "uk", "Kyyiv, Kharkiv, Honchar, pyat"),
        ("Търново, Щастие, хляб", "bg", "Tarnovo, Shtastie, hlyab"),
        ("Љубав и Џеп, ћирилица", "sr", "Ljubav i Dzep, cirilica"),
        ("Καλημέρα, Ωραία Ψυχή", "el", "KAΛHMEPA, ΩPAIA ΨYXH"),
        ("„so“ – ‚und‘ — «so» … \u00a0x", None, '"so" - \'und\' - "so" ...  x'),
        ("21 °C, 70°F, 5°", None, "21 C, 70F, 5deg"),
        ("½ × 2 ≤ 3 → ✓ ™", None, "1/2 x 2 <= 3 -> OK TM"),
        ("e\u0301 e\u0323 o\u0308", None, "é e ö"),
        ("zero\u200bwidth\ufeff soft\u00adhyphen\ttab", None, "zerowidth softhyphen tab"),
        ("ｆｕｌｌ ﬁt ①", None, "full fit 1"),
        ("smile 👍🏽 中文", None, "smile 👍🏽 中文"),
    ],
)
def test_each_language_in_letters_that_cost_less(text, language, expected):
    assert transliterate(text, language) == expected


def test_pictures_may_be_named():
    assert transliterate("ok 👍🏽 中", emoji=True) == "ok (thumbs up sign) 中"


@given(st.text(st.sampled_from(sorted(repertoire()))))
def test_what_the_gsm_alphabet_has_is_never_changed(text):
    assert transliterate(text.replace("\r\n", "")) == text.replace("\r\n", "")


@given(st.text(), st.sampled_from([None, "uk", "bg", "xx"]))
def test_any_text_has_a_likeness_of_the_same_or_a_cheaper_alphabet_and_no_second_one(text, language):
    once = transliterate(text, language)
    assert transliterate(once, language) == once
    assert set(once) - repertoire() <= set(text) | set(transliterate(text)) | {c for c in once if ord(c) > 0x7F}


def test_all_likenesses_can_be_sent_in_the_cheap_alphabet():
    bad = {key: kin for table in (KIN, *OF_LANGUAGE.values()) for key, kin in table.items() if set(kin) - repertoire()}
    assert not bad
    assert not set(KIN) & repertoire()


def order(text, **fields):
    book = DictContactBook({"olga": Contact(ANNA, transliterate=True, language="uk")})
    (found,) = prepare(
        SendRequest(**{"to": (ANNA,), "text": text, **fields}), 0, CoreSettings(), book, lambda name: True
    ).orders
    return found


def test_a_text_is_replaced_only_where_that_makes_it_cheaper():
    for text, sent in (("ő" * 71, "ö" * 71), ("…" * 60, "…" * 60), ("ő 👍", "ő 👍"), ("Гоголь", "Hohol")):
        assert order(text).text == sent
    assert order("ő", encoding="ucs2").text == "ő"
    assert order("Гоголь", transliterate=True).text == "Hohol"
    assert order("…" * 255 * 60).parts <= 255


def test_an_estimate_says_what_forces_the_bigger_alphabet_and_where():
    found = describe("Az ő űrhajója, é ö ü")
    assert (found["encoding"], found["parts"], found["units"], found["per_part"], found["left"]) == (
        "ucs2",
        1,
        20,
        70,
        50,
    )
    assert [(each["character"], each["positions"], each["replacement"]) for each in found["foreign"]] == [
        ("ő", [3], "ö"), ("ű", [5], "ü"), ("ó", [10], "o"),
    ]  # fmt: skip
    replacement = found["replacement"]
    assert (replacement["text"], replacement["encoding"]) == ("Az ö ürhajoja, é ö ü", "gsm7")
    assert (replacement["left"], replacement["emoji_named"]) == (140, False)


@pytest.mark.parametrize(
    ("text", "parts", "left"),
    [("x" * 160, 1, 0), ("x" * 161, 2, 145), ("€" * 80, 1, 0), ("€" * 81, 2, 143), ("ő" * 71, 2, 63), ("ő" * 70, 1, 0)],
)
def test_what_is_left_in_the_last_part_is_what_still_fits(text, parts, left):
    found = describe(text)
    assert (found["parts"], found["left"]) == (parts, left)
    assert estimate(text + "x" * left).segments == parts
    assert estimate(text + "x" * (left + 1)).segments == parts + 1


def test_an_estimate_knows_national_tables_and_names_pictures_where_nothing_else_helps():
    assert describe("ığdır şöyle", national=["turkish"])["encoding"] == "gsm7"
    named = describe("ok 👍")["replacement"]
    assert (named["text"], named["emoji_named"]) == ("ok (thumbs up sign)", True)
    assert describe("中文")["replacement"] is None
    assert describe("plain")["replacement"] is None


def test_the_request_takes_language_and_tables_and_refuses_others_in_words():
    assert _estimate({"text": "Гоголь", "language": "uk"})["replacement"]["text"] == "Hohol"
    for fields in (
        {"text": "x", "national": "turkish"},
        {"text": "ő", "national": ["elvish"]},
        {"text": "x", "language": 1},
    ):
        with pytest.raises(RequestError):
            _estimate({**fields})


def test_the_command_says_it_in_words_and_as_json(tmp_path):
    config = tmp_path / "c.yaml"
    config.write_text("contacts: {anna: '+36301234567'}\n")
    words = CliRunner().invoke(command, ["-c", str(config), "--to", "@anna", "ő 21°C"])
    assert words.exit_code == 0
    assert "6 characters: 1 part, ucs2, 64 of 70 left" in words.output
    assert "ő (U+0151) at 1, for which ö would do" in words.output
    assert "Instead: ö 21C" in words.output
    assert "To +36301234567 (anna): may be written to" in words.output
    told = CliRunner().invoke(
        command, ["-c", str(config), "--json", "--to", "+979123456789", "x"], standalone_mode=False
    )
    assert told.return_value == 1
    assert json.loads(told.output)["recipients"][0]["error"]["code"] == "denied_prefix"
    assert CliRunner().invoke(command, ["--encoding", "gsm7", "ő"]).exit_code == 1
    assert json.loads(CliRunner().invoke(command, ["--json", "-"], input="árvíz\n").output)["parts"] == 1
