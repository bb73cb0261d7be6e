"""A conversation's id comes in; its turns go out, or it is forgotten."""

from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import Response

from app import schemas
from app.bootstrap import State
from app.errors import NotFound, Unavailable
from app.handlers import codec
from app.services.chat.memory import MemoryUnavailable

UNAVAILABLE = "Conversations cannot be reached at the moment. Try again in a few seconds."


class Conversation(HTTPEndpoint):
    """One conversation."""

    async def get(self, request: Request[State]) -> Response:
        """Give its turns."""
        name = codec.conversation_id(request)
        try:
            turns = await request.state["memory"].recall(name)
        except MemoryUnavailable:
            raise Unavailable(UNAVAILABLE) from None
        if not turns:
            raise NotFound("There is no such conversation, or it is no longer kept.")
        return codec.json_response(schemas.Conversation(name, turns))

    async def delete(self, request: Request[State]) -> Response:
        """Forget it, also where there is nothing."""
        try:
            await request.state["memory"].forget(codec.conversation_id(request))
        except MemoryUnavailable:
            raise Unavailable(UNAVAILABLE) from None
        return Response(status_code=204)
