"""SMS TPDUs both ways: TS 23.038 alphabets, TS 23.040 fields, splitting and joining. Pure.

`PduError` is the only exception, whatever the octets or the request.
"""

from __future__ import annotations

from hardware.pdu.dcs import Mwi
from hardware.pdu.decode import decode
from hardware.pdu.encode import (
    DeliverRequest,
    Encoded,
    StatusReportRequest,
    SubmitRequest,
    encode,
    encode_deliver,
    encode_status_report,
    without_validity,
)
from hardware.pdu.errors import PduError
from hardware.pdu.gsm7 import repertoire
from hardware.pdu.join import Joined, join
from hardware.pdu.messages import Deliver, StatusReport, Submit
from hardware.pdu.plan import Estimate, estimate
from hardware.pdu.udh import Concat, Header, Ie
from hardware.pdu.validity import Validity

__all__ = [
    "Concat",
    "Deliver",
    "DeliverRequest",
    "Encoded",
    "Estimate",
    "Header",
    "Ie",
    "Joined",
    "Mwi",
    "PduError",
    "StatusReport",
    "StatusReportRequest",
    "Submit",
    "SubmitRequest",
    "Validity",
    "decode",
    "encode",
    "encode_deliver",
    "encode_status_report",
    "estimate",
    "join",
    "repertoire",
    "without_validity",
]
