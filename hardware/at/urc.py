"""Unsolicited lines that exist in the field, so that none of them is taken for an answer."""

from __future__ import annotations

# Prefix and number of lines that follow it (TS 27.005 3.4.1, TS 27.007 and the vendors' manuals).
WITH_BODY: dict[str, int] = {"+CMT:": 1, "+CDS:": 1, "+CBM:": 1}

KNOWN: tuple[str, ...] = (
    "+CMGS:",  # a late one; a send takes its own before anybody asks here
    "+CMTI:", "+CMT:", "+CDSI:", "+CDS:", "+CBM:", "+CBMI:", "+CUSD:", "+CLIP:", "+CRING:", "RING", "+CCWA:", "+CSSI:",
    "+CSSU:", "+CREG:", "+CGREG:", "+CEREG:", "+C5GREG:", "+CIEV:", "+CTZV:", "+CTZE:", "+CTZDST:", "+CGEV:", "+NITZ",
    "DST:", "*PSUTTZ:", "PSUTTZ", "*PSNWID:", "^RSSI:", "^RSSILVL:", "^HCSQ:", "^MODE:", "^BOOT:", "^STIN:",
    "^DSFLOWRPT:", "^SRVST:", "^SIMST:", "^CSNR:", "^SMMEMFULL", "^THERM:", "^NDISSTAT:", "^NDISEND", "^ORIG:",
    "^CONF:", "^CONN:", "^CEND:", "^EONS:", "^LTERSRP:", "^HWNAT", "^DCONN", "^DEND", "^PORTSEL:", "+QIND:", "+QUSIM:",
    "+QIURC:", "+QSTK", "+CIND:", "+WIND:", "+ZUSIMR:", "+ZDONR:", "+ZPASR:", "+ZPSTM:", "+ZEND", "+ZPBIC:", "#QSS:",
    "$QCRMCALL", "+UUSIMSTAT:", "+UCALLSTAT:", "+CPIN: NOT READY", "+CPIN: NOT INSERTED", "+SIMCARD:", "+STIN:",
    "^SCKS:", "^SSIM READY", "MISSED_CALL:", "UNDER-VOLTAGE", "OVER-VOLTAGE", "+CSMINS:", "+CMTE:", "*EPEV", "_OSIGQ:",
    "+PACSP", "RDY", "Call Ready", "SMS Ready", "SMS DONE", "PB DONE", "POWERED DOWN", "NORMAL POWER DOWN", "^SYSSTART",
    "^SYSLOADING", "+PBREADY", "+AT: READY", "*ATREADY", "ATREADY", "START", "OPL UPDATING", "PNN UPDATING",
    "APP RDY", "#SMOV:", "^SMGO:", "+KSUP:",
)  # fmt: skip

# The modem has started anew, or is about to: what it was doing is over (domain A2.2, A3).
BOOT: tuple[str, ...] = (
    "RDY", "Call Ready", "SMS Ready", "POWERED DOWN", "NORMAL POWER DOWN", "^SYSSTART", "^SYSLOADING", "+AT: READY",
    "*ATREADY", "ATREADY",
)  # fmt: skip


def is_boot(line: str) -> bool:
    """The line says that the modem restarted."""
    return line.startswith(BOOT)
