"""Maps error kinds to HTTP: status, title, headers, and RFC 9457 problem documents."""

from collections.abc import Mapping

import msgspec
from msgspec import Struct
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from app.errors import (
    BodyTooSlow,
    ChatError,
    TooManyRequests,
    TurnRunning,
    Unauthenticated,
    Unavailable,
)
from app.handlers.locations import stream_path
from app.schemas import ErrorEvent, Failed, Problem


class ProblemType(Struct, frozen=True):
    """The HTTP status and the title of all errors of one kind."""

    status: int
    title: str


PROBLEM_TYPES: Mapping[str, ProblemType] = {
    "internal": ProblemType(500, "Internal error"),
    "bad-request": ProblemType(400, "Malformed request"),
    "unauthenticated": ProblemType(401, "Credentials are missing or wrong"),
    "forbidden": ProblemType(403, "Not allowed"),
    "not-found": ProblemType(404, "Not found"),
    "not-acceptable": ProblemType(406, "Not available in an accepted media type"),
    "body-too-slow": ProblemType(408, "Request body timed out"),
    "turn-running": ProblemType(409, "Question is already being answered"),
    "length-required": ProblemType(411, "Content-Length is required"),
    "body-too-large": ProblemType(413, "Request body is too large"),
    "unsupported-media-type": ProblemType(415, "Request body must be JSON"),
    "misdirected": ProblemType(421, "Unknown host name"),
    "unprocessable": ProblemType(422, "Invalid field"),
    "too-many-requests": ProblemType(429, "Too many questions"),
    "model-failed": ProblemType(502, "The language model failed"),
    "unavailable": ProblemType(503, "Temporarily unavailable"),
    "library-unavailable": ProblemType(503, "The library cannot be searched"),
    "shutting-down": ProblemType(503, "The service is restarting"),
    "turn-lost": ProblemType(500, "The answer was lost"),
}


def urn(kind: str) -> str:
    """Return the `type` of the problems of a kind."""
    return f"urn:chrysopedia:problem:{kind}"


def error_event(failed: Failed) -> ErrorEvent:
    """Return the data of the `error` event that ends a stream."""
    problem = PROBLEM_TYPES[failed.kind]
    return ErrorEvent(
        urn(failed.kind), problem.title, problem.status, failed.detail, failed.retryable
    )


def problem_response(request: Request, error: Exception) -> Response:
    """Return the problem document for a ChatError or for Starlette's HTTPException."""
    root_path: str = request.scope.get("root_path", "")
    match error:
        case ChatError(kind=kind):
            request.state["metrics"].refusals.labels(kind).inc()
            known = PROBLEM_TYPES[kind]
            problem = Problem(urn(kind), known.title, known.status, error.detail, error.errors)
            headers = _headers(error, root_path)
        case HTTPException(status_code=status, detail=title):
            detail = f"{request.method} {request.url.path} is not available. See {root_path}/docs."
            problem = Problem("about:blank", title, status, detail)
            headers = error.headers or {}
        case _:
            raise error
    return Response(
        msgspec.json.encode(problem),
        problem.status,
        {"Cache-Control": "no-store", **headers},
        "application/problem+json",
    )


def _headers(error: ChatError, root_path: str) -> Mapping[str, str]:
    match error:
        case BodyTooSlow():
            return {"Connection": "close"}
        case Unauthenticated(invalid=invalid):
            return {"WWW-Authenticate": 'Bearer error="invalid_token"' if invalid else "Bearer"}
        case TurnRunning(turn_id=turn_id, ticket=ticket):
            return {"Location": stream_path(root_path, turn_id, ticket)}
        case TooManyRequests(retry_after=seconds) | Unavailable(retry_after=seconds):
            return {"Retry-After": str(seconds)}
    return {}
