"""Every deadline and interval of a modem's life, in seconds, with its reason."""

from __future__ import annotations

from typing import Final

SIM_PATIENCE: Final = 30.0  # CME 14 and CMS 314/515 are normal for seconds after PIN or boot (domain A8.3, A9)
SIM_RETRY: Final = 0.5  # between two questions to a busy SIM
PIN_SETTLE: Final = 5.0  # after a PIN that was taken: +CPIN? may say SIM PIN for a moment more
BOOT_PATIENCE: Final = 20.0  # from a boot URC to "SMS Ready"/"SMS DONE" (domain A2.2: SIM800, SIM7600)
RESTART_PAUSE: Final = 1.0  # before a set-up that follows another: RDY, Call Ready and SMS Ready come one by one
RESTART_WINDOW: Final = 10.0  # within which it follows another

REGISTRATION_POLL: Final = 2.0  # while not registered: the URC may go to another port
REGISTRATION_PATIENCE: Final = 60.0  # of such questions; later every so often is enough, the URC tells too
REGISTRATION_POLL_LATER: Final = 10.0
FLAP: Final = 30.0  # a network that is gone for less does not take a modem out of service (domain A10)
GAP_SENDS: Final = 3.0  # into such a gap nothing is handed over any more; a change of cell or of 4G to 2G is shorter
NO_SERVICE: Final = 2.0  # out after a send that found no service, whatever +CREG says; doubles while that repeats
NO_SERVICE_CAP: Final = 60.0
HEALTH_SETTLE: Final = 30.0  # a verdict that stands for so long is an event: a modem that starts passes through all
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

RESTART_SETTLE: Final = 60.0  # a modem that restarts: ttys after 10 to 20 s, the SIM later (domain A1.5)
POWER_SETTLE: Final = 90.0  # the same behind a hub that starts too
STABLE_SERVICE: Final = 600.0  # in service for so long: what was tried has helped, and each costs one step less
REST: Final = 3600.0  # after all was tried: a person is told; a hub that was dead may have come back
LONGEST_REST: Final = 21_600.0  # the rest doubles up to this
SWITCH_PAUSE: Final = 900.0  # between two times that one hub or one switch takes power away (domain A13)
LAST_POWER: Final = 5.0  # when the bridge ends: to have the power switched on again
POSTPONED: Final = 20.0  # until a step is tried again that a neighbour's send is in the way of
POWER_TOOL: Final = 120.0  # beyond the tools' own deadlines: a step that hangs must not end the recovery
POWER_BACK: Final = 5.0  # between two tries to switch the power on again: the broker may be away for a while
SEND_PATIENCE: Final = 90.0  # a person's restart waits so long for a send under way; a request has 120 s
UNLOCK_PATIENCE: Final = 90.0  # a person's PIN: a connection to a modem that is busy with its SIM, and its interview
LOST_NETWORK: Final = 300.0  # without a network, or refused by it, before anything is done (domain A10)
REFUSED_GAP: Final = 60.0  # a modem that is refused searches in between, and is refused again
RADIO_PAUSE: Final = 3.0  # off the air: the network notices the detach, and the modem forgets the cell
RESTART_BURST: Final = 20.0  # RDY, Call Ready and SMS Ready within this are one restart
RESTARTS_WINDOW: Final = 600.0  # so many restarts within this are a power supply that is too weak (domain A2.2, A13)
