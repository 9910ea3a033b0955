"""Names of ports."""

from __future__ import annotations

import os


def real_path(device: str) -> str:
    """What `device` is in the end, behind links such as those of /dev/serial; itself when it goes in this moment."""
    try:
        return os.path.realpath(device)
    except OSError:  # a link that was there when it was looked at, and gone when it was read
        return device
