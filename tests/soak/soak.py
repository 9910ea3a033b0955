"""One soak: the stack, the load, the trouble, the drain and the verdict."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.soak.gauge import Gauge
from tests.soak.load import Load
from tests.soak.trouble import Trouble
from tests.support.oracle import LedgerReader, Oracle, Verdict
from tests.support.stack import START_DEADLINE, Stack, running, wait_until

PERSONALITIES = ("sim800l", "ec25", "e3372", "sim7600")
GROWTH = 5 << 20  # octets that the bridge's memory may grow by
STEP = 0.05
# Waits of minutes become seconds, so that many of them fit into a soak.
WAITS: dict[str, Any] = {
    "sending": {"result_timeout": 4.0, "prompt_timeout": 3.0, "retry_delay": 0.5},
    "inbound": {"sweep_interval": 5.0, "reassembly_timeout": 3600.0},
    "modules": {
        "hardware.modem.timeouts": {
            "REST": 20.0, "LONGEST_REST": 30.0, "BLOCKED_RETRY": 5.0, "RESTART_SETTLE": 10.0, "SIM_PATIENCE": 6.0,
            "BOOT_PATIENCE": 6.0, "RECONNECT_CAP": 5.0, "SINK_BACKOFF_CAP": 5.0, "NO_SERVICE_CAP": 5.0,
            "LOST_NETWORK": 20.0,
        },
    },
}  # fmt: skip
WORKS = ("ready", "degraded")  # the second sends too, and says what is wrong with its plug or its SIM
KEEPALIVE = 5  # seconds; a broker that stands still for longer is lost


@dataclass(frozen=True)
class Plan:
    directory: Path
    duration: float = 1800.0
    fault_every: float = 5.0
    kill_every: float = 0.0  # 0: never; memory can be judged in one life only
    rate: float = 3.0  # orders a second; half as many messages come in
    latency: str = "0.05-0.5"
    modems: int = 4
    seed: int = 20261122
    drain: float = 240.0
    talkative: bool = False


@dataclass
class Report:
    plan: Plan
    verdict: Verdict
    gauge: Gauge
    kinds: dict[str, int]
    faults: dict[str, int]
    drained: float
    exit_code: int | None
    not_ready: list[str] = field(default_factory=list)

    @property
    def growth(self) -> float:
        """Octets from the first quarter to the last; of a few minutes it says nothing."""
        before, after = self.gauge.quarters("rss")
        return after - before

    def failures(self) -> dict[str, Any]:
        """What must not be."""
        found: dict[str, Any] = dict(self.verdict.faults())
        if self.not_ready:
            found["modems that did not come back"] = self.not_ready
        if self.exit_code != 0:
            found["exit code of the bridge"] = self.exit_code
        if self.plan.duration >= 300 and not self.plan.kill_every and self.growth > GROWTH:
            found["memory grew"] = f"{self.growth / (1 << 20):.1f} MB"
        return found


def soak(plan: Plan) -> Report:
    """Run it; AssertionError when the stack itself cannot be had."""
    dice = random.Random(plan.seed)
    with _stack(plan) as (stack, oracle, gauge):
        roll = Roll(plan.modems)
        stack.observer.listeners.append(roll.hear)
        wait_until(lambda: not roll.absent(), START_DEADLINE, "the modems are ready")
        load = Load(stack, oracle, dice, plan.rate)
        trouble = Trouble(stack, dice, 3 * KEEPALIVE)
        _run(plan, stack, load, trouble, gauge, oracle)
        load.end()
        trouble.end()
        began = time.monotonic()
        while oracle.waiting() and time.monotonic() - began < plan.drain:
            time.sleep(0.2)
        drained = time.monotonic() - began
        not_ready = _not_ready(roll)
        code = stack.bridge.stop()
        time.sleep(0.5)  # what the broker still has for the observer
        ledger, journal = LedgerReader(stack.emulation.directory), stack.bridge.data / "journal.db"
        verdict = oracle.judge(ledger, journal, _on_sims(stack))
        return Report(plan, verdict, gauge, dict(load.kinds), dict(trouble.counts), drained, code, not_ready)


def _run(plan: Plan, stack: Stack, load: Load, trouble: Trouble, gauge: Gauge, oracle: Oracle) -> None:
    now = start = time.monotonic()
    fault = start + plan.fault_every
    kill = start + plan.kill_every if plan.kill_every else float("inf")
    sample = told = start
    while now < start + plan.duration:
        load.step()
        trouble.step()
        if now >= fault:
            fault += plan.fault_every
            trouble.strike()
        if now >= kill:
            kill += plan.kill_every
            trouble.kill()
        if now >= sample:
            sample += 1.0
            gauge.take()
        if plan.talkative and now >= told:
            told += 60.0
            waiting, rss = len(oracle.waiting()), gauge.samples[-1].rss / (1 << 20) if gauge.samples else 0
            done = f"{(now - start) / 60:.0f} min: {len(oracle.orders)} orders, {waiting} waiting, {rss:.1f} MB"
            print(done, file=sys.stderr, flush=True)
        time.sleep(STEP)
        now = time.monotonic()


def _on_sims(stack: Stack) -> list[str]:
    """The texts that lie on SIMs."""
    found = [stack.emulation.do("inbox", modem=modem)["messages"] for modem in range(stack.emulation.modems)]
    return [message["text"] or "" for messages in found for message in messages]


class Roll:
    """The last state of each modem, as it was published."""

    def __init__(self, modems: int) -> None:
        self.states = {f"modem{index}": "never heard of" for index in range(modems)}

    def hear(self, topic: str, payload: Any) -> None:
        name = topic.removeprefix("modem/")
        if name in self.states and payload:
            self.states[name] = payload["state"]

    def absent(self) -> list[str]:
        return [f"{name} is {state}" for name, state in self.states.items() if state not in WORKS]


def _not_ready(roll: Roll) -> list[str]:
    """Modems that are not in service though nothing is wrong any more; they get a minute."""
    end = time.monotonic() + 60
    while roll.absent() and time.monotonic() < end:
        time.sleep(0.2)
    return roll.absent()


@contextmanager
def _stack(plan: Plan) -> Iterator[tuple[Stack, Oracle, Gauge]]:
    tasks = plan.directory / "tasks"
    waits = {**WAITS, "tasks": {"file": str(tasks)}}
    names = [PERSONALITIES[index % len(PERSONALITIES)] for index in range(plan.modems)]
    with running(
        plan.directory,
        modems=plan.modems,
        personalities=names,
        latency=plan.latency,
        waits=waits,
        ready=False,
        mqtt=[f"keepalive: {KEEPALIVE}"],
        lasting=True,
    ) as stack:
        oracle = Oracle()
        stack.observer.listeners.append(oracle.hear)
        yield stack, oracle, Gauge(stack.bridge, tasks)
