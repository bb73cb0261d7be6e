"""What the service can be asked over HTTP: each operation, what it takes, and all its replies.

A reply's body is told by the type that makes it; the document is built of this in `document.py`.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from app.errors import (
    BadRequest,
    BodyTooLarge,
    BodyTooSlow,
    ChatError,
    LengthRequired,
    LibraryUnavailable,
    NotAcceptable,
    NotFound,
    ShuttingDown,
    TooManyRequests,
    TurnLost,
    TurnRunning,
    Unavailable,
    Unprocessable,
    UnsupportedMediaType,
)
from app.handlers.openapi.parameters import (
    CONVERSATION,
    CREATOR,
    IDEMPOTENCY_KEY,
    IF_NONE_MATCH,
    LAST_EVENT_ID,
    PREFIX,
    QUESTION,
    TURN,
    Parameter,
)
from app.schemas import (
    ChatRequest,
    Citation,
    Conversation,
    CreatorEntry,
    Done,
    Failed,
    Readiness,
    SearchResult,
)

EVENT_STREAM = "text/event-stream"
# What the data of each event is, by the event's name.
EVENTS: Mapping[str, Any] = {
    "sources": Annotated[
        tuple[Citation, ...],
        Meta(description="Once, first: the sources, best first; empty where nothing was found."),
    ],
    "token": Annotated[
        str,
        Meta(description="Any number: the next piece of the answer. Joined they are all of it."),
    ],
    "done": Annotated[Done, Meta(description="The last, where the turn ended well.")],
    "error": Annotated[Failed, Meta(description="The last, where it did not.")],
}
JSON = "application/json"
TEXT = "text/plain"


class Reply(Struct, frozen=True):
    """A reply: its body's type by media type, and its headers' names, as `HEADERS` tells them."""

    status: int
    what: str
    content: Mapping[str, Any] = {}
    headers: tuple[str, ...] = ()


class Operation(Struct, frozen=True, kw_only=True):
    """One thing to ask for: where, with what, and what comes back."""

    name: str
    method: Literal["get", "post", "delete"]
    path: str
    tag: str
    summary: str
    what: str
    parameters: tuple[Parameter, ...] = ()
    body: type | None = None
    replies: tuple[Reply, ...]
    problems: tuple[type[ChatError], ...] = ()


_STREAM = Reply(
    200,
    "The stream. `Accept` has to allow `text/event-stream`.",
    {EVENT_STREAM: EVENTS},
    ("X-Conversation-Id", "X-Turn-Id"),
)
_SEEN = Reply(204, "`Last-Event-ID` is the stream's last event: nothing is left to send.")

OPERATIONS = (
    Operation(
        name="ask",
        method="post",
        path="/api/v1/chat",
        tag="chat",
        summary="Ask a question",
        what="Answers with a stream of events: `sources`, then `token` after `token`, and one of "
        "`done` and `error`. The search has run before the status is sent; what fails after that "
        "is told by `error`. A client that hangs up leaves the turn running for a while, to be "
        "followed again. With `Last-Event-ID` the body is not read, and that stream goes on.",
        parameters=(LAST_EVENT_ID, IDEMPOTENCY_KEY),
        body=ChatRequest,
        replies=(_STREAM, _SEEN),
        problems=(
            *(BadRequest, NotFound, NotAcceptable, BodyTooSlow, TurnRunning, LengthRequired),
            *(BodyTooLarge, UnsupportedMediaType, Unprocessable, TooManyRequests),
            *(Unavailable, LibraryUnavailable, ShuttingDown, TurnLost),
        ),
    ),
    Operation(
        name="follow",
        method="get",
        path="/api/v1/chat/{turn_id}",
        tag="chat",
        summary="Follow a turn's stream, also after its end",
        what="Gives the stream from its start, or after `Last-Event-ID`, on whichever worker the "
        "turn runs; a browser's EventSource can read it. An ended turn is kept for some minutes.",
        parameters=(TURN, LAST_EVENT_ID),
        replies=(_STREAM, _SEEN),
        problems=(BadRequest, NotFound, NotAcceptable, Unavailable, ShuttingDown),
    ),
    Operation(
        name="stop",
        method="delete",
        path="/api/v1/chat/{turn_id}",
        tag="chat",
        summary="Stop a turn",
        what="Ends the answer early, on whichever worker it runs: its viewers get `done` with "
        "`stopped`, and what was said is remembered. A turn that has ended stays as it is.",
        parameters=(TURN,),
        replies=(Reply(202, "The turn is being stopped."),),
        problems=(NotFound, Unavailable),
    ),
    Operation(
        name="conversation",
        method="get",
        path="/api/v1/conversations/{conversation_id}",
        tag="conversations",
        summary="Read a conversation",
        what="Gives the latest turns, the oldest of them first. A conversation is forgotten some "
        "time after its last turn.",
        parameters=(CONVERSATION,),
        replies=(Reply(200, "Its turns.", {JSON: Conversation}),),
        problems=(NotFound, Unprocessable, Unavailable),
    ),
    Operation(
        name="forget",
        method="delete",
        path="/api/v1/conversations/{conversation_id}",
        tag="conversations",
        summary="Forget a conversation",
        what="It is a success also where there is nothing to forget.",
        parameters=(CONVERSATION,),
        replies=(Reply(204, "Nothing is kept of it."),),
        problems=(Unprocessable, Unavailable),
    ),
    Operation(
        name="creators",
        method="get",
        path="/api/v1/creators",
        tag="library",
        summary="List creators, for a picker",
        what="Gives at most 50, by name, with how many videos and pages each has.",
        parameters=(PREFIX,),
        replies=(Reply(200, "The creators.", {JSON: tuple[CreatorEntry, ...]}),),
        problems=(Unprocessable, LibraryUnavailable),
    ),
    Operation(
        name="search",
        method="get",
        path="/api/v1/search",
        tag="library",
        summary="Search, without an answer",
        what="Gives what a question would be answered from: the tier and the sources.",
        parameters=(
            QUESTION,
            CREATOR,
        ),
        replies=(Reply(200, "What was found.", {JSON: SearchResult}),),
        problems=(Unprocessable, LibraryUnavailable),
    ),
    Operation(
        name="alive",
        method="get",
        path="/healthz",
        tag="operations",
        summary="Tell whether the process is alive",
        what="Asks neither PostgreSQL nor Redis.",
        replies=(Reply(200, "It is.", {TEXT: str}),),
    ),
    Operation(
        name="ready",
        method="get",
        path="/readyz",
        tag="operations",
        summary="Tell whether the worker takes questions",
        what="Names what does not work. Without memory the chat goes on, so that alone is a 200.",
        replies=(
            Reply(200, "It does.", {JSON: Readiness}),
            Reply(
                503, "It does not: it is full or draining, or has no library.", {JSON: Readiness}
            ),
        ),
    ),
    Operation(
        name="metrics",
        method="get",
        path="/metrics",
        tag="operations",
        summary="Tell what this worker has counted",
        what="Prometheus text, or OpenMetrics for who accepts that. Each worker is a target of its "
        "own.",
        replies=(
            Reply(
                200,
                "The metrics.",
                {TEXT: str, "application/openmetrics-text": str},
            ),
        ),
    ),
    Operation(
        name="openapi",
        method="get",
        path="/openapi.json",
        tag="operations",
        summary="Describe the service",
        what="This document.",
        parameters=(IF_NONE_MATCH,),
        replies=(
            Reply(200, "The document.", {JSON: dict[str, Any]}, ("ETag",)),
            Reply(304, "It is still what `If-None-Match` names.", {}, ("ETag",)),
        ),
    ),
    Operation(
        name="reference",
        method="get",
        path="/docs",
        tag="operations",
        summary="Describe the service, for people",
        what="This document as a page.",
        parameters=(IF_NONE_MATCH,),
        replies=(
            Reply(200, "The page.", {"text/html": str}, ("ETag",)),
            Reply(304, "It is still what `If-None-Match` names.", {}, ("ETag",)),
        ),
    ),
)
