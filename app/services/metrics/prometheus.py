"""Metrics in the text formats that Prometheus reads."""

from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics

from app.services.metrics.registry import Metrics


def prometheus_text(metrics: Metrics, accept: str) -> tuple[bytes, str]:
    """Return all metrics and the media type: OpenMetrics if `accept` has it, else plain text."""
    if "application/openmetrics-text" in accept.lower():
        text: bytes = openmetrics.generate_latest(metrics.registry)  # type: ignore[no-untyped-call]
        return text, openmetrics.CONTENT_TYPE_LATEST
    return generate_latest(metrics.registry), CONTENT_TYPE_PLAIN_0_0_4
