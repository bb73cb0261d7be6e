"""Whoever runs the service asks; whether it is alive and able to serve goes out."""

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from app.errors import LibraryUnavailable
from app.handlers import wire
from app.lifespan import State
from app.schemas import Readiness
from app.services.memory import MemoryUnavailable


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
    return wire.json_response(Readiness(able, parts), 200 if able else 503)
