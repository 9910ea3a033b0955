"""`make bench`: what the bridge costs and how fast it is, on real processes; a table, and JSON for comparing.

Absolute figures belong to this machine and this minute: compare ratios and medians of one run.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.support.stack import Stack, free_port, running, wait_until

Row = tuple[str, str, str]
NUMBER = "+36301234567"
WIDTH = 52  # of the table's first column
TICKS = os.sysconf("SC_CLK_TCK")


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--only", action="append", choices=sorted(SECTIONS), help="run this section only (repeatable)")
    parser.add_argument("--messages", type=int, default=50, help="messages a modem (50)")
    parser.add_argument("--latency", type=float, default=0.5, help="seconds a message takes in the modem (0.5)")
    parser.add_argument("--json", type=Path, default=Path("bench/results/latest.json"), help="where the figures go")
    options = parser.parse_args()
    results: dict[str, Any] = {"machine": machine(), "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
    for name in options.only or SECTIONS:
        print(f"… {name}", file=sys.stderr, flush=True)
        results[name], rows = SECTIONS[name](options)
        for what, value, target in rows:
            print(f"{what:<{WIDTH}}  {value:>22}  {target}", flush=True)
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(results, indent=1), encoding="utf-8")
    print(f"written to {options.json}", file=sys.stderr)
    return 0


def machine() -> dict[str, Any]:
    return {"python": platform.python_version(), "cores": os.cpu_count(), "machine": platform.machine()}


def bench_codec(_options: argparse.Namespace) -> tuple[Any, list[Row]]:
    from bench import codec

    figures = codec.run()
    return figures, [
        ("codec: encodes per CPU-second, 160 characters", f"{figures['encode']:,.0f}", "≥ 60 000"),
        ("codec: encodes of three parts per CPU-second", f"{figures['encode3']:,.0f}", ""),
        ("codec: decodes per CPU-second, 160 characters", f"{figures['decode']:,.0f}", "≥ 80 000"),
    ]


def bench_routes(_options: argparse.Namespace) -> tuple[Any, list[Row]]:
    from bench import routes

    figures = routes.run()
    return figures, [
        ("routes: sent a second, window 50, journalled", f"{figures['sent_per_s']:,.0f}", "≥ 5 000"),
        ("routes: CPU a message, core and journal", f"{figures['sent_cpu_us']:.0f} µs", "< 100"),
        ("routes: receipts a second, 50 a commit", f"{figures['receipts_per_s']:,.0f}", ""),
        ("routes: CPU a receipt", f"{figures['receipts_cpu_us']:.0f} µs", ""),
    ]


def bench_smpp(_options: argparse.Namespace) -> tuple[Any, list[Row]]:
    from bench import smpp

    figures, rows = smpp.run(), []
    for found in figures:
        name = f"smpp: window {found['window']}, {found['latency'] * 1000:.0f} ms"
        if found["latency"]:
            rows.append((f"{name}, of what it is without a journal", f"{found['reached'] * 100:.1f} %", "≥ 97 %"))
        else:
            rows.append((f"{name}: CPU a message", f"{found['cpu_us']:.0f} µs", "< 250"))
        rows.append((f"{name}: submits a second", f"{found['per_second']:,.0f}", "" if found["latency"] else "≥ 5 000"))
    return figures, rows


def bench_modems(options: argparse.Namespace) -> tuple[Any, list[Row]]:
    figures, rows = [], []
    runs = ((1, 0, ""), (4, 0, ""), (8, 0, "≥ 99.3 %"), (8, 20, "≥ 95.5 %"))
    for modems, fsync_ms, target in runs:
        found = utilisation(modems, fsync_ms, options.messages, options.latency)
        figures.append(found)
        name = f"{modems} modem{'s' if modems > 1 else ''}, {options.latency * 1000:.0f} ms"
        name += f", fsync + {fsync_ms} ms" if fsync_ms else ""
        rows.append((f"busy: {name}", f"{found['busy'] * 100:.2f} %", target))
        limits = "" if fsync_ms else "median < 3, p99 < 10"
        rows.append(
            (f"added a message: {name}", f"{found['added_p50_ms']:.2f} / {found['added_p99_ms']:.2f} ms", limits)
        )
        rows.append((f"CPU a message: {name}", f"{found['cpu_ms']:.2f} ms", ""))
    return figures, rows


def utilisation(modems: int, fsync_ms: int, messages: int, latency: float) -> dict[str, Any]:
    """`messages` a modem queued at once: busy time ÷ wall time, and what lies between two sends of a modem."""
    total = modems * messages
    with tempfile.TemporaryDirectory(prefix="bench") as directory:
        env = slow_fsync(Path(directory), fsync_ms)
        with running(Path(directory), modems=modems, latency=str(latency), trace=True, env=env) as stack:
            cpu = cpu_seconds(stack.bridge.pid)
            for number in range(total):
                to = f"+3630{1_000_000 + number}"  # somebody new: nobody's conversation binds it to a SIM
                order = {"id": f"u{number}", "to": to, "text": f"message {number}", "delivery_report": False}
                stack.observer.publish("out", order)
            deadline = messages * (latency + 0.2) + 30
            wait_until(lambda: done(stack, ("sent", "unknown", "failed")) >= total, deadline, "all are sent", 0.1)
            cpu = cpu_seconds(stack.bridge.pid) - cpu
            sends = sends_by_modem(stack)
    busy, wall, gaps = 0.0, 0.0, []
    for spans in sends.values():
        busy += sum(end - start for start, end in spans)
        wall += spans[-1][1] - spans[0][0]
        gaps += [(after[0] - before[1]) * 1000 for before, after in itertools.pairwise(spans)]
    return {
        "modems": modems,
        "fsync_ms": fsync_ms,
        "messages": sum(len(spans) for spans in sends.values()),
        "busy": busy / wall,
        "added_p50_ms": statistics.median(gaps),
        "added_p99_ms": percentile(gaps, 99),
        "cpu_ms": cpu * 1000 / total,
    }


def bench_latency(_options: argparse.Namespace) -> tuple[Any, list[Row]]:
    """Inbound: from `+CMTI` to the subscriber. Outbound: from the publish to `AT+CMGS`."""
    with tempfile.TemporaryDirectory(prefix="bench") as directory, running(Path(directory), trace=True) as stack:
        inbound, outbound = [], []
        for number in range(60):
            text = f"single {number}"
            stack.emulation.do("deliver", modem=0, **{"from": NUMBER, "text": text})
            seen = stack.observer.wait_for("in", lambda p, text=text: p["text"] == text)
            inbound.append((seen.at - events(stack, "cmti")[-1]) * 1000)
            time.sleep(0.1)
        for number in range(60):
            order = f"latency {number}"
            start = time.monotonic()
            stack.observer.publish(
                "out", {"id": order, "to": f"+3630{1_000_000 + number}", "text": order, "delivery_report": False}
            )
            stack.observer.wait_state(order, "sent")
            outbound.append((events(stack, "cmgs")[-1] - start) * 1000)
            time.sleep(0.1)
        start = time.monotonic()
        for number in range(20):
            stack.emulation.do("deliver", modem=0, **{"from": NUMBER, "text": f"burst {number}"})
        last = [stack.observer.wait_for("in", lambda p, n=n: p["text"] == f"burst {n}").at for n in range(20)]
        burst = max(last) - start
    figures = {
        "inbound_p50_ms": statistics.median(inbound),
        "inbound_max_ms": max(inbound),
        "burst_20_s": burst,
        "outbound_p50_ms": statistics.median(outbound),
        "outbound_max_ms": max(outbound),
    }
    return figures, [
        ("+CMTI to the subscriber, median / max", f"{median_max(inbound)} ms", "median < 8"),
        ("a burst of 20 in", f"{burst:.3f} s", "< 0.3"),
        ("sms/out to AT+CMGS, median / max", f"{median_max(outbound)} ms", "median < 6"),
    ]


def bench_intake(_options: argparse.Namespace) -> tuple[Any, list[Row]]:
    """Orders committed to the journal a second, from a publisher in a process of its own."""
    total = 20_000
    with tempfile.TemporaryDirectory(prefix="bench") as directory, running(Path(directory), latency="0.5") as stack:
        journal = next(Path(directory, "data").glob("*.db"))
        count = orders_in(journal)
        stack.observer.stop()  # it would take a share of the two cores
        flood = [sys.executable, "-m", "bench.flood", str(stack.broker.port), str(total)]
        cpu = cpu_seconds(stack.bridge.pid)
        with subprocess.Popen(flood) as publisher:
            wait_until(lambda: count() > 0, 30, "the first order is committed", 0.005)
            start, already = time.monotonic(), count()
            wait_until(lambda: count() >= total, 60, "all orders are committed", 0.02)
            rate = (total - already) / (time.monotonic() - start)
            publisher.wait(30)
        cpu = cpu_seconds(stack.bridge.pid) - cpu
    figures = {"orders_per_second": rate, "cpu_us": cpu * 1e6 / total}
    return figures, [("durable orders accepted a second", f"{rate:,.0f}", "≥ 4 000")]


def bench_http(_options: argparse.Namespace) -> tuple[Any, list[Row]]:
    """Orders over HTTP, each answered after its commit: as many as go, and 1000 a second; 50 connections."""
    figures: dict[str, Any] = {}
    for name, total, rate in (("flood", 10_000, 0), ("paced", 10_000, 1000)):
        port, token = free_port(), "token-of-the-bench"
        extra = f"web: {{port: {port}, tokens: [{{token: {token}}}]}}\n"
        with (
            tempfile.TemporaryDirectory(prefix="bench") as directory,
            running(Path(directory), latency="0.5", extra=extra) as stack,
        ):
            wait_until(lambda log=stack.bridge.log: b"HTTP interface on" in log.read_bytes(), 20, "it listens")
            stack.observer.stop()  # it would take a share of the two cores
            cpu = cpu_seconds(stack.bridge.pid)
            command = [sys.executable, "-m", "bench.posts", str(port), token, str(total), "50", str(rate)]
            found = json.loads(subprocess.run(command, check=True, capture_output=True, timeout=120).stdout)
            figures[name] = {**found, "cpu_us": (cpu_seconds(stack.bridge.pid) - cpu) * 1e6 / total}
    flood, paced = figures["flood"], figures["paced"]
    shown = [f"{each['p50_ms']:.1f} / {each['p99_ms']:.1f} ms" for each in (flood, paced)]
    return figures, [
        ("durable orders over HTTP a second, 50 connections", f"{flood['rate']:,.0f}", "≥ 1 000"),
        ("the same, from the request to the answer, p50 / p99", shown[0], ""),
        ("at 1000 a second, p50 / p99", shown[1], "p99 < 50"),
        ("CPU an order over HTTP, its statuses included", f"{paced['cpu_us']:,.0f} µs", ""),
    ]


def orders_in(journal: Path) -> Callable[[], int]:
    def count() -> int:
        with closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True)) as db:
            return int(db.execute("SELECT coalesce(max(rowid), 0) FROM orders").fetchone()[0])

    return count


def bench_idle(_options: argparse.Namespace) -> tuple[Any, list[Row]]:
    starts, rss, cpu = [], 0.0, 0.0
    with tempfile.TemporaryDirectory(prefix="bench") as directory, running(Path(directory), modems=2) as stack:
        for _ in range(5):
            stack.bridge.stop()
            time.sleep(0.3)
            before = len(stack.observer.seen)
            stack.bridge.start()
            ready = [
                stack.observer.wait_for(f"modem/modem{n}", lambda p: p["state"] == "ready", since=before).at
                for n in range(2)
            ]
            starts.append(max(ready) - stack.bridge.started_at)
        time.sleep(3)
        rss = rss_mb(stack.bridge.pid)
        cpu = cpu_seconds(stack.bridge.pid)
        time.sleep(10)
        cpu = (cpu_seconds(stack.bridge.pid) - cpu) / 10
    figures = {"start_s": statistics.median(starts), "rss_mb": rss, "idle_cpu": cpu}
    return figures, [
        ("start to ready, 2 modems", f"{figures['start_s']:.2f} s", "< 1.2"),
        ("idle RSS, 2 modems", f"{rss:.1f} MB", "< 60"),
        ("idle CPU, 2 modems", f"{cpu * 100:.2f} %", ""),
    ]


def bench_plug(_options: argparse.Namespace) -> tuple[Any, list[Row]]:
    from bench import plug

    found = plug.run()
    ready = f"{found['ready_p50_s']:.2f} / {found['ready_max_s']:.2f} s"
    offline = f"{found['offline_p50_s'] * 1000:.0f} / {found['offline_max_s'] * 1000:.0f} ms"
    silent = f"{found['silent_offline_p50_s'] * 1000:.0f} / {found['silent_offline_max_s'] * 1000:.0f} ms"
    wedged, none = (f"{found[key]['busy'] * 100:.2f} %" for key in ("wedged", "none_wedged"))
    return found, [
        ("a stick's insertion to ready, median / max", ready, "< 4"),
        ("a stick's pull to offline, median / max", offline, "< 1000"),
        ("the same by the watcher's poll alone", silent, "< 1100"),
        ("idle CPU, 8 sticks", f"{found['idle_cpu'] * 100:.2f} %", "< 2 %"),
        ("busy: 15 of 16 sticks, 2000 ms, the other wedged", wedged, "≥ 99 %"),
        ("busy: the same, none wedged", none, ""),
    ]


SECTIONS: dict[str, Callable[[argparse.Namespace], tuple[Any, list[Row]]]] = {
    "codec": bench_codec,
    "routes": bench_routes,
    "smpp": bench_smpp,
    "modems": bench_modems,
    "latency": bench_latency,
    "intake": bench_intake,
    "http": bench_http,
    "idle": bench_idle,
    "plug": bench_plug,
}


def slow_fsync(directory: Path, milliseconds: int) -> dict[str, str]:
    """The environment that makes each fsync of a child slower, like an SD card; empty for 0."""
    if not milliseconds:
        return {}
    library = directory / "slow_fsync.so"
    source = Path(__file__).with_name("slow_fsync.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", str(library), str(source), "-ldl"], check=True)
    return {"LD_PRELOAD": str(library), "SLOW_FSYNC_MS": str(milliseconds)}


def trace(stack: Stack) -> list[dict[str, Any]]:
    """What the emulated modems saw, with `at` in seconds of CLOCK_MONOTONIC."""
    lines = stack.emulation.trace_file.read_text(encoding="utf-8").splitlines()
    return [{**line, "at": line["ns"] / 1e9} for line in map(json.loads, lines)]


def events(stack: Stack, kind: str) -> list[float]:
    return [line["at"] for line in trace(stack) if line["event"] == kind]


def sends_by_modem(stack: Stack) -> dict[int, list[tuple[float, float]]]:
    """For each modem the spans from Ctrl-Z to the network's decision, in seconds of CLOCK_MONOTONIC."""
    spans: dict[int, list[tuple[float, float]]] = {}
    started: dict[int, float] = {}
    for line in trace(stack):
        if line["event"] == "ctrl_z":
            started[line["modem"]] = line["at"]
        elif line["event"] == "decided" and line["modem"] in started:
            spans.setdefault(line["modem"], []).append((started.pop(line["modem"]), line["at"]))
    return spans


def done(stack: Stack, states: tuple[str, ...]) -> int:
    return len({p["id"] for p in stack.observer.of("status") if p["state"] in states})


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def rss_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no VmRSS")


def percentile(values: list[float], percent: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def median_max(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} / {max(values):.2f}"


if __name__ == "__main__":
    raise SystemExit(main())
