"""The fake message centre as a child process, with its control socket and its ledger on disk."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.stack import ROOT, free_port, stop_process


class SmscProcess:
    """A context manager; it may be stopped and started again on the same port."""

    def __init__(self, directory: Path, *, latency: float = 0.0, receipts: str = "after") -> None:
        self.directory = directory
        self.port = free_port()
        self._options = ["--latency", str(latency), "--receipts", receipts]
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> SmscProcess:
        self.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    def start(self) -> None:
        command = [sys.executable, "-m", "tests.support.smsc", "--dir", str(self.directory), "--port", str(self.port)]
        self.process = subprocess.Popen([*command, *self._options], stdout=subprocess.PIPE, cwd=ROOT)
        assert self.process.stdout is not None
        assert self.process.stdout.readline(), "the message centre ended before it was ready"

    def stop(self) -> None:
        if self.process is not None and self.process.stdout is not None:
            self.process.stdout.close()
        stop_process(self.process)
        self.process = None
        (self.directory / "control").unlink(missing_ok=True)

    def do(self, verb: str, **fields: Any) -> dict[str, Any]:
        """One command; AssertionError if it is refused."""
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(10)
            link.connect(str(self.directory / "control"))
            link.sendall(json.dumps({"do": verb, **fields}).encode() + b"\n")
            with link.makefile("rb") as answers:
                reply: dict[str, Any] = json.loads(answers.readline())
        assert reply.get("ok"), reply
        return reply

    def set(self, **faults: Any) -> None:
        self.do("set", **faults)

    def ledger(self, kind: str | None = None) -> list[dict[str, Any]]:
        file = self.directory / "smsc.jsonl"
        lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []
        return [line for line in lines if kind is None or line["kind"] == kind]

    def texts(self) -> list[str]:
        """The texts that were accepted, in order; of ASCII ones."""
        return [bytes.fromhex(line["octets"]).decode("ascii") for line in self.ledger("submit") if line["status"] == 0]


def account(port: int, **keys: Any) -> str:
    """The lines of a configuration for the account `backup`."""
    lines = ["smpp:", "  backup:", "    host: 127.0.0.1", f"    port: {port}", '    system_id: "bridge"']
    lines += ['    password: "secret"', '    senders: ["+36209998888"]']
    return "\n".join([*lines, *(f"    {key}: {value}" for key, value in keys.items())]) + "\n"
