"""One line per real device: what the modem said and what it means."""

from __future__ import annotations

import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.at import counters, parsers
from hardware.at.parsers import CellState, Operator, StoragePointer, StorageUse, StoredMessage
from hardware.types import Access, Registration

PDU = "07916303899830F8040B916303214365F700004221120291718004D4F29C0E"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('+CMTI: "SM",3', StoragePointer("SM", 3)),  # SIM800L
        ('+CMTI: "ME",0', StoragePointer("ME", 0)),  # Huawei E3531, counted from 0
        ("+CMTI: SM,12", StoragePointer("SM", 12)),  # ZTE MF190, unquoted
        ('+CMTI:"MT",7', StoragePointer("MT", 7)),  # Nokia, no blank
        ('+CMTI: "SM",1,"MMS PUSH",2,1', StoragePointer("SM", 1)),  # SIM900 on an MMS notification
        ('+CDSI: "SR",4', StoragePointer("SR", 4)),  # EC25
        ('+cmti: "SM",3', None),
        ('+CMTI: "SM"', None),
        ('+CMTI: "SM",-1', None),
        ('+CMTI: "../x",1', None),
        ("+CMTI:", None),
        ('+CMT: "SM",3', None),
    ],
)
def test_storage_pointers(line: str, expected: StoragePointer | None) -> None:
    assert parsers.cmti(line) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("+CMT: ,24", 24),  # EC25
        ('+CMT: "",159', 159),  # SARA-R4
        ('+CMT: "Anna",30', 30),  # phone-book name
        ("+CDS: 25", 25),  # SIM800L
        ("+CDS:26", 26),  # Wavecom
        ('+CMT: "+3630","","22/11/24,19:00:00+04"', None),  # text mode
        ("+CDS: 9999", None),
        ("+CDSI: 3", None),
    ],
)
def test_routed_messages_announce_octets(line: str, expected: int | None) -> None:
    assert parsers.routed_length(line) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("+CREG: 0,1", CellState("CREG", 1, Registration.HOME)),  # SIM800L, asked
        ("+CREG: 2", CellState("CREG", 2, Registration.SEARCHING)),  # URC with n=1
        (
            '+CREG: 2,1,"1A2B","01CD2F3A",7',
            CellState("CREG", 1, Registration.HOME, Access.LTE, "1A2B", "01CD2F3A"),
        ),  # SIM7600, asked
        (
            '+CREG: 5,"00C8","E4B1",2',
            CellState("CREG", 5, Registration.ROAMING, Access.UMTS, "00C8", "E4B1"),
        ),  # EC25, URC
        (
            "+CREG: 2,1, 1A2B, 1CD2F3A",
            CellState("CREG", 1, Registration.HOME, None, "1A2B", "1CD2F3A"),
        ),  # Huawei E173: unquoted with blanks
        (
            "+CREG: 1,9210,00F3B1C5",
            CellState("CREG", 1, Registration.HOME, None, "9210", "00F3B1C5"),
        ),  # unquoted URC whose area is all digits
        ('+CEREG: 1,"0001","01A2D001",7', CellState("CEREG", 1, Registration.HOME, Access.LTE, "0001", "01A2D001")),
        ("+CEREG: 4,0", CellState("CEREG", 0, Registration.NOT_REGISTERED)),
        ("+CGREG: 0,5", CellState("CGREG", 5, Registration.ROAMING)),
        ("+CREG: 2,6", CellState("CREG", 6, Registration.SMS_ONLY)),
        ("+C5GREG: 2,1", CellState("C5GREG", 1, Registration.HOME)),
        ("+CREG: 0,3", CellState("CREG", 3, Registration.DENIED)),
        ("+CREG: 99", None),
        ("+CREG: ,", None),
        ("+CREG", None),
        ("+CRXG: 0,1", None),
    ],
)
def test_registration(line: str, expected: CellState | None) -> None:
    assert parsers.creg(line) == expected


def test_packet_attachment_alone_carries_no_sms() -> None:
    lines = ("+CGREG: 0,1", "+CREG: 0,1", "+CEREG: 0,5", "+CREG: 0,6", "+CREG: 0,3")
    verdicts = {line: state.carries_sms for line in lines if (state := parsers.creg(line)) is not None}
    assert verdicts == {
        "+CGREG: 0,1": False, "+CREG: 0,1": True, "+CEREG: 0,5": True, "+CREG: 0,6": True, "+CREG: 0,3": False,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("line", "dbm"),
    [
        ("+CSQ: 18,99", -77),
        ("+CSQ: 0,0", -113),
        ("+CSQ:31, 99", -51),
        ("+CSQ: 99,99", None),
        ("+CSQ: 150,99", -66),  # TD-SCDMA
        ("+CSQ: ", None),
        ("+CESQ: 99,99,255,255,20,57", -84),  # LTE
        ("+CESQ: 30,0,255,255,255,255", -81),  # GSM
        ("+CESQ: 99,99,41,20,255,255", -80),  # UMTS
        ("+CESQ: 99,99,255,255,255,255,30,40,60", -117),  # NR
        ("+CESQ: 99,99,255,255,255,255", None),
    ],
)
def test_signal_is_unknown_or_a_level(line: str, dbm: int | None) -> None:
    assert parsers.signal(line) == dbm


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('+COPS: 0,0,"Telekom HU",7', Operator(0, "Telekom HU", Access.LTE)),
        ('+COPS: 0,2,"21630",0', Operator(0, "21630", Access.GSM)),
        ("+COPS: 0", Operator(0, None, None)),  # searching
        ('+COPS: 1,0,"0054002D004D006F00620069006C0065",2', Operator(1, "T-Mobile", Access.UMTS)),  # CSCS="UCS2"
        ('+COPS: 0,0,"One, Two"', Operator(0, "One, Two", None)),  # a comma inside
        ("+COPS: x", None),
    ],
)
def test_operator(line: str, expected: Operator | None) -> None:
    assert parsers.cops(line) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("+CPMS: 1,20,1,20,1,20", (StorageUse(None, 1, 20),) * 3),  # set
        (
            '+CPMS: "SM",1,20,"ME",3,255,"SM",1,20',
            (StorageUse("SM", 1, 20), StorageUse("ME", 3, 255), StorageUse("SM", 1, 20)),
        ),
        ('+CPMS: "SM",10,10', (StorageUse("SM", 10, 10),)),
        ("+CPMS: 0,255", (StorageUse(None, 0, 255),)),
        ('+CPMS: "SM",,20', None),
        ("+CPMS:", None),
    ],
)
def test_storage_use(line: str, expected: tuple[StorageUse, ...] | None) -> None:
    assert parsers.cpms(line) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('+CPMS: ("SM","ME"),("SM","ME"),("SM","ME")', (("SM", "ME"),) * 3),  # SIM800L
        ('+CPMS: ("ME","MT","SM","SR"),("ME","MT","SM","SR"),("ME","MT","SM","SR")', (("ME", "MT", "SM", "SR"),) * 3),
        ('+CPMS: ("SM"),("SM"),("SM","BM")', (("SM",), ("SM",), ("SM", "BM"))),  # SARA
        ("+CPMS: (SM,ME),(SM),(SM)", (("SM", "ME"), ("SM",), ("SM",))),
        ('+CPMS: "SM",1,20', None),
    ],
)
def test_storages_on_offer(line: str, expected: tuple[tuple[str, ...], ...] | None) -> None:
    assert parsers.cpms_storages(line) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("+CPIN: READY", "READY"),
        ("+CPIN:READY", "READY"),
        ("+CPIN: SIM PIN", "SIM PIN"),
        ('+CPIN: "SIM PUK"', "SIM PUK"),
        ("+CPIN: sim  pin2 ", "SIM PIN2"),
        ("+CPIN: ", None),
        ("+CPIN", None),
    ],
)
def test_pin_state(line: str, expected: str | None) -> None:
    assert parsers.cpin(line) == expected


def test_cnmi() -> None:
    assert parsers.cnmi("+CNMI: 2,1,0,2,0") == (2, 1, 0, 2, 0)
    assert parsers.cnmi("+CNMI: 2,1") == (2, 1)
    assert parsers.cnmi("+CNMI: a,b") is None
    modes = parsers.cnmi_modes("+CNMI: (0-2),(0-3),(0,2,3),(0-2),(0,1)")
    assert modes == tuple(map(frozenset, ({0, 1, 2}, {0, 1, 2, 3}, {0, 2, 3}, {0, 1, 2}, {0, 1})))
    assert parsers.cnmi_modes("+CNMI: 2,1,0,0,0") is None
    assert parsers.cmms_modes("+CMMS: (0-2)") == frozenset({0, 1, 2})
    assert parsers.csms_services("+CSMS: (0,1)") == frozenset({0, 1})
    assert parsers.cscs_sets('+CSCS: ("IRA","GSM","UCS2")') == ("IRA", "GSM", "UCS2")


def test_listing_reads_every_message_and_says_what_it_could_not() -> None:
    lines = ["+CMGL: 0,1,,24", PDU, '+CMGL: 3,0,"Anna",24', PDU.lower(), "+CMGL: 4,1,,0", "+CMGL: 5,1,,30"]
    listing = parsers.cmgl([*lines, "+CMGL: 6,1,,24", PDU])
    assert [(m.index, m.pdu) for m in listing.messages] == [(0, PDU), (3, PDU), (4, ""), (6, PDU)]
    assert listing.refused == ("+CMGL: 5,1,,30",)


def test_listing_in_text_mode_is_refused_not_guessed() -> None:
    listing = parsers.cmgl(['+CMGL: 1,"REC READ","+36301234567",,"24/11/22,19:00:00+04"', "Hello there"])
    assert listing.messages == ()
    assert len(listing.refused) == 1
    assert parsers.cmgl([]) == parsers.Listing((), ())


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["+CMGR: 1,,24", PDU], StoredMessage(None, 1, 24, PDU)),  # SIM800L
        (['+CMGR: 0,"",24', PDU.lower()], StoredMessage(None, 0, 24, PDU)),
        (["+CMGR: 0,,0"], StoredMessage(None, 0, 0, "")),  # Wavecom, an empty slot
        (["+CMGR: 0,,0", ""], StoredMessage(None, 0, 0, "")),
        (["+CMGR: 1,,24", "not hex"], None),
        (['+CMGR: "REC READ","+36301234567",,"24/11/22,19:00:00+04"', "Hello"], None),
        ([], None),
    ],
)
def test_one_message(lines: list[str], expected: StoredMessage | None) -> None:
    assert parsers.cmgr(lines) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('+CSCA: "+36309888000",145', "+36309888000"),
        ('+CSCA: "36309888000",145', "+36309888000"),
        ('+CSCA: "06309888000",129', "06309888000"),
        ('+CSCA: "002B00330036003300300039003800380038003000300030",145', "+36309888000"),  # CSCS="UCS2"
        ('+CSCA: "",129', ""),
        ('+CSCA: "abc",129', None),
    ],
)
def test_service_centre(line: str, expected: str | None) -> None:
    assert parsers.csca(line) == expected


@pytest.mark.parametrize(
    ("lines", "digits", "valid"),
    [
        (["490154203237518"], "490154203237518", True),
        (['+CGSN: "490154203237518"'], "490154203237518", True),
        (["Huawei", "Model: E173", "IMEI: 490154203237518"], "490154203237518", True),
        (["123456789012345", "490154203237518"], "490154203237518", True),
        (["123456789012345"], "123456789012345", False),  # a clone's IMEI: still an identity
    ],
)
def test_imei(lines: list[str], digits: str, valid: bool) -> None:
    assert parsers.imei(lines) == parsers.ImeiText(digits, valid)


def test_no_imei() -> None:
    assert parsers.imei(["ERROR", "1234567890123456"]) is None


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("8936200000123456789", "8936200000123456789"),  # SIM800L, bare
        ("+CCID: 89362000001234567890", "89362000001234567890"),
        ('+CCID: "8936200000123456789F"', "8936200000123456789"),  # Wavecom
        ("+QCCID: 8936200000123456789F", "8936200000123456789"),  # EC25
        ("+ICCID: 89362000001234567890", "89362000001234567890"),  # SIM7600
        ("^ICCID: 98632000001032547698", "89360200000123456789"),  # Huawei, swapped
        ("#CCID: 8936200000123456789", "8936200000123456789"),  # Telit
        ('+CRSM: 144,0,"98630200002143658709"', "89362000001234567890"),
        ('+CRSM: 106,130,""', None),
        ("+CCID: 1234", None),
        ("490154203237518", None),
    ],
)
def test_iccid(line: str, expected: str | None) -> None:
    assert parsers.iccid([line]) == expected


def test_the_rest() -> None:
    assert parsers.imsi(["+CIMI: 216301234567890"]) == "216301234567890"
    assert parsers.imsi(["ERROR"]) is None
    assert parsers.cnum('+CNUM: "","36301234567",145') == "+36301234567"
    assert parsers.cnum('+CNUM: "",""') is None
    assert parsers.info_text(["", '+CGMM: "E3372"'], "+CGMM") == "E3372"
    assert parsers.info_text([], "+CGMM") is None


@pytest.mark.parametrize(
    ("line", "pin", "puk"),
    [
        ('+CSIM: 4,"63C3"', 3, 3),  # TS 27.007 8.17; which of the two was asked for stands in the question
        ('+CSIM: 4,"6983"', 0, 0),
        ('+CSIM: 4,"9000"', None, None),
        ("^CPIN: SIM PIN,3,10,3,10,3", 3, 10),  # Huawei
        ("^CPIN: SIM PUK,9,9,0,10,3", 0, 9),
        ('+QPINC: "SC",2,10', 2, 10),  # Quectel
        ('+QPINC: "P2",3,10', None, None),
        ("+SPIC: 3,10,0,10", 3, 10),  # SIMCom
        ("+UPINCNT: 1,3,9,10", 1, 9),  # u-blox
        ("#PCT: 3", 3, 3),  # Telit
        ("+CPINC: 3,3,10,10", 3, 10),  # Sierra
        ("+EPINC: 3,3,10,10", 3, 10),  # MediaTek
        ("+CPINC: 3", 3, None),
        ("+CPINC: 16", None, None),
        ("+CPINC:", None, None),
        ("+CPINC", None, None),
    ],
)
def test_attempts_left(line: str, pin: int | None, puk: int | None) -> None:
    assert counters.attempts_left(line) == pin
    assert counters.attempts_left(line, puk=True) == puk


@pytest.mark.parametrize(("line", "level"), [("+CFUN: 1", 1), ("+CFUN: 4,0", 4), ("+CFUN: ", None), ("+CSQ: 1", None)])
def test_functionality(line: str, level: int | None) -> None:
    assert counters.functionality_level(line) == level


@pytest.mark.parametrize(
    ("line", "storage"),
    [
        ('^SMMEMFULL: "SM"', "SM"),  # Huawei
        ("^SMMEMFULL", ""),
        ('+QIND: "smsfull","ME"', "ME"),  # Quectel
        ('+QIND: "csq",20,99', None),
        ("+CSQ: 1,1", None),
    ],
)
def test_memory_full(line: str, storage: str | None) -> None:
    assert parsers.memory_full(line) == storage


_LINE_PARSERS = [
    parsers.cmti, parsers.routed_length, parsers.creg, parsers.signal, parsers.cops, parsers.cpms,
    parsers.cpms_storages, parsers.cpin, parsers.cnmi, parsers.cnmi_modes, parsers.cmms_modes,
    parsers.csms_services, parsers.cscs_sets, parsers.creg_is_answer, parsers.csca,
    parsers.cnum, counters.attempts_left, counters.functionality_level, parsers.memory_full,
    parsers.fields, parsers.luhn_ok,
]  # fmt: skip
_LIST_PARSERS = [parsers.cmgl, parsers.cmgr, parsers.imei, parsers.imsi, parsers.iccid]
_PREFIXES = ["", *(f"{p}: " for p in (
    "+CMTI", "+CDSI", "+CMT", "+CDS", "+CREG", "+CEREG", "+CSQ", "+CESQ", "+COPS", "+CPMS", "+CPIN", "+CNMI", "+CMMS",
    "+CSMS", "+CSCS", "+CMGL", "+CMGR", "+CSCA", "+CNUM", "+CSIM", "+QPINC", "^CPIN", "+SPIC", "+CFUN",
    "^SMMEMFULL", "+QIND", "+CRSM", "+CCID",
))]  # fmt: skip
_TEXT = st.builds(
    lambda prefix, rest: prefix + rest,
    st.sampled_from(_PREFIXES),
    st.one_of(st.text(max_size=60), st.text(alphabet='0123456789,"()-FSMERA+ ', max_size=60)),
)


@given(_TEXT)
def test_no_text_breaks_a_line_parser(text: str) -> None:
    for parser in _LINE_PARSERS:
        parser(text)


@given(st.lists(_TEXT, max_size=6))
def test_no_lines_break_a_list_parser(lines: list[str]) -> None:
    for parser in _LIST_PARSERS:
        parser(lines)
    parsers.info_text(lines, "+CGMM")


def test_every_parser_is_under_fire() -> None:
    covered = {*_LINE_PARSERS, *_LIST_PARSERS, parsers.info_text}
    public = {getattr(module, name) for module in (parsers, counters) for name in module.__all__}
    assert {f.__name__ for f in public if inspect.isfunction(f)} == {f.__name__ for f in covered}
