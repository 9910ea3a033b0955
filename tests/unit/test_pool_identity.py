"""What a modem is known by, and what it is called: pure functions."""

from __future__ import annotations

import pytest

from hardware.modem import ModemConfig
from hardware.pool.bindings import Binding, Bindings
from hardware.pool.identity import How, free_name, identify, is_real_imei, is_real_serial, slug
from hardware.usb.ports import UsbDevice

IMEI = "866125036190005"


def device(path: str, serial: str | None = None, ids: tuple[int, int] = (0x2C7C, 0x0125)) -> UsbDevice:
    return UsbDevice(path, *ids, 1, 2, serial, "Modem", "Maker", 1, (), ())


def test_the_imei_comes_before_all_else() -> None:
    found = identify(IMEI, device("1-1", "860461024"), [])
    assert (found.key, found.imei, found.how) == (IMEI, IMEI, How.IMEI)


@pytest.mark.parametrize("imei", [None, "000000000000000", "111111111111111", "012345678901234", "004999010640000"])
def test_an_imei_that_only_fills_the_place_is_none(imei: str | None) -> None:
    assert not is_real_imei(imei)
    found = identify(imei, device("1-1", "860461024"), [])
    assert (found.key, found.imei, found.how) == ("serial:2c7c:0125:860461024", None, How.SERIAL)


@pytest.mark.parametrize(
    "serial",
    [None, "", "0000", "000000", "00000000000000", "0123456789ABCDEF", "1234567890ABCDEF", "Default", "111222"],
)
def test_a_usb_serial_that_a_maker_left_in_is_none(serial: str | None) -> None:
    assert not is_real_serial(serial)
    assert identify(None, device("1-1.3", serial), []).key == "plug:1-1.3"


@pytest.mark.parametrize("serial", ["860461024123456", "e1d4f0a2", "FTBUSDA7", "A50285BI", "0001a2"])
def test_a_usb_serial_that_tells_one_from_another(serial: str) -> None:
    assert is_real_serial(serial)


def test_two_sticks_with_the_same_usb_serial_are_known_by_their_plugs() -> None:
    one, other = device("1-1", "860461024"), device("1-2", "860461024")
    assert identify(None, one, [other]).how is How.PLUG
    assert identify(None, one, [device("1-2", "860461024", (0x12D1, 0x1506))]).how is How.SERIAL


@pytest.mark.parametrize(
    ("family", "name"),
    [
        ("Quectel EC25", "quectel-ec25"),
        ("u-blox LARA-R2", "u-blox-lara-r2"),
        (None, "modem"),
        ("", "modem"),
        ("ő/+#", "modem"),
        ("Huawei E3372 " + "x" * 40, "huawei-e3372-xxxxxxxxxxxxx"),
    ],
)
def test_a_family_as_a_topic_takes_it(family: str | None, name: str) -> None:
    assert slug(family) == name


def test_the_lowest_free_number_is_taken() -> None:
    assert free_name("Quectel EC25", {"quectel-ec25-1", "quectel-ec25-3"}) == "quectel-ec25-2"
    assert free_name(None, ()) == "modem-1"


def test_the_modems_own_entry_goes_before_its_sims_and_its_plugs() -> None:
    of = {
        "plug": Binding(ModemConfig("plug"), usb_path="1-1"),
        "sim": Binding(ModemConfig("sim", pin="1111"), iccid="8936010001"),
        "imei": Binding(ModemConfig("imei"), imei=IMEI),
    }
    found = Bindings([*of.values(), Binding(ModemConfig("fixed", "/dev/ttyS0"))])
    assert found.find(IMEI, "8936010001", "1-1") is of["imei"]
    assert found.find(None, "8936010001", "1-1") is of["sim"]
    assert found.find(None, None, "1-1") is of["plug"]
    assert found.find(None, None, "1-2") is None
    assert found.sim_pins == {"8936010001": "1111"}
    assert "fixed" in found
    assert [one.config.name for one in found.fixed] == ["fixed"]


def test_a_pin_is_never_for_another_sim() -> None:
    config = ModemConfig("stick", pin="1234", pin_sim="89A", sim_pins={"89B": "4711", "89C": None})
    assert config.pin_for("89A") == "1234"
    assert config.pin_for("89B") == "4711"
    assert config.pin_for("89C") is None
    assert config.pin_for("89D") is None
    assert config.pin_for(None) == "1234"
    assert ModemConfig("stick", pin="1234").pin_for("89A") == "1234"
    assert "1234" not in repr(config)
    assert "4711" not in repr(config)
