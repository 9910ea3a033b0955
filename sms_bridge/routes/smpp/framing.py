"""Octets from a message centre to whole PDUs (SMPP 3.4 3.2). Sans-IO, and total: any octets are frames or a reason."""

from __future__ import annotations

HEADER = 16  # octets: length, command, status, sequence number
LONGEST = 65_536  # octets of one PDU; a message_payload has 64 KiB at most, and no PDU of ours comes near it


class Framer:
    """Cuts a stream into frames; however the stream is cut before, the frames are the same."""

    __slots__ = ("_rest", "broken")

    def __init__(self) -> None:
        self._rest = b""
        self.broken: str | None = None  # why nothing more can be read: nobody knows where the next PDU begins

    @property
    def waiting(self) -> int:
        """Octets of a frame that is not whole yet."""
        return len(self._rest)

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that `data` completes, header included; none once the stream is `broken`."""
        if self.broken is not None:
            return []
        if self._rest:
            data = self._rest + data
        frames: list[bytes] = []
        at, end = 0, len(data)
        while end - at >= 4:
            length = int.from_bytes(data[at : at + 4], "big")
            if not HEADER <= length <= LONGEST:
                self.broken = f"a PDU says that it has {length} octets; it may have {HEADER} to {LONGEST}"
                self._rest = b""
                return frames
            if end - at < length:
                break
            frames.append(data[at : at + length])
            at += length
        self._rest = data[at:]
        return frames
