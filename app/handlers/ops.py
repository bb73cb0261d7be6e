"""Whoever runs the service asks; how it is goes out: alive, able to serve, and in numbers."""

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from app.bootstrap import State
from app.errors import LibraryUnavailable
from app.handlers import codec
from app.schemas import Readiness
from app.services.chat.memory import MemoryUnavailable
from app.services.metrics.prometheus import prometheus_text


async def alive(request: Request[State]) -> Response:
    """Say that the process is alive."""
    return PlainTextResponse("ok\n")


async def ready(request: Request[State]) -> Response:
    """Say whether new questions are taken, and what does not work.

    Without memory the chat goes on: that is told, but does not make the worker unready.
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
    able = parts["library"] == parts["worker"] == "ok"
    return codec.json_response(Readiness(able, parts), 200 if able else 503)


async def metrics(request: Request[State]) -> Response:
    """Tell what this worker has counted, for Prometheus.

    Every worker counts for itself and is to be a target of its own: behind a balancer, or a port
    that several workers share, each scrape would be another's numbers.
    """
    text, media_type = prometheus_text(request.state["metrics"], request.headers.get("accept", ""))
    return Response(text, headers={"Content-Type": media_type, "Cache-Control": "no-store"})
