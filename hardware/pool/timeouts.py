"""Every deadline and interval of the pool, in seconds, with its reason."""

from __future__ import annotations

from typing import Final

SWITCH: Final = 10.0  # for usb-modeswitch to make a modem of a CD-ROM, before that is a problem
LATE_PORTS: Final = 3.0  # for ports that appear after the rest, when a driver is loaded first

LISTEN: Final = 0.1  # before the first octet is written: what streams by itself is heard by then (domain A1.1)
ANSWER: Final = 1.0  # to AT, which is asked three times (domain A1.3)
IDENTITY: Final = 3.0  # to each way of asking for the IMEI: modems answer it from memory
SIM: Final = 5.0  # to each way of asking for the ICCID, asked only where the configuration names a SIM
DIALOGUE: Final = 40.0  # with one port, all of the above together and a resync: then it is no modem that can be used

# A port that answers nothing may be a modem that boots; a serial adapter may be anything, and some devices restart
# when their port is opened (DTR), so those are asked a few times only.
SILENT_FIRST: Final = 2.0
SILENT_CAP: Final = 60.0
STRANGER_FIRST: Final = 15.0
STRANGER_CAP: Final = 240.0
HELD_FIRST: Final = 1.0  # another program has the port, or we may not open it: either may end at any moment
HELD_CAP: Final = 30.0
WEDGED_FIRST: Final = 60.0  # the driver hangs in open(): each attempt leaves a thread there
WEDGED_CAP: Final = 600.0
MISSING: Final = 1.0  # the port is not there: it is about to leave, or not quite there yet
CONTESTED: Final = 0.5  # the name is with a modem whose SIM has moved here, and which is being asked again

STRAY_PAUSE: Final = 2.5  # a port that went away mostly means a pulled stick, which the watcher tells within its poll
FAULT_PAUSE: Final = 30.0  # after a defect of ours
REGISTER_RETRY: Final = 5.0  # the disk refused: what is known of modems is in memory all the same
WATCHER_PAUSE: Final = 5.0  # after the watcher failed, before it is begun anew
FIRST_LOOK: Final = 20.0  # for all that was plugged in at the start to have been asked once
