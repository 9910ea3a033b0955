"""`replies`: what a received message may answer."""

from __future__ import annotations

import voluptuous as vol

from sms_bridge.config.kinds import Duration, Section

DAY = 86_400

REPLIES = Section(
    {
        vol.Optional(
            "window", description="a message from somebody who was written to so long ago names the last order; 0: none"
        ): Duration(0, 30 * DAY),
    },
    "window: 24h",
)
