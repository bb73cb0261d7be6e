"""Health checks and metrics."""

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from app.bootstrap import State
from app.errors import LibraryUnavailable
from app.handlers import codec
from app.schemas import Readiness
from app.services.chat.memory import MemoryUnavailable
from app.services.metrics.prometheus import prometheus_text


async def alive(request: Request[State]) -> Response:
    """Report that the process is alive."""
    return PlainTextResponse("ok\n")


async def ready(request: Request[State]) -> Response:
    """Report whether the worker accepts questions, and the state of its parts.

    Chat works without memory, so unavailable memory is reported but does not make it unready.
    """
    runner = request.state["runner"]
    worker = "draining" if runner.draining.is_set() else "full" if runner.full else "ok"
    parts = {"worker": worker, "library": "ok", "memory": "ok"}
    try:
        await request.state["retriever"].ping()
    except LibraryUnavailable:
        parts["library"] = "unavailable"
    try:
        await request.state["memory"].ping()
    except MemoryUnavailable:
        parts["memory"] = "unavailable"
    is_ready = parts["library"] == parts["worker"] == "ok"
    return codec.json_response(Readiness(is_ready, parts), 200 if is_ready else 503)


async def metrics(request: Request[State]) -> Response:
    """Return this worker's metrics for Prometheus.

    Each worker counts for itself, so each must be a scrape target of its own: behind a load
    balancer, successive scrapes would read different workers.
    """
    await request.state["redis_usage"].read()
    text, media_type = prometheus_text(request.state["metrics"], request.headers.get("accept", ""))
    return Response(text, headers={"Content-Type": media_type, "Cache-Control": "no-store"})
