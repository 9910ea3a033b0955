"""The profiles: every shipped file, what a modem gets from them, and the sentence for every mistake in one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.at import commands
from hardware.emulator import names
from hardware.emulator.personality import load as load_personality
from hardware.modem import profile as profiles
from hardware.modem.profile import GENERIC, Kind, Profile, ProfileError, Radio, Role, Ussd, load

ASKED = {Role.AT, Role.AT2, Role.PPP}


def all_of_them() -> list[Profile]:
    return [one for family in profiles.shipped() for one in (family, *family.variants)]


@pytest.mark.parametrize(
    ("manufacturer", "model", "label"),
    [
        ("SIMCOM_Ltd", "SIMCOM_SIM800L", "simcom/sim800"),
        ("", "SIM900 R11.0", "simcom/sim800"),
        ("SIMCOM INCORPORATED", "SIMCOM_SIM7600E-H", "simcom"),
        ("SIMCOM INCORPORATED", "SIMCOM_SIM7000E", "simcom/sim7000"),
        ("SIMCOM_Ltd", "SIMCOM_SIM7070G", "simcom/sim7000"),
        ("huawei", "E173", "huawei"),
        ("Huawei Technologies Co., Ltd.", "E3372", "huawei"),
        ("Huawei Technologies Co., Ltd.", "MU609", "huawei/mu609"),
        ("Quectel", "EC25", "quectel"),
        ("Quectel", "EP06", "quectel/ep06"),
        ("Quectel", "BG96", "quectel/lpwa"),
        ("u-blox", "SARA-U201", "ublox"),
        ("u-blox", "SARA-R410M-02B", "ublox/sara-r4"),
        ("Telit", "LE910C1-EUX", "telit"),
        ("Telit", "ME910C1-E1", "telit/me910"),
        ("Sierra Wireless, Incorporated", "MC7455", "sierra"),
        ("WAVECOM MODEM", "MULTIBAND  900E  1800", "wavecom"),
        ("ZTE INCORPORATED", "MF190", "zte"),
        ("ZTE CORPORATION", "BM-8 MF636", "zte"),
        ("Fibocom Wireless Inc.", "L610", "fibocom"),
        ("SIEMENS", "TC35i", "cinterion"),
        ("Cinterion", "PLS8-E", "cinterion"),
        ("Teltonika", "TRM240", "teltonika"),
        ("Nokia", "Nokia 6310i", "generic"),
        (None, None, "generic"),
    ],
)
def test_a_modem_finds_its_family_and_variant(manufacturer: str | None, model: str | None, label: str) -> None:
    assert profiles.find(manufacturer, model).label == label


@pytest.mark.parametrize("name", names())
def test_every_emulated_device_is_of_a_family(name: str) -> None:
    answers = load_personality(name).answers
    assert profiles.find(answers["+CGMI"][0], answers["+CGMM"][0]) is not GENERIC


def test_every_file_loads_and_no_usb_id_stands_twice() -> None:
    files = sorted((Path(profiles.__file__).parent / "profiles").glob("*.json"))
    assert [family.name for family in profiles.shipped()] == [file.stem for file in files]
    assert len({family.title for family in profiles.shipped()}) == len(files), "names of modems are made from titles"
    assert profiles.by_usb(0x2C7C, 0x0125) is not None
    ids = [number for family in profiles.shipped() for model in family.models for number in model.ids]
    assert len(set(ids)) == len(ids) > 180


def test_every_profile_holds_commands_that_may_be_written() -> None:
    for profile in all_of_them():
        assert [command.text for command in profile.init_commands] == list(profile.init)
        assert set(profile.iccid_commands) == set(commands.ICCID_COMMANDS)
        assert not profile.iccid or profile.iccid_commands[0].prefix == profile.iccid
        assert not profile.attempts or profile.attempts_commands[0].prefix == profile.attempts
        assert set(profile.cnmi_ladder) >= set(commands.CNMI_LADDER)
        assert profile.cnmi_ladder[: len(profile.cnmi)] == profile.cnmi
        assert not any(line.startswith(skipped) for line in profile.init for skipped in profile.skip)


def test_every_row_of_a_modem_has_a_port_to_ask_or_a_rule_that_finds_one() -> None:
    for family in profiles.shipped():
        for model in family.models:
            at = [role for role in model.ports.values() if role in ASKED]
            rule = model.probe_others or Role.AT in family.triplets.values()
            if model.kind is Kind.MODEM and model.ids:
                assert at or rule, f"{family.name}: {model.name}"
            assert model.kind is Kind.MODEM or not at, f"{family.name}: {model.name}"


def test_what_differs_is_where_it_belongs() -> None:
    """Domain A2: one fact of each family."""
    assert profiles.find("Telit", "LE910").command_gap >= 0.02
    assert profiles.find("Quectel", "EP06").cmgl is False
    assert profiles.find("Quectel", "EC25").cmgl is True
    assert profiles.find("huawei", "MU609").skip == ("AT^GETPORTMODE",)
    assert profiles.find("huawei", "E3372").ussd is Ussd.PACKED
    assert profiles.find("SIMCOM_Ltd", "SIMCOM_SIM800L").ussd_alone
    assert not profiles.find("SIMCOM INCORPORATED", "SIMCOM_SIM7600E").ussd_alone
    for narrow in ("BG96", "SIM7000", "SARA-R4", "ME910C1"):
        maker = {"B": "Quectel", "S": "SIMCOM", "M": "Telit"}[narrow[0]] if narrow != "SARA-R4" else "u-blox"
        assert profiles.find(maker, narrow).result_timeout == 300
    assert profiles.find("Brovi", "E3372-325").cpms_arguments == (3,)
    assert (
        profiles.find("WAVECOM MODEM", "").result_codes["cms_531"]
        != profiles.find("Quectel", "").result_codes["cms_531"]
    )


@pytest.mark.parametrize(
    ("vid_pid", "label"),
    [
        ("1bc7:1201", "telit"),
        ("12d1:1573", "huawei/mu609"),
        ("2c7c:0306", "quectel/ep06"),
        ("2c7c:ffff", "quectel"),
        ("1a86:7523", "generic"),  # an adapter says nothing of what is behind it
        ("9999:9999", "generic"),
        (None, "generic"),
    ],
)
def test_the_usb_id_tells_how_to_begin(vid_pid: str | None, label: str) -> None:
    assert profiles.guess(vid_pid).label == label


SOUND: dict[str, Any] = {
    "title": "Mine",
    "manufacturer": ["mine"],
    "init": ["AT+CSQ"],
    "cnmi": [[2, 1, 0, 1, 0]],
    "triplets": {"ff/*/02": "at"},
    "alike": {"last": "at"},
    "result_codes": {"cms_512": "the cat sat on it"},
    "variants": [{"name": "old", "model": ["m1"], "init": [], "cmgl": False}],
    "models": [
        {"name": "M1", "usb": ["1234:0001"], "ports": {"02": "at", "0a": "log"}, "radio": ["gsm"], "variant": "old"},
        {"name": "others", "usb": ["1234:*"], "probe_others": True, "radio": ["lte"]},
    ],
}


def write(folder: Path, data: object) -> Path:
    file = folder / "mine.json"
    file.write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
    return file


def test_a_sound_file_is_what_it_says(tmp_path: Path) -> None:
    found = load(write(tmp_path, SOUND))
    assert (found.name, found.title, found.init, found.cnmi) == ("mine", "Mine", ("AT+CSQ",), ((2, 1, 0, 1, 0),))
    assert found.triplets == {(0xFF, None, 2): Role.AT}
    (old,) = found.variants
    assert (old.label, old.init, old.cmgl, old.cnmi) == ("mine/old", (), False, found.cnmi)
    first, rest = found.models
    assert (first.ids, dict(first.ports)) == (((0x1234, 1),), {2: Role.AT, 10: Role.LOG})
    assert (first.radio, rest.is_rest, rest.ids) == ((Radio.GSM,), True, ((0x1234, None),))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"title": 7}, "mine.json: title: expected a text, not 7"),
        ({"title": ""}, 'mine.json: title: expected a text, not ""'),
        ({"atempts": "+QPINC"}, 'mine.json: atempts: there is no such field; did you mean "attempts"?'),
        ({"manufacturer": "mine"}, 'mine.json: manufacturer: expected a list in brackets, not "mine"'),
        ({"manufacturer": ["Mine"]}, 'mine.json: manufacturer[0]: expected a word in lower case, not "Mine"'),
        ({"manufacturer": ["a", "a"]}, 'mine.json: manufacturer[1]: "a" stands there twice'),
        (
            {"init": ["AT+CSQ", "AT+CMGD=1,4"]},
            "mine.json: init[1]: this command is not allowed here: 'AT+CMGD=1,4'; the bridge does this itself",
        ),
        (
            {"init": ["AT^SETPORT=1"]},
            "mine.json: init[0]: this command is not allowed here: 'AT^SETPORT=1'; the bridge does this itself",
        ),
        (
            {"init": ["CSQ"]},
            "mine.json: init[0]: not one AT command: 'CSQ'; write one command a line, e.g. AT+CSQ",
        ),
        ({"init": ["AT+CSQ\r"]}, 'mine.json: init[0]: expected a text, not "AT+CSQ\\r"'),
        (
            {"skip": ["GETPORTMODE"]},
            'mine.json: skip[0]: expected how a command begins: "AT^GETPORTMODE", not "GETPORTMODE"',
        ),
        (
            {"ready_urcs": ["OK"]},
            'mine.json: ready_urcs[0]: expected how an unsolicited line begins, such as "^SIMST:", not "OK"',
        ),
        (
            {"attempts": "+PIN"},
            "mine.json: attempts: expected what an answer begins with, one of +CSIM, ^CPIN, +QPINC, +SPIC, +UPINCNT, "
            "#PCT, +CPINC, ^SPIC, +EPINC",
        ),
        ({"storages": ["XX"]}, 'mine.json: storages[0]: expected one of SM, ME, not "XX"'),
        ({"cpms_arguments": [4]}, "mine.json: cpms_arguments[0]: expected a whole number between 1 and 3, not 4"),
        ({"cpms_arguments": [True]}, "mine.json: cpms_arguments[0]: expected a whole number between 1 and 3, not true"),
        ({"cmgl": 1}, "mine.json: cmgl: expected true or false, not 1"),
        ({"cnmi": [[2, 1, 0]]}, "mine.json: cnmi[0]: expected a list of 5 numbers, not [2, 1, 0]"),
        ({"cnmi": [[2, 1, 0, 3, 0]]}, "mine.json: cnmi[0]: 3 is not between 0 and 2"),
        ({"cnmi": [[2, 2, 0, 1, 0]]}, "mine.json: cnmi[0]: the second number is 1: stored, then announced"),
        ({"ussd": "hex"}, 'mine.json: ussd: expected one of text, packed, not "hex"'),
        ({"result_codes": {"512": "x"}}, 'mine.json: result_codes.512: expected "cms_512" or "cme_100", not "512"'),
        ({"result_codes": {"cms_512": 3}}, "mine.json: result_codes.cms_512: expected a text, not 3"),
        ({"result_timeout": 900}, "mine.json: result_timeout: expected seconds between 0 and 600, not 900"),
        ({"command_gap": "20ms"}, 'mine.json: command_gap: expected seconds between 0 and 1, not "20ms"'),
        ({"command_gap": -1}, "mine.json: command_gap: expected seconds between 0 and 1, not -1"),
        (
            {"triplets": {"ff/2/02": "at"}},
            'mine.json: triplets.ff/2/02: expected three octets such as "ff/01/02", * for any, not "ff/2/02"',
        ),
        ({"triplets": []}, "mine.json: triplets: expected an object in braces, not []"),
        ({"alike": {"middle": "at"}}, 'mine.json: alike.middle: expected "first" or "last", not "middle"'),
        (
            {"variants": [{"name": "old"}]},
            "mine.json: variants[0].model: a variant needs words of +CGMM that tell it from the rest of the family",
        ),
        (
            {"variants": [{"name": "old", "model": ["m1"], "models": []}]},
            'mine.json: variants[0].models: there is no such field; did you mean "model"?',
        ),
        ({"models": [3]}, "mine.json: models[0]: expected an object in braces, not 3"),
        ({"models": [{"usb": ["1234:0001"]}]}, "mine.json: models[0].name: is missing"),
        (
            {"models": [{"name": "M", "usb": ["1234-0001"], "radio": ["gsm"]}]},
            'mine.json: models[0].usb[0]: expected lower-case hexadecimal such as "12d1:1506", or "12d1:*" for the '
            'rest of a vendor, not "1234-0001"',
        ),
        (
            {"models": [{"name": "M", "ports": {"2": "at"}, "radio": ["gsm"]}]},
            'mine.json: models[0].ports.2: expected an interface of two hexadecimal digits such as "02", not "2"',
        ),
        (
            {"models": [{"name": "M", "ports": {"02": "modem"}, "radio": ["gsm"]}]},
            "mine.json: models[0].ports.02: expected one of at, at2, ppp, diag, nmea, audio, log, sap, net, adb, "
            'firehose, reserved, unknown, not "modem"',
        ),
        (
            {"models": [{"name": "M"}]},
            "mine.json: models[0].radio: expected at least one of gsm, umts, cdma, lte, lte-m, nb-iot, nr",
        ),
        (
            {"models": [{"name": "M", "radio": ["gsm"], "variant": "new"}]},
            'mine.json: models[0].variant: there is no variant "new" in this file',
        ),
        ({"models": [{"name": "M", "kind": "phone"}]}, None),
    ],
)
def test_every_mistake_has_its_sentence(change: dict[str, Any], sentence: str | None, tmp_path: Path) -> None:
    file = write(tmp_path, {**SOUND, "models": [], **change})
    with pytest.raises(ProfileError) as told:
        load(file)
    assert sentence is None or str(told.value) == sentence
    assert str(told.value).startswith("mine.json: ")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "mine.json: line 1, column 2: Expecting property name enclosed in double quotes"),
        ("[]", "mine.json: the file: expected an object in braces, not []"),
        ("{}", "mine.json: title: is missing"),
        ('{"title": "a", "title": "b"}', "mine.json: title: stands there twice"),
        ('{"title": "a", "init": null}', "mine.json: init: expected a list in brackets, not null"),
    ],
)
def test_what_is_no_profile_at_all(text: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(ProfileError) as told:
        load(write(tmp_path, text))
    assert str(told.value) == sentence


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from([*SOUND, "skip", "ussd", "baudrates", "remarks", "pdu_chunk"]), json_values)
def test_no_value_of_a_field_breaks_the_loader(key: str, value: object) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        try:
            load(write(Path(folder), {**SOUND, key: value}))
        except ProfileError as error:
            sentence = str(error)
        else:
            return
    assert sentence.startswith("mine.json: ")
