"""Questions come in, streams of answers go out; streams are followed again and stopped."""

from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import Response

from app.bootstrap import State
from app.errors import BadRequest
from app.handlers import codec


async def ask(request: Request[State]) -> Response:
    """Answer a question, or go on with the stream that `Last-Event-ID` names."""
    if at := codec.cursor(request):
        return await _follow(request, at)
    runner = request.state["runner"]
    # Before the body is read or the caller's questions are counted.
    runner.admit()
    await request.state["limiter"].admit(request.client.host if request.client else "")
    key = codec.idempotency_key(request)
    turn_id = await runner.start(await codec.read_chat_request(request), key)
    return codec.stream_response(request, await runner.open(turn_id))


class Turn(HTTPEndpoint):
    """One turn's stream."""

    async def get(self, request: Request[State]) -> Response:
        """Give the stream from its start, or after `Last-Event-ID`."""
        turn_id = codec.turn_id(request)
        at = codec.cursor(request) or codec.Cursor(turn_id, -1)
        if at.turn_id != turn_id:
            raise BadRequest("Last-Event-ID belongs to another stream. Leave it out.")
        return await _follow(request, at)

    async def delete(self, request: Request[State]) -> Response:
        """Stop the turn: its viewers get `done` with `stopped`."""
        await request.state["runner"].stop(codec.turn_id(request))
        return Response(status_code=202)


async def _follow(request: Request[State], at: codec.Cursor) -> Response:
    codec.accept(request, "text/event-stream")
    turn = await request.state["runner"].open(at.turn_id, at.number)
    if at.last or (turn.ended and at.number == len(turn.frames) - 1):
        # Nothing is left: this status tells a browser's EventSource to stop.
        return Response(status_code=204)
    if at.number >= len(turn.frames):
        raise BadRequest("Last-Event-ID is no id of an event of this stream. Leave it out.")
    if at.number >= 0:
        request.state["metrics"].resumed()
    return codec.stream_response(request, turn, at.number)
