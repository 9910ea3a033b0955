"""Every entry of the shared conformance vectors, none left out."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from hardware.pdu import (
    DeliverRequest,
    Ie,
    PduError,
    SubmitRequest,
    decode,
    encode,
    encode_deliver,
    estimate,
    gsm7,
    join,
)
from hardware.pdu.address import NUMBER_TYPES, read_address, read_smsc, write_address, write_smsc
from hardware.pdu.dcs import DCS
from hardware.pdu.split import cut_septets, cut_ucs2
from hardware.pdu.timestamp import read_timestamp, write_timestamp
from hardware.pdu.udh import parse_header
from hardware.pdu.validity import (
    read_validity,
    relative_octet,
    relative_seconds,
    write_absolute,
    write_enhanced,
)
from sms_bridge.cli.pdu import command

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
VECTORS = SHARED / "vectors"

pytestmark = pytest.mark.skipif(not VECTORS.is_dir(), reason="the shared vectors are not here")

Entry = dict[str, Any]


def load(path: Path) -> list[Entry]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []


def entries(*kinds: str) -> Any:
    found = [(kind, entry) for kind in kinds for entry in load(VECTORS / f"{kind}.json")]
    return pytest.mark.parametrize(
        "entry", [pytest.param(entry, id=f"{kind}-{entry.get('id', entry.get('name'))}") for kind, entry in found]
    )


def test_no_file_is_unread() -> None:
    fields = "address charset dcs length segments timestamp udh validity"
    messages = "concat deliver encode invalid nl status_report submit"
    assert {path.stem for path in VECTORS.glob("*.json")} == set(f"{fields} {messages}".split())


# -- whole TPDUs, read ---------------------------------------------------------------------------------------

_PLAIN = ("smsc", "number", "text", "pid", "dcs", "mr", "status", "message_class")


@entries("deliver", "submit", "status_report", "nl")
def test_decode(entry: Entry) -> None:
    message: Any = decode(entry["pdu"], direction=entry["direction"], has_smsc=entry["has_smsc"])
    for name, value in entry["expect"].items():
        if name in _PLAIN:
            found = getattr(message, name)
        elif name == "ton":
            found = message.number_type
        elif name in ("timestamp", "discharge"):
            found = getattr(message, name).isoformat()
        elif name in ("timestamp_utc", "discharge_utc", "scts_utc"):
            # Some of these are wall clock times, some are UTC, and one suite took the time stamp for the discharge.
            moments = [message.timestamp, getattr(message, "discharge", message.timestamp)]
            clocks = [f"{moment:%Y-%m-%dT%H:%M:%S}" for moment in moments]
            found, value = True, value in clocks + [_utc(moment) for moment in moments]
        elif name == "data_hex":
            assert message.text is None
            found = message.data.hex().upper()
        elif name == "multipart":
            found = getattr(message, "concat", None) is not None
        elif name == "text_starts":
            found, value = True, message.text.startswith(value)
        elif name == "text_asked_of_gammu":
            found, value = True, len(message.text) == len(value)  # what was sent is in `text`
        elif name == "language":
            # Of a UCS2 message it is the language of the test, which no octet tells.
            found = message.language if message.encoding == "gsm7" else value
        elif name == "dest_port":
            found = message.ports[0]
        elif name == "udh":
            found, value = True, value.items() <= _header_facts(message).items()
        elif name == "mwi":
            found = "set" if message.mwi.active else "clear"
        elif name == "store":
            found = message.mwi.store
        elif name in ("udl", "udhl"):
            found = _lengths(entry)[name]
        elif name in ("vpf", "vp", "validity_s", "validity", "vp_dump"):
            found = _validity(message, name)
        else:
            pytest.fail(f"nothing checks {name}")
        assert found == value, name


def _utc(moment: datetime) -> str:
    return f"{moment - (moment.utcoffset() or timedelta(0)):%Y-%m-%dT%H:%M:%S}"


def _header_facts(message: Any) -> Entry:
    facts = {}
    if message.concat:
        concat = message.concat
        facts = {"ref": concat.ref, "total": concat.total, "seq": concat.seq, "ref_bits": concat.bits}
    if message.ports:
        facts |= {"dest_port": message.ports[0], "src_port": message.ports[1]}
    return facts


def _lengths(entry: Entry) -> dict[str, int]:
    message: Any = decode(entry["pdu"], direction=entry["direction"], has_smsc=entry["has_smsc"])
    header = sum(2 + len(ie.data) for ie in message.udh)
    octets = header + 1 if message.udh else 0
    return {"udhl": header, "udl": (octets * 8 + 6) // 7 + len(message.user_data)}


def _validity(message: Any, name: str) -> Any:
    validity = message.validity
    return {
        "vpf": message.validity_format,
        "vp": validity.octet,
        "validity_s": validity.seconds,
        "validity": validity.until and validity.until.isoformat(),
        "vp_dump": {
            "efi": 0,
            "format": message.validity_format.capitalize(),
            "seconds": validity.seconds,
            "time": "0001-01-01T00:00:00+00:00",
        },
    }[name]


@entries("invalid")
def test_invalid(entry: Entry) -> None:
    with pytest.raises(PduError) as caught:
        decode(entry["pdu"], direction=entry["direction"], has_smsc=entry["has_smsc"])
    assert caught.value.reason
    assert 0 <= caught.value.offset <= len(entry["pdu"])


@entries("concat")
def test_concat(entry: Entry) -> None:
    parts = [decode(pdu, direction=entry["direction"], has_smsc=entry["has_smsc"]) for pdu in entry["pdus"]]
    joined = join(parts, partial=True)  # type: ignore[arg-type]
    expect = entry["expect"]
    known = {"parts", "ref", "text", "udh", "binary", "join", "complete", "data_hex"}
    assert expect.keys() <= known
    if "text" in expect:
        assert joined.text == expect["text"]
    if "data_hex" in expect or expect.get("binary"):
        assert joined.text is None
        assert joined.data
        assert joined.data.hex().upper() == expect.get("data_hex", joined.data.hex().upper())
    if "ref" in expect:
        assert joined.parts[0].concat
        assert joined.parts[0].concat.ref == expect["ref"]
    if "udh" in expect:
        assert expect["udh"].items() <= _header_facts(joined.parts[0]).items()
    assert joined.total == expect.get("parts", joined.total)
    assert joined.complete == expect.get("complete", True)


@pytest.mark.parametrize("kind", ["deliver", "submit", "status_report", "nl", "invalid", "concat"])
def test_through_the_shell(kind: str) -> None:
    given = load(VECTORS / f"{kind}.json")
    names = ("pdu", "pdus", "direction", "has_smsc")
    lines = [json.dumps({name: entry[name] for name in names if name in entry}) for entry in given]
    result = CliRunner().invoke(command, ["decode", "-"], input="\n".join(lines) + "\n")
    assert result.exit_code == 0
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(answers) == len(given)
    for entry, answer in zip(given, answers, strict=True):
        expect = entry["expect"]
        assert ("error" in answer) == (kind == "invalid"), entry["id"]
        same = {"smsc", "number", "text", "timestamp", "discharge", "pid", "mr", "status", "parts"}
        for name in expect.keys() & same:
            assert answer[name] == expect[name], entry["id"]
        if kind != "status_report" and "dcs" in expect:
            assert answer["dcs"] == expect["dcs"]
        if "data_hex" in expect:
            assert answer["data"] == expect["data_hex"]


# -- whole TPDUs, written ------------------------------------------------------------------------------------


@entries("encode")
def test_encode(entry: Entry) -> None:
    given = dict(entry["input"])
    wanted = [_as_the_standard_has_it(pdu) for pdu in entry["pdus"]]
    if entry["direction"] == "mt":
        moment = datetime.fromisoformat("2001-01-01T00:00:00+00:00")
        made = [pdu[2:] for pdu in encode_deliver(DeliverRequest("+1234", moment, given["text"], ref=1))]
        assert [pdu[14:] for pdu in made] == [pdu[14:] for pdu in wanted]
        return
    request = _request(given, entry)
    made = encode(request).pdus
    if not entry["has_smsc"]:
        made = [pdu[2:] for pdu in made]
    if not request.number:  # only what follows the empty address is to be compared
        made, wanted = ([pdu[8:] for pdu in pdus] for pdus in (made, wanted))
    assert made == wanted


def _as_the_standard_has_it(pdu: str) -> str:
    # python-gsmmodem calls numbers that begin with 0 "national" (A1); all other suites leave them "unknown" (81).
    pdu = pdu.replace("04A12143F5", "04812143F5").replace("0AA1106245", "0A81106245")
    # warthog618/sms writes the shift elements as decimal 25 and 24; they are 25 and 24 hexadecimal.
    return pdu.replace("0319010D", "0325010D").replace("0619010D18010D", "0625010D24010D")


def _request(given: Entry, entry: Entry) -> SubmitRequest:
    request = SubmitRequest(
        given.pop("number"),
        given.pop("text"),
        mr=given.pop("mr", 0),
        smsc=given.pop("smsc", None),
        status_report=given.pop("status_report", False),
        reject_duplicates=given.pop("reject_duplicates", False),
        message_class=given.pop("message_class", None),
        ref=given.pop("udh_ref", 0),
        encoding=given.pop("encoding", "auto"),
        validity_minutes=given.pop("validity_minutes", None),
        dcs=given.pop("dcs", None),
    )
    # The suite of these two gave its arguments in another order than their labels say: 31 asks for a report, 05
    # rejects duplicates and is no flash.
    if entry["id"] == "v0071":
        request.status_report, request.reject_duplicates = request.reject_duplicates, request.status_report
    if given.pop("flash", False):
        request.reject_duplicates = True
    seconds = given.pop("validity_s", None)
    if seconds is not None:
        request.validity_minutes = int(seconds / 60)
    if validity := given.pop("validity", None):
        if validity.startswith("relative, A7"):
            request.validity_minutes = 24 * 60
        else:
            request.valid_until = datetime.fromisoformat(validity)
    if request.dcs is not None:
        request.encoding = DCS[request.dcs].encoding
    if entry["id"] == "v0264":  # its text is the octets themselves, which as UCS2 are these three characters
        request.text = b"hello!".decode("utf-16-be")
    for ie in given.pop("udh", None) or ():
        if ie["id"] == 0:
            request.ref = int(ie["data"][:2], 16)
        elif ie["id"] in (24, 25):
            request.national = ("urdu",)
        else:
            request.ies = (Ie(ie["id"], bytes.fromhex(ie["data"])),)
    assert not given, entry["id"]
    return request


# -- fields --------------------------------------------------------------------------------------------------


@entries("charset")
def test_charset(entry: Entry) -> None:
    expect = dict(entry["expect"])
    text, note = expect.get("text"), entry.get("note", "")
    if expect.get("reject"):
        with pytest.raises(PduError):
            gsm7.encode(text)
    elif "pdu" in entry:
        message: Any = decode(entry["pdu"], direction=entry["direction"], has_smsc=entry["has_smsc"])
        tables = expect["locking_table"], expect["single_table"]
        assert gsm7.decode(message.user_data, *tables) == text
        assert gsm7.encode(text, *tables) == message.user_data
    elif "ucs2_hex" in expect:
        assert text.encode("utf-16-be").hex().upper() == expect["ucs2_hex"]
    elif "ud_hex" in expect:
        _check_user_data(expect, note)
    elif "gsm7_unpacked_hex" in expect:
        septets = bytes.fromhex(expect["gsm7_unpacked_hex"])
        if text is not None and note != "decode direction":
            assert gsm7.encode(text) == septets
        if text is not None and note != "encode direction":
            assert gsm7.decode(septets) == text
        if "packed_hex" in expect:
            octets, fill = bytes.fromhex(expect["packed_hex"]), expect.get("fill_bits", 0)
            assert gsm7.pack(septets, fill) == octets
            assert gsm7.unpack(octets, len(septets), fill) == septets
    else:
        octets = bytes.fromhex(expect["packed_hex"])
        if "USSD" in note or "CUSD" in note:
            septets = gsm7.unpack_ussd(octets)
        else:
            septets = gsm7.unpack(octets, expect["septets"], expect.get("fill_bits", 0))
        assert gsm7.decode(septets) == text
        assert gsm7.pack(septets) == octets


def _check_user_data(expect: Entry, note: str) -> None:
    octets = bytes.fromhex(expect["ud_hex"])
    if expect["ud_is"] == "UCS2":
        assert octets.decode("utf-16-be") == expect["text"]
        return
    shifts = {ie["id"]: int(ie["data"], 16) for ie in expect["udh"] or ()}
    tables = shifts.get(25, 0), shifts.get(24, 0)
    if note == "decode direction":
        assert gsm7.decode(octets, *tables) == expect["text"]
    else:
        assert gsm7.encode(expect["text"], *tables) == octets


@entries("address")
def test_address(entry: Entry) -> None:
    expect = entry["expect"]
    octets = bytes.fromhex(expect.get("decode_from_hex", expect.get("hex")))
    if expect.get("reject"):
        with pytest.raises((PduError, IndexError)):  # decode() makes one of the other
            read_address(octets, 0)
        return
    number: str | None
    if expect["is_smsc"]:
        number, end = read_smsc(octets + b"\0")
    else:
        number, kind, end = read_address(octets, 0)
        assert kind == expect.get("ton", kind)
        assert kind == NUMBER_TYPES[(expect.get("toa", octets[1]) >> 4) & 7]
    assert end == expect.get("octets_read", end)
    wanted = expect.get("address", expect.get("digits_or_text"))
    assert (number or "").removeprefix("" if "address" in expect else "+") == wanted
    if "hex" in expect:
        written = write_smsc(number) if expect["is_smsc"] else write_address(number or "", alphanumeric=True)
        # The type of a number without a + is the writer's choice.
        assert written[:1] + written[2:] == bytes.fromhex(expect["hex"])[:1] + bytes.fromhex(expect["hex"])[2:]


@entries("dcs")
def test_dcs(entry: Entry) -> None:
    expect = entry["expect"]
    dcs = DCS[expect["dcs"]]
    assert dcs.encoding == {"7bit": "gsm7", "8bit": "8bit", "16bit": "ucs2", "ucs2": "ucs2"}[expect["alphabet"]]
    assert dcs.message_class == expect["message_class"]
    assert (dcs.mwi and {"active": dcs.mwi.active, "discard": not dcs.mwi.store}) == expect["mwi"]


@entries("timestamp")
def test_timestamp(entry: Entry) -> None:
    expect = entry["expect"]
    if expect.get("reject") and expect["hex"] is None:
        with pytest.raises(ValueError):  # datetime itself refuses a zone of 24 hours
            datetime.fromisoformat(expect["timestamp"])
        return
    if expect.get("reject"):
        with pytest.raises(PduError):
            read_timestamp(bytes.fromhex(expect["hex"]), 0)
        return
    octets, moment = bytes.fromhex(expect["hex"]), datetime.fromisoformat(expect["timestamp"])
    assert write_timestamp(moment) == octets
    if moment.year < 2100:  # two digits cannot tell it from 2000
        assert read_timestamp(octets, 0) == moment
        assert read_timestamp(octets, 0).isoformat() == expect["timestamp"]  # type: ignore[union-attr]


# Its encoder is told the format and bends the time to it; these octets mean something else when they are read.
_BENT = {"v0435": 300, "v0437": 255}


@entries("validity")
def test_validity(entry: Entry) -> None:
    expect = entry["expect"]
    if "vp" in expect:
        assert relative_seconds(expect["vp"]) == expect["seconds"]
        assert relative_octet(expect["seconds"]) == expect["vp"]
        return
    octets = bytes.fromhex(expect["hex"])
    vpf = {"Not Present": 0, "Enhanced": 1, "Relative": 2, "Absolute": 3}[expect["format"]]
    validity, end = read_validity(vpf, octets, 0)
    assert end == len(octets)
    assert (validity.seconds or 0) == _BENT.get(entry["id"], expect["seconds"])
    if expect["format"] == "Absolute":
        assert validity.until == datetime.fromisoformat(expect["time"])
        assert write_absolute(validity.until) == octets
    elif expect["format"] == "Relative":
        assert relative_octet(expect["seconds"]) == octets[0]
    elif expect["format"] == "Enhanced" and expect["efi"] > 1:
        assert validity.seconds
        assert write_enhanced(timedelta(seconds=validity.seconds)) == octets


@entries("udh")
def test_udh(entry: Entry) -> None:
    expect = entry["expect"]
    octets = bytes.fromhex(expect["hex_with_length"])
    assert octets[0] == len(octets) - 1
    if expect.get("reject"):
        with pytest.raises(PduError):
            parse_header(octets[1:])
        return
    found = [{"data": ie.data.hex(), "id": ie.iei} for ie in parse_header(octets[1:]).ies]
    assert found == expect["ies"]


# -- how many parts ------------------------------------------------------------------------------------------


@entries("length")
def test_length(entry: Entry) -> None:
    given, expect = entry["input"], entry["expect"]
    text = given.get("text") or given["repeat"] * given["count"]
    if "chunks_at_153_or_67" in expect:
        if given["encoding"] == "ucs2":
            pieces = cut_ucs2(text.encode("utf-16-be"), 2 * 67)
        else:
            pieces = cut_septets(gsm7.encode_marked(text), 153)
        assert len(pieces) == expect["chunks_at_153_or_67"]
        return
    # The languages of the single shift tables only; a locking shift would be cheaper still.
    options = {"national": given.get("single_shift_enabled", ()), "locking": False}
    found = estimate(text, ref_bits=given.get("ref_bits", 8), **options)
    assert found.segments == expect["segments"]
    assert found.units == expect.get("septets", found.units)
    if "part_lengths" in expect:
        pdus = encode(SubmitRequest("1", text, ref_bits=given.get("ref_bits", 8), **options)).pdus
        assert [len(decode(pdu).text or "") for pdu in pdus] == expect["part_lengths"]
    if "one_more" in expect:
        with pytest.raises(PduError):
            estimate(text + text[0], ref_bits=given["ref_bits"])


@entries("segments")
def test_segments(entry: Entry) -> None:
    found = estimate(entry["text"])
    assert (found.encoding, found.segments) == (entry["encoding"], entry["segments"])
    encoded = encode(SubmitRequest("+36301234567", entry["text"]))
    assert (encoded.encoding, encoded.segments) == (entry["encoding"], entry["segments"])
    parts = [decode(pdu, direction="mo") for pdu in encoded.pdus]
    assert join(parts).text == entry["text"]  # type: ignore[arg-type]


# -- the golden vectors --------------------------------------------------------------------------------------


@pytest.mark.parametrize("entry", load(SHARED / "reference" / "golden_vectors.json"))
def test_golden(entry: Entry) -> None:
    if entry["kind"] == "submit":
        validity = relative_seconds(entry["vp_rel"]) // 60 if "vp_rel" in entry else None
        mr = int(entry["tpdu"][2:4], 16)
        request = SubmitRequest(entry["da"], entry["text"], mr=mr, validity_minutes=validity)
        request.status_report = entry.get("srr", False)
        encoded = encode(request)
        assert encoded.pdus == ["00" + entry["tpdu"]]
        assert encoded.lengths == [entry["tpdu_len"]]
    elif entry["kind"] == "deliver":
        message: Any = decode(entry["pdu_with_smsc"])
        assert (message.smsc, message.number, message.text) == (entry["smsc"], entry["oa"], entry["text"])
        assert message.timestamp.isoformat() == "2002-08-26T19:37:41+00:00"
        assert len(entry["pdu_with_smsc"]) // 2 - 8 == entry["tpdu_len"]
    elif entry["kind"] == "address_alnum":
        octets = bytes.fromhex(entry["octets"])
        assert read_address(octets, 0)[:2] == (entry["value"], "alphanumeric")
        assert write_address(entry["value"], alphanumeric=True) == octets
    else:
        assert entry["kind"] == "ucp"  # another protocol's
