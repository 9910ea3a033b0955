"""Domain G11: SIMs that ask for a PIN and must not lose an attempt, beside one that is only slow.

Twenty lives with a wrong PIN are tests/system/test_recovery.py; counters that are not known are
tests/device/test_modem_sim.py.
"""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.support.scenes import hush, order
from tests.support.stack import Emulation, Stack, running

PIN = "1234"
CAUSES = {
    0: (1, "1 attempt left"),
    1: (0, "PUK"),
    2: (3, "PIN"),
}  # attempts left, and what is said; the third one's PIN is wrong
SLOW = 3


@pytest.mark.slow
def test_no_attempt_is_burnt_and_the_slow_one_works(tmp_path: Path) -> None:
    def lock(emulation: Emulation) -> None:
        for index, (attempts, _) in CAUSES.items():
            right = "9999" if index == 2 else PIN
            emulation.do("fault", modem=index, name="pin_required", pin=right, attempts=attempts)
        emulation.do("fault", modem=SLOW, name="sim_busy", count=12)

    personalities = ["ec25"] * 4
    pins = "".join(
        f'  - {{name: modem{index}, port: {tmp_path}/phones/modem{index}, pin: "{PIN}"}}\n' for index in range(4)
    )
    with running(tmp_path, modems=4, personalities=personalities, before=lock, ready=False) as stack:
        stack.bridge.stop(signal.SIGKILL)
        text = stack.bridge.config.read_text(encoding="utf-8")
        stack.bridge.config.write_text(text[: text.index("modems:")] + "modems:\n" + pins, encoding="utf-8")
        for life in range(3):
            _one_life(stack, life)
            stack.bridge.stop(signal.SIGKILL)
        written = [stack.emulation.do("stats", modem=index)["pins"] for index in range(4)]
        assert written == [0, 0, 1, 0], "one was wrong, and was tried once; where one attempt is left, none is made"


def _one_life(stack: Stack, life: int) -> None:
    since = len(stack.observer.seen)
    stack.bridge.start()
    for index, (_, word) in CAUSES.items():
        state = stack.observer.wait_for(f"modem/modem{index}", lambda p: p["state"] == "blocked", since=since).payload
        assert word in state["health_reason"], state["health_reason"]
        assert state["health"] == "fail"
        assert PIN not in state["health_reason"]
    stack.observer.wait_for(f"modem/modem{SLOW}", lambda p: p["state"] == "ready", since=since)
    hush(stack)
    order(stack, f"life {life}")
    assert stack.observer.wait_state(f"life {life}", "sent")["modem"] == f"modem{SLOW}"
