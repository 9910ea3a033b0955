"""`python -m tests.soak`: runs a soak and prints its table; exit code 1 when anything was lost, doubled or leaked."""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from pathlib import Path

from tests.soak.soak import Plan, Report, soak

MB = 1 << 20
_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


def main() -> int:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="sms-soak-", ignore_cleanup_errors=True) as made:
        plan = Plan(
            options.keep or Path(made),
            options.duration,
            options.fault_every,
            options.kill_every,
            options.rate,
            options.latency,
            modems=options.modems,
            seed=options.seed,
            talkative=True,
        )
        print(f"seed {plan.seed}, {plan.duration / 60:g} min, a fault each {plan.fault_every:g} s", flush=True)
        report = soak(plan)
        print(table(report))
        failures = report.failures()
        for what, which in failures.items():
            print(f"FAILED: {what}: {which}")
        return 1 if failures else 0


def table(report: Report) -> str:
    """What came of it, a line each."""
    found, gauge = report.verdict, report.gauge
    failed = sum(count for cause, count in found.causes.items() if cause.startswith("failed"))
    without = found.causes["failed: "]
    before, after = gauge.quarters("rss")
    rows = [
        ("accepted", sum(found.states.values())),
        ("sent", found.states["sent"]),
        ("delivered", found.states["delivered"]),
        ("unknown", f"{found.states['unknown']} ({found.unknown_in_ledger} of them are in the ledger)"),
        ("failed with a definite cause", failed - without),
        ("failed without one", without),
        ("cancelled, expired", f"{found.states['cancelled']}, {found.states['expired']}"),
        ("lost", len(found.lost) + len(found.not_taken)),
        ("doubled", len(found.doubled)),
        ("called not sent, yet in the ledger", len(found.contradicted)),
        ("without an end", len(found.stuck)),
        ("went back", len(found.went_back)),
        ("messages in: all, lost, doubled, spoilt", _inbound(report)),
        ("drained in", f"{report.drained:.0f} s"),
        ("peak RSS", f"{gauge.peak / MB:.1f} MB"),
        ("RSS, first and last quarter", f"{before / MB:.1f} MB, {after / MB:.1f} MB ({(after - before) / MB:+.2f} MB)"),
        *((name, "{:.0f}, {:.0f} at first and at last".format(*gauge.quarters(name))) for name in _COUNTS),
        ("orders", _counts(report.kinds)),
        ("causes", _counts(found.causes)),
        ("faults", _counts(report.faults)),
    ]
    return "\n".join(f"{name:<40}{value}" for name, value in rows)


_COUNTS = ("fds", "threads", "tasks")


def _inbound(report: Report) -> str:
    found = report.verdict
    lists = (found.inbound_lost + found.inbound_waiting, found.inbound_doubled, found.inbound_spoilt)
    return ", ".join(str(count) for count in (found.inbound, *map(len, lists)))


def _counts(counted: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counted.items(), key=lambda item: -item[1]))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--duration", type=seconds, default=1800.0, help="such as 30m")
    parser.add_argument("--fault-every", type=seconds, default=5.0, help="such as 5s")
    parser.add_argument("--kill-every", type=seconds, default=0.0, help="kill -9 of the bridge, such as 2m; 0: never")
    parser.add_argument("--rate", type=float, default=3.0, help="orders a second")
    parser.add_argument("--latency", default="0.05-0.5", help="seconds that a message takes in the network")
    parser.add_argument("--modems", type=int, default=4)
    parser.add_argument("--seed", type=int, default=20261122)
    parser.add_argument("--keep", type=Path, help="a folder for journal, ledger and log, which stay")
    return parser.parse_args()


def seconds(text: str) -> float:
    """`90`, `30s`, `5m`, `2h` in seconds; ValueError for anything else."""
    found = re.fullmatch(r"([0-9.]+)([smh]?)", text)
    if found is None:
        raise ValueError(f"a time is a number with s, m or h, not {text!r}")
    return float(found[1]) * _UNITS[found[2]]


if __name__ == "__main__":
    sys.exit(main())
