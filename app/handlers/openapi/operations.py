"""The operations of the HTTP API: parameters, bodies and responses of each."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct
from msgspec.structs import replace

from app.errors import (
    BadRequest,
    BodyTooLarge,
    BodyTooSlow,
    ChatError,
    Forbidden,
    LengthRequired,
    LibraryUnavailable,
    NotAcceptable,
    NotFound,
    ShuttingDown,
    TooManyRequests,
    TurnLost,
    TurnRunning,
    Unauthenticated,
    Unavailable,
    Unprocessable,
    UnsupportedMediaType,
)
from app.handlers.codec import EVENT_STREAM
from app.handlers.openapi.parameters import (
    CONVERSATION,
    CREATOR,
    CURSOR,
    END_USER,
    IDEMPOTENCY_KEY,
    IF_NONE_MATCH,
    PREFIX,
    QUESTION,
    TICKET,
    TURN,
    Parameter,
)
from app.schemas import (
    ChatRequest,
    Citation,
    Conversation,
    CreatorEntry,
    Done,
    ErrorEvent,
    Readiness,
    SearchResult,
)

# The type of each event's data.
EVENTS: Mapping[str, Any] = {
    "sources": Annotated[
        tuple[Citation, ...],
        Meta(
            description="Once, first: the sources, best first, those of a document together; "
            "empty if there are none."
        ),
    ],
    "token": Annotated[str, Meta(description="Any number of times: the next piece of the answer.")],
    "done": Annotated[Done, Meta(description="Last, if the turn succeeded.")],
    "error": Annotated[ErrorEvent, Meta(description="Last, if the turn failed.")],
}
JSON = "application/json"
TEXT = "text/plain"


class ResponseSpec(Struct, frozen=True):
    """A response: the type of its body by media type, and names of headers in `HEADERS`."""

    status: int
    description: str
    content: Mapping[str, Any] = {}
    headers: tuple[str, ...] = ()


class Operation(Struct, frozen=True, kw_only=True):
    """A method of a path, with everything it accepts and returns."""

    name: str
    method: Literal["get", "post", "delete"]
    path: str
    tag: str
    summary: str
    description: str
    parameters: tuple[Parameter, ...] = ()
    body: type | None = None
    responses: tuple[ResponseSpec, ...]
    problems: tuple[type[ChatError], ...] = ()


_STREAM = ResponseSpec(
    200,
    "The event stream. `Accept` must allow `text/event-stream`.",
    {EVENT_STREAM: EVENTS},
    ("X-Conversation-Id", "X-Turn-Id"),
)
_ANSWER = replace(_STREAM, headers=(*_STREAM.headers, "Location"))
# With access control.
_REFUSED = (Unauthenticated, Forbidden, TooManyRequests, Unavailable)
_NOTHING_LEFT = ResponseSpec(204, "`Last-Event-ID` is the last event; nothing is left to send.")
_NOT_MODIFIED = ResponseSpec(304, "Unchanged since the version in `If-None-Match`.", {}, ("ETag",))

OPERATIONS = (
    Operation(
        name="ask",
        method="post",
        path="/api/v1/chat",
        tag="chat",
        summary="Ask a question",
        description="Returns a stream of events: `sources`, then any number of `token`, then "
        "`done` or `error`. The search runs before the status line is sent; later failures are "
        "reported by `error`. If the client disconnects, the turn keeps running for a while, and "
        "the client can resume it. With `Last-Event-ID` the body is ignored and that stream "
        "resumes.",
        parameters=(*CURSOR, IDEMPOTENCY_KEY, END_USER),
        body=ChatRequest,
        responses=(_ANSWER, _NOTHING_LEFT),
        problems=(
            *(BadRequest, NotFound, NotAcceptable, BodyTooSlow, TurnRunning, LengthRequired),
            *(BodyTooLarge, UnsupportedMediaType, Unprocessable),
            *(*_REFUSED, LibraryUnavailable, ShuttingDown, TurnLost),
        ),
    ),
    Operation(
        name="follow",
        method="get",
        path="/api/v1/chat/{turn_id}",
        tag="chat",
        summary="Follow a turn's stream",
        description="Sends the stream from its start, or after `Last-Event-ID`, whichever worker "
        "runs the turn. Works with a browser's EventSource. A finished turn can be replayed for "
        "some minutes.",
        parameters=(TURN, *CURSOR, TICKET, END_USER),
        responses=(_STREAM, _NOTHING_LEFT),
        problems=(BadRequest, NotFound, NotAcceptable, *_REFUSED, ShuttingDown),
    ),
    Operation(
        name="stop",
        method="delete",
        path="/api/v1/chat/{turn_id}",
        tag="chat",
        summary="Stop a turn",
        description="Ends the answer early, whichever worker runs the turn: viewers get `done` "
        "with `stopped`, and the partial answer is stored. No effect on a finished turn.",
        parameters=(TURN, END_USER),
        responses=(ResponseSpec(202, "The turn is being stopped."),),
        problems=(NotFound, *_REFUSED),
    ),
    Operation(
        name="conversation",
        method="get",
        path="/api/v1/conversations/{conversation_id}",
        tag="conversations",
        summary="Read a conversation",
        description="Returns the latest turns, oldest first. Conversations expire some time after "
        "their last turn.",
        parameters=(CONVERSATION, END_USER),
        responses=(ResponseSpec(200, "The turns.", {JSON: Conversation}),),
        problems=(NotFound, Unprocessable, *_REFUSED),
    ),
    Operation(
        name="forget",
        method="delete",
        path="/api/v1/conversations/{conversation_id}",
        tag="conversations",
        summary="Delete a conversation",
        description="Also succeeds if there is nothing to delete.",
        parameters=(CONVERSATION, END_USER),
        responses=(ResponseSpec(204, "The conversation is deleted."),),
        problems=(Unprocessable, *_REFUSED),
    ),
    Operation(
        name="creators",
        method="get",
        path="/api/v1/creators",
        tag="library",
        summary="List creators",
        description="Returns at most 50 creators by name, with their numbers of videos and pages.",
        parameters=(PREFIX, END_USER),
        responses=(ResponseSpec(200, "The creators.", {JSON: tuple[CreatorEntry, ...]}),),
        problems=(Unprocessable, *_REFUSED, LibraryUnavailable),
    ),
    Operation(
        name="search",
        method="get",
        path="/api/v1/search",
        tag="library",
        summary="Search without an answer",
        description="Returns the tier and the sources that an answer would use.",
        parameters=(QUESTION, CREATOR, END_USER),
        responses=(ResponseSpec(200, "The search result.", {JSON: SearchResult}),),
        problems=(Unprocessable, *_REFUSED, LibraryUnavailable),
    ),
    Operation(
        name="alive",
        method="get",
        path="/healthz",
        tag="operations",
        summary="Check that the process is alive",
        description="Uses neither PostgreSQL nor Redis.",
        responses=(ResponseSpec(200, "The process is alive.", {TEXT: str}),),
    ),
    Operation(
        name="ready",
        method="get",
        path="/readyz",
        tag="operations",
        summary="Check that the worker accepts questions",
        description="Reports the state of each part. Unavailable memory alone is a 200: chat works "
        "without it. At `OPS_PORT` if it is set.",
        responses=(
            ResponseSpec(200, "The worker is ready.", {JSON: Readiness}),
            ResponseSpec(
                503,
                "The worker is full or draining, or the library is unavailable.",
                {JSON: Readiness},
            ),
        ),
    ),
    Operation(
        name="metrics",
        method="get",
        path="/metrics",
        tag="operations",
        summary="Read this worker's metrics",
        description="Prometheus text, or OpenMetrics if `Accept` allows it. Scrape each worker on "
        "its own. At `OPS_PORT` if it is set.",
        responses=(
            ResponseSpec(200, "The metrics.", {TEXT: str, "application/openmetrics-text": str}),
        ),
    ),
    Operation(
        name="openapi",
        method="get",
        path="/openapi.json",
        tag="operations",
        summary="Read the OpenAPI document",
        description="Returns this document.",
        parameters=(IF_NONE_MATCH,),
        responses=(
            ResponseSpec(200, "The document.", {JSON: dict[str, Any]}, ("ETag",)),
            _NOT_MODIFIED,
        ),
    ),
    Operation(
        name="reference",
        method="get",
        path="/docs",
        tag="operations",
        summary="Open the API reference",
        description="Returns an HTML page that shows this document and can send requests.",
        parameters=(IF_NONE_MATCH,),
        responses=(
            ResponseSpec(200, "The page.", {"text/html": str}, ("ETag",)),
            _NOT_MODIFIED,
            ResponseSpec(503, "The page's libraries are not installed.", {TEXT: str}),
        ),
    ),
)
