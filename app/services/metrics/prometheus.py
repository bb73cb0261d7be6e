"""What a worker counted comes in; the text that Prometheus reads goes out."""

from collections.abc import Iterable, Iterator
from math import inf

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.openmetrics import exposition as openmetrics

from app.services.metrics.registry import Histogram, Metrics

PREFIX = "chrysopedia_"


def prometheus_text(metrics: Metrics, accept: str) -> tuple[bytes, str]:
    """Return all metrics as text, and its media type: OpenMetrics for who accepts that."""
    registry = CollectorRegistry()
    registry.register(_Collector(metrics))
    ProcessCollector(registry=registry)
    if "application/openmetrics-text" in accept.lower():
        text: bytes = openmetrics.generate_latest(registry)  # type: ignore[no-untyped-call]
        return text, openmetrics.CONTENT_TYPE_LATEST
    return generate_latest(registry), CONTENT_TYPE_PLAIN_0_0_4


class _Collector:
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        """Give the metrics as they are now."""
        counted = self._metrics
        yield _labelled(
            "turns",
            "Turns that ended, by the tier that answered and by how they ended.",
            ("tier", "ending"),
            counted.turns.items(),
        )
        yield _labelled(
            "requests_refused",
            "Requests that got an error instead of a stream, by the problem.",
            ("reason",),
            (((reason,), count) for reason, count in counted.refusals.items()),
        )
        yield _counter("resumes", "Viewers who came back to a stream.", counted.resumes)
        yield _counter("model_retries", "Further tries at the same model.", counted.model_retries)
        yield _counter(
            "model_fallbacks", "Turns handed to the fallback model.", counted.model_fallbacks
        )
        yield _histogram("time_to_sources", "From a turn's start to its sources.", counted.sources)
        yield _histogram(
            "time_to_first_token", "From a turn's start to its first token.", counted.first_tokens
        )
        yield _histogram(
            "time_between_tokens",
            "From one token to the next, of turns that ended.",
            counted.between_tokens,
        )
        yield _histogram("turn_duration", "From a turn's start to its end.", counted.turn_durations)
        yield _histogram(
            "database_wait", "Waiting for a connection to the database.", counted.database_waits
        )
        yield _histogram(
            "event_loop_lag", "How late the event loop was at each look.", counted.loop_lags
        )
        for reading in counted.readings:
            if reading.kind == "counter":
                yield _counter(reading.name, reading.what, reading.read())
            else:
                yield GaugeMetricFamily(PREFIX + reading.name, reading.what, reading.read())


def _counter(name: str, what: str, count: float) -> Metric:
    return CounterMetricFamily(PREFIX + name, what, count)


def _labelled(
    name: str,
    what: str,
    labels: tuple[str, ...],
    counts: Iterable[tuple[tuple[str, ...], int]],
) -> Metric:
    family = CounterMetricFamily(PREFIX + name, what, labels=labels)
    for values, count in counts:
        family.add_metric(values, count)
    return family


def _histogram(name: str, what: str, histogram: Histogram) -> Metric:
    buckets = [
        ("+Inf" if bound == inf else str(bound), count) for bound, count in histogram.buckets()
    ]
    return HistogramMetricFamily(
        f"{PREFIX}{name}_seconds", what, buckets=buckets, sum_value=histogram.sum
    )
