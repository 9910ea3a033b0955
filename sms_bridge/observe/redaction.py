"""Takes phone numbers, PINs and PDUs out of text that leaves the process: logs, bundles."""

from __future__ import annotations

import logging
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


def redact(text: str) -> str:
    """`text` with numbers as `+36…67`, PINs and passwords as `****`, PDUs as their length."""
    text = _PIN.sub(r"\1****", text)
    text = _PASSWORD.sub(r"\1****", text)
    text = _HEX.sub(lambda match: f"<{len(match[0]) // 2} octets>", text)
    return _NUMBER.sub(r"\1…\2", _PLUS.sub(r"\1…\2", text))


def mask(number: str) -> str:
    """A number or an identity for people who know it: the first and the last characters."""
    if len(number) < 7:
        return number if len(number) < 4 else f"{number[:1]}…{number[-1:]}"
    return f"{number[:3]}…{number[-2:]}"


class RedactingFilter(logging.Filter):
    """Redacts a record for good, its traceback too: whoever handles it next sees no more than we do."""

    _formatter = logging.Formatter()

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            message = record.getMessage()
        except Exception as error:
            message = f"bad log call: {record.msg!r}: {error}"
        record.msg, record.args = redact(message), None
        if record.exc_info and not record.exc_text:
            record.exc_text = self._formatter.formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = redact(record.exc_text)
            record.exc_info = None
        return True
