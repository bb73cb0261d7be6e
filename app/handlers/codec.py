"""Bytes of requests come in as checked Structs; Structs go out as replies and SSE frames."""

import asyncio
import re
from collections.abc import Mapping

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from app.bootstrap import State
from app.errors import (
    BadRequest,
    BodyTooLarge,
    BodyTooSlow,
    LengthRequired,
    NotAcceptable,
    NotFound,
    TurnLost,
    Unprocessable,
    UnsupportedMediaType,
)
from app.handlers.sse_response import TurnStream
from app.limits import (
    BODY_LIMIT,
    CONVERSATION_ID,
    CREATOR_LIMIT,
    EVENT_ID,
    IDEMPOTENCY_KEY,
    QUERY_LIMIT,
    TURN_ID,
)
from app.schemas import ChatRequest, Done, Event, Failed, FieldError, Problem, Sources, Token
from app.services.streams import StreamBuffer

WORKER_GONE = TurnLost("The answer was lost: its worker is gone. Ask again.")

_CONVERSATION_ID = re.compile(CONVERSATION_ID)
_IDEMPOTENCY_KEY = re.compile(IDEMPOTENCY_KEY)
_TURN_ID = re.compile(TURN_ID)
_EVENT_ID = re.compile(EVENT_ID)
_ENCODER = msgspec.json.Encoder()
_NAMES = {Sources: b"sources", Token: b"token", Done: b"done", Failed: b"error"}
# Characters that JSON leaves as they are, and at which careless clients split lines.
_LINE_ENDS = {
    "\u0085".encode(): b"\\u0085",
    "\u2028".encode(): b"\\u2028",
    "\u2029".encode(): b"\\u2029",
}


class Cursor(Struct, frozen=True):
    """The event that a client has seen: turn and number; `last` where it was a `lost_frame`."""

    turn_id: str
    number: int
    last: bool = False


async def read_chat_request(request: Request[State]) -> ChatRequest:
    """Read and check the body of `POST /api/v1/chat`; raises a ChatError of status 4xx."""
    accept(request, "text/event-stream")
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if media_type != "application/json":
        raise UnsupportedMediaType("Send the question as JSON: Content-Type: application/json.")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise UnsupportedMediaType("Send the body as it is, without Content-Encoding.")
    body = await _body(request)
    try:
        decoded = msgspec.json.decode(body, type=ChatRequest)
    except msgspec.ValidationError as error:
        raise _unprocessable([_field_error(str(error))]) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise BadRequest(
            "The body is no JSON. Send an object such as "
            '{"query": "How do I side-chain the bass?"}.'
        ) from None
    return checked(decoded)


def checked(
    request: ChatRequest, query_pointer: str = "/query", creator_pointer: str = "/creator"
) -> ChatRequest:
    """Trim a request's texts and hold them against their rules; raises Unprocessable."""
    query = request.query.strip()
    creator = request.creator if request.creator is None else request.creator.strip()
    errors = _text_errors(query_pointer, query, QUERY_LIMIT)
    if creator is not None:
        errors += _text_errors(creator_pointer, creator, CREATOR_LIMIT)
    conversation = request.conversation_id
    if conversation is not None:
        errors += _id_errors("/conversation_id", conversation)
    if errors:
        raise _unprocessable(errors)
    return ChatRequest(query, creator, conversation)


def conversation_id(request: Request[State]) -> str:
    """Return the conversation that a path names; raises Unprocessable."""
    name: str = request.path_params["conversation_id"]
    if errors := _id_errors("conversation_id", name):
        raise _unprocessable(errors)
    return name


def idempotency_key(request: Request[State]) -> str | None:
    """Return the request's Idempotency-Key, if it has one; raises BadRequest."""
    key = request.headers.get("idempotency-key")
    if key is not None and not _IDEMPOTENCY_KEY.fullmatch(key):
        raise BadRequest("An Idempotency-Key is 1 to 200 visible ASCII characters, no spaces.")
    return key


def cursor(request: Request[State]) -> Cursor | None:
    """Return what `Last-Event-ID` names; raises BadRequest."""
    given = request.headers.get("last-event-id")
    if not given:
        return None
    if not _EVENT_ID.fullmatch(given):
        raise BadRequest("Last-Event-ID is no id of an event of this service. Leave it out.")
    turn, _, number = given.partition("-")
    return Cursor(turn, int(number), last=len(number) > 1 and number.startswith("0"))


def turn_id(request: Request[State]) -> str:
    """Return the turn that a path names; raises NotFound."""
    name: str = request.path_params["turn_id"]
    if not _TURN_ID.fullmatch(name):
        raise NotFound("There is no such stream. A stream's id comes with its reply: X-Turn-Id.")
    return name


def accept(request: Request[State], media_type: str) -> None:
    """Raise NotAcceptable where the client takes no such media type."""
    ranges = ",".join(request.headers.getlist("accept")).lower() or "*/*"
    family = media_type.split("/")[0] + "/*"
    for given in ranges.split(","):
        kind, *parameters = (part.strip() for part in given.split(";"))
        refused = any(re.fullmatch(r"q=0(\.0*)?", parameter) for parameter in parameters)
        if kind in (media_type, family, "*/*") and not refused:
            return
    raise NotAcceptable(f"This is a stream of events: send Accept: {media_type} (or */*).")


def json_response(value: object, status: int = 200) -> Response:
    """Make a JSON reply of a Struct."""
    headers = {"Cache-Control": "no-store"}
    return Response(msgspec.json.encode(value), status, headers, "application/json")


def problem_response(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """Make the reply that tells of a problem."""
    return Response(
        msgspec.json.encode(problem),
        problem.status,
        {"Cache-Control": "no-store", **(headers or {})},
        "application/problem+json",
    )


def stream_response(request: Request[State], turn: StreamBuffer, after: int = -1) -> TurnStream:
    """Make the reply that sends a turn's frames after number `after` as they come."""
    return TurnStream(turn, after, request.state["heartbeat"])


def frame(turn_id: str, number: int, event: Event) -> bytes:
    """Encode an event as an SSE frame whose data is one line with one JSON value."""
    # Of some events only one value is sent.
    if isinstance(event, Token):
        data = _ENCODER.encode(event.text)
    elif isinstance(event, Sources):
        data = _ENCODER.encode(event.citations)
    else:
        data = _ENCODER.encode(event)
    if not data.isascii():
        for character, escaped in _LINE_ENDS.items():
            data = data.replace(character, escaped)
    return b"id: %b-%d\nevent: %b\ndata: %b\n\n" % (
        turn_id.encode(),
        number,
        _NAMES[type(event)],
        data,
    )


def lost_frame(turn_id: str, number: int) -> bytes:
    """Encode the end of a turn whose worker died.

    That worker may have sent an event of the same number which nobody else knows. A zero before
    the number tells the two apart when a client comes back with the id of one of them.
    """
    made = frame(turn_id, number, WORKER_GONE.event())
    return made.replace(b"-%d\n" % number, b"-0%d\n" % number, 1)


async def _body(request: Request[State]) -> bytes:
    length = request.headers.get("content-length")
    if length is None and "transfer-encoding" not in request.headers:
        raise LengthRequired("Send the question as a JSON body with a Content-Length.")
    too_large = BodyTooLarge(f"A body has at most {BODY_LIMIT} bytes.")
    if length is not None and length.isdecimal() and int(length) > BODY_LIMIT:
        raise too_large
    limit = request.state["settings"].body_timeout
    body = b""
    try:
        async with asyncio.timeout(limit):
            async for chunk in request.stream():
                body += chunk
                if len(body) > BODY_LIMIT:
                    raise too_large
    except TimeoutError:
        raise BodyTooSlow(
            f"Send the whole body within {limit:g} seconds.",
            headers={"Connection": "close"},
        ) from None
    return body


def _text_errors(pointer: str, text: str, limit: int) -> list[FieldError]:
    if not 1 <= len(text) <= limit:
        detail = f"must have 1 to {limit} characters, not counting space around it; has {len(text)}"
        return [FieldError(pointer, detail)]
    if "\0" in text:
        return [FieldError(pointer, "must hold no NUL character")]
    return []


def _id_errors(pointer: str, name: str) -> list[FieldError]:
    if _CONVERSATION_ID.fullmatch(name):
        return []
    return [FieldError(pointer, "must be 1 to 64 of the characters A-Z a-z 0-9 _ -")]


def _field_error(message: str) -> FieldError:
    reason, _, path = message.partition(" - at `$")
    pointer = path.rstrip("`").replace(".", "/")
    if named := re.search(r"field `(.*)`$", reason):
        pointer = f"/{named[1]}"
    return FieldError(pointer, reason)


def _unprocessable(errors: list[FieldError]) -> Unprocessable:
    named = "; ".join(f"{error.pointer or 'the body'}: {error.detail}" for error in errors)
    return Unprocessable(named, errors=tuple(errors))
