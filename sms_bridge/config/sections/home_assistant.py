"""`home_assistant`: what Home Assistant is told of by itself."""

from __future__ import annotations

import voluptuous as vol

from sms_bridge.config.kinds import NAME, Flag, Section, Several, Text

MOST_NOTIFY = 500

HOME_ASSISTANT = Section(
    {
        vol.Optional("discovery", description="the bridge and its modems show themselves as devices"): Flag(),
        vol.Optional("prefix", description="the discovery prefix of Home Assistant's MQTT integration"): Text(
            r"(?!\$)[^\x00-\x20+#/]+(?:/[^\x00-\x20+#/]+){0,7}",
            "a topic without +, #, spaces, a leading $ and empty levels",
            hint=lambda _text: "write homeassistant",
        ),
        vol.Optional("notify", description="contacts and groups that are notify entities: all, or their names"): (
            Several(Text(rf"(?![0-9]+\Z){NAME}", "the name of a contact or a group"), "all", MOST_NOTIFY, "[anna]")
        ),
    },
    "discovery: false",
)
