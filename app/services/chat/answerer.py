"""A question comes in; the events of its answer go out. The whole recipe is `Answerer.answer`.

recall ► condense ► search ► Sources ► prompt ► stream ► Token… ► remember ► Done
"""

from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from time import perf_counter
from typing import Literal, Protocol

import anyio
from msgspec import Struct
from msgspec.structs import replace

from app.errors import ModelFailed, ShuttingDown
from app.schemas import (
    Done,
    Event,
    FinishReason,
    Mark,
    PastTurn,
    Retrieval,
    Scope,
    Sources,
    Timings,
    Token,
    Usage,
)
from app.services.chat.citations import CitationFilter
from app.services.chat.followups import Condenser, condense
from app.services.chat.memory import MemoryUnavailable
from app.services.chat.prompt import answer_prompt, fits
from app.services.models.completion import Delta
from app.services.models.extractive.model import NOTHING_FOUND
from app.services.models.prompt import Prompt

# So many of the latest turns are read at first: more would seldom fit into the prompt, and ten long
# ones take a fifth of all that a chat does before its first token.
FIRST_LOOK = 3
CUT_SHORT = "The service is restarting and the answer was cut short. Ask again in a few seconds."


class Retriever(Protocol):
    """Finds the sources for a question."""

    async def search(self, question: str, creator: str | None) -> Retrieval:
        """Return the tier that answers and its sources; raise LibraryUnavailable."""
        ...


class LanguageModel(Protocol):
    """Writes an answer."""

    def stream(self, prompt: Prompt, take: Callable[[Delta], None]) -> Coroutine[None, None, None]:
        """Give the answer's pieces to `take`; raise ModelFailed, also in the middle."""
        ...


class Memory(Protocol):
    """Keeps conversations. Every method raises MemoryUnavailable."""

    async def recall(self, conversation_id: str, latest: int | None = None) -> tuple[PastTurn, ...]:
        """Return a conversation's turns, the oldest first, or so many of the latest."""
        ...

    async def remember(self, conversation_id: str, turn: PastTurn) -> None:
        """Add a turn to a conversation."""
        ...

    async def forget(self, conversation_id: str) -> None:
        """Drop a conversation."""
        ...


class TurnInput(Struct, frozen=True):
    """One question, checked, with its ids; a new conversation has no turns to recall."""

    turn_id: str
    conversation_id: str
    new_conversation: bool
    question: str
    creator: str | None


class Cancellation:
    """Ends a turn's answer early; the first reason given is the one that counts."""

    def __init__(self) -> None:
        self.reason: FinishReason | Literal["shutdown"] | None = None
        self.scope = anyio.CancelScope()

    def __call__(self, reason: FinishReason | Literal["shutdown"]) -> None:
        """End the answer: the model's connection is closed, what was said is kept."""
        if self.reason is None:
            self.reason = reason
            self.scope.cancel()


class _Reply:
    """What the model has said so far, as it went out to the client."""

    def __init__(self, sources: int, emit: Callable[[Event], None]) -> None:
        self._filter = CitationFilter(sources)
        self._emit = emit
        self._text: list[str] = []
        self.first_token_at: float | None = None
        self.finish: FinishReason = "stop"
        self.usage: Usage | None = None
        self.cut_short = False

    def take(self, delta: Delta) -> None:
        if text := self._filter.feed(delta.text):
            self.say(text)
        if delta.finish is not None:
            self.finish = delta.finish
        if delta.usage is not None:
            self.usage = delta.usage

    def say(self, text: str) -> None:
        if self.first_token_at is None:
            self.first_token_at = perf_counter()
        self._text.append(text)
        self._emit(Token(text))

    def end(self) -> None:
        if text := self._filter.flush():
            self.say(text)

    @property
    def text(self) -> str:
        return "".join(self._text)

    @property
    def marks(self) -> tuple[Mark, ...]:
        return tuple(self._filter.marks)


class Answerer:
    """Answers questions. `condenser` is a model that rewrites follow-ups, None for the rule.

    Times are in seconds; `answer_timeout` is how long a model may go on with one answer.
    """

    def __init__(
        self,
        *,
        retriever: Retriever,
        model: LanguageModel,
        memory: Memory,
        condenser: Condenser | None,
        condense_timeout: float,
        history_tokens: int,
        answer_timeout: float,
    ) -> None:
        self._retriever = retriever
        self._model = model
        self._memory = memory
        self._condenser = condenser
        self._condense_timeout = condense_timeout
        self._history_tokens = history_tokens
        self._answer_timeout = answer_timeout

    async def answer(
        self, ask: TurnInput, emit: Callable[[Event], None], stop: Cancellation
    ) -> None:
        """Answer a question: `Sources`, any number of `Token`, `Done`, each given to `emit`.

        Raises LibraryUnavailable before the first event, ModelFailed and ShuttingDown after it.
        """
        began = perf_counter()
        history, memory_works = await self._recall(ask)
        query = await condense(ask.question, history, self._condenser, self._condense_timeout)
        found = await self._retriever.search(query, ask.creator)
        citations = tuple(source.citation for source in found.sources)
        emit(Sources(citations))
        searched_at = perf_counter()

        reply = _Reply(len(citations), emit)
        if found.tier == "none" and not history:
            reply.say(NOTHING_FOUND)
            reply.finish = "refused"
        else:
            prompt = answer_prompt(
                ask.question, query, found.sources, history, self._history_tokens
            )
            streaming = self._model.stream(prompt, reply.take)
            # All that was read for the answer is let go of while the model speaks.
            del prompt, history
            found = replace(found, sources=())
            await self._stream(streaming, reply, stop)

        if reply.cut_short and not reply.text:
            raise ShuttingDown(CUT_SHORT)
        cited = {mark.number for mark in reply.marks}
        kept = await self._remember(
            ask,
            PastTurn(
                turn_id=ask.turn_id,
                question=ask.question,
                query=query,
                answer=reply.text,
                citations=tuple(c for c in citations if c.number in cited),
                tier=found.tier,
                at=datetime.now(UTC).isoformat(timespec="seconds"),
                finish_reason=reply.finish,
            ),
        )
        if reply.cut_short:
            raise ShuttingDown(CUT_SHORT)
        emit(
            Done(
                cascade_tier=found.tier,
                conversation_id=ask.conversation_id,
                turn_id=ask.turn_id,
                finish_reason=reply.finish,
                citations=reply.marks,
                scope=Scope(found.creator, query, found.tiers, found.matching),
                usage=reply.usage,
                timings_ms=_timings(began, searched_at, reply.first_token_at),
                memory="kept" if memory_works and kept else "unavailable",
            )
        )

    async def _stream(
        self, streaming: Coroutine[None, None, None], reply: _Reply, stop: Cancellation
    ) -> None:
        with stop.scope, anyio.move_on_after(self._answer_timeout) as limit:
            await streaming
        reply.end()
        if stop.reason == "shutdown":
            reply.cut_short = True
        elif stop.reason is not None:
            reply.finish = stop.reason
        elif limit.cancelled_caught:
            raise ModelFailed("The language model did not come to an end. Ask again.")
        elif not reply.text:
            raise ModelFailed("The language model gave an empty answer. Ask again.")

    async def _recall(self, ask: TurnInput) -> tuple[tuple[PastTurn, ...], bool]:
        if ask.new_conversation:
            return (), True
        try:
            history = await self._memory.recall(ask.conversation_id, FIRST_LOOK)
            if len(history) == FIRST_LOOK and fits(history, self._history_tokens):
                history = await self._memory.recall(ask.conversation_id)
            return history, True
        except MemoryUnavailable:
            return (), False

    async def _remember(self, ask: TurnInput, turn: PastTurn) -> bool:
        try:
            await self._memory.remember(ask.conversation_id, turn)
        except MemoryUnavailable:
            return False
        return True


def _timings(began: float, searched_at: float, first_token_at: float | None) -> Timings:
    def since(moment: float) -> float:
        return round((moment - began) * 1_000, 1)

    return Timings(
        retrieval=since(searched_at),
        first_token=since(first_token_at) if first_token_at else None,
        total=since(perf_counter()),
    )
