"""Which SIM speaks with whom: a reply comes from the number that was written to (domain B6)."""

from __future__ import annotations

from collections.abc import Iterable

MOST = 20_000  # numbers in memory; who has been silent longest is forgotten first


class Conversations:
    """Number -> SIM, newest last. Owned by the loop; `changed` is what is to be stored."""

    def __init__(self, ttl: float) -> None:
        self.ttl = ttl  # seconds after which anybody may write to a number again
        self._known: dict[str, tuple[str, int]] = {}
        self._changed: dict[str, tuple[str, int]] = {}

    def load(self, rows: Iterable[tuple[str, str, int]]) -> None:
        """(number, SIM, when), oldest first."""
        for number, sim, at in rows:
            self._known[number] = (sim, at)

    def note(self, number: str, sim: str, now: int) -> None:
        """`sim` has written to `number`, or got a message from it, at `now` (UTC ms)."""
        self._known.pop(number, None)
        self._known[number] = self._changed[number] = (sim, now)
        if len(self._known) > MOST:
            del self._known[next(iter(self._known))]

    def sim_of(self, number: str, now: int) -> str | None:
        """The SIM that `number` knows; None: none, or too long ago."""
        found = self._known.get(number)
        return found[0] if found is not None and now - found[1] < self.ttl * 1000 else None

    def take_changed(self) -> list[tuple[str, str, int]]:
        """What has changed since the last call."""
        changed, self._changed = self._changed, {}
        return [(number, sim, at) for number, (sim, at) in changed.items()]
