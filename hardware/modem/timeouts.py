"""Every deadline and interval of a modem's life, in seconds, with its reason."""

from __future__ import annotations

from typing import Final

SIM_PATIENCE: Final = 30.0  # CME 14 and CMS 314/515 are normal for seconds after PIN or boot (domain A8.3, A9)
SIM_RETRY: Final = 0.5  # between two questions to a busy SIM
BOOT_PATIENCE: Final = 20.0  # from a boot URC to "SMS Ready"/"SMS DONE" (domain A2.2: SIM800, SIM7600)
RESTART_PAUSE: Final = 1.0  # before a set-up that follows another: RDY, Call Ready and SMS Ready come one by one
RESTART_WINDOW: Final = 10.0  # within which it follows another

REGISTRATION_POLL: Final = 2.0  # while not registered: the URC may go to another port
HEALTH_POLL: Final = 30.0  # signal, registration and storage of an idle modem; the watchdog's question too
SEND_QUIET: Final = 2.0  # a modem that sent this recently is not idle
BUSY_POLL: Final = 300.0  # a modem that is never idle is asked all the same, between two sends
CNMI_CHECK: Final = 600.0  # the setting is volatile (domain A4.3)

EMPTY_SLOT_RETRY: Final = 0.5  # announced but not there yet: Huawei E3531 (domain A2.2)
INBOX_TURN: Final = 1.0  # of reads and deletions between two sends: little beside a send, three reads even at 9600 Bd
STORE: Final = 60.0  # one commit on the worst SD card, with a busy writer before it
LAST_STORE: Final = 5.0  # a commit that runs when the connection ends; the next connection waits for it
OFFER_AGAIN: Final = 86_400.0  # what stays in a slot: the sink remembers what it hears of, and forgets in the end
SINK_BACKOFF_FIRST: Final = 1.0  # the journal refused: each sweep reads the whole SIM again, so not a storm
SINK_BACKOFF_CAP: Final = 60.0

RECONNECT_FIRST: Final = 0.5
RECONNECT_CAP: Final = 30.0
RECONNECT_JITTER: Final = 0.2  # of the delay, so that eight sticks on one hub do not start as one
STABLE: Final = 30.0  # a connection that lasted this long was a good one: the back-off begins anew
PATH_POLL: Final = 0.5  # whether a device node is there: a stat() of devtmpfs, some microseconds
PATH_SETTLE: Final = 0.2  # udev sets owner and mode after the node appears
BLOCKED_RETRY: Final = 60.0  # a SIM may be put in, a person may have unlocked it (domain A9, CME 10)

CALL_GAP: Final = 10.0  # without a RING, which comes every 5 or 6 s (TS 22.001): the call is over (domain A11)
CALLER: Final = 1.5  # from the first RING to its +CLIP, which follows at once; then the call is told without a number
CALL_ECHO: Final = 3.0  # after hanging up: a RING that was on its way is no new call
CALL_NEWS: Final = 30.0  # after the end of a call: MISSED_CALL speaks of that one

USSD_ANSWER: Final = 45.0  # from the modem's OK to +CUSD: 30 to 60 s in the field (domain A11)
USSD_IDLE: Final = 90.0  # a menu that nobody answers; networks give up after one to three minutes
USSD_LATE: Final = 30.0  # after a silence: a late answer must not be taken for that of the next code
USSD_ECHO: Final = 2.0  # after AT+CUSD=2: some modems say +CUSD: 2 to that

CHANGE_COALESCE: Final = 0.5  # counters change with every part; the status goes out at most this often
