from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sms_bridge.core.errors import NumberError
from sms_bridge.core.numbers import DictContactBook, expand, is_suffix_match, normal_sender, resolve


@pytest.mark.parametrize(
    ("typed", "region", "expected"),
    [
        ("+36301234567", None, "+36301234567"),
        ("+36 30 123-4567", None, "+36301234567"),
        ("+36\u00a030/123.4567", None, "+36301234567"),
        ("06301234567", "HU", "+36301234567"),
        ("(06-30) 123 4567", "HU", "+36301234567"),
        ("0036301234567", "HU", "+36301234567"),
        ("0012025550123", "HU", "+12025550123"),
        ("01136301234567", "US", "+36301234567"),
        ("20 7183 8750", "GB", "+442071838750"),
        ("112", "HU", "112"),
        ("17500", None, "17500"),
        ("123456", "US", "123456"),
    ],
)
def test_a_typed_number_becomes_e164(typed, region, expected):
    assert resolve(typed, region) == expected


@pytest.mark.parametrize(
    "typed",
    [
        "", " ", "+", "12", "+0301234567", "+3630", "+1234567890123456", "+36301234567\r", "+3630123\n4567",
        "+36301234567\x1a", "+36301234567\x1b", '+36301234567"', "+36301234567;", "+36abc", "anna", "*100#",
        "1-800-FLOWERS",
        "+36301234567" * 9,
        "٠٦٣٠١٢٣٤٥٦٧", "+３６301234567", "++36301234567", "36+301234567", "\ud800",
    ],
)  # fmt: skip
@pytest.mark.parametrize("region", [None, "HU"])
def test_what_is_no_number_is_refused_with_a_sentence(typed, region):
    with pytest.raises(NumberError) as caught:
        resolve(typed, region)
    assert caught.value.code == "invalid_number"
    str(caught.value).encode()
    assert str(caught.value).isprintable()


def test_a_national_number_needs_a_region():
    with pytest.raises(NumberError, match="default_region"):
        resolve("06301234567", None)


@given(st.text(max_size=60), st.sampled_from([None, "HU", "US", "XX"]))
def test_any_text_gives_a_diallable_number_or_the_declared_error(typed, region):
    try:
        number = resolve(typed, region)
    except NumberError:
        return
    assert number.isascii()
    assert number.removeprefix("+").isdigit()
    assert 3 <= len(number) <= 16


def test_contacts_and_groups_are_counted_out():
    book = DictContactBook({"anna": "06301234567", "bob": "+36209999999"}, {"family": ("@anna", "+3612345678")}, "HU")
    assert expand("@anna", "HU", book) == ["+36301234567"]
    assert expand("#family", "HU", book) == ["+36301234567", "+3612345678"]
    assert book.name_of("+36301234567") == "anna"
    assert book.name_of("+36301111111") is None


@pytest.mark.parametrize("typed", ["@carl", "#nobody", "@", "#", "@anna\r"])
def test_a_name_that_nobody_has_is_refused(typed):
    with pytest.raises(NumberError) as caught:
        expand(typed, "HU", DictContactBook({"anna": "+36301234567"}))
    assert caught.value.code == "unknown_contact"


@pytest.mark.parametrize(
    ("ours", "theirs", "same"),
    [
        ("+36301234567", "+36301234567", True),
        ("+36301234567", "06301234567", True),
        ("+36301234567", "301234567", True),
        ("+36301234567", "+36301234568", False),
        ("17500", "17500", True),
        ("17500", "+3617500", False),
        ("+36301234567", "4567", False),
        ("+36301234567", "", False),
    ],
)
def test_a_reported_address_fits_by_its_last_seven_digits(ours, theirs, same):
    assert is_suffix_match(ours, theirs) is same


def test_senders_are_completed_where_they_are_numbers():
    assert normal_sender("06301234567", "HU") == "+36301234567"
    assert normal_sender("Telekom", "HU") == "Telekom"
    assert normal_sender("17500", "HU") == "17500"
    assert normal_sender("06301234567", None) == "06301234567"


def test_phonenumbers_is_imported_only_when_a_number_needs_it():
    use = "from sms_bridge.core.numbers import resolve; resolve('+36301234567', 'HU')"
    code = f"import sys; {use}; print('phonenumbers' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout == "False\n"


def test_a_bare_name_of_a_topic_may_be_a_group_and_a_contact_goes_first():
    book = DictContactBook({"anna": "+36301234567"}, {"family": ("@anna", "+36307654321"), "anna": ("112",)}, None)
    assert expand("@family", None, book) == ["+36301234567", "+36307654321"]
    assert expand("@anna", None, book) == ["+36301234567"]
    with pytest.raises(NumberError):
        expand("@nobody", None, book)
