"""Sticks in plugs: how soon one works or is missed, what eight cost idle, what a wedged one costs the others."""

from __future__ import annotations

import itertools
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.support.plug_stack import PlugStack, plugging
from tests.support.stack import wait_until

ROUNDS = 12
SETTLE = 2.0  # s until a bridge whose modems have just become ready is idle
IDLE = 20.0  # s of watching it
TICKS = os.sysconf("SC_CLK_TCK")
HANG = 30  # s that the wedged modem's driver takes for close()


def comings_and_goings(rounds: int = ROUNDS) -> dict[str, float]:
    """Seconds from insertion to `ready`, and from the pull to `offline`, on MQTT; netlink is deaf to a fake tree."""
    ready, offline = [], []
    with tempfile.TemporaryDirectory(prefix="bench") as directory, plugging(Path(directory), 1) as stack:
        for turn in range(rounds):
            since, began = len(stack.observer.seen), time.monotonic()
            stack.put(0, f"1-{turn % 3 + 1}")
            ready.append(stack.wait_modem("quectel-1", "ready", since).at - began)
            time.sleep(0.5)
            since, began = len(stack.observer.seen), time.monotonic()
            stack.pull(0, f"1-{turn % 3 + 1}")
            offline.append(stack.wait_modem("quectel-1", "offline", since).at - began)
            time.sleep(1.2)  # until the watcher has seen it too
    return {
        "ready_p50_s": statistics.median(ready),
        "ready_max_s": max(ready),
        "offline_p50_s": statistics.median(offline),
        "offline_max_s": max(offline),
    }


def silent_goings(rounds: int = 5) -> dict[str, float]:
    """The same when the line says nothing of it: what the watcher's poll alone takes."""
    offline = []
    with tempfile.TemporaryDirectory(prefix="bench") as directory, plugging(Path(directory), 1) as stack:
        for _ in range(rounds):
            since = len(stack.observer.seen)
            stack.put(0, "1-1")
            stack.wait_modem("quectel-1", "ready", since)
            time.sleep(0.7)
            since, began = len(stack.observer.seen), time.monotonic()
            stack.usb.unplug("1-1")
            offline.append(stack.wait_modem("quectel-1", "offline", since).at - began)
            stack.emulation.do("unplug", modem=0)
            time.sleep(0.5)
    return {"silent_offline_p50_s": statistics.median(offline), "silent_offline_max_s": max(offline)}


def idle(modems: int = 8) -> dict[str, float]:
    """CPU of a bridge with nothing to do, of one core."""
    with tempfile.TemporaryDirectory(prefix="bench") as directory, plugging(Path(directory), modems) as stack:
        for index in range(modems):
            stack.put(index, f"1-1.{index + 1}")
        for index in range(modems):
            stack.wait_modem(f"quectel-{index + 1}", "ready")
        time.sleep(SETTLE)
        cpu = cpu_seconds(stack.bridge.pid)
        time.sleep(IDLE)
        cpu = (cpu_seconds(stack.bridge.pid) - cpu) / IDLE
    return {"idle_cpu": cpu}


def beside_a_wedged_one(
    modems: int = 16, messages: int = 15, latency: float = 2.0, *, wedge: bool = True
) -> dict[str, float]:
    """One modem falls silent in the middle, and its driver hangs in close(): busy time ÷ wall time of the others."""
    with tempfile.TemporaryDirectory(prefix="bench") as directory:
        where = Path(directory)
        with plugging(where, modems, latency=str(latency), trace=True, start=False) as stack:
            for index in range(modems):
                stack.put(index, f"1-1.{index + 1}")
            bad = os.path.realpath(stack.usb.nodes(f"1-1.{modems}")[0])
            library = build(where)
            flag = where / "hang"
            slow = {"SLOW_CLOSE": bad, "SLOW_CLOSE_IF": str(flag), "SLOW_CLOSE_S": str(HANG)}
            stack.bridge.env = {"LD_PRELOAD": library, **slow}
            stack.bridge.start()
            for index in range(modems):
                stack.wait_modem(f"quectel-{index + 1}", "ready", deadline=60.0)
            total = messages * (modems - 1)
            for number in range(total):
                to = f"+3630{1_000_000 + number}"  # somebody new: nobody's conversation binds it to a SIM
                order = {"id": f"w{number}", "to": to, "text": f"message {number}", "delivery_report": False}
                stack.observer.publish("out", order)
            wait_until(lambda: done(stack) > modems * 3, 60, "all are sending", 0.05)
            if wedge:
                stack.emulation.do("fault", modem=modems - 1, name="wedge")
                flag.touch()
            states = ("sent", "unknown", "failed")
            wait_until(lambda: done(stack, states) >= total - 1, messages * (latency + 0.3) + 60, "all are sent", 0.1)
            busy, wall, gaps = utilisation(stack, range(modems - 1))
    return {"busy": busy / wall, "added_p50_ms": statistics.median(gaps), "added_max_ms": max(gaps)}


def utilisation(stack: PlugStack, modems: range) -> tuple[float, float, list[float]]:
    """Busy seconds, wall seconds, and the gaps between two sends of a modem in ms."""
    from bench.__main__ import sends_by_modem

    busy, wall, gaps = 0.0, 0.0, []
    sends: dict[int, list[tuple[float, float]]] = sends_by_modem(stack)
    for index in modems:
        spans = sends[index]
        busy += sum(end - start for start, end in spans)
        wall += spans[-1][1] - spans[0][0]
        gaps += [(after[0] - before[1]) * 1000 for before, after in itertools.pairwise(spans)]
    return busy, wall, gaps


def build(where: Path) -> str:
    """The library that makes close() hang."""
    library = where / "slow_close.so"
    source = Path(__file__).with_name("slow_close.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", str(library), str(source), "-ldl"], check=True)
    return str(library)


def done(stack: PlugStack, states: tuple[str, ...] = ("sent",)) -> int:
    return len({p["id"] for p in stack.observer.of("status") if p["state"] in states})


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def run() -> dict[str, Any]:
    others = {"wedged": beside_a_wedged_one(), "none_wedged": beside_a_wedged_one(wedge=False)}
    return {**comings_and_goings(), **silent_goings(), **idle(), **others}
