"""Produces the stream of a chat turn."""

import secrets
from functools import partial
from time import perf_counter

from app.errors import ChatError
from app.handlers import codec
from app.schemas import ChatRequest, Done, Event, Token
from app.services.access.caller import Caller
from app.services.access.conversation_ids import ConversationIds
from app.services.chat.answerer import Answerer, Cancellation
from app.services.chat.planner import TurnInput
from app.services.metrics.registry import Metrics, TurnTimes
from app.services.streams import LocalStream, StopReason


def new_turn(request: ChatRequest, caller: Caller, ids: ConversationIds) -> TurnInput:
    """Return a turn with a new id, in the request's conversation or in a new one.

    A caller who shares a subject with strangers continues only conversations whose ids the service
    has made.
    """
    known = request.conversation_id
    if known is not None and caller.shared and not ids.made(known):
        known = None
    return TurnInput(
        turn_id=f"t_{secrets.token_hex(16)}",
        conversation_id=known or ids.new(),
        new_conversation=known is None,
        question=request.query,
        creator=request.creator,
        owner=caller.owner,
    )


class TurnProducer:
    """Encodes the events of a turn as frames, and counts them."""

    __slots__ = ("_answerer", "_cancellation", "_metrics", "_times", "_turn")

    def __init__(self, turn: TurnInput, answerer: Answerer, metrics: Metrics) -> None:
        self._turn = turn
        self._answerer = answerer
        self._metrics = metrics
        self._cancellation = Cancellation()
        self._times = TurnTimes()

    async def produce(self, stream: LocalStream) -> None:
        """Answer the turn's question; raises what `Answerer.answer` raises."""
        await self._answerer.answer(self._turn, partial(self._emit, stream), self._cancellation)

    def stop(self, reason: StopReason) -> None:
        """Cut the answer short."""
        self._cancellation(reason)

    def error_frame(self, number: int, error: ChatError) -> bytes:
        """Encode an error as the last event."""
        event = error.event()
        self._metrics.record_event(event, self._times)
        return codec.frame(self._turn.turn_id, number, event)

    def _emit(self, stream: LocalStream, event: Event) -> None:
        frame = codec.frame(stream.stream_id, len(stream.frames), event)
        if type(event) is Token:
            stream.append(frame)
            self._times.tokens.append(perf_counter())
            return
        self._metrics.record_event(event, self._times)
        stream.extend((frame,), ended=isinstance(event, Done))
