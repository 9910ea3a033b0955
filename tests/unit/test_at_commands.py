"""What the bridge may write to a port, and what never gets there."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.at import commands
from hardware.at.types import Command
from hardware.errors import AtArgumentError


@pytest.mark.parametrize(
    ("command", "text"),
    [
        (commands.attention(), "AT"),
        (commands.error_codes(1), "AT+CMEE=1"),
        (commands.enter_pin("0000"), 'AT+CPIN="0000"'),
        (commands.message_format(), "AT+CMGF=0"),
        (commands.select_storage("SM"), 'AT+CPMS="SM"'),
        (commands.select_storage("SM", "ME"), 'AT+CPMS="SM","ME"'),
        (commands.select_storage("SR", "ME", "ME"), 'AT+CPMS="SR","ME","ME"'),
        (commands.new_messages(2, 1, 0, 2, 0), "AT+CNMI=2,1,0,2,0"),
        (commands.cell_reports("CEREG"), "AT+CEREG=2"),
        (commands.cell_state("CREG"), "AT+CREG?"),
        (commands.set_service_centre("+36309888000"), 'AT+CSCA="+36309888000",145'),
        (commands.set_service_centre("06309888000"), 'AT+CSCA="06309888000",129'),
        (commands.read_message(0), "AT+CMGR=0"),
        (commands.delete_message(12), "AT+CMGD=12"),
        (commands.keep_link(2), "AT+CMMS=2"),
        (commands.ussd("*102#"), 'AT+CUSD=1,"*102#",15'),
        (commands.ussd("1 yes, please"), 'AT+CUSD=1,"1 yes, please",15'),
        (commands.ussd_hex(bytes.fromhex("AA180C3602")), 'AT+CUSD=1,"AA180C3602",15'),  # Huawei: *100#, packed
        (commands.ussd_hex(bytes.fromhex("0170"), 72), 'AT+CUSD=1,"0170",72'),
        (commands.raw(" AT+CSQ "), "AT+CSQ"),
        (commands.raw("AT^CURC=0"), "AT^CURC=0"),
        (commands.raw('AT+QINDCFG="smsfull",1,1'), 'AT+QINDCFG="smsfull",1,1'),
        (commands.raw("ATE0"), "ATE0"),
    ],
)
def test_what_is_written(command: Command, text: str) -> None:
    assert command.text == text
    assert command.wire == text.encode() + b"\r"


def test_the_pin_never_shows() -> None:
    command = commands.enter_pin("4711")
    assert command.secret
    assert "4711" not in command.shown


def test_an_unsolicited_registration_is_no_answer() -> None:
    accepts = commands.cell_state("CREG").accepts
    assert accepts is not None
    assert accepts("+CREG: 2,1")
    assert not accepts('+CREG: 1,"1A2B","01CD2F3A",7')


BAD = ["", "\r", "\n", "\x1a", "\x1b", '"', ";", " ", "1\r", "+36301234567\r\nAT+CMGD=1,4", "12;13", "ű", "1" * 21, "a"]


@pytest.mark.parametrize("text", BAD)
def test_no_number_smuggles_a_command(text: str) -> None:
    with pytest.raises(AtArgumentError):
        commands.set_service_centre(text)


@pytest.mark.parametrize(
    "text", ["", "\r", "\n", "\x1a", "\x1b", '"', ";", '1"\rAT+CMGD=1,4', "1\r", "1;2", "ű", "1" * 161]
)
def test_no_ussd_smuggles_a_command(text: str) -> None:
    with pytest.raises(AtArgumentError):
        commands.ussd(text)


@pytest.mark.parametrize("octets", [b"", bytes(241)])
def test_ussd_octets_fit_the_smallest_line(octets: bytes) -> None:
    with pytest.raises(AtArgumentError):
        commands.ussd_hex(octets)
    assert len(commands.ussd_hex(bytes(240)).text) < 556


def test_a_ussd_shows_nowhere() -> None:
    assert commands.ussd("*140*1234567890#").shown == "AT+CUSD=***"
    assert commands.ussd_hex(b"\x31").secret


@pytest.mark.parametrize("text", [*BAD, "123", "123456789", "+1234"])
def test_no_pin_smuggles_a_command(text: str) -> None:
    with pytest.raises(AtArgumentError):
        commands.enter_pin(text)


@pytest.mark.parametrize("text", [*BAD, "sm", "XX", 'SM","ME'])
def test_no_storage_smuggles_a_command(text: str) -> None:
    with pytest.raises(AtArgumentError):
        commands.select_storage(text)


def test_memories_are_named_in_order() -> None:
    with pytest.raises(AtArgumentError):
        commands.select_storage("SM", "", "ME")


@pytest.mark.parametrize(
    "text",
    [
        "", "CSQ", "AT+CSQ\r", "AT+CSQ\nAT+CMGD=1,4", "AT+CSQ;+CMGD=1,4", "AT+CSQ\x1a", "AT\x1b", "AT+CMGS=23",
        "AT+CMGD=1,4",
        "at+cmgd=1", 'AT+CPIN="1234"', "AT^SETPORT=1", "ATD+36301234567;", "ATE0D112", "ATZ",
        "AT&F", 'AT+CPMS="SM', "AT+" + "x" * 300, "ATű",
    ],
)  # fmt: skip
def test_free_text_is_one_harmless_line(text: str) -> None:
    with pytest.raises(AtArgumentError):
        commands.raw(text)


@pytest.mark.parametrize("value", [-1, 65536, True, 10**9])
def test_an_index_is_an_index(value: int) -> None:
    for make in (commands.read_message, commands.delete_message):
        with pytest.raises(AtArgumentError):
            make(value)


def test_settings_have_their_ranges() -> None:
    makers: tuple[Callable[[], Command], ...] = (
        lambda: commands.new_messages(4, 1, 0, 0, 0),
        lambda: commands.new_messages(2, 1, 0, 3, 0),
        lambda: commands.error_codes(3),
        lambda: commands.cell_reports("CSQ"),
        lambda: commands.cell_state('CREG?;+CMGD=1,4"'),
        lambda: commands.keep_link(3),
        lambda: commands.message_service(2),
    )
    for make in makers:
        with pytest.raises(AtArgumentError):
            make()


def test_deleting_takes_one_index_and_nothing_else() -> None:
    texts = [commands.delete_message(i).text for i in (0, 1, 255)]
    assert all(re.fullmatch(r"AT\+CMGD=[0-9]+", text) for text in texts)


@given(st.text(max_size=40))
def test_whatever_the_text_it_is_one_safe_line_or_an_argument_error(text: str) -> None:
    for make in (
        commands.set_service_centre, commands.ussd, commands.enter_pin, commands.select_storage, commands.cell_state,
        commands.raw,
    ):  # fmt: skip
        try:
            line = make(text).text
        except AtArgumentError:
            continue
        assert line.isascii()
        assert line.isprintable()
        assert ";" not in line
        assert line.count('"') % 2 == 0
