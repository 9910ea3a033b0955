"""The message centre of tests/peers/smsc.js as a child process: somebody else's SMPP at the other end."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from pathlib import Path
from typing import Any

from tests.support.stack import ROOT, stop_process

PACKAGES = ROOT / ".venv" / "peers"  # where scripts/bootstrap.sh puts them


class NodeSmsc:
    """A context manager; what it prints is in `seen`."""

    def __init__(self, latency_ms: int = 0) -> None:
        modules = Path(PACKAGES / "node_modules")
        assert (modules / "smpp").is_dir(), "the npm packages are missing: scripts/bootstrap.sh test installs them"
        self.seen: list[dict[str, Any]] = []
        self.process = subprocess.Popen(
            ["node", str(ROOT / "tests" / "peers" / "smsc.js"), str(latency_ms)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"PATH": os.environ["PATH"], "NODE_PATH": str(modules)},
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the npm message centre ended before it was ready"
        self.port = int(json.loads(line)["port"])
        self._reader = threading.Thread(target=self._read, name="node-smsc")
        self._reader.start()

    def __enter__(self) -> NodeSmsc:
        return self

    def __exit__(self, *_exc: object) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        stop_process(self.process)
        self._reader.join()
        self.process.stdout.close()

    def do(self, verb: str, **fields: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": verb, **fields}) + "\n")
        self.process.stdin.flush()

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        return [entry for entry in self.seen if entry["kind"] == kind]

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.seen.append(json.loads(line))
