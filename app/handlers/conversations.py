"""Read and delete a conversation."""

from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import Response

from app import schemas
from app.bootstrap import State
from app.errors import NotFound, Unavailable
from app.handlers import access, codec
from app.services.chat.memory import MemoryUnavailable

UNAVAILABLE = "Conversations are temporarily unavailable. Try again in a few seconds."


class Conversation(HTTPEndpoint):
    """One conversation."""

    async def get(self, request: Request[State]) -> Response:
        """Return its turns."""
        caller = await access.admit(request, access.READ_CONVERSATION)
        conversation_id = codec.conversation_id(request)
        try:
            turns = await request.state["memory"].recall(
                conversation_id, owner=caller.owner, allowed_creators=caller.creators
            )
        except MemoryUnavailable:
            raise Unavailable(UNAVAILABLE) from None
        if not turns:
            raise NotFound("There is no such conversation, or it has expired.")
        return codec.json_response(schemas.Conversation(conversation_id, turns))

    async def delete(self, request: Request[State]) -> Response:
        """Delete it; also a success if there is nothing to delete."""
        caller = await access.admit(request, access.FORGET)
        conversation_id = codec.conversation_id(request)
        try:
            await request.state["memory"].forget(conversation_id, owner=caller.owner)
        except MemoryUnavailable:
            raise Unavailable(UNAVAILABLE) from None
        request.state["audit"].record(
            "conversation_deleted", key=caller.key_id, owner=caller.owner, address=caller.address
        )
        return Response(status_code=204)
