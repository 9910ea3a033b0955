"""What a process costs, sample by sample, as the kernel and its own loop tell it."""

from __future__ import annotations

import os
import signal
import statistics
from dataclasses import dataclass
from pathlib import Path

from tests.support.stack import Bridge

KB = 1024


@dataclass(frozen=True)
class Sample:
    rss: int  # octets
    peak: int
    fds: int
    threads: int
    tasks: int  # of asyncio, as of the sample before


class Gauge:
    """Samples of one life of the bridge; a new life begins anew."""

    def __init__(self, bridge: Bridge, tasks: Path) -> None:
        self.samples: list[Sample] = []
        self.peak = 0
        self._bridge = bridge
        self._pid = bridge.pid
        self._tasks = tasks

    def take(self) -> None:
        """One more, if the process can be looked at."""
        if self._bridge.pid != self._pid:
            self._pid, self.samples = self._bridge.pid, []
        proc = Path(f"/proc/{self._pid}")
        try:
            lines = (proc / "status").read_text().splitlines()
            values = dict(line.split(":", 1) for line in lines)
            fds = len(os.listdir(proc / "fd"))
            if int(values["SigCgt"], 16) >> (signal.SIGUSR2 - 1) & 1:
                os.kill(self._pid, signal.SIGUSR2)  # tests.support.hasty writes the count
            tasks = int(self._tasks.read_text() or 0) if self._tasks.exists() else 0
            rss, peak = (int(values[name].split()[0]) * KB for name in ("VmRSS", "VmHWM"))
        except (OSError, KeyError, ValueError):
            return
        self.samples.append(Sample(rss, peak, fds, int(values["Threads"]), tasks))
        self.peak = max(self.peak, peak)

    def quarters(self, name: str) -> tuple[float, float]:
        """The means of a figure in the first and the last quarter of this life."""
        values = [float(getattr(sample, name)) for sample in self.samples]
        quarter = max(1, len(values) // 4)
        return statistics.fmean(values[:quarter] or [0.0]), statistics.fmean(values[-quarter:] or [0.0])
