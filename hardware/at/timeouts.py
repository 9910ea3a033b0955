"""Every deadline of the AT engine, in seconds, with its reason."""

from __future__ import annotations

from typing import Final

COMMAND: Final = 5.0  # local commands; slow sticks need 1 to 2 s while they register
SIM: Final = 20.0  # commands that read the SIM: it may be busy for seconds after PIN or boot (domain A8.3)
NETWORK: Final = 60.0  # commands that ask the network, such as +COPS? during a scan (domain A10)
STORAGE: Final = 120.0  # +CMGL of a full memory: 255 messages at 9600 Bd, 334 ms each
RESET: Final = 15.0  # +CFUN=1,1 and the like: the answer comes before the restart

PROMPT: Final = 10.0  # "> " after AT+CMGS (domain A3.1: ModemManager 10 s, u-blox under 1 s)
RESULT: Final = 180.0  # +CMGS after Ctrl-Z: TR1M 45 s with CP retransmissions, u-blox 180 s (domain A3.2)
LATE_RESULT: Final = 360.0  # after Ctrl-Z: how long a late +CMGS still resolves an unknown send (domain A3)
AUTHORISE: Final = 30.0  # a commit on a bad SD card takes seconds; no prompt is worth waiting longer
ABORT: Final = 3.0  # OK or ERROR after ESC at a prompt; some modems answer nothing
OK_GRACE: Final = 2.0  # OK after an answer that some modems send without it (Wavecom +CPIN, lost OK of +CMGS)
CODE_SETTLE: Final = 0.15  # a refusal's digits may be cut by a URC: the rest follows within one line's time
REBOOT_GRACE: Final = 5.0  # after a boot URC in a send: "SMS Ready" may be late news, +CMGS may still come
URC_BODY: Final = 2.0  # from the header of +CMT or +CDS to its PDU line: 334 ms at 9600 Bd

QUIET: Final = 0.2  # silence that ends a drain: ESC needs 20 to 200 ms to be obeyed (domain A2.2)
DRAIN: Final = 2.0  # a drain's cap: a modem that never falls silent (URC flood) is probed all the same
PROBES: Final = (
    0.5,
    0.5,
    0.5,
    1.0,
    2.0,
)  # "AT" of the resync: autobauding needs several (domain A2.2), a slow one time
PROBES_AFTER_SEND: Final = (5.0,) * 5  # the same while a send may still run: each byte may abort it, so few
MARKER: Final = 2.0  # a recognisable question, answered from the modem's memory

GAP: Final = 0.02  # of rest for a modem that loses a command right behind its answer (Telit: domain A2.2)

CLOSE: Final = 5.0  # the kernel's close(); beyond it the port counts as wedged
