"""Takes phone numbers, PINs and PDUs out of what leaves the process: logs, on MQTT too, bundles. Pure."""

from __future__ import annotations

import re

_PIN = re.compile(
    r'(\+CPIN\s*=\s*|\+CLCK\s*=\s*|\+CPWD\s*=\s*|\b(?:pin|puk)\b["\']?\s*[:=]\s*)[^\r\n;)}]+', re.IGNORECASE
)
_PASSWORD = re.compile(r"(\bpassword\b[\"']?\s*[:=]\s*)[^\s,;)}]+", re.IGNORECASE)
# Sixteen hex digits hold a number or some text; anything shorter is an id or an address.
_HEX = re.compile(
    r"(?<![0-9A-Za-z_-])(?=[0-9A-F]*[A-F])[0-9A-F]{16,}(?![0-9A-Za-z_-])|(?<![0-9A-Za-z_-])[0-9]{23,}(?![0-9A-Za-z_-])"
)
# With a plus it is a number wherever it stands and however it is grouped. Without one, a fraction, a part of a word
# or of an id is none.
_PLUS = re.compile(r"(\+[0-9]{1,2})[ ()./-]{0,2}[0-9](?:[ ()./-]{0,2}[0-9]){2,17}([0-9]{2})")
_NUMBER = re.compile(r"(?<![0-9A-Za-z_.-])([0-9]{3})[0-9]{2,17}([0-9]{2})(?![0-9A-Za-z_-])(?!\.[0-9])")

_FRONT, _BACK, _HIDDEN = 4, 2, 3  # characters of an identity: the first, the last, the fewest that are hidden


def redact(text: str) -> str:
    """`text` with numbers as `+36…67`, PINs and passwords as `****`, PDUs as their length."""
    text = _PIN.sub(r"\1****", text)
    text = _PASSWORD.sub(r"\1****", text)
    text = _HEX.sub(lambda match: f"<{len(match[0]) // 2} octets>", text)
    return _NUMBER.sub(r"\1…\2", _PLUS.sub(r"\1…\2", text))


def mask(identity: str | None) -> str | None:
    """An ICCID or IMSI for people who know it: `8936…42`; what is too short to hide anything is hidden whole."""
    if not identity:
        return None
    return f"{identity[:_FRONT]}…{identity[-_BACK:]}" if len(identity) >= _FRONT + _BACK + _HIDDEN else "…"
