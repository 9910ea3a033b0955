"""Programs that are known to take serial ports, and what a person does about each (domain A13)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple


class Grabber(NamedTuple):
    """What to do about one program; {stop} in `text` is how it is stopped here."""

    text: str
    unit: str | None = None  # its usual unit; {tty} is the port's name
    unasked: bool = False  # takes ports nobody named to it, or is there for modems alone: to be suspected
    rule: str | None = None  # what goes before a udev rule that keeps it away

    def fix(self, stop: str, rule: str | None) -> str:
        """A sentence without its capital and full stop."""
        if rule is not None and self.rule is not None:
            return f"{self.rule} {rule}; or {stop}"
        return self.text.format(stop=stop)


_OTHERS = (
    "if this is the stick it is meant for, all is well: the bridge leaves it alone; "
    "if not, give it its own in its configuration, by its name below /dev/serial/by-id"
)
_TERMINAL = Grabber("it is a terminal that somebody has left open: close it")
_DIAL_UP = Grabber("it uses the modem for a dial-up connection: {stop}")
_ASTERISK = Grabber("take the modem out of its dongle.conf or quectel.conf; or {stop}", "asterisk", True)

# By name in lower case, as of the process or of its unit.
KNOWN: Final[Mapping[str, Grabber]] = MappingProxyType(
    {
        "modemmanager": Grabber(
            "it takes every modem it sees: {stop}",
            "ModemManager",
            unasked=True,
            rule="tell it to leave this modem alone with a udev rule",
        ),
        "brltty": Grabber("a program for Braille displays takes such adapters: sudo apt remove brltty", "brltty", True),
        "brltty-udev": Grabber(
            "a program for Braille displays takes such adapters: sudo apt remove brltty", "brltty", True
        ),
        "gammu-smsd": Grabber("it serves this modem instead of the bridge: {stop}", "gammu-smsd", True),
        "gammu": Grabber("wait until it is done, or end it"),
        "wammu": Grabber("close it"),
        "smsd": Grabber("SMS Server Tools serve this modem instead of the bridge: {stop}", "smstools", True),
        "smstools": Grabber("SMS Server Tools serve this modem instead of the bridge: {stop}", "smstools", True),
        "bearerbox": Grabber("Kannel serves this modem instead of the bridge: {stop}", "kannel", True),
        "asterisk": _ASTERISK,
        "sms-bridge": Grabber("another bridge runs here: one is enough; {stop}", "sms-bridge"),
        "sms_bridge": Grabber("another bridge runs here: one is enough; {stop}", "sms-bridge"),
        "zigbee2mqtt": Grabber(_OTHERS, "zigbee2mqtt"),
        "zwave-js-ui": Grabber(_OTHERS, "zwave-js-ui"),
        "zwavejs2mqtt": Grabber(_OTHERS, "zwavejs2mqtt"),
        "homeassistant": Grabber(_OTHERS, "home-assistant"),
        "hass": Grabber(_OTHERS, "home-assistant"),
        "node-red": Grabber(_OTHERS, "nodered"),
        "openhab": Grabber(_OTHERS, "openhab"),
        "otbr-agent": Grabber(_OTHERS, "otbr-agent"),
        "klippy": Grabber(_OTHERS, "klipper"),
        "octoprint": Grabber(_OTHERS, "octoprint"),
        "gpsd": Grabber("it looks for GPS receivers: sudo systemctl disable --now gpsd.socket gpsd", "gpsd"),
        "fwupd": Grabber("it looks for firmware updates and lets go soon; if not: sudo systemctl mask --now fwupd"),
        "agetty": Grabber("a login prompt waits there: {stop}", "serial-getty@{tty}"),
        "getty": Grabber("a login prompt waits there: {stop}", "serial-getty@{tty}"),
        "pppd": _DIAL_UP,
        "wvdial": _DIAL_UP,
        "minicom": _TERMINAL,
        "picocom": _TERMINAL,
        "screen": _TERMINAL,
        "tio": _TERMINAL,
        "cu": _TERMINAL,
        "putty": _TERMINAL,
        "gtkterm": _TERMINAL,
        "miniterm": _TERMINAL,
    }
)
