"""The waits of the USB room, in seconds, each with its reason."""

from __future__ import annotations

from typing import Final

POLL: Final = 1.0  # between two looks at names in sysfs; netlink makes them sooner, where there is netlink
HURRY: Final = 0.1  # between looks while something comes or changes: poll alone must settle as fast as netlink
GATHER: Final = 0.02  # a composite stick is 20 uevents in some milliseconds: one look for all of them
SETTLE: Final = 0.5  # a device whose ports have not changed for so long has them all (its ttys come one by one)
SETTLE_CAP: Final = 1.4  # in all: insertion to ready has 4 s, of which 1.5 are ours
READ_WARNING: Final = 10.0  # sysfs holds a reader of a device for as long as its driver's probe or reset takes
STOP_DEADLINE: Final = 1.0  # the thread sits in poll(2) or in a look of a millisecond

RESET_DEADLINE: Final = 30.0  # a reset is tried several times by the kernel, 5 s each, while it holds the hub
REAUTHORISE_PAUSE: Final = 1.0  # between off and on: the drivers let go of their ttys meanwhile
OFF_TIME: Final = 5.0  # without current until a modem's capacitors are empty: less may leave it as hung as it was
SWITCH_DEADLINE: Final = 30.0  # for the hub to answer, besides the time that the current is off
TOOL_DEADLINE: Final = 10.0  # vcgencmd answers in milliseconds, unless the firmware hangs
