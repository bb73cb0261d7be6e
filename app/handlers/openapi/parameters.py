"""What requests and replies have beside their bodies: parameters and headers, with their rules."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from app import limits
from app.limits import CREATOR_LIMIT, EVENT_ID, QUERY_LIMIT, REQUEST_ID, trimmed, whole
from app.schemas import ConversationId, TurnId


class Parameter(Struct, frozen=True):
    """What a request has beside its body."""

    name: str
    where: Literal["path", "query", "header"]
    kind: Any
    what: str
    required: bool = False


HEADERS: Mapping[str, Any] = {
    "X-Request-Id": Annotated[
        str,
        Meta(
            description="The request's id, as it was sent, or a new one. It is in the log.",
            extra_json_schema={"pattern": whole(REQUEST_ID)},
        ),
    ],
    "X-Conversation-Id": Annotated[
        ConversationId, Meta(description="The conversation, for a follow-up.")
    ],
    "X-Turn-Id": Annotated[
        TurnId, Meta(description="The turn, for following it again, and for stopping it.")
    ],
    "Location": Annotated[str, Meta(description="The stream of the turn that is running.")],
    "Retry-After": Annotated[
        str,
        Meta(
            description="After how many seconds to try again.",
            extra_json_schema={"pattern": "^[0-9]+$"},
        ),
    ],
    "RateLimit-Policy": Annotated[
        str, Meta(description="The limit: questions (`q`) in a window of seconds (`w`).")
    ],
    "RateLimit": Annotated[
        str, Meta(description="What is left (`r`), and in how many seconds (`t`) it starts anew.")
    ],
    "ETag": Annotated[str, Meta(description="Which version it is, for `If-None-Match`.")],
}
# What each problem's reply has beside the headers of all replies, by status.
PROBLEM_HEADERS: Mapping[int, tuple[str, ...]] = {
    409: ("Location",),
    429: ("Retry-After", "RateLimit-Policy", "RateLimit"),
    503: ("Retry-After",),
}
# Every request may have them, and whatever they hold is never refused.
EVERYWHERE = (
    Parameter(
        "X-Request-Id",
        "header",
        str,
        "A name for the request, which the reply and the log repeat, where it is of the form "
        f"`{REQUEST_ID}`. Any other is replaced.",
    ),
    Parameter(
        "traceparent",
        "header",
        str,
        "The caller's trace (W3C Trace Context). The log has it, and the model's server gets it. "
        "One that cannot be read is replaced by a new one.",
    ),
    Parameter(
        "tracestate", "header", str, "What goes with `traceparent`; it is passed on as it is."
    ),
)

TURN = Parameter(
    "turn_id", "path", TurnId, "From `X-Turn-Id` or from `done`; another form is a 404.", True
)
CONVERSATION = Parameter(
    "conversation_id", "path", ConversationId, "From `X-Conversation-Id` or from `done`.", True
)
LAST_EVENT_ID = Parameter(
    "Last-Event-ID",
    "header",
    Annotated[str, Meta(extra_json_schema={"pattern": whole(f"(?:{EVENT_ID})?")})],
    "The `id` of the last event that the client has: the stream goes on after it. Clients of "
    "server-sent events send it by themselves. Empty counts as none.",
)
IDEMPOTENCY_KEY = Parameter(
    "Idempotency-Key",
    "header",
    Annotated[str, Meta(extra_json_schema={"pattern": whole(limits.IDEMPOTENCY_KEY)})],
    "Makes a retry harmless: the same key with the same body is answered once. While that turn "
    "runs it is a 409 with its `Location`, after it the finished stream.",
)
CREATOR = Parameter(
    "creator",
    "query",
    Annotated[str, Meta(extra_json_schema={"pattern": whole(f"(?:{trimmed(CREATOR_LIMIT)})?")})],
    "As in a question; empty counts as none.",
)
IF_NONE_MATCH = Parameter(
    "If-None-Match", "header", str, "The `ETag` of what the client has: a 304 where it is that."
)
PREFIX = Parameter(
    "prefix",
    "query",
    Annotated[
        str,
        Meta(
            extra_json_schema={
                "maxLength": CREATOR_LIMIT,
                "pattern": whole(r"[^\x00]*"),
            }
        ),
    ],
    "How the name or the slug begins, in upper or lower case, with or without accents.",
)
QUESTION = Parameter(
    "q",
    "query",
    Annotated[str, Meta(extra_json_schema={"pattern": whole(trimmed(QUERY_LIMIT))})],
    "The question, as in `ask`.",
    True,
)
