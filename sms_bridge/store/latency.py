"""How long commits take: a histogram that costs a comparison or two for each."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate

BOUNDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)  # s; an SD card takes 10 to 50 ms


class Latency:
    """Noted in the writer's thread, read on the loop: a figure may be one behind."""

    def __init__(self) -> None:
        self.total = 0.0  # s
        self._counts = [0] * (len(BOUNDS) + 1)

    def note(self, seconds: float) -> None:
        self.total += seconds
        self._counts[bisect_left(BOUNDS, seconds)] += 1

    def buckets(self) -> list[tuple[float, int]]:
        """(upper bound in s, how many were not slower)."""
        return list(zip(BOUNDS, accumulate(self._counts), strict=False))
