"""What is counted is what happened, and Prometheus can read it."""

import re
from collections.abc import Iterable, Iterator
from math import inf
from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_open_metrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse

from app.infra.embedded.wait import until
from app.services.metrics.prometheus import prometheus_text
from app.services.metrics.registry import Histogram, Metrics, Reading

BOUNDS = (0.1, 1.0, 10.0)
OPEN_METRICS = "application/openmetrics-text; version=1.0.0"
UNITS = {"milliseconds", "ms", "minutes", "hours", "percent", "kilobytes", "kib", "mb"}


@pytest.fixture
def metrics() -> Metrics:
    """Metrics of a worker on which everything has happened."""
    metrics = Metrics()
    metrics.sources_found(0.02)
    metrics.tokens_came(10.0, [10.3, 10.32, 10.34, 11.0])
    metrics.turn_ended("creator", "stop", 1.2)
    metrics.turn_ended("creator", "stop", 0.5)
    metrics.turn_ended(None, "library-unavailable", 0.1)
    metrics.refused("too-many-requests")
    metrics.resumed()
    metrics.model_retried()
    metrics.model_fell_back()
    metrics.waited_for_database(0.0004)
    metrics.readings += [
        Reading("turns_running", "Turns that run.", lambda: 7),
        Reading("log_writes", "Writes.", lambda: 3, "counter"),
    ]
    return metrics


def families(metrics: Metrics) -> Iterator[Metric]:
    """Read our own metrics, without those of the process."""
    text, _ = prometheus_text(metrics, "")
    return (it for it in parse(text.decode()) if not it.name.startswith("process_"))


def samples(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """Give the values by name, and by what the labels say in their alphabetical order."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in families(metrics)
        for sample in family.samples
    }


@given(st.lists(st.floats(0, 20) | st.sampled_from(BOUNDS)))
def test_values_that_come_at_once_are_counted_as_if_alone(values: list[float]) -> None:
    alone, at_once = Histogram(BOUNDS), Histogram(BOUNDS)
    for value in values:
        alone.observe(value)
    at_once.observe_all(values)
    assert alone.buckets() == at_once.buckets()
    assert alone.buckets() == [
        (bound, sum(value <= bound for value in values)) for bound in (*BOUNDS, inf)
    ]
    assert alone.sum == pytest.approx(at_once.sum) == pytest.approx(sum(values))


def test_what_happened_is_what_is_told(metrics: Metrics) -> None:
    told = samples(metrics)
    assert told["chrysopedia_turns_total", "stop", "creator"] == 2
    assert told["chrysopedia_turns_total", "library-unavailable", "unknown"] == 1
    assert told["chrysopedia_requests_refused_total", "too-many-requests"] == 1
    for name in ("resumes", "model_retries", "model_fallbacks"):
        assert told[f"chrysopedia_{name}_total",] == 1
    assert told["chrysopedia_turns_running",] == 7
    assert told["chrysopedia_log_writes_total",] == 3
    for name, count, total in (
        ("time_to_sources", 1, 0.02),
        ("time_to_first_token", 1, 0.3),
        ("time_between_tokens", 3, 0.7),
        ("turn_duration", 3, 1.8),
        ("database_wait", 1, 0.0004),
        ("event_loop_lag", 0, 0),
    ):
        assert told[f"chrysopedia_{name}_seconds_count",] == count
        assert told[f"chrysopedia_{name}_seconds_sum",] == pytest.approx(total)
    assert told["chrysopedia_time_between_tokens_seconds_bucket", "0.025"] == 2
    assert told["chrysopedia_time_between_tokens_seconds_bucket", "+Inf"] == 3


def test_what_can_go_wrong_is_told_of_before_it_does() -> None:
    told = samples(Metrics())
    for slug in ("model-failed", "turn-lost", "shutting-down", "library-unavailable"):
        assert told["chrysopedia_turns_total", slug, "unknown"] == 0
    for slug in ("internal", "unprocessable", "library-unavailable"):
        assert told["chrysopedia_requests_refused_total", slug] == 0


def test_a_turn_without_a_token_has_no_first_one() -> None:
    metrics = Metrics()
    metrics.tokens_came(10.0, [])
    assert samples(metrics)["chrysopedia_time_to_first_token_seconds_count",] == 0


def test_names_follow_the_conventions(metrics: Metrics) -> None:
    seen = list(families(metrics))
    assert len(seen) == 13
    for family in seen:
        assert re.fullmatch(r"chrysopedia(_[a-z]+)+", family.name), family.name
        words = set(family.name.split("_"))
        assert not words & (UNITS | {"counter", "gauge", "histogram", "total", "count", "sum"})
        assert family.documentation.endswith("."), family.name
        assert (family.type == "histogram") == family.name.endswith("_seconds"), family.name
        for sample in family.samples:
            assert (family.type == "counter") == sample.name.endswith("_total"), sample.name
            assert "le" not in sample.labels or family.type == "histogram"


def test_open_metrics_are_for_who_accepts_them(metrics: Metrics) -> None:
    text, media_type = prometheus_text(metrics, f"{OPEN_METRICS},text/plain;q=0.5")
    assert media_type.startswith("application/openmetrics-text; version=1.0.0")
    read: Iterable[Metric] = parse_open_metrics(text.decode())  # type: ignore[no-untyped-call]
    names = {family.name for family in read}
    assert {"chrysopedia_turns", "process_cpu_seconds"} <= names
    for other in ("", "*/*", "text/plain;version=x"):
        assert prometheus_text(metrics, other)[1].startswith("text/plain; version=0.0.4")


@pytest.mark.anyio
async def test_the_event_loop_is_looked_at_until_the_end() -> None:
    metrics = Metrics()

    def looks() -> int:
        return metrics.loop_lags.buckets()[-1][1]

    with metrics.watching_the_loop(every=0.01):
        assert await until(lambda: looks() >= 2, 5)
    ended = looks()
    assert not await until(lambda: looks() > ended, 0.05)


@pytest.mark.anyio
async def test_a_loop_that_is_held_up_shows() -> None:
    metrics = Metrics()
    with metrics.watching_the_loop(every=0.01):
        held_up_until = perf_counter() + 0.05
        while perf_counter() < held_up_until:
            pass
        assert await until(lambda: metrics.loop_lags.sum > 0.03, 5)
