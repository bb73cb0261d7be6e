"""Metrics count what happened, and Prometheus can read them."""

import re
from collections.abc import Iterable, Iterator, Sequence
from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client import Histogram as PlainHistogram
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_open_metrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse

from app.errors import LibraryUnavailable
from app.infra.embedded.wait import until
from app.schemas import Done, Scope, Sources, Timings
from app.services.metrics.histogram import BatchHistogram
from app.services.metrics.prometheus import prometheus_text
from app.services.metrics.registry import Metrics, TurnTimes

BOUNDS = (0.1, 1.0, 10.0)
OPEN_METRICS = "application/openmetrics-text; version=1.0.0"
UNITS = {"milliseconds", "ms", "minutes", "hours", "percent", "kilobytes", "kib", "mb"}


def times(tokens: Sequence[float]) -> TurnTimes:
    """Return the times of a turn that began 1.2 s ago, and of its tokens since."""
    times = TurnTimes()
    times.began -= 1.2
    times.tokens.extend(times.began + token for token in tokens)
    return times


def done() -> Done:
    return Done(
        cascade_tier="creator",
        conversation_id="c",
        turn_id="t",
        finish_reason="stop",
        citations=(),
        scope=Scope(creator=None, query="", tiers=(), matching="lexical"),
        usage=None,
        timings_ms=Timings(retrieval=1, first_token=2, total=3),
        memory="kept",
    )


@pytest.fixture
def metrics() -> Metrics:
    """Metrics of a worker on which everything happened."""
    metrics = Metrics()
    first, second = times([0.3, 0.32, 0.34, 1.0]), times([])
    metrics.record_event(Sources(()), first)
    metrics.record_event(done(), first)
    metrics.record_event(done(), second)
    metrics.record_event(LibraryUnavailable("It is down.").event(), second)
    metrics.refusals.labels("too-many-requests").inc()
    metrics.resumes.inc()
    metrics.model_retries.inc()
    metrics.model_fallbacks.inc()
    metrics.database_wait.observe(0.0004)
    metrics.add_gauge("turns_running", "Running turns.", lambda: 7)
    metrics.add_counter("log_writes", "Writes.", lambda: 3)
    return metrics


def families(metrics: Metrics) -> Iterator[Metric]:
    """Read the metrics, without those of the process."""
    text, _ = prometheus_text(metrics, "")
    return (it for it in parse(text.decode()) if not it.name.startswith("process_"))


def samples(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """Return the values by name and label values, in alphabetical order of the labels."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in families(metrics)
        for sample in family.samples
    }


@given(st.lists(st.lists(st.floats(0, 20) | st.sampled_from(BOUNDS))))
def test_batch_histogram_counts_like_the_official_clients_histogram(
    batches: list[list[float]],
) -> None:
    registries = CollectorRegistry(), CollectorRegistry()
    batched = BatchHistogram("times_seconds", "Times.", BOUNDS)
    registries[0].register(batched)
    plain = PlainHistogram("times_seconds", "Times.", buckets=BOUNDS, registry=registries[1])
    for values in batches:
        batched.observe(values)
        for value in values:
            plain.observe(value)
    ours, theirs = (
        {
            sample.name + sample.labels.get("le", ""): sample.value
            for family in each.collect()
            for sample in family.samples
            if not sample.name.endswith("_created")
        }
        for each in registries
    )
    assert ours == pytest.approx(theirs)


def test_every_kind_of_event_is_counted(metrics: Metrics) -> None:
    counted = samples(metrics)
    assert counted["chrysopedia_turns_total", "stop", "creator"] == 2
    assert counted["chrysopedia_turns_total", "library-unavailable", "unknown"] == 1
    assert counted["chrysopedia_requests_refused_total", "too-many-requests"] == 1
    for name in ("resumes", "model_retries", "model_fallbacks"):
        assert counted[f"chrysopedia_{name}_total",] == 1
    assert counted["chrysopedia_turns_running",] == 7
    assert counted["chrysopedia_log_writes_total",] == 3
    for name, count, total in (
        ("time_to_sources", 1, 1.2),
        ("time_to_first_token", 1, 0.3),
        ("time_between_tokens", 3, 0.7),
        ("turn_duration", 3, 3.6),
        ("database_wait", 1, 0.0004),
        ("event_loop_lag", 0, 0),
    ):
        assert counted[f"chrysopedia_{name}_seconds_count",] == count
        assert total <= counted[f"chrysopedia_{name}_seconds_sum",] + 1e-6 < total + 0.5
    assert counted["chrysopedia_time_between_tokens_seconds_bucket", "0.025"] == 2
    assert counted["chrysopedia_time_between_tokens_seconds_bucket", "+Inf"] == 3


def test_counters_of_failures_begin_at_zero() -> None:
    counted = samples(Metrics())
    for slug in ("model-failed", "turn-lost", "shutting-down", "library-unavailable"):
        assert counted["chrysopedia_turns_total", slug, "unknown"] == 0
    for slug in ("internal", "unprocessable", "library-unavailable"):
        assert counted["chrysopedia_requests_refused_total", slug] == 0


def test_a_turn_without_tokens_has_no_time_to_first_token() -> None:
    metrics = Metrics()
    metrics.record_event(done(), times([]))
    assert samples(metrics)["chrysopedia_time_to_first_token_seconds_count",] == 0


def test_names_follow_the_prometheus_conventions(metrics: Metrics) -> None:
    seen = list(families(metrics))
    assert seen
    for family in seen:
        assert re.fullmatch(r"chrysopedia(_[a-z]+)+", family.name), family.name
        words = set(family.name.split("_"))
        assert not words & (UNITS | {"counter", "gauge", "histogram", "total", "count", "sum"})
        assert family.documentation.endswith("."), family.name
        assert (family.type == "histogram") == family.name.endswith("_seconds"), family.name
        for sample in family.samples:
            assert (family.type == "counter") == sample.name.endswith("_total"), sample.name
            assert "le" not in sample.labels or family.type == "histogram"


def test_open_metrics_are_sent_to_clients_that_accept_them(metrics: Metrics) -> None:
    text, media_type = prometheus_text(metrics, f"{OPEN_METRICS},text/plain;q=0.5")
    assert media_type.startswith("application/openmetrics-text; version=1.0.0")
    read: Iterable[Metric] = parse_open_metrics(text.decode())  # type: ignore[no-untyped-call]
    names = {family.name for family in read}
    assert {"chrysopedia_turns", "process_cpu_seconds"} <= names
    for other in ("", "*/*", "text/plain;version=x"):
        assert prometheus_text(metrics, other)[1].startswith("text/plain; version=0.0.4")


@pytest.mark.anyio
async def test_event_loop_lag_is_measured_until_the_end_of_the_block() -> None:
    metrics = Metrics()

    def measured() -> float:
        return samples(metrics)["chrysopedia_event_loop_lag_seconds_count",]

    with metrics.measuring_loop_lag(every=0.01):
        assert await until(lambda: measured() >= 2, 5)
    ended = measured()
    assert not await until(lambda: measured() > ended, 0.05)


@pytest.mark.anyio
async def test_a_blocked_event_loop_shows_as_lag() -> None:
    metrics = Metrics()
    with metrics.measuring_loop_lag(every=0.01):
        blocked_until = perf_counter() + 0.05
        while perf_counter() < blocked_until:
            pass
        lag = "chrysopedia_event_loop_lag_seconds_sum"
        assert await until(lambda: samples(metrics)[lag,] > 0.03, 5)
