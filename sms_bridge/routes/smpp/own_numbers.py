"""Which of an account's numbers somebody wrote to: the answer goes out from that one (domain B6)."""

from __future__ import annotations

import json

MOST = 2000  # people; who has been silent longest is forgotten first


class OwnNumbers:
    """In memory; `dump` and `load` for the journal."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}
        self.changed = False

    def note(self, peer: str, own: str) -> None:
        """`peer` has written to `own`."""
        if self._known.pop(peer, None) != own:
            self.changed = True
        self._known[peer] = own
        if len(self._known) > MOST:
            del self._known[next(iter(self._known))]

    def of(self, peer: str) -> str | None:
        """The number that `peer` wrote to last."""
        return self._known.get(peer)

    def dump(self) -> str:
        self.changed = False
        return json.dumps(self._known, separators=(",", ":"))

    def load(self, text: str | None) -> None:
        """What `dump` gave; anything else is nothing."""
        try:
            found = json.loads(text or "{}")
        except ValueError:
            return
        if isinstance(found, dict):
            self._known = {str(peer): str(own) for peer, own in found.items()}
