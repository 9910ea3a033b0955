"""What goes wrong in a soak: one fault at a time and often several, each taken back after a while."""

from __future__ import annotations

import heapq
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from tests.support.stack import Stack

LONGEST = 20.0  # seconds until a fault that was not met is disarmed
LOOK = 4.0  # seconds between two looks for modems that are unplugged, to have them back
# Refusals that say how it goes on within seconds; those that ask for minutes of rest are for tests of their own.
CODES = (1, 8, 41, 50, 98, 127, 195, 198, 300, 314, 331, 332, 500, 512, 515)
MOMENTS = ("now", "command", "cmgs", "prompt", "ctrl_z", "accepted")

WEIGHTS = {
    "unplug": 8,
    "die_after_ctrl_z": 5,
    "wedge": 4,
    "lost_result": 5,
    "late_result": 5,
    "half_line": 3,
    "cms_error": 8,
    "cms_error accepted": 3,
    "cme_error": 2,
    "sim_busy": 4,
    "no_prompt": 3,
    "no_answer": 3,
    "no_urc": 4,
    "urc_in_middle": 4,
    "echo_on": 3,
    "text_mode": 3,
    "reboot": 4,
    "storage_full": 3,
    "sim_failure": 1,
    "registration": 4,
    "stuck": 1,
    "brown_out": 1,
    "broker restart": 3,
    "broker stopped": 4,
    "bridge stopped": 2,
}


class Trouble:
    """Does a random fault when `strike` is called, and takes back what has lasted long enough in `step`."""

    def __init__(self, stack: Stack, dice: random.Random, longest_stop: float) -> None:
        self.counts: Counter[str] = Counter()
        self._stack = stack
        self._dice = dice
        self._longest_stop = longest_stop
        self._undo: list[tuple[float, int, Callable[[], object]]] = []
        self._stopped = False  # the broker
        self._look = 0.0

    def strike(self) -> None:
        names = [name for name in WEIGHTS if not (self._stopped and name.startswith("broker"))]
        [name] = self._dice.choices(names, weights=[WEIGHTS[name] for name in names])
        self.counts[name] += 1
        modem = self._dice.randrange(self._stack.emulation.modems)
        match name:
            case "broker restart":
                self._stack.broker.stop()
                self._stopped = True
                self._later(self._dice.uniform(0, 3), self._start_broker)
            case "broker stopped":
                self._signal_broker(signal.SIGSTOP)
                self._stopped = True
                self._later(self._dice.uniform(0.5, self._longest_stop), self._go_on)
            case "bridge stopped":
                self._stack.bridge.pause()
                self._later(self._dice.uniform(0.2, 3), self._stack.bridge.resume)
            case _:
                self._of_modem(name, modem)

    def step(self) -> None:
        now = time.monotonic()
        while self._undo and self._undo[0][0] <= now:
            heapq.heappop(self._undo)[2]()
        if now >= self._look:
            self._look = now + LOOK
            for modem in self._stack.emulation.do("list")["modems"]:
                if not modem["plugged"]:  # an armed fault was met
                    self._later(self._dice.uniform(0, LOOK), lambda index=modem["modem"]: self._do("plug", index))

    def end(self) -> None:
        """Everything is well again."""
        while self._undo:
            heapq.heappop(self._undo)[2]()
        for modem in range(self._stack.emulation.modems):
            self._do("clear", modem)
            self._do("plug", modem)

    def kill(self) -> None:
        """kill -9 of the bridge, which is started again at once."""
        self.counts["kill -9"] += 1
        self._stack.restart_bridge(signal.SIGKILL)

    def _of_modem(self, name: str, modem: int) -> None:
        dice = self._dice
        fields: dict[str, Any] = {"duration": LONGEST}
        lasts = dice.uniform(1, 6)
        match name:
            case "unplug":
                fields["on"] = dice.choice(MOMENTS)
            case "late_result":
                fields["delay"] = dice.uniform(0.5, 8)
            case "cms_error":
                fields |= {"code": dice.choice(CODES), "stage": dice.choice(("before", "after"))}
            case "cms_error accepted":
                fields |= {"code": dice.choice((127, 300, 332, 500)), "accepted": True}
            case "sim_busy" | "no_urc" | "urc_in_middle":
                fields["count"] = dice.randint(1, 8)
            case "no_answer" | "half_line":
                fields["on"] = dice.choice(("+CMGS", "+CSQ", "+CMGR", "+CMGD", "+CPMS"))
            case "reboot":
                fields["on"] = dice.choice(MOMENTS)
            case "registration":
                fields |= {"stat": dice.choice((0, 2, 3)), "duration": lasts * 2}
            case "brown_out":
                fields |= {"every": 4, "duration": 10}
            case "wedge" | "stuck" | "sim_failure" | "storage_full":
                fields["duration"] = lasts * 2
        self._do("fault", modem, name=name.split()[0], **fields)

    def _do(self, verb: str, modem: int, **fields: Any) -> None:
        self._stack.emulation.do(verb, modem=modem, **fields)

    def _later(self, seconds: float, undo: Callable[[], object]) -> None:
        heapq.heappush(self._undo, (time.monotonic() + seconds, sum(self.counts.values()), undo))

    def _start_broker(self) -> None:
        self._stack.broker.start()
        self._stopped = False

    def _go_on(self) -> None:
        self._signal_broker(signal.SIGCONT)
        self._stopped = False

    def _signal_broker(self, sig: int) -> None:
        assert self._stack.broker.process is not None
        os.kill(self._stack.broker.process.pid, sig)
