"""A worker's metrics, in a Prometheus registry of their own."""

import asyncio
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from operator import sub
from time import perf_counter
from typing import get_args, get_type_hints

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)
from prometheus_client.metrics_core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from app.errors import ChatError, LibraryUnavailable, ModelFailed, ShuttingDown, TurnLost
from app.schemas import Done, Event, Failed, Sources
from app.services.metrics.histogram import BatchHistogram
from app.services.metrics.process import ProcessMetrics

PREFIX = "chrysopedia_"

# Upper bounds of histogram buckets, in seconds.
SHORT_TIMES = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
FIRST_EVENT_TIMES = (*SHORT_TIMES[2:], 10.0, 30.0, 60.0)
TURN_TIMES = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 60.0, 120.0, 300.0)
# The tier of turns that failed.
NO_TIER = "unknown"
# The whole worker's connections, those of one address, and the process's open files.
CONNECTION_LIMITS = ("worker", "address", "files")
LIMITS, HOLDERS = ("minute", "day", "running", "tokens"), ("address", "subject", "key", "service")
# Seconds between two measurements of the event loop's lag.
LAG_INTERVAL = 1.0


class TurnTimes:
    """When a turn began and when each of its tokens came, by `perf_counter`."""

    def __init__(self) -> None:
        self.began = perf_counter()
        self.tokens = array("d")


class Metrics:
    """All metrics of one worker; times are in seconds.

    Counters begin at 0 for all expected label values: Prometheus computes no rate for the first
    event of a series that did not exist before it.
    """

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        ProcessMetrics(registry=self.registry)
        self.turns = self._counter(
            "turns",
            "Turns that ended, by the tier that answered and how they ended.",
            "tier",
            "ending",
        )
        for tier, ending in _expected_endings():
            self.turns.labels(tier, ending)
        self.refusals = self._counter(
            "requests_refused",
            "Requests answered with an error, not a stream, by reason.",
            "reason",
        )
        for reason in _error_kinds():
            self.refusals.labels(reason)
        self.connections_refused = self._counter(
            "connections_refused", "Connections refused because of a limit, by limit.", "limit"
        )
        for limit in CONNECTION_LIMITS:
            self.connections_refused.labels(limit)
        self.limit_refusals = self._counter(
            "limit_refusals",
            "Requests refused because of a limit, by the limit and by whom it is counted for.",
            "limit",
            "holder",
        )
        for limit, holder in product(LIMITS, HOLDERS):
            self.limit_refusals.labels(limit, holder)
        self.resumes = self._counter("resumes", "Viewers that reconnected to a stream.")
        self.model_retries = self._counter(
            "model_retries", "Retries of requests to the same model."
        )
        self.model_fallbacks = self._counter(
            "model_fallbacks", "Turns that were sent to the fallback model."
        )
        self.time_to_sources = self._histogram(
            "time_to_sources", "Time from the start of a turn to its sources.", FIRST_EVENT_TIMES
        )
        self.time_to_first_token = self._histogram(
            "time_to_first_token",
            "Time from the start of a turn to its first token.",
            FIRST_EVENT_TIMES,
        )
        self.time_between_tokens = BatchHistogram(
            f"{PREFIX}time_between_tokens_seconds",
            "Time between two tokens of a turn, counted when the turn ends.",
            SHORT_TIMES,
        )
        self.registry.register(self.time_between_tokens)
        self.turn_duration = self._histogram(
            "turn_duration", "Time from the start of a turn to its end.", TURN_TIMES
        )
        self.database_wait = self._histogram(
            "database_wait", "Time spent waiting for a database connection.", SHORT_TIMES
        )
        self.event_loop_lag = self._histogram(
            "event_loop_lag", "Delay of a timer in the event loop, once a second.", SHORT_TIMES
        )

    def add_gauge(self, name: str, documentation: str, read: Callable[[], float]) -> None:
        """Add a gauge whose value is read when metrics are collected."""
        Gauge(PREFIX + name, documentation, registry=self.registry).set_function(read)

    def add_counter(self, name: str, documentation: str, read: Callable[[], float]) -> None:
        """Add a counter whose value is read when metrics are collected."""
        self.registry.register(_ReadCounter(PREFIX + name, documentation, read))

    def record_event(self, event: Event, times: TurnTimes) -> None:
        """Record an event of a turn; tokens are recorded together when the turn ends."""
        took = perf_counter() - times.began
        match event:
            case Sources():
                self.time_to_sources.observe(took)
            case Done():
                self._record_end(event.cascade_tier, event.finish_reason, took, times)
            case Failed():
                self._record_end(NO_TIER, event.kind, took, times)

    def _record_end(self, tier: str, ending: str, took: float, times: TurnTimes) -> None:
        self.turns.labels(tier, ending).inc()
        self.turn_duration.observe(took)
        if tokens := times.tokens:
            self.time_to_first_token.observe(tokens[0] - times.began)
            self.time_between_tokens.observe(map(sub, tokens[1:], tokens))

    @contextmanager
    def measuring_loop_lag(self, every: float = LAG_INTERVAL) -> Iterator[None]:
        """Measure the event loop's lag within the block, at intervals of `every` seconds."""
        loop = asyncio.get_running_loop()
        timer: asyncio.TimerHandle

        def measure(due: float) -> None:
            nonlocal timer
            now = perf_counter()
            self.event_loop_lag.observe(max(0.0, now - due))
            timer = loop.call_later(every, measure, now + every)

        timer = loop.call_later(every, measure, perf_counter() + every)
        try:
            yield
        finally:
            timer.cancel()

    def _counter(self, name: str, documentation: str, *labels: str) -> Counter:
        return Counter(PREFIX + name, documentation, labels, registry=self.registry)

    def _histogram(self, name: str, documentation: str, bounds: Sequence[float]) -> Histogram:
        return Histogram(
            f"{PREFIX}{name}_seconds", documentation, buckets=bounds, registry=self.registry
        )


class _ReadCounter(Collector):
    """A counter whose value is read on collection; prometheus_client supports only such gauges."""

    def __init__(self, name: str, documentation: str, read: Callable[[], float]) -> None:
        self._name = name
        self._documentation = documentation
        self._read = read

    def collect(self) -> Iterator[Metric]:
        yield CounterMetricFamily(self._name, self._documentation, self._read())


def _expected_endings() -> Iterator[tuple[str, str]]:
    fields = get_type_hints(Done)
    yield from product(get_args(fields["cascade_tier"]), get_args(fields["finish_reason"]))
    for failure in (LibraryUnavailable, ModelFailed, ShuttingDown, TurnLost):
        yield NO_TIER, failure.kind


def _error_kinds(error: type[ChatError] = ChatError) -> Iterator[str]:
    yield error.kind
    for narrower in error.__subclasses__():
        yield from _error_kinds(narrower)
