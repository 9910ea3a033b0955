"""An emulator in a thread, and a plain blocking program on its port: what a third party would write."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import serial

from hardware.emulator import Emulator
from hardware.pdu import Encoded, SubmitRequest, encode

DEADLINE = 5.0  # seconds; the emulator answers within one, two busy cores notwithstanding
SILENCE = 0.25  # seconds without a byte that count as no answer
FINAL = re.compile(rb"\r\n(OK|ERROR|COMMAND NOT SUPPORT|NO CARRIER|\+CM[ES] ERROR: [^\r]*)\r\n")


class AtClient:
    """Knows nothing of our code but the port's name."""

    def __init__(self, port: str, gap: float = 0.0) -> None:
        self.port = serial.Serial(port, 115200, timeout=0.02, exclusive=True)
        self.buffer = b""
        self._gap = gap  # seconds of rest that this device wants before anything is written

    def close(self) -> None:
        self.port.close()

    def __enter__(self) -> AtClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write(self, data: bytes | str) -> None:
        time.sleep(self._gap)
        self.port.write(data.encode("latin-1") if isinstance(data, str) else data)

    def until(self, pattern: bytes, deadline: float = DEADLINE) -> re.Match[bytes]:
        """Wait for `pattern` and take everything up to its end."""
        end = time.monotonic() + deadline
        while True:
            if match := re.search(pattern, self.buffer, re.DOTALL):
                self.buffer = self.buffer[match.end() :]
                return match
            assert time.monotonic() < end, f"no {pattern!r} in {self.buffer!r}"
            self.buffer += self.port.read(65536)

    def quiet(self, seconds: float = SILENCE) -> bytes:
        """Everything that is said until nothing has been said for `seconds`."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            data = self.port.read(65536)
            if data:
                self.buffer += data
                end = time.monotonic() + seconds
        said, self.buffer = self.buffer, b""
        return said

    def command(self, text: str, deadline: float = DEADLINE) -> list[str]:
        """The lines that `text` is answered with; the last is the final result."""
        self.write(text + "\r")
        answer = self.until(rb".*?" + FINAL.pattern, deadline)[0]
        lines = [line.decode("latin-1") for line in answer.replace(b"\r", b"\n").split(b"\n")]
        return [line for line in lines if line and line != text]

    def ok(self, text: str) -> list[str]:
        """The information lines of a command that must end in OK."""
        *lines, final = self.command(text)
        assert final == "OK", (text, lines, final)
        return lines

    def init(self, cnmi: str = "2,1,0,1,0") -> AtClient:
        for text in ("ATE0", "AT+CMEE=1", "AT+CMGF=0", f"AT+CNMI={cnmi}"):
            self.ok(text)
        return self

    def prompt(self, length: int) -> None:
        self.write(f"AT+CMGS={length}\r")
        self.until(rb"\r\n> ")

    def send_pdu(self, pdu: str, length: int, deadline: float = DEADLINE) -> list[str]:
        self.prompt(length)
        self.write(pdu + "\x1a")
        answer = self.until(rb".*?" + FINAL.pattern, deadline)[0]
        return [line.decode("latin-1") for line in answer.split(b"\r\n") if line]

    def send(self, number: str, text: str, **fields: Any) -> list[int]:
        """The message references of all parts."""
        found = []
        for pdu, length in parts(submit(number, text, **fields)):
            lines = self.send_pdu(pdu, length)
            assert lines[-1] == "OK", lines
            found += [int(line.split(": ")[1]) for line in lines if line.startswith("+CMGS: ")]
        return found


def submit(number: str, text: str, **fields: Any) -> Encoded:
    return encode(SubmitRequest(number=number, text=text, **fields))


def parts(encoded: Encoded) -> list[tuple[str, int]]:
    return list(zip(encoded.pdus, encoded.lengths, strict=True))


class Bench:
    """An emulator that runs in a thread of its own; asked only through its socket and its files."""

    def __init__(self, emulator: Emulator) -> None:
        self.directory = emulator.directory
        self.ports = emulator.ports
        self.emulator = emulator

    def do(self, verb: str, **fields: Any) -> dict[str, Any]:
        reply = self.ask(json.dumps({"do": verb, **fields}).encode())
        assert reply["ok"], reply
        return reply

    def ask(self, line: bytes) -> dict[str, Any]:
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(DEADLINE)
            link.connect(str(self.directory / "control"))
            link.sendall(line + b"\n")
            with link.makefile("rb") as answers:
                reply: dict[str, Any] = json.loads(answers.readline())
        return reply

    def ledger(self, kind: str | None = None) -> list[dict[str, Any]]:
        lines = (self.directory / "ledger.jsonl").read_text(encoding="utf-8").splitlines()
        entries = [json.loads(line) for line in lines]
        return [entry for entry in entries if kind is None or entry["kind"] == kind]

    def client(self, index: int = 0) -> AtClient:
        return AtClient(self.ports[index], self.emulator.modems[index].personality.min_gap)

    def stats(self, index: int = 0) -> dict[str, Any]:
        return self.do("stats", modem=index)


@contextmanager
def bench(
    directory: Path, modems: Sequence[str] = ("sim800l",), latency: tuple[float, float] = (0.0, 0.0), **options: Any
) -> Iterator[Bench]:
    """A running emulator, stopped and joined on the way out."""
    emulator = Emulator(modems, directory, latency, **options)
    started, finish = threading.Event(), threading.Event()
    loop = asyncio.new_event_loop()

    async def main() -> None:
        stopped = asyncio.Event()
        await emulator.start()
        started.set()
        threading.Thread(target=lambda: (finish.wait(), loop.call_soon_threadsafe(stopped.set))).start()
        await stopped.wait()
        await emulator.stop()

    def run() -> None:
        try:
            loop.run_until_complete(main())
        finally:
            loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert started.wait(DEADLINE), "the emulator did not start"
        yield Bench(emulator)
    finally:
        finish.set()
        thread.join(DEADLINE)
