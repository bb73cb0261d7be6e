"""Decodes and validates requests; encodes responses and SSE frames."""

import re
from collections.abc import Mapping

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from app.bootstrap import State
from app.errors import (
    BadRequest,
    NotAcceptable,
    NotFound,
    TurnLost,
    Unprocessable,
)
from app.handlers.problems import error_event
from app.handlers.request_body import decode, read_body
from app.handlers.sse_response import StreamResponse
from app.limits import (
    CONVERSATION_ID,
    CREATOR_LIMIT,
    EVENT_ID,
    IDEMPOTENCY_KEY,
    MIN_SHARED_KEY,
    QUERY_LIMIT,
    TURN_ID,
)
from app.schemas import ChatRequest, Done, Event, Failed, FieldError, Sources, Token
from app.services.access.caller import Caller
from app.services.streams import StreamBuffer

EVENT_STREAM = "text/event-stream"
WORKER_LOST = TurnLost("The answer was lost because its worker stopped. Ask again.")

_CONVERSATION_ID = re.compile(CONVERSATION_ID)
_IDEMPOTENCY_KEY = re.compile(IDEMPOTENCY_KEY)
_TURN_ID = re.compile(TURN_ID)
_EVENT_ID = re.compile(EVENT_ID)
# What clients send that have seen no event.
_NO_CURSOR = (None, "", "null", "undefined")
_ENCODER = msgspec.json.Encoder()
# msgspec's names of types.
_JSON_TYPES = {
    "array": "an array",
    "bool": "a Boolean",
    "float": "a number",
    "int": "a number",
    "object": "an object",
    "str": "a string",
}
_EVENT_NAMES = {Sources: b"sources", Token: b"token", Done: b"done", Failed: b"error"}
# JSON leaves these characters unescaped, and some clients split lines at them.
_LINE_ENDS = {
    "\u0085".encode(): b"\\u0085",
    "\u2028".encode(): b"\\u2028",
    "\u2029".encode(): b"\\u2029",
}


class Cursor(Struct, frozen=True):
    """The last event that a client has; `lost` if a `lost_frame` made that event."""

    turn_id: str
    number: int
    lost: bool = False


async def read_chat_request(request: Request[State]) -> ChatRequest:
    """Read and validate the body of `POST /api/v1/chat`; raises a ChatError."""
    require_accept(request, EVENT_STREAM)
    body = await read_body(request)
    try:
        decoded = decode(body)
    except msgspec.ValidationError as error:
        raise _unprocessable([_field_error(str(error))]) from None
    return validated(decoded)


def validated(
    request: ChatRequest, query_pointer: str = "/query", creator_pointer: str = "/creator"
) -> ChatRequest:
    """Strip white space from a request's texts and check all fields; raises Unprocessable."""
    query = request.query.strip()
    creator = request.creator if request.creator is None else request.creator.strip()
    errors = _text_errors(query_pointer, query, QUERY_LIMIT)
    if creator is not None:
        errors += _text_errors(creator_pointer, creator, CREATOR_LIMIT)
    if request.conversation_id is not None:
        errors += _conversation_id_errors("/conversation_id", request.conversation_id)
    if errors:
        raise _unprocessable(errors)
    return ChatRequest(query, creator, request.conversation_id)


def conversation_id(request: Request[State]) -> str:
    """Return the conversation id in the path; raises Unprocessable."""
    given: str = request.path_params["conversation_id"]
    if errors := _conversation_id_errors("conversation_id", given):
        raise _unprocessable(errors)
    return given


def idempotency_key(request: Request[State], caller: Caller) -> str | None:
    """Return the Idempotency-Key header, if there is one; raises BadRequest."""
    key = request.headers.get("idempotency-key")
    if key is not None and not _IDEMPOTENCY_KEY.fullmatch(key):
        raise BadRequest("Idempotency-Key must be 1 to 200 visible ASCII characters.")
    if key is not None and caller.shared and len(key) < MIN_SHARED_KEY:
        raise BadRequest(
            f"Idempotency-Key must have at least {MIN_SHARED_KEY} characters, since others may"
            " use the same ones. Use a random UUID."
        )
    return key


def cursor(request: Request[State]) -> Cursor | None:
    """Return the event that the client has seen last, if it names one; raises BadRequest.

    `Last-Event-ID` takes precedence over `lastEventId` in the query, which polyfills of
    EventSource send.
    """
    header, parameter = (
        request.headers.get("last-event-id"),
        request.query_params.get("lastEventId"),
    )
    given = parameter if header in _NO_CURSOR else header
    if given is None or given in _NO_CURSOR:
        return None
    if not _EVENT_ID.fullmatch(given):
        raise BadRequest("Last-Event-ID is not an event id of this service; omit it.")
    turn, _, number = given.partition("-")
    return Cursor(turn, int(number), lost=len(number) > 1 and number.startswith("0"))


def turn_id(request: Request[State]) -> str:
    """Return the turn id in the path; raises NotFound."""
    given: str = request.path_params["turn_id"]
    if not _TURN_ID.fullmatch(given):
        raise NotFound("There is no such stream. Use the id from the X-Turn-Id response header.")
    return given


def require_accept(request: Request[State], media_type: str) -> None:
    """Raise NotAcceptable if the Accept header excludes a media type."""
    ranges = ",".join(request.headers.getlist("accept")).lower() or "*/*"
    family = media_type.split("/")[0] + "/*"
    for given in ranges.split(","):
        accepted, *parameters = (part.strip() for part in given.split(";"))
        excluded = any(re.fullmatch(r"q=0(\.0*)?", parameter) for parameter in parameters)
        if accepted in (media_type, family, "*/*") and not excluded:
            return
    raise NotAcceptable(f"The response is an event stream. Send `Accept: {media_type}`.")


def json_response(value: object, status: int = 200) -> Response:
    """Return a Struct as a JSON response."""
    headers = {"Cache-Control": "no-store"}
    return Response(msgspec.json.encode(value), status, headers, "application/json")


def stream_response(
    request: Request[State], turn: StreamBuffer, after: int = -1, headers: Mapping[str, str] = {}
) -> StreamResponse:
    """Return the SSE response that sends a turn's frames after number `after`."""
    headers = {
        "X-Conversation-Id": turn.header.metadata,
        "X-Turn-Id": turn.stream_id,
        **headers,
    }
    return StreamResponse(turn.follow(after), request.state["heartbeat"], headers)


def frame(turn_id: str, number: int, event: Event) -> bytes:
    """Encode an event as an SSE frame with one line of JSON data."""
    if isinstance(event, Token):
        data = _ENCODER.encode(event.text)
    elif isinstance(event, Sources):
        data = _ENCODER.encode(event.citations)
    elif isinstance(event, Failed):
        data = _ENCODER.encode(error_event(event))
    else:
        data = _ENCODER.encode(event)
    if not data.isascii():
        for character, escaped in _LINE_ENDS.items():
            data = data.replace(character, escaped)
    return b"id: %b-%d\nevent: %b\ndata: %b\n\n" % (
        turn_id.encode(),
        number,
        _EVENT_NAMES[type(event)],
        data,
    )


def lost_frame(turn_id: str, number: int) -> bytes:
    """Encode the `error` event of a turn whose worker died.

    The worker may have sent another event of the same number to its own viewers. A zero before
    the number distinguishes the two when a client resumes.
    """
    encoded = frame(turn_id, number, WORKER_LOST.event())
    return encoded.replace(b"-%d\n" % number, b"-0%d\n" % number, 1)


def _text_errors(pointer: str, text: str, limit: int) -> list[FieldError]:
    if not 1 <= len(text) <= limit:
        detail = (
            f"must have 1 to {limit} characters, not counting surrounding white space,"
            f" but has {len(text)}"
        )
        return [FieldError(pointer, detail)]
    if "\0" in text:
        return [FieldError(pointer, "must not contain NUL")]
    return []


def _conversation_id_errors(pointer: str, given: str) -> list[FieldError]:
    if _CONVERSATION_ID.fullmatch(given):
        return []
    return [FieldError(pointer, "must be 1 to 64 of the characters A-Z a-z 0-9 _ -")]


def _field_error(message: str) -> FieldError:
    """Convert the message of msgspec's ValidationError."""
    reason, _, path = message.partition(" - at `$")
    pointer = path.rstrip("`").replace(".", "/")
    if field := re.search(r"(required|unknown) field `(.*)`$", reason):
        detail = "is required" if field[1] == "required" else "is not a known field"
        return FieldError(f"/{field[2]}", detail)
    if types := re.fullmatch(r"Expected `(.*)`, got `(.*)`", reason):
        expected, given = (
            " or ".join(_JSON_TYPES.get(name, name) for name in names.split(" | "))
            for names in types.groups()
        )
        return FieldError(pointer, f"must be {expected}, not {given}")
    return FieldError(pointer, reason)


def _unprocessable(errors: list[FieldError]) -> Unprocessable:
    sentences = (
        f"`{name}` {error.detail}."
        if (name := error.pointer.lstrip("/"))
        else f"Request body {error.detail}."
        for error in errors
    )
    return Unprocessable(" ".join(sentences), errors=tuple(errors))
