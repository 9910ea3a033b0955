"""Regular expressions that a person wrote, on texts that a stranger wrote: in a process that may be ended.

Python's matcher can take hours for a text that was made for it, and nothing else runs meanwhile. A check happens about
once a day for a SIM: a process of its own is affordable.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys

from sms_bridge.core.errors import CoreError

MAX_PATTERN = 500  # characters
MAX_TEXT = 1000  # characters that are looked at
FLAGS = re.IGNORECASE | re.DOTALL
CPU_SECONDS = 1
WALL_SECONDS = 10.0  # a Raspberry Pi that is busy takes a second to start Python

_SCRIPT = f"""\
import json, re, resource, sys
resource.setrlimit(resource.RLIMIT_CPU, ({CPU_SECONDS}, {CPU_SECONDS}))
pattern, text = json.load(sys.stdin)
found = re.compile(pattern, {int(FLAGS)}).search(text)
json.dump(found and found.groupdict(), sys.stdout)
"""


class PatternError(CoreError):
    """The pattern could not be tried: it takes too long, or is none."""


async def find(pattern: str, text: str) -> dict[str, str | None] | None:
    """The named groups of the first match, letters of any case, `.` also a line end; None: no match. PatternError."""
    return await asyncio.get_running_loop().run_in_executor(None, _find, pattern, text[:MAX_TEXT])


def _find(pattern: str, text: str) -> dict[str, str | None] | None:
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _SCRIPT],
            input=json.dumps([pattern, text]).encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=WALL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise _too_slow() from error
    except OSError as error:
        raise PatternError(f"the pattern could not be tried: {error.strerror}") from error
    if done.returncode < 0:
        raise _too_slow()
    if done.returncode:
        raise PatternError("the pattern is no regular expression")
    found: dict[str, str | None] | None = json.loads(done.stdout)
    return found


def _too_slow() -> PatternError:
    return PatternError(
        "the pattern takes too long on this text", hint="avoid repetitions inside repetitions, such as (a+)+"
    )
