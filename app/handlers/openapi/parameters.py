"""Parameters and headers of the HTTP API."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from app import limits
from app.limits import (
    CREATOR_LIMIT,
    EVENT_ID,
    QUERY_LIMIT,
    REQUEST_ID,
    SUBJECT,
    full_match,
    trimmed_text,
)
from app.schemas import ConversationId, TurnId


class Parameter(Struct, frozen=True):
    """A path, query or header parameter; `type` gives its schema."""

    name: str
    location: Literal["path", "query", "header"]
    type: Any
    description: str
    required: bool = False


HEADERS: Mapping[str, Any] = {
    "X-Request-Id": Annotated[
        str,
        Meta(
            description="The request's id, from the client or generated. The log has it too.",
            extra_json_schema={"pattern": full_match(REQUEST_ID)},
        ),
    ],
    "X-Conversation-Id": Annotated[
        ConversationId, Meta(description="The conversation, for follow-up questions.")
    ],
    "X-Turn-Id": Annotated[TurnId, Meta(description="The turn, to follow or stop it.")],
    "Location": Annotated[
        str,
        Meta(
            description="The turn's stream. If the request had a key or token, it includes a "
            "`ticket`, so that an EventSource can follow the stream."
        ),
    ],
    "WWW-Authenticate": Annotated[
        str,
        Meta(description='`Bearer`, with `error="invalid_token"` if the credentials are wrong.'),
    ],
    "Retry-After": Annotated[
        str,
        Meta(
            description="Seconds to wait before the next attempt.",
            extra_json_schema={"pattern": "^[0-9]+$"},
        ),
    ],
    "RateLimit-Policy": Annotated[
        str,
        Meta(
            description="The caller's limits: questions (`minute`, `day`), turns at once "
            "(`running`), model tokens (`tokens`); `q` is the limit, `w` its window in seconds."
        ),
    ],
    "RateLimit": Annotated[
        str,
        Meta(
            description="What remains of each limit (`r`), and the seconds until all of it is "
            "available again (`t`)."
        ),
    ],
    "ETag": Annotated[str, Meta(description="The version, for `If-None-Match`.")],
}
# Headers of problem documents by status, in addition to those of every response.
PROBLEM_HEADERS: Mapping[int, tuple[str, ...]] = {
    401: ("WWW-Authenticate",),
    409: ("Location",),
    429: ("Retry-After",),
    503: ("Retry-After",),
}
# Headers of all responses of operations that count.
LIMIT_HEADERS = ("RateLimit-Policy", "RateLimit")
# Every operation accepts these. Invalid values are replaced instead of rejected.
COMMON = (
    Parameter(
        "X-Request-Id",
        "header",
        str,
        "An id for the request, which appears in the response and the log. An id that does not "
        f"match `{REQUEST_ID}` is replaced.",
    ),
    Parameter(
        "traceparent",
        "header",
        str,
        "The caller's trace (W3C Trace Context). It appears in the log and is passed to the model "
        "server. An invalid one is replaced.",
    ),
    Parameter("tracestate", "header", str, "Belongs to `traceparent`; passed on unchanged."),
)

TURN = Parameter(
    "turn_id", "path", TurnId, "From `X-Turn-Id` or `done`. A malformed id is a 404.", True
)
CONVERSATION = Parameter(
    "conversation_id", "path", ConversationId, "From `X-Conversation-Id` or `done`.", True
)
_EVENT = Annotated[
    str, Meta(extra_json_schema={"pattern": full_match(f"(?:{EVENT_ID}|null|undefined)?")})
]
CURSOR = (
    Parameter(
        "Last-Event-ID",
        "header",
        _EVENT,
        "The `id` of the last event received; the stream resumes after it. SSE clients send it "
        "when they reconnect. `null`, `undefined` and an empty value are ignored.",
    ),
    Parameter(
        "lastEventId",
        "query",
        _EVENT,
        "The same, for clients that cannot send headers, such as polyfills of EventSource. "
        "`Last-Event-ID` takes precedence.",
    ),
)
TICKET = Parameter(
    "ticket",
    "query",
    str,
    "From `Location`: replaces other credentials, for this turn and at most 15 minutes, since an "
    "EventSource cannot send headers. An invalid one is a 404.",
)
IDEMPOTENCY_KEY = Parameter(
    "Idempotency-Key",
    "header",
    Annotated[str, Meta(extra_json_schema={"pattern": full_match(limits.IDEMPOTENCY_KEY)})],
    "Makes retries safe: the same key with the same body is answered once. While the turn runs, a "
    "retry gets a 409 with its `Location`; afterwards the finished stream is replayed.",
)
END_USER = Parameter(
    "X-Subject",
    "header",
    str,
    "The end user whom a server with a secret key asks for: turns and conversations belong to this "
    f"user. Any text that the server chooses and that matches `{SUBJECT}`; ignored without a "
    "secret key.",
)
CREATOR = Parameter(
    "creator",
    "query",
    Annotated[
        str, Meta(extra_json_schema={"pattern": full_match(f"(?:{trimmed_text(CREATOR_LIMIT)})?")})
    ],
    "A creator, by slug or display name as in `POST /api/v1/chat`. An empty value is ignored.",
)
IF_NONE_MATCH = Parameter(
    "If-None-Match", "header", str, "The `ETag` of the client's version; a 304 if it is current."
)
PREFIX = Parameter(
    "prefix",
    "query",
    Annotated[
        str,
        Meta(extra_json_schema={"maxLength": CREATOR_LIMIT, "pattern": full_match(r"[^\x00]*")}),
    ],
    "The start of the name or slug; case and accents are ignored.",
)
QUESTION = Parameter(
    "q",
    "query",
    Annotated[str, Meta(extra_json_schema={"pattern": full_match(trimmed_text(QUERY_LIMIT))})],
    "The question, with the same rules as `query` in `POST /api/v1/chat`.",
    True,
)
