"""`/metrics` for Prometheus. Labels are states, names of modems and the like: never a number, a text or an identity."""

from __future__ import annotations

import asyncio
import importlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hardware.types import Health, ModemState, ModemStatus
from sms_bridge.core.model import OutboxKind, OutboxRow
from sms_bridge.web.ports import Figures

if TYPE_CHECKING:
    from prometheus_client.core import Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PREFIX = "sms_bridge_"

_LANES = {"": "any", "m": "modem", "s": "sim", "r": "route"}  # by what stands before the colon
_HEALTH = {Health.PASS: 0, Health.WARN: 1, Health.FAIL: 2}
_EVENT_TYPE = len('{"event_type":"')

Row = tuple[dict[str, str], float]


class Metrics:
    """Counts since the start, and puts the page together; the library is imported when the first one asks."""

    def __init__(self, webhooks: Callable[[], Mapping[str, Mapping[str, float]]] = dict) -> None:
        """`webhooks`: figures of each by its name, see `Webhooks.figures`."""
        self._statuses: Counter[str] = Counter()
        self._kinds: Counter[str] = Counter()
        self._orders = 0
        self._refused: Counter[str] = Counter()
        self._webhooks = webhooks

    def added(self, rows: Sequence[OutboxRow]) -> None:
        """From the journal, after a commit."""
        for row in rows:
            self._kinds[row.kind] += 1
            if row.kind == OutboxKind.STATUS:
                # The one place that writes statuses begins with it: reading the rest would cost more than the commit.
                payload = row.payload
                self._statuses[payload[_EVENT_TYPE : payload.index('"', _EVENT_TYPE)]] += 1

    def accepted(self, orders: int) -> None:
        self._orders += orders

    def refused(self, code: str) -> None:
        self._refused[code] += 1

    async def page(self, figures: Figures) -> bytes:
        """The text format, version 0.0.4."""
        loop = asyncio.get_running_loop()
        library: Any = await loop.run_in_executor(None, importlib.import_module, "prometheus_client")
        registry = library.CollectorRegistry()
        registry.register(_Collector(self._families(figures)))
        library.ProcessCollector(namespace=PREFIX.rstrip("_"), registry=registry)
        page: bytes = library.generate_latest(registry)
        return page

    def _families(self, figures: Figures) -> Iterator[Metric]:
        yield from self._bridge(figures)
        for name, text, rows in _modems(figures.modems):
            yield _gauge(name, text, rows)
        for name, text, rows in _modem_counters(figures.modems):
            yield _counter(name, text, rows)
        yield from self._webhook_families()

    def _bridge(self, figures: Figures) -> Iterator[Metric]:
        from prometheus_client.core import HistogramMetricFamily

        yield _gauge("info", "What runs.", [({"version": figures.version}, 1)])
        stages = [({"stage": name}, figures.counts.get(name, 0)) for name in ("held", "ready", "busy")]
        yield _gauge("orders", "Orders that are not over, by what is done with them.", stages)
        yield _gauge("queue", "Orders that wait for a modem, by who may take them.", _by_lane(figures.queues))
        outbox = figures.counts.get("outbox", 0)
        yield _gauge("outbox_rows", "What the broker has not acknowledged yet.", [({}, outbox)])
        states = [({"state": state}, count) for state, count in self._statuses.items()]
        yield _counter("statuses", "Statuses of orders since the start, by state.", states)
        yield _counter("received", "Messages received since the start.", [({}, self._kinds[OutboxKind.IN])])
        raw = self._kinds[OutboxKind.RAW]
        yield _counter("undecoded", "Messages that could not be decoded since the start.", [({}, raw)])
        yield _counter("events", "Events of the bridge since the start.", [({}, self._kinds[OutboxKind.EVENT])])
        commits = HistogramMetricFamily(PREFIX + "journal_commit_seconds", "Time of a durable commit.")
        buckets = [(f"{bound:g}", count) for bound, count in figures.commit_buckets]
        commits.add_metric([], [*buckets, ("+Inf", figures.commits)], figures.commit_seconds)
        yield commits
        yield _gauge("mqtt_connected", "1 while the broker is there.", [({}, figures.mqtt_connected)])
        yield _counter("mqtt_connects", "Connections to the broker since the start.", [({}, figures.mqtt_connects)])
        yield _counter("http_orders", "Orders accepted over HTTP since the start.", [({}, self._orders)])
        refused = [({"code": code}, count) for code, count in self._refused.items()]
        yield _counter("http_problems", "Requests over HTTP that were answered with a problem, by code.", refused)

    def _webhook_families(self) -> Iterator[Metric]:
        found = self._webhooks()
        for key, text in (
            ("failing", "For how many seconds a webhook has not worked; 0 while it does."),
            ("disabled", "1 when it answered 410 Gone."),
        ):
            yield _gauge(
                f"webhook_{key}{'_seconds' if key == 'failing' else ''}",
                text,
                [({"webhook": n}, each.get(key, 0)) for n, each in found.items()],
            )
        for key, text in (
            ("delivered", "Events that a webhook took."),
            ("failures", "Deliveries that failed and are tried again."),
            ("given_up", "Events that were given up."),
        ):
            yield _counter(f"webhook_{key}", text, [({"webhook": n}, each.get(key, 0)) for n, each in found.items()])


class _Collector:
    def __init__(self, families: Iterator[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> list[Metric]:
        return self._families


def _by_lane(queues: Mapping[str, int]) -> list[Row]:
    found: Counter[str] = Counter()
    for lane, count in queues.items():
        found[_LANES.get(lane.partition(":")[0], "other")] += count
    return [({"lane": lane}, count) for lane, count in found.items()]


def _modems(modems: Sequence[ModemStatus]) -> Iterator[tuple[str, str, list[Row]]]:
    states = [({"modem": m.name, "state": s.value}, float(m.state is s)) for m in modems for s in ModemState]
    yield "modem_state", "1 for the state that a modem is in.", states
    health = [({"modem": m.name}, float(_HEALTH[m.health])) for m in modems]
    yield "modem_health", "0 pass, 1 warn, 2 fail.", health
    signal = [({"modem": m.name}, float(m.signal_dbm)) for m in modems if m.signal_dbm is not None]
    yield "modem_signal_dbm", "Signal strength, where it is known.", signal
    stores = [(m, m.storage.used, m.storage.total) for m in modems]
    used = [({"modem": m.name}, used / total) for m, used, total in stores if used is not None and total]
    yield "modem_storage_ratio", "How full the SIM's storage is, 0 to 1.", used


def _modem_counters(modems: Sequence[ModemStatus]) -> Iterator[tuple[str, str, list[Row]]]:
    yield "modem_sent", "Parts that the network took.", [({"modem": m.name}, m.sent) for m in modems]
    yield "modem_received", "Messages that a modem received.", [({"modem": m.name}, m.received) for m in modems]
    yield "modem_failures", "Parts that were not sent.", [({"modem": m.name}, m.failures) for m in modems]
    busy = [({"modem": m.name}, m.busy_seconds) for m in modems]
    yield "modem_busy_seconds", "Time spent in sends.", busy


def _gauge(name: str, text: str, rows: Sequence[Row]) -> Metric:
    from prometheus_client.core import GaugeMetricFamily

    return _filled(GaugeMetricFamily, name, text, rows)


def _counter(name: str, text: str, rows: Sequence[Row]) -> Metric:
    from prometheus_client.core import CounterMetricFamily

    return _filled(CounterMetricFamily, name, text, rows)


def _filled(family: Any, name: str, text: str, rows: Sequence[Row]) -> Metric:
    labels = list(rows[0][0]) if rows else []
    found: Metric = family(PREFIX + name, text, labels=labels)
    for values, number in rows:
        found.add_metric(list(values.values()), float(number))  # type: ignore[attr-defined]
    return found
