"""Ask a question, follow a turn's stream, stop a turn."""

import msgspec
from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import Response

from app.bootstrap import State
from app.errors import BadRequest, ChatError, TooManyRequests, TurnRunning
from app.handlers import access, codec
from app.handlers.locations import stream_path
from app.handlers.turn_producer import TurnProducer, new_turn
from app.schemas import ChatRequest
from app.services.access.caller import Caller
from app.services.streams import IdempotencyKey


class Chat(HTTPEndpoint):
    """The resource that questions are posted to."""

    async def post(self, request: Request[State]) -> Response:
        """Answer a question, or resume the stream that `Last-Event-ID` names."""
        if cursor := codec.cursor(request):
            return await _follow(request, cursor)
        runner = request.state["runner"]
        # A full or draining worker refuses before it reads the body or counts the question.
        runner.admit()
        caller = await access.identify(request, access.ASK)
        try:
            key = codec.idempotency_key(request, caller)
            question = await codec.read_chat_request(request)
        except ChatError:
            await access.count(request, caller, access.REFUSED)
            raise
        turn = new_turn(question, caller, request.state["conversation_ids"])
        stream_key = _stream_key(key, question, caller) if key else None
        tickets = request.state["tickets"]
        try:
            turn_id = await _repeated(request, caller, turn.turn_id, stream_key)
            if turn_id is None:
                turn_id = await runner.start(
                    TurnProducer(turn, request.state),
                    turn.turn_id,
                    metadata=turn.conversation_id,
                    owner=caller.owner,
                    key=stream_key,
                )
        except TurnRunning as running:
            running.ticket = tickets.issue(caller, running.turn_id)
            raise
        stream = await runner.open(turn_id, owner=caller.owner)
        location = stream_path(request.scope["root_path"], turn_id, tickets.issue(caller, turn_id))
        return codec.stream_response(request, stream, headers={"Location": location})


class Turn(HTTPEndpoint):
    """One turn's stream."""

    async def get(self, request: Request[State]) -> Response:
        """Send the stream from its start, or after `Last-Event-ID`."""
        turn_id = codec.turn_id(request)
        cursor = codec.cursor(request) or codec.Cursor(turn_id, -1)
        if cursor.turn_id != turn_id:
            raise BadRequest("Last-Event-ID is from another turn; omit it to replay this one.")
        return await _follow(request, cursor)

    async def delete(self, request: Request[State]) -> Response:
        """Stop the turn: its viewers get `done` with `stopped`."""
        caller = await access.admit(request, access.STOP)
        await request.state["runner"].stop(codec.turn_id(request), owner=caller.owner)
        return Response(status_code=202)


def _stream_key(key: str, question: ChatRequest, caller: Caller) -> IdempotencyKey:
    return IdempotencyKey.for_request(key, msgspec.json.encode(question), caller.owner)


async def _repeated(
    request: Request[State], caller: Caller, turn_id: str, key: IdempotencyKey | None
) -> str | None:
    """Count a question; return its finished turn if it repeats one and cannot be a new one.

    A limit must not keep a client from the answer to a question that it has asked before.
    """
    try:
        await access.count(request, caller, access.ASK, turn_id)
    except TooManyRequests:
        if key is None:
            raise
        await access.count(request, caller, access.FOLLOW)
        finished = await request.state["runner"].find_repeated(key)
        if finished is None:
            raise
        return finished
    return None


async def _follow(request: Request[State], cursor: codec.Cursor) -> Response:
    caller = await access.admit(request, access.FOLLOW)
    codec.require_accept(request, codec.EVENT_STREAM)
    turn = await request.state["runner"].open(cursor.turn_id, cursor.number, owner=caller.owner)
    if cursor.lost or (turn.ended and cursor.number == len(turn.frames) - 1):
        # Nothing is left to send. This status makes EventSource stop reconnecting.
        return Response(status_code=204)
    if cursor.number >= len(turn.frames):
        raise BadRequest(
            "Last-Event-ID is unknown for this turn; omit it to replay from the start."
        )
    if cursor.number >= 0:
        request.state["metrics"].resumes.inc()
    return codec.stream_response(request, turn, cursor.number)
