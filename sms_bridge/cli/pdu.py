"""`sms-bridge pdu`: the codec in the shell, one message or a line each."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, BinaryIO, Literal

import click

from hardware.pdu import (
    Concat,
    Deliver,
    Header,
    Ie,
    Joined,
    Mwi,
    PduError,
    StatusReport,
    Submit,
    SubmitRequest,
    decode,
    encode,
    join,
)

_LINE_LIMIT = 1 << 20  # octets; 255 parts are less than a tenth of it
_LINE_BREAKS = str.maketrans({"\x85": "\\u0085", "\u2028": "\\u2028", "\u2029": "\\u2029"})

Fields = dict[str, Any]
Direction = Literal["mt", "mo"]


class _BadLine(ValueError):
    """A line that is no request; the message is for a person."""


@click.group(name="pdu")
def command() -> None:
    """Read and write SMS PDUs."""


@command.command("decode")
@click.argument("pdu", nargs=-1, metavar="[HEX|-]")
@click.option("--direction", type=click.Choice(["mt", "mo"]), default="mt", help="mt: towards the phone.")
@click.option("--no-smsc", is_flag=True, help="The hex does not begin with the service centre octets.")
@click.option("--json", "as_json", is_flag=True, help="One line, for programs.")
def decode_command(pdu: tuple[str, ...], direction: Direction, no_smsc: bool, as_json: bool) -> None:
    """Decode a PDU; with - each line of the standard input, plain hex or a JSON object, to a line of JSON.

    A line may be {"pdu": HEX} or {"pdus": [HEX, ...]}, which are joined, with "direction" and "has_smsc".
    """
    if pdu == ("-",) or (not pdu and not sys.stdin.isatty()):
        _each_line(lambda line: _decode_line(line, direction, not no_smsc))
        return
    if not pdu:
        raise click.UsageError("give a PDU in hex, or - to read lines from the standard input")
    try:
        fields = describe(decode("".join(pdu), direction=direction, has_smsc=not no_smsc))
    except PduError as error:
        click.echo(f"This is no PDU: {error.reason} (octet {error.offset}).", err=True)
        raise SystemExit(1) from None
    _print(fields, as_json)


@command.command("encode")
@click.argument("source", required=False, metavar="[-]")
@click.option("--to", "number", help="+ and the number, or a short code.")
@click.option("--text", help="The text.")
@click.option("--data", help="8-bit data in hex, instead of a text.")
@click.option("--smsc", help="The service centre; without it the one on the SIM is used.")
@click.option("--encoding", type=click.Choice(["auto", "gsm7", "ucs2", "8bit"]), default="auto")
@click.option("--ref", type=int, default=0, help="Reference that the parts of a long message share.")
@click.option("--validity", "validity_minutes", type=int, help="Minutes that the network keeps trying.")
@click.option("--report", "status_report", is_flag=True, help="Ask for a status report.")
@click.option("--flash", is_flag=True, help="Show at once, do not store.")
@click.option("--port", type=int, help="Destination application port.")
@click.option("--json", "as_json", is_flag=True, help="One line, for programs.")
def encode_command(source: str | None, as_json: bool, **options: Any) -> None:
    """Encode a message; with - each JSON line of the standard input, such as {"number": N, "text": T}."""
    if source == "-":
        _each_line(_encode_line)
        return
    if source is not None or options["number"] is None or (options["text"] is None) == (options["data"] is None):
        raise click.UsageError("give --to and one of --text and --data, or - to read lines from the standard input")
    try:
        fields = _encoded({name: value for name, value in options.items() if value is not None})
    except _BadLine as error:
        raise click.UsageError(str(error)) from None
    except PduError as error:
        click.echo(f"This cannot be sent: {error.reason} (at {error.offset}).", err=True)
        raise SystemExit(1) from None
    _print(fields, as_json)


def describe(message: Deliver | Submit | StatusReport) -> Fields:
    """A decoded TPDU as JSON-ready fields; octets are upper-case hex, times RFC 3339."""
    fields: Fields = {
        "type": message.type,
        "smsc": message.smsc,
        "number": message.number,
        "number_type": message.number_type,
    }
    if isinstance(message, StatusReport):
        fields |= {
            "timestamp": _time(message.timestamp),
            "discharge": _time(message.discharge),
            "status": message.status,
            "delivered": message.delivered,
            "final": message.final,
            "mr": message.mr,
            "pid": message.pid,
            "dcs": message.dcs,
        }
        if message.header is not None:
            fields |= {"text": message.text, "data": _hex(message.data), "udh": _elements(message.header.ies)}
        return fields
    fields |= {"text": message.text, "data": _hex(message.data)}
    if isinstance(message, Deliver):
        fields |= {
            "timestamp": _time(message.timestamp),
            "kind": message.kind,
            "more_messages": message.more_messages,
            "report_requested": message.report_requested,
        }
    else:
        fields |= {
            "mr": message.mr,
            "vpf": message.validity_format,
            "vp": message.validity.octet,
            "validity_s": message.validity.seconds,
            "validity": _time(message.validity.until),
            "status_report": message.status_report,
            "reject_duplicates": message.reject_duplicates,
        }
    fields |= {
        "pid": message.pid,
        "dcs": message.dcs,
        "encoding": message.encoding,
        "class": message.message_class,
        "mwi": _waiting(message.mwi),
        "reply_path": message.reply_path,
        "multipart": message.concat is not None,
        "concat": _concat(message.concat),
        **_header(message.header),
        "udh": _elements(message.udh),
    }
    return fields


def describe_joined(joined: Joined) -> Fields:
    """As the first part that is there, with the whole text; `parts` counts the missing ones too."""
    fields = describe(joined.parts[0])
    fields |= {
        "text": joined.text,
        "data": _hex(joined.data),
        "encoding": joined.encoding,
        "parts": joined.total,
        "complete": joined.complete,
        "missing": list(joined.missing),
    }
    return fields


def _decode_line(line: str, direction: Direction, has_smsc: bool) -> Fields:
    if not line.startswith("{"):
        return describe(decode(line, direction=direction, has_smsc=has_smsc))
    given = _object(line, {"pdu": str, "pdus": list, "direction": str, "has_smsc": bool})
    direction, has_smsc = given.get("direction", direction), given.get("has_smsc", has_smsc)
    if direction not in ("mt", "mo"):
        raise _BadLine('direction is "mt" or "mo"')
    if ("pdu" in given) == ("pdus" in given):
        raise _BadLine("there is one of pdu and pdus")
    if "pdu" in given:
        return describe(decode(given["pdu"], direction=direction, has_smsc=has_smsc))
    parts: list[Deliver | Submit] = []
    for pdu in given["pdus"]:
        if not isinstance(pdu, str):
            raise _BadLine("pdus is a list of strings")
        part = decode(pdu, direction=direction, has_smsc=has_smsc)
        if isinstance(part, StatusReport):
            raise _BadLine("a status report cannot be joined")
        parts.append(part)
    return describe_joined(join(parts, partial=True))


_ENCODE_KEYS: dict[str, type | tuple[type, ...]] = {
    "number": str,
    "text": str,
    "data": str,
    "smsc": str,
    "encoding": str,
    "mr": int,
    "ref": int,
    "ref_bits": int,
    "validity_minutes": (int, float),
    "valid_until": str,
    "status_report": bool,
    "reject_duplicates": bool,
    "flash": bool,
    "message_class": int,
    "port": int,
    "source_port": int,
    "national": list,
    "locking": bool,
    "pid": int,
}


def _encode_line(line: str) -> Fields:
    return _encoded(_object(line, _ENCODE_KEYS))


def _encoded(given: Fields) -> Fields:
    if "number" not in given:
        raise _BadLine("there is no number")
    if "data" in given:
        try:
            given["data"] = bytes.fromhex(given["data"])
        except ValueError:
            raise _BadLine("data is not hexadecimal") from None
    if "valid_until" in given:
        try:
            given["valid_until"] = datetime.fromisoformat(given["valid_until"])
        except ValueError:
            raise _BadLine("valid_until is no RFC 3339 time") from None
    if any(isinstance(name, bool) or not isinstance(name, int | str) for name in given.get("national", ())):
        raise _BadLine("national is a list of language numbers or names")
    encoded = encode(SubmitRequest(**given))
    return {
        "encoding": encoded.encoding,
        "segments": encoded.segments,
        "pdus": encoded.pdus,
        "lengths": encoded.lengths,
    }


def _object(line: str, keys: dict[str, type | tuple[type, ...]]) -> Fields:
    # A null means: not given.
    try:
        given = json.loads(line)
    except RecursionError:
        raise _BadLine("the JSON is nested too deeply") from None
    except ValueError as error:
        raise _BadLine(f"this is no JSON: {error}") from None
    if not isinstance(given, dict):
        raise _BadLine("a JSON object is expected")
    unknown = sorted(given.keys() - keys.keys())
    if unknown:
        raise _BadLine(f"unknown: {', '.join(unknown)[:100]}")
    found = {key: value for key, value in given.items() if value is not None}
    for key, value in found.items():
        wanted = keys[key]
        if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
            raise _BadLine(f"{key} has the wrong type")
    return found


def _each_line(work: Callable[[str], Fields]) -> None:
    sink = sys.stdout.buffer
    for line in _lines(sys.stdin.buffer):
        fields: Fields
        try:
            if line is None:
                raise _BadLine("the line is longer than 1 MiB")
            fields = work(line.decode("utf-8").strip())
        except PduError as error:
            fields = {"error": error.reason, "offset": error.offset}
        except UnicodeDecodeError as error:
            fields = {"error": "the line is not UTF-8", "offset": error.start}
        except _BadLine as error:
            fields = {"error": str(error), "offset": 0}
        try:
            sink.write(_dump(fields) + b"\n")
            sink.flush()
        except BrokenPipeError:
            return


def _lines(source: BinaryIO) -> Iterator[bytes | None]:
    # Lines without their end; None for one that is too long, which is read to its end and dropped.
    while line := source.readline(_LINE_LIMIT):
        if line.endswith(b"\n") or len(line) < _LINE_LIMIT:
            yield line.removesuffix(b"\n")
            continue
        while line and not line.endswith(b"\n"):
            line = source.readline(_LINE_LIMIT)
        yield None


def _print(fields: Fields, as_json: bool) -> None:
    click.echo(_dump(fields) if as_json else json.dumps(fields, ensure_ascii=False, indent=2).encode())


def _dump(fields: Fields) -> bytes:
    # Whoever splits the output at any Unicode line break still gets whole objects.
    return json.dumps(fields, ensure_ascii=False).translate(_LINE_BREAKS).encode("utf-8", "replace")


def _header(header: Header) -> Fields:
    fields: Fields = {}
    if header.ports is not None:
        destination, source = header.ports
        fields["ports"] = {"destination": destination, "source": source, "bits": header.port_bits}
    if header.locking or header.single:
        fields["language"] = header.locking or header.single
        fields["locking_table"] = header.locking
        fields["single_table"] = header.single
    return fields


def _elements(ies: tuple[Ie, ...]) -> list[Fields]:
    return [{"iei": ie.iei, "data": ie.data.hex().upper()} for ie in ies]


def _concat(concat: Concat | None) -> Fields | None:
    if concat is None:
        return None
    return {"ref": concat.ref, "total": concat.total, "seq": concat.seq, "bits": concat.bits}


def _waiting(mwi: Mwi | None) -> Fields | None:
    if mwi is None:
        return None
    return {"kind": mwi.kind, "active": mwi.active, "discard": not mwi.store, "waiting": mwi.waiting}


def _hex(octets: bytes | None) -> str | None:
    return None if octets is None else octets.hex().upper()


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
