"""Decoded TPDUs. `user_data` is kept so that parts are joined first and decoded once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from hardware.pdu.dcs import DCS, Mwi
from hardware.pdu.udh import Concat, Header, Ie
from hardware.pdu.validity import FORMATS, Validity

_TYPE_0 = 0x40  # TP-PID: acknowledge and drop
_WAP_PUSH = (2948, 2949)
_CPHS_LINES = {"_@": True, "Δ@": False}  # alphanumeric senders of the pre-standard voice mail signal: line 1 on, off


@dataclass(slots=True)
class Message:
    """What a DELIVER and a SUBMIT share. `text` is None for 8-bit data, `data` is None for text."""

    first: int  # the first octet
    smsc: str | None
    number: str  # the other side; "+" and digits, digits, or text; "" when empty
    number_type: str  # one of address.NUMBER_TYPES
    pid: int
    dcs: int
    text: str | None
    data: bytes | None
    user_data: bytes  # after the header: septets, one per octet, or octets
    header: Header

    @property
    def encoding(self) -> str:
        """One of "gsm7", "ucs2", "8bit"."""
        return DCS[self.dcs].encoding

    @property
    def message_class(self) -> int | None:
        """0 to 3; 0 is flash."""
        return DCS[self.dcs].message_class

    @property
    def udh(self) -> tuple[Ie, ...]:
        """All information elements in their order."""
        return self.header.ies

    @property
    def concat(self) -> Concat | None:
        """None: the message is whole."""
        return self.header.concat

    @property
    def ports(self) -> tuple[int, int] | None:
        """Destination and source application port."""
        return self.header.ports

    @property
    def language(self) -> int | None:
        """The national table in use, the locking one first (TS 23.038 6.2.1.2.4)."""
        return self.header.locking or self.header.single or None

    @property
    def mwi(self) -> Mwi | None:
        """A message waiting indication, from the header or the coding scheme."""
        return self.header.mwi or DCS[self.dcs].mwi

    @property
    def reply_path(self) -> bool:
        """TP-RP."""
        return bool(self.first & 0x80)


@dataclass(slots=True)
class Deliver(Message):
    """SMS-DELIVER (TS 23.040 9.2.2.1)."""

    type: ClassVar[str] = "deliver"

    timestamp: datetime | None  # aware; None: no such date

    @property
    def mwi(self) -> Mwi | None:
        """As for any message; also the CPHS voice mail senders that came before the standard."""
        indication = self.header.mwi or DCS[self.dcs].mwi
        if indication is None and self.number_type == "alphanumeric" and self.number in _CPHS_LINES:
            return Mwi("voicemail", _CPHS_LINES[self.number], True)
        return indication

    @property
    def kind(self) -> str:
        """One of "silent", "mms_notification", "voicemail", "flash", "data", "text"."""
        if self.pid == _TYPE_0:
            return "silent"
        if self.ports and self.ports[0] in _WAP_PUSH:
            return "mms_notification"
        indication = self.mwi
        if indication and indication.kind == "voicemail":
            return "voicemail"
        if self.message_class == 0 and self.text is not None:
            return "flash"
        return "data" if self.text is None else "text"

    @property
    def more_messages(self) -> bool:
        """TP-MMS, which is set when there are none."""
        return not self.first & 0x04

    @property
    def report_requested(self) -> bool:
        """TP-SRI: the sender asked for a status report."""
        return bool(self.first & 0x20)


@dataclass(slots=True)
class Submit(Message):
    """SMS-SUBMIT (TS 23.040 9.2.2.2)."""

    type: ClassVar[str] = "submit"

    mr: int
    validity: Validity

    @property
    def status_report(self) -> bool:
        """TP-SRR."""
        return bool(self.first & 0x20)

    @property
    def reject_duplicates(self) -> bool:
        """TP-RD."""
        return bool(self.first & 0x04)

    @property
    def validity_format(self) -> str:
        """TP-VPF: "none", "enhanced", "relative" or "absolute"."""
        return FORMATS[self.first >> 3 & 3]


@dataclass(slots=True)
class StatusReport:
    """SMS-STATUS-REPORT (TS 23.040 9.2.2.3); what is optional may be None."""

    type: ClassVar[str] = "status_report"

    first: int
    smsc: str | None
    mr: int
    number: str
    number_type: str
    timestamp: datetime | None  # when the service centre took the message
    discharge: datetime | None  # when it was delivered, or given up
    status: int  # TP-ST: below 0x20 done, to 0x3F still trying, above given up
    pid: int | None = None
    dcs: int | None = None
    text: str | None = None
    data: bytes | None = None
    header: Header | None = None

    @property
    def delivered(self) -> bool:
        """The message reached the phone; forwarded-unconfirmed and replaced do not count."""
        return self.status == 0

    @property
    def final(self) -> bool:
        """The service centre stopped trying."""
        return not 0x20 <= self.status <= 0x3F
