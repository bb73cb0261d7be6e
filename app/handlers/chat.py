"""Questions come in, streams of answers go out; streams are followed again and stopped."""

from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import Response

from app.errors import BadRequest
from app.handlers import wire
from app.lifespan import State


async def ask(request: Request[State]) -> Response:
    """Answer a question, or go on with the stream that `Last-Event-ID` names."""
    if at := wire.cursor(request):
        return _follow(request, *at)
    await request.state["limiter"].admit(request.client.host if request.client else "")
    key = wire.idempotency_key(request)
    asked = await request.state["runner"].start(await wire.read_chat_request(request), key)
    return wire.stream_response(
        request,
        request.state["runner"].follow(asked.turn_id),
        {"X-Conversation-Id": asked.conversation_id, "X-Turn-Id": asked.turn_id},
    )


class Turn(HTTPEndpoint):
    """One turn's stream."""

    async def get(self, request: Request[State]) -> Response:
        """Give the stream from its start, or after `Last-Event-ID`."""
        turn_id: str = request.path_params["turn_id"]
        of_turn, number = wire.cursor(request) or (turn_id, -1)
        if of_turn != turn_id:
            raise BadRequest("Last-Event-ID belongs to another stream. Leave it out.")
        return _follow(request, turn_id, number)

    async def delete(self, request: Request[State]) -> Response:
        """Stop the turn: its viewers get `done` with `stopped`."""
        request.state["runner"].stop(request.path_params["turn_id"])
        return Response(status_code=202)


def _follow(request: Request[State], turn_id: str, number: int) -> Response:
    wire.accept(request, "text/event-stream")
    runner = request.state["runner"]
    extent = runner.extent(turn_id)
    if number >= extent.frames:
        raise BadRequest("Last-Event-ID is no id of an event of this stream. Leave it out.")
    if extent.ended and number == extent.frames - 1:
        # Nothing is left: this status tells a browser's EventSource to stop.
        return Response(status_code=204)
    headers = {"X-Conversation-Id": extent.conversation_id, "X-Turn-Id": turn_id}
    return wire.stream_response(request, runner.follow(turn_id, number), headers)
