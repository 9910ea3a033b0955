"""AT commands that no person sends through the bridge, in a configuration or by a request."""

from __future__ import annotations

import re

# What must not be sent by hand: it burns a PIN, sends or deletes messages, dials, or bricks the stick (domain A1.6).
FORBIDDEN_COMMANDS = re.compile(r"AT(?:\+CPIN|\+CLCK|\+CPWD|\+CMG[SWD]|\+CMSS|\^SETPORT|D|Z|&F)", re.IGNORECASE)

# One command, extended syntax (TS 27.007 4): a name, and a question or values. No second one behind a semicolon.
_SHAPE = re.compile(r"AT(?:I[0-9]?|[+^$#!%*@&]?[A-Z][A-Z0-9_-]{0,30}(?:\?|=\?|=[\x20-\x3a\x3c-\x7e]{0,200})?)?\Z", re.I)

# Besides those: what the bridge does itself and would no longer know of, what costs money, what speaks to the SIM's own
# files, what takes the modem away or writes to its flash. Asking (`?`, `=?`) is allowed.
_SETS = re.compile(
    r"AT(?:\+(?:CMGF|CNMI|CPMS|CSMS|CSCS|CMEE|CSMP|CSDH|CRC|CLIP|CMGC|CNMA|CFUN|IPR|IFC|ICF|CMUX|CUSD|CCFC|CCWA|CHLD|CTFR"
    r"|CSIM|CRSM|CGLA|CCHO|EGMR|CPOWD|CUSBPIDSWITCH|QPOWD|QFASTBOOT|QFOTADL|QPRTPARA|CRESTORE|CPUK|ECUSD)"
    r"|\^(?:RESET|CARDLOCK|U2DIAG|FHVER|DATALOCK|NVWR|SHELL|GODLOAD|SYSCFG|CURC)|#(?:SHDN|REBOOT|USBCFG|CPUMODE)"
    r"|!(?:RESET|ENTERCND|USBCOMP)|\$(?:QCPWRDN|QCRMCALL))(?:=(?!\?)|\Z)",
    re.IGNORECASE,
)
_BASIC = re.compile(r"AT(?:[+^$#!%*@]|I[0-9]?\Z|\Z)", re.IGNORECASE)


def refusal(command: str) -> str | None:
    """Why a person may not send `command`; None: he may."""
    if not _SHAPE.match(command) or command.count('"') % 2:
        return "this is not one AT command, such as AT+CSQ, AT+COPS? or AT+CGDCONT=1"
    if not _BASIC.match(command):
        return "commands of one letter dial, answer, hang up or reset: they are not sent"
    if FORBIDDEN_COMMANDS.match(command):
        return "this command sends, deletes, unlocks, dials or resets: there are requests for what may be done"
    if _SETS.match(command):
        return "the bridge does this itself, or it costs money or the modem; asking with ? or =? is allowed"
    return None
