"""Which port of a device may be asked for AT: every row of domain A1, and the sentence for each fault."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.modem import profile as profiles
from hardware.modem.roles import Examined, Kind, Role, examine
from hardware.usb.ports import UsbDevice, UsbInterface, UsbPort

SERIAL = {"option", "qcserial", "sierra", "cdc_acm", "ch341", "cp210x", "ftdi_sio", "pl2303", "mct_u232"}
SERIAL |= {"usbserial_generic"}
DANGEROUS = {Role.DIAG, Role.NMEA, Role.AUDIO, Role.LOG, Role.SAP, Role.ADB, Role.FIREHOSE, Role.RESERVED}

Face = tuple[int, str, str | None]  # interface number, triplet, driver


def device(
    vid_pid: str,
    faces: Iterable[Face] = (),
    *,
    product: str | None = "Modem",
    manufacturer: str | None = "Maker",
    configuration: int | None = 1,
) -> UsbDevice:
    """What sysfs shows of it; an interface with a serial driver has a tty, the data half of an ACM pair has none."""
    vid, pid = (int(number, 16) for number in vid_pid.split(":"))
    interfaces, ports = [], []
    for number, text, driver in faces:
        first, second, third = (int(octet, 16) for octet in text.split("/"))
        interfaces.append(UsbInterface(number, (first, second, third), driver))
        if driver in SERIAL and first != 0x0A:
            name = f"/dev/tty{'ACM' if driver == 'cdc_acm' else 'USB'}{len(ports)}"
            triplet = (first, second, third)
            ports.append(UsbPort(name, "1-1.3", vid, pid, number, triplet, None, product, manufacturer, driver))
    return UsbDevice(
        "1-1.3", vid, pid, 1, 7, None, product, manufacturer, configuration, tuple(interfaces), tuple(ports)
    )


def option(*numbers: int, triplet: str = "ff/00/00") -> list[Face]:
    return [(number, triplet, "option") for number in numbers]


def mixed(*triplets: str) -> list[Face]:
    return [(number, triplet, "option") for number, triplet in enumerate(triplets)]


def acm(*numbers: int) -> list[Face]:
    return [face for n in numbers for face in ((n, "02/02/01", "cdc_acm"), (n + 1, "0a/00/00", "cdc_acm"))]


def asked(examined: Examined) -> list[int]:
    return [port.interface for port in examined.candidates]


# USB id, interfaces, those that may be asked in their order (domain A1).
TABLE: list[tuple[str, list[Face], list[int]]] = [
    ("2c7c:0125", [*option(0, 1, 2, 3), (4, "ff/ff/ff", "qmi_wwan")], [2, 3]),  # EC25, EG25-G
    ("2c7c:0121", [*option(0, 1, 2, 3), (4, "ff/ff/ff", "qmi_wwan")], [2, 3]),  # EC21
    ("2c7c:0191", option(0, 1, 2, 3), [2, 3]),  # EG91
    ("2c7c:0195", option(0, 1, 2, 3), [2, 3]),  # EG95
    ("2c7c:0296", option(0, 1, 2, 3), [2, 3]),  # BG96
    ("2c7c:0306", option(0, 1, 2, 3), [2, 3]),  # EP06, EG06
    ("2c7c:0512", option(0, 1, 2, 3), [2, 3]),  # EG12, EM12
    ("2c7c:0800", option(0, 1, 2, 3), [2, 3]),  # RM500Q
    ("2c7c:0801", option(0, 1, 2, 3), [2, 3]),  # RM520N
    ("2c7c:0128", option(3, 4, 5), [5]),  # EM060K
    ("2c7c:6026", [(0, "02/06/00", "cdc_ether"), *option(2, 3, 4)], [3, 4]),  # EC200T: ttyUSB1
    ("2c7c:6005", [(0, "02/06/00", "cdc_ether"), *option(2, 3, 4)], [3, 4]),  # EC200A
    ("2c7c:6002", option(2, 3, 4), [3, 4]),  # EC200S
    ("2c7c:6001", option(2, 3, 4), [3, 4]),  # EG912Y
    ("2c7c:6007", option(2, 3, 4), [3, 4]),  # EG916Q
    ("2c7c:0901", [(0, "02/06/00", "cdc_ether"), *option(2, 3, 4, 5, 6, 7, 8)], [2, 7]),  # EC200U: logs on others
    ("2c7c:0aaa", option(0, 1, 2, 3, 5), [2, 3, 5]),  # a Quectel that nobody has listed
    ("2c7c:0abc", mixed("ff/ff/30", "ff/ff/40", "ff/ff/60"), [1]),
    ("05c6:9003", option(0, 1, 2, 3), [2, 3]),  # UC20
    ("05c6:9090", option(0, 1, 2, 3), [2, 3]),  # UC15
    ("1e0e:9001", option(0, 1, 2, 3, 4), [2, 3]),  # SIM7000, SIM7100, SIM7500, SIM7600
    ("1e0e:9011", [(0, "e0/01/03", "rndis_host"), *option(2, 3, 4, 5)], [4, 5]),  # A7600E, A7602
    ("1e0e:9205", option(0, 1, 2, 3), [2, 3]),  # SIM7070, SIM7080, SIM7090
    ("1e0e:9206", option(0, 1, 2, 3, 4, 5), [2, 5]),
    ("1e0e:9018", option(0, 1, 2, 3, 4), [2, 3]),  # SIM7600 ECM, driver bound by hand
    ("1e0e:9100", option(0, 1, 2, 3), [3, 1]),  # SIM5216, SIM5218
    ("1e0e:9200", option(0, 1, 2, 3), [3, 1]),
    ("05c6:9000", option(0, 1, 2, 3), [2, 3]),
    ("12d1:1573", mixed("ff/01/01", "ff/01/02", "ff/01/05"), [1, 0]),  # MU609, ME909u
    ("12d1:15c1", mixed("ff/06/10", "ff/06/14", "ff/06/12"), [2, 0]),  # ME909s
    ("12d1:1c25", mixed("ff/02/01", "ff/02/02", "ff/01/14"), [1, 0]),  # MU709
    ("19d2:0117", option(0, 1, 2, triplet="ff/ff/ff"), [2, 1]),  # MF190
    ("19d2:0031", option(0, 1, 2, 3, triplet="ff/ff/ff"), [3, 1]),  # MF627
    ("19d2:0063", option(0, 1, 2, 3, triplet="ff/ff/ff"), [3, 1]),
    ("19d2:2003", option(0, 1, 2, 3, triplet="ff/ff/ff"), [3, 1]),
    ("19d2:0001", option(0, 1, 2, triplet="ff/ff/ff"), [0, 2]),
    ("19d2:0002", option(0, 1, 2, 3, 4, triplet="ff/ff/ff"), [2, 4]),
    ("19d2:0012", option(0, 1, 2, 3, 4, triplet="ff/ff/ff"), [2, 4]),
    ("19d2:0015", option(0, 1, 2, 3, triplet="ff/ff/ff"), [1, 3]),
    ("19d2:0016", option(0, 1, 2, triplet="ff/ff/ff"), [2, 1]),
    ("19d2:0017", option(0, 1, 2, triplet="ff/ff/ff"), [2, 1]),
    ("19d2:0124", option(0, 1, 2, 3, 4, triplet="ff/ff/ff"), [4, 1]),
    ("1546:1107", acm(0, 2, 4, 6, 8, 10), [0, 2, 4]),  # TOBY-R2
    ("1546:110a", acm(0, 2, 4, 6, 8, 10), [0, 2, 4]),  # LARA-R2
    ("1546:1102", acm(0, 2, 4, 6, 8, 10, 12), [0, 2, 4]),  # SARA-U2, LISA-U2
    ("1546:1104", acm(0, 2, 4, 6), [0]),
    ("05c6:90b2", option(0, 1, 2, 3), [2]),  # SARA-R4
    ("05c6:908b", option(0, 1, 2, 3), [1, 2]),  # LARA-R6
    ("1546:1311", option(0, 1, 2, 3), [1, 2]),
    ("1546:1312", option(0, 1, 2, 3), [1, 2]),
    ("1546:1313", option(0, 1, 2, 3), [1, 2]),
    ("1546:1010", acm(2, 4, 6, 8), [6, 2]),  # TOBY-L4
    ("1546:1146", [(0, "e0/01/03", "rndis_host"), *acm(2, 4)], [2, 4]),  # TOBY-L2
    ("1bc7:1031", option(0, 1, 2), [1, 2]),  # LE910C1-EUX
    ("1bc7:1033", option(0, 1, 2), [1, 2]),
    ("1bc7:1201", option(0, 3, 4, 5, 6), [4, 5]),  # LE910C
    ("1bc7:1204", option(0, 4, 5, 6, 7), [5, 6]),
    ("1bc7:1040", option(0, 3, 4, 5, 6), [4, 5]),  # LM9x0, LE922
    ("1bc7:1041", option(0, 4, 5, 6, 7), [5, 6]),
    ("1bc7:1060", option(0, 3, 4, 5, 6), [4, 5]),  # LN920
    ("1bc7:1101", option(0, 1, 2), [1, 2]),  # ME910C1
    ("1bc7:0021", acm(0, 2, 4, 6, 8, 10), [0, 6]),  # HE910, UE910
    ("1199:9071", [(n, "ff/ff/ff", "qcserial") for n in (0, 2, 3)], [3]),  # MC7455
    ("1199:9091", [(n, "ff/ff/ff", "qcserial") for n in (0, 2, 3)], [3]),  # EM7565
    ("1199:9079", [(n, "ff/ff/ff", "qcserial") for n in (0, 2, 3)], [3]),  # EM7455
    ("1199:68c0", [(n, "ff/ff/ff", "qcserial") for n in (0, 2, 3)], [3]),  # RC7611
    ("1199:c001", acm(0, 2, 4), [0, 2]),  # HL7812
    ("2cb7:0007", acm(2, 4, 6), [2, 6]),  # L850-GL
    ("2cb7:01a0", option(2, 3, 4), [2, 3]),  # NL668
    ("2cb7:0104", option(0, 1, 2, 3), [1, 2]),  # FM150
    ("2cb7:0106", option(0, 1, 2), [1, 2]),  # MA510
    ("2cb7:010a", option(0, 1), [0, 1]),
    ("2cb7:01a2", option(2, 3, 4, 5), [2, 3]),  # FM101-GL
    ("2cb7:01a4", option(2, 3, 4, 5, 6), [3]),
    ("2cb7:0115", option(2, 3, 4), [3]),  # FM135
]  # fmt: skip

HUAWEI_STICKS = (
    "1001 1003 1404 1406 140b 140c 1412 1417 141b 1429 1432 1433 1436 14ac 150c 150f 1511 1506 1c05 1c07 1c08 1c10 1c12"
)


@pytest.mark.parametrize(("vid_pid", "faces", "wanted"), TABLE, ids=[row[0] for row in TABLE])
def test_every_row_of_the_table(vid_pid: str, faces: list[Face], wanted: list[int]) -> None:
    found = examine(device(vid_pid, faces))
    assert found.kind is Kind.MODEM
    assert asked(found) == wanted
    assert (found.problem, found.hint) == (None, None)
    assert found.family is not None
    assert found.model is not None
    assert found.model.startswith(found.family)
    others = {port.interface for port, _ in found.left_alone}
    assert others == {port.interface for port in device(vid_pid, faces).ports} - set(wanted)


@pytest.mark.parametrize("pid", HUAWEI_STICKS.split())
def test_huawei_sticks_by_triplet_and_by_the_last_port(pid: str) -> None:
    """Domain A1.2: protocol 2 is the PCUI port; on sticks that say ff/ff/ff it is the last, the first is for data."""
    told = [*option(0, triplet="ff/01/01"), *option(1, triplet="ff/01/03"), *option(2, triplet="ff/01/02")]
    found = examine(device(f"12d1:{pid}", told))
    assert (found.kind, asked(found)) == (Kind.MODEM, [2, 0])
    assert [role for _, role in found.left_alone] == ["diag"]
    found = examine(device(f"12d1:{pid}", option(0, 1, 2, triplet="ff/ff/ff")))
    assert asked(found) == [2, 0]
    assert [(port.interface, role) for port, role in found.left_alone] == [(1, "unknown")]
    assert asked(examine(device(f"12d1:{pid}", option(0, triplet="ff/ff/ff")))) == [0]


@pytest.mark.parametrize(
    ("faces", "wanted"),
    [
        # As usb-devices shows them: E3372h, E3276, E3131, E353.
        ([*option(0, triplet="ff/03/10"), *option(1, triplet="ff/03/12"), (2, "ff/03/16", "huawei_cdc_ncm")], [1, 0]),
        ([*option(0, triplet="ff/02/12"), (1, "ff/02/16", "huawei_cdc_ncm"), (2, "08/06/50", "usb-storage")], [0]),
        ([*option(0, triplet="ff/01/01"), (1, "ff/01/09", "qmi_wwan"), *option(3, triplet="ff/01/03"),
          *option(4, triplet="ff/01/02")], [4, 0]),
        ([*option(0, triplet="ff/03/01"), *option(2, triplet="ff/03/03"), *option(3, triplet="ff/03/02")], [3, 0]),
    ],
)  # fmt: skip
def test_huawei_sticks_as_they_were_seen(faces: list[Face], wanted: list[int]) -> None:
    found = examine(device("12d1:1506", faces))
    assert (found.kind, asked(found)) == (Kind.MODEM, wanted)


def test_a_huawei_that_nobody_has_listed_goes_by_its_triplets() -> None:
    found = examine(device("12d1:15bb", [*option(0, triplet="ff/06/01"), *option(1, triplet="ff/06/02")]))
    assert (found.kind, asked(found), found.model) == (Kind.MODEM, [1, 0], "Huawei other Huawei modems")


@pytest.mark.parametrize(
    ("vid_pid", "driver", "product"),
    [
        ("1a86:7523", "ch341", "USB2.0-Serial"),
        ("1a86:7523", "ch341", "USB Serial"),
        ("1a86:55d4", "cdc_acm", "USB Single Serial"),
        ("10c4:ea60", "cp210x", "CP2102 USB to UART Bridge Controller"),
        ("10c4:ea60", "cp210x", "CP2102N USB to UART Bridge Controller"),
        ("0403:6001", "ftdi_sio", "FT232R USB UART"),
        ("0403:6001", "ftdi_sio", "USB <-> Serial"),
        ("0403:6015", "ftdi_sio", "TTL232R-3V3"),
        ("067b:2303", "pl2303", "USB-Serial Controller D"),
        ("067b:2303", "pl2303", None),
        ("1a86:7523", "ch341", "SIM800C GSM Modem"),
        ("0711:0230", "mct_u232", "USB-Serial Cable"),  # an adapter by its driver
    ],
)
def test_a_serial_adapter_with_a_plain_name_may_be_asked(vid_pid: str, driver: str, product: str | None) -> None:
    found = examine(device(vid_pid, [(0, "ff/01/02", driver)], product=product, manufacturer="QinHeng Electronics"))
    assert (found.kind, asked(found), found.family) == (Kind.ADAPTER, [0], None)
    assert found.problem is None


@pytest.mark.parametrize(
    ("vid_pid", "driver", "product", "manufacturer"),
    [
        ("10c4:ea60", "cp210x", "Sonoff Zigbee 3.0 USB Dongle Plus", "ITead"),
        ("10c4:ea60", "cp210x", "SkyConnect v1.0", "Nabu Casa"),
        ("1a86:55d4", "cdc_acm", "Home Assistant Connect ZBT-1", None),
        ("0403:6015", "ftdi_sio", "ConBee II", "dresden elektronik"),
        ("0403:6001", "ftdi_sio", "EnOcean USB 300 DC", "EnOcean GmbH"),
        ("10c4:ea60", "cp210x", "CP2102 USB to UART Bridge Controller", "Z-Wave.Me"),
        ("067b:2303", "pl2303", "GPS Receiver", "Prolific"),
        ("0403:6001", "ftdi_sio", "USB-RS485 Cable", "FTDI"),
        ("2341:0043", "cdc_acm", "Arduino Uno", "Arduino"),
        ("1546:01a8", "cdc_acm", "u-blox GNSS receiver", "u-blox AG"),
        ("0658:0200", "cdc_acm", None, None),  # a Z-Wave stick without a name
        ("1a6e:089a", "cdc_acm", "RFXtrx433", None),
        ("04b8:0202", "cdc_acm", "TM-T88 Printer", "EPSON"),
    ],
)  # fmt: skip
def test_what_says_that_it_is_something_else_is_nobodys_business(
    vid_pid: str, driver: str, product: str | None, manufacturer: str | None
) -> None:
    found = examine(device(vid_pid, [(0, "02/02/01", driver)], product=product, manufacturer=manufacturer))
    assert (found.kind, found.candidates, found.problem) == (Kind.OTHER, (), None)
    assert len(found.left_alone) == 1


def test_an_unknown_stick_offers_the_ports_that_are_safest_to_ask() -> None:
    faces = [(n, "ff/ff/ff", "option") for n in range(5)]
    faces += [(5, "ff/ff/30", "option"), (6, "ff/42/01", "option")]
    found = examine(device("9999:0001", faces))
    assert (found.kind, found.family) == (Kind.UNKNOWN, None)
    assert asked(found) == [2, 3, 4, 1, 0], "DIAG and GPS are mostly the first two"
    assert [(port.interface, role) for port, role in found.left_alone] == [(5, "diag"), (6, "adb")]
    found = examine(device("9999:0002", [*acm(0, 2), (4, "02/02/00", "cdc_acm")]))
    assert asked(found) == [0, 2], "the third does not say that it speaks AT"
    found = examine(device("9999:0003", [(0, "ff/ff/ff", "usbserial_generic")]))
    assert asked(found) == [0], "somebody bound it by hand"
    assert found.delay == 0.0


def test_an_unknown_device_that_the_kernel_takes_for_a_modem_is_one_whatever_it_is_called() -> None:
    assert examine(device("9999:0004", option(2), product="LTE Radio")).kind is Kind.UNKNOWN
    assert examine(device("9999:0004", acm(0), product="LTE Radio")).kind is Kind.OTHER


@pytest.mark.parametrize("pid", ["1141", "1143", "1146", "1010"])
def test_toby_is_given_its_twenty_seconds(pid: str) -> None:
    assert examine(device(f"1546:{pid}", acm(2, 6))).delay == 20.0
    assert examine(device("2c7c:0125", option(0, 1, 2, 3))).delay == 0.0


HILINK = (
    "HiLink firmware: no AT commands, no SMS through it",
    "it has a web interface and no serial port; use a stick with serial firmware, or change its firmware",
)
CDROM = "shows itself as a CD-ROM, not yet as a modem"
SWITCH = "install usb-modeswitch (sudo apt install usb-modeswitch), then plug it in again"


@pytest.mark.parametrize("pid", ["14db", "14dc", "155e"])
def test_hilink_is_said_and_never_asked(pid: str) -> None:
    found = examine(device(f"12d1:{pid}", [(0, "02/06/00", "cdc_ether"), *option(2, 3)]))
    assert (found.kind, found.family, found.candidates) == (Kind.HILINK, "Huawei", ())
    assert (found.problem, found.hint) == HILINK
    assert len(found.left_alone) == 2


@pytest.mark.parametrize(
    ("vid_pid", "face"),
    [
        ("12d1:15f0", (0, "02/06/00", "cdc_ether")),
        ("12d1:15f0", (0, "02/0d/00", "cdc_ncm")),
        ("19d2:1405", (0, "02/06/00", "cdc_ether")),
        ("19d2:1557", (0, "e0/01/03", "rndis_host")),
        ("3566:2001", (0, "e0/01/03", "rndis_host")),
    ],
)
def test_a_stick_that_is_a_network_card_alone_is_hilink_by_another_number(vid_pid: str, face: Face) -> None:
    found = examine(device(vid_pid, [face, (2, "08/06/50", "usb-storage")]))
    assert (found.kind, found.problem, found.hint) == (Kind.HILINK, *HILINK)


INITIAL = (
    "12d1:14fe 12d1:1446 12d1:1505 12d1:14b5 12d1:14ba 12d1:1557 12d1:157c 12d1:157d 12d1:15ca 12d1:15cd 12d1:15ce "
    "12d1:15cf 12d1:15d2 12d1:15e7 12d1:1c0b 12d1:1c24 19d2:2000 19d2:0154 19d2:0149 19d2:1224"
)


@pytest.mark.parametrize("vid_pid", INITIAL.split())
def test_a_stick_that_was_not_switched_names_the_program_that_does(vid_pid: str) -> None:
    """Domain A1.6."""
    found = examine(device(vid_pid, [(0, "08/06/50", "usb-storage")]))
    assert (found.kind, found.problem, found.hint) == (Kind.CDROM, CDROM, SWITCH)


def test_1f01_may_come_back_as_hilink() -> None:
    found = examine(device("12d1:1f01", [(0, "08/06/50", "usb-storage")]))
    after = "if it then comes back as 12d1:14db or 12d1:14dc, it has HiLink firmware and no serial port"
    assert (found.kind, found.problem, found.hint) == (Kind.CDROM, CDROM, f"{SWITCH}; {after}")


def test_brovi_is_switched_in_its_own_way() -> None:
    found = examine(device("3566:2001", [(0, "08/06/50", "usb-storage")]))
    assert (found.kind, found.problem) == (Kind.CDROM, CDROM)
    assert found.hint == f"{SWITCH}; this one is switched with `sudo usb_modeswitch -v 3566 -p 2001 -X`"
    switched = [(0, "ff/03/12", "usbserial_generic"), (1, "ff/03/13", "usbserial_generic")]
    assert asked(examine(device("3566:2001", switched))) == [0]


def test_any_stick_of_a_modem_maker_that_is_a_cd_rom_alone_waits_to_be_switched() -> None:
    found = examine(device("19d2:1515", [(0, "08/06/50", "usb-storage")]))
    assert (found.kind, found.problem, found.hint) == (Kind.CDROM, CDROM, SWITCH)


@pytest.mark.parametrize("pid", ["9008", "900e"])
def test_recovery_mode_is_never_opened(pid: str) -> None:
    found = examine(device(f"05c6:{pid}", [(0, "ff/ff/ff", "qcserial")]))
    assert (found.kind, found.candidates) == (Kind.RECOVERY, ())
    assert found.problem == "is in Qualcomm's recovery mode"
    assert found.hint == (
        "do not open its port; leave it unplugged for a minute, and if it comes back so, it needs its maker's tool"
    )
    assert [role for _, role in found.left_alone] == ["firehose"]


@pytest.mark.parametrize(
    ("vid_pid", "faces", "problem", "hint"),
    [
        (
            "1199:9071", [(12, "02/0e/00", "cdc_mbim"), (13, "0a/00/02", "cdc_mbim")],
            "shows a network interface (MBIM) and no AT port",
            "choose a composition with an AT port: `sudo qmicli -p -d /dev/cdc-wdm0 --dms-swi-set-usb-composition=8` "
            "for MBIM, 6 for QMI, or AT!USBCOMP on another port",
        ),
        (
            "2c7c:0125", [(4, "ff/ff/ff", "qmi_wwan")],
            "shows a network interface (QMI) and no AT port",
            'choose a composition with serial ports: AT+QCFG="usbnet",0 on its UART, then restart it',
        ),
        (
            "12d1:15c1", [(0, "02/0e/00", "cdc_mbim"), *option(2, triplet="ff/06/14")],
            "shows a network interface (MBIM) and no AT port",
            "choose the USB configuration that has the serial ports: `echo 1 | sudo tee "
            "/sys/bus/usb/devices/1-1.3/bConfigurationValue`, with 2 or 3 if 1 does not help",
        ),
        (
            "1bc7:1204", [(2, "02/0e/00", "cdc_mbim")],
            "shows a network interface (MBIM) and no AT port",
            "choose a composition with serial ports with AT#USBCFG on its UART, then restart it",
        ),
        (
            "2cb7:0007", [(0, "02/0e/00", "cdc_mbim")],
            "shows a network interface (MBIM) and no AT port",
            "choose a composition with serial ports with AT+GTUSBMODE on its UART, then restart it",
        ),
        (
            "1546:1104", [(0, "02/06/00", "cdc_ether")],
            "shows a network interface (Ethernet) and no AT port",
            "AT+UUSBCONF=0 on its UART brings the usual serial ports back; restart it then",
        ),
        (
            "8087:095a", [(0, "02/0e/00", "cdc_mbim")],
            "a mobile network card that shows no AT port",
            "choose a composition with an AT port, with its maker's tool or AT command",
        ),
    ],
)  # fmt: skip
def test_a_network_card_without_an_at_port_says_how_to_get_one(
    vid_pid: str, faces: list[Face], problem: str, hint: str
) -> None:
    found = examine(device(vid_pid, faces))
    assert (found.kind, found.candidates) == (Kind.NO_AT, ())
    assert (found.problem, found.hint) == (problem, hint)


NO_DRIVER = "the kernel has no driver for its serial ports"


@pytest.mark.parametrize(
    ("vid_pid", "faces", "hint"),
    [
        (
            "2c7c:6005", [(0, "02/06/00", "cdc_ether"), (2, "ff/00/00", None), (3, "ff/00/00", None)],
            "sudo modprobe option; echo 2c7c 6005 ff | sudo tee /sys/bus/usb-serial/drivers/option1/new_id",
        ),
        (
            "1e0e:9018", [(n, "ff/00/00", None) for n in range(5)] + [(5, "02/06/00", "cdc_ether")],
            "sudo modprobe option; echo 1e0e 9018 ff | sudo tee /sys/bus/usb-serial/drivers/option1/new_id; "
            "or AT+CUSBPIDSWITCH=9001,1,1 on its UART, which brings the usual ports back",
        ),
        ("12d1:1506", [(0, "ff/02/12", None)],
         "sudo modprobe option; echo 12d1 1506 ff | sudo tee /sys/bus/usb-serial/drivers/option1/new_id"),
        ("1546:110a", [(0, "02/02/01", None), (2, "02/02/01", None)], "sudo modprobe cdc_acm"),
    ],
)  # fmt: skip
def test_ports_without_a_driver_say_which(vid_pid: str, faces: list[Face], hint: str) -> None:
    found = examine(device(vid_pid, faces))
    assert (found.kind, found.problem, found.hint) == (Kind.MODEM, NO_DRIVER, hint)


def test_the_wrong_configuration_says_the_right_one() -> None:
    found = examine(device("12d1:1573", [(0, "02/0e/00", "cdc_mbim")], configuration=3))
    assert (found.kind, found.problem) == (Kind.MODEM, "is in USB configuration 3; its serial ports are in 1")
    assert found.hint == "echo 1 | sudo tee /sys/bus/usb/devices/1-1.3/bConfigurationValue"
    working = [*option(0, triplet="ff/01/01"), *option(1, triplet="ff/01/02")]
    assert examine(device("12d1:1573", working, configuration=3)).problem is None


@pytest.mark.parametrize(
    ("found", "problem", "hint"),
    [
        (
            examine(device("2c7c:0125", configuration=None)),
            "the kernel has not set it up",
            "it may get too little power: use a powered hub, then plug it in again",
        ),
        (
            examine(device("2c7c:0125", option(0, 1))),
            "none of its serial ports is known to speak AT",
            "name its AT port under `modems:` if you know it, and send us what `sms-bridge modems --report` writes",
        ),
        (
            examine(device("2c7c:0125", [(2, "ff/00/00", "qmi_wwan_q")])),
            "shows no serial port",
            "unplug it and plug it in again, at a powered hub; `dmesg` may say what is wrong",
        ),
        (
            examine(device("1a86:7523", [(0, "ff/01/02", None)], product="USB Serial")),
            "a serial adapter without a port",
            "another program takes it (often brltty: sudo apt remove brltty), or the kernel lacks its driver",
        ),
        (
            examine(device("0403:6001", [(0, "ff/ff/ff", "ftdi_sio")], product="Alarm Panel")),
            "a serial adapter whose name does not say that a modem is behind it; it is not asked",
            "if there is one, name its port under `modems:`",
        ),
    ],
)  # fmt: skip
def test_every_other_fault_has_its_sentence(found: Examined, problem: str, hint: str) -> None:
    assert found.candidates == ()
    assert (found.problem, found.hint) == (problem, hint)


@pytest.mark.parametrize(
    "seen",
    [
        device("046d:c52b", [(0, "03/01/01", "usbhid")]),
        device("12d1:107e", [(0, "06/01/01", None), (1, "ff/42/01", None)]),  # a telephone
        device("0bda:8153", [(0, "ff/ff/00", "r8152")]),
        device("9999:0001", []),
        device("9999:0001", [(0, "08/06/50", "usb-storage")]),
        device("9999:0001", [(0, "02/06/00", "cdc_ether")]),
    ],
)
def test_keyboards_telephones_and_disks_are_nobodys_business(seen: UsbDevice) -> None:
    assert examine(seen) == Examined(Kind.OTHER, None, (), (), None, None, 0.0)


numbers = st.integers(0, 12)
octets = st.sampled_from(
    ["ff/ff/ff", "ff/00/00", "ff/ff/30", "ff/ff/40", "ff/ff/60", "ff/01/02", "ff/01/03", "02/02/01"]
)
drivers = st.sampled_from([None, "option", "qcserial", "cdc_acm", "qmi_wwan", "usb-storage", "ch341"])
listed = st.sampled_from([number for family in profiles.shipped() for model in family.models for number in model.ids])


@given(listed, st.dictionaries(numbers, st.tuples(octets, drivers), max_size=7), st.none() | st.text(max_size=20))
def test_no_port_that_is_known_to_be_something_else_is_ever_offered(
    ids: tuple[int, int | None], layout: dict[int, tuple[str, str | None]], product: str | None
) -> None:
    vid, pid = ids
    seen = device(
        f"{vid:04x}:{0xABCD if pid is None else pid:04x}",
        [(number, triplet, driver) for number, (triplet, driver) in layout.items()],
        product=product,
    )
    found = examine(seen)
    offered = {port.interface for port in found.candidates}
    assert sorted([*offered, *(port.interface for port, _ in found.left_alone)]) == sorted(
        port.interface for port in seen.ports
    )
    known = profiles.by_usb(seen.vid, seen.pid)
    assert known is not None
    if not known[1].is_rest:  # there, a triplet that says AT may overrule the number
        assert not {number for number, role in known[1].ports.items() if role in DANGEROUS} & offered
    if found.kind is not Kind.ADAPTER:
        assert not {port.triplet for port in found.candidates} & {(0xFF, 0xFF, 0x30), (0xFF, 0xFF, 0x60)}
    assert not (found.kind in (Kind.HILINK, Kind.CDROM, Kind.RECOVERY, Kind.OTHER, Kind.NO_AT) and offered)
    assert bool(found.candidates) == (found.problem is None) or found.kind is Kind.OTHER
