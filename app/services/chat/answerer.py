"""Answers questions; `Answerer.answer` shows all the steps."""

from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from time import perf_counter
from typing import Literal, Protocol

import anyio
from msgspec import Struct
from msgspec.structs import replace

from app.errors import ModelFailed, ShuttingDown
from app.schemas import (
    Citation,
    CitationSpan,
    Done,
    Event,
    FinishReason,
    PastTurn,
    Retrieval,
    Scope,
    Sources,
    Timings,
    Token,
    Usage,
)
from app.services.chat.citations import CitationFilter
from app.services.chat.followups import FollowUpRewriter, rewrite_followup
from app.services.chat.memory import MemoryUnavailable
from app.services.chat.prompt import answer_prompt, fits
from app.services.models.completion import Delta
from app.services.models.extractive.model import NOTHING_FOUND
from app.services.models.prompt import Prompt

# Turns recalled first. More rarely fit into the prompt, and decoding ten long ones takes a fifth of
# the time to the first token.
RECENT_TURNS = 3
CUT_SHORT = "The service is restarting and the answer was cut short. Ask again in a few seconds."


class Retriever(Protocol):
    """Finds the sources for a question."""

    async def search(self, question: str, creator: str | None) -> Retrieval:
        """Return the tier that answers and its sources; raise LibraryUnavailable."""
        ...


class Memory(Protocol):
    """Stores the turns of conversations. Every method may raise MemoryUnavailable."""

    async def recall(
        self, conversation_id: str, latest: int | None = None, /
    ) -> tuple[PastTurn, ...]:
        """Return a conversation's turns, oldest first; with `latest` only that many."""
        ...

    async def remember(self, conversation_id: str, turn: PastTurn, /) -> None:
        """Append a turn."""
        ...


class LanguageModel(Protocol):
    """Writes an answer."""

    def stream(
        self, prompt: Prompt, on_delta: Callable[[Delta], None], /
    ) -> Coroutine[None, None, None]:
        """Pass each piece of the answer to `on_delta`; may raise ModelFailed after any of them."""
        ...


class TurnInput(Struct, frozen=True):
    """A validated question; a new conversation has no turns to recall."""

    turn_id: str
    conversation_id: str
    new_conversation: bool
    question: str
    creator: str | None


class Cancellation:
    """Ends an answer early. The first reason counts."""

    def __init__(self) -> None:
        self.reason: FinishReason | Literal["shutdown"] | None = None
        self.scope = anyio.CancelScope()

    def __call__(self, reason: FinishReason | Literal["shutdown"]) -> None:
        """Close the model's connection; the text so far is kept."""
        if self.reason is None:
            self.reason = reason
            self.scope.cancel()


class _AnswerStream:
    """Emits the answer as the model writes it, and collects it."""

    def __init__(self, sources: int, emit: Callable[[Event], None]) -> None:
        self._filter = CitationFilter(sources)
        self._emit = emit
        self._text: list[str] = []
        self.first_token_at: float | None = None
        self.finish_reason: FinishReason = "stop"
        self.usage: Usage | None = None
        self.cut_short = False

    def on_delta(self, delta: Delta) -> None:
        if text := self._filter.feed(delta.text):
            self._write(text)
        if delta.finish is not None:
            self.finish_reason = delta.finish
        if delta.usage is not None:
            self.usage = delta.usage

    def _write(self, text: str) -> None:
        if self.first_token_at is None:
            self.first_token_at = perf_counter()
        self._text.append(text)
        self._emit(Token(text))

    def flush(self) -> None:
        if text := self._filter.flush():
            self._write(text)

    @property
    def text(self) -> str:
        return "".join(self._text)

    @property
    def spans(self) -> tuple[CitationSpan, ...]:
        return tuple(self._filter.spans)


class Answerer:
    """Answers questions. `rewriter` rewrites follow-ups; without it, a rule expands them.

    Timeouts are in seconds; `answer_timeout` limits a whole answer of the model.
    """

    def __init__(
        self,
        *,
        retriever: Retriever,
        model: LanguageModel,
        memory: Memory,
        rewriter: FollowUpRewriter | None,
        rewrite_timeout: float,
        history_tokens: int,
        answer_timeout: float,
    ) -> None:
        self._retriever = retriever
        self._model = model
        self._memory = memory
        self._rewriter = rewriter
        self._rewrite_timeout = rewrite_timeout
        self._history_tokens = history_tokens
        self._answer_timeout = answer_timeout

    async def answer(
        self, turn: TurnInput, emit: Callable[[Event], None], cancellation: Cancellation
    ) -> None:
        """Emit `Sources`, any number of `Token`, and `Done`.

        Raises LibraryUnavailable before the first event, ModelFailed and ShuttingDown after it.
        """
        started_at = perf_counter()
        history, recalled = await self._recall(turn)
        query = await rewrite_followup(
            turn.question, history, self._rewriter, self._rewrite_timeout
        )
        found = await self._retriever.search(query, turn.creator)
        query = found.question
        citations = tuple(source.citation for source in found.sources)
        emit(Sources(citations))
        retrieved_at = perf_counter()

        answer = _AnswerStream(len(citations), emit)
        if found.tier == "none" and not history:
            answer.on_delta(Delta(NOTHING_FOUND, finish="refused"))
        else:
            prompt = answer_prompt(
                turn.question, query, found.sources, history, self._history_tokens
            )
            generation = self._model.stream(prompt, answer.on_delta)
            # Free the memory of everything read for the prompt while the model writes.
            del prompt, history
            found = replace(found, sources=())
            await self._generate(generation, answer, cancellation)

        past = _past_turn(turn, query, found, citations, answer)
        remembered = await self._remember(turn.conversation_id, past)
        if answer.cut_short:
            raise ShuttingDown(CUT_SHORT)
        emit(
            Done(
                cascade_tier=found.tier,
                conversation_id=turn.conversation_id,
                turn_id=turn.turn_id,
                finish_reason=answer.finish_reason,
                citations=answer.spans,
                scope=Scope(found.creator, query, found.tiers, found.matching),
                usage=answer.usage,
                timings_ms=_timings(started_at, retrieved_at, answer.first_token_at),
                memory="kept" if recalled and remembered else "unavailable",
            )
        )

    async def _generate(
        self,
        generation: Coroutine[None, None, None],
        answer: _AnswerStream,
        cancellation: Cancellation,
    ) -> None:
        with cancellation.scope, anyio.move_on_after(self._answer_timeout) as timeout:
            await generation
        answer.flush()
        if cancellation.reason == "shutdown":
            answer.cut_short = True
            if not answer.text:
                raise ShuttingDown(CUT_SHORT)
        elif cancellation.reason is not None:
            answer.finish_reason = cancellation.reason
        elif timeout.cancelled_caught:
            raise ModelFailed("The language model took too long to finish. Ask again.")
        elif not answer.text:
            raise ModelFailed("The language model gave an empty answer. Ask again.")

    async def _recall(self, turn: TurnInput) -> tuple[tuple[PastTurn, ...], bool]:
        """Return the conversation's latest turns, and whether memory is available."""
        if turn.new_conversation:
            return (), True
        try:
            history = await self._memory.recall(turn.conversation_id, RECENT_TURNS)
            if len(history) == RECENT_TURNS and fits(history, self._history_tokens):
                history = await self._memory.recall(turn.conversation_id)
            return history, True
        except MemoryUnavailable:
            return (), False

    async def _remember(self, conversation_id: str, turn: PastTurn) -> bool:
        try:
            await self._memory.remember(conversation_id, turn)
        except MemoryUnavailable:
            return False
        return True


def _past_turn(
    turn: TurnInput,
    query: str,
    found: Retrieval,
    citations: tuple[Citation, ...],
    answer: _AnswerStream,
) -> PastTurn:
    cited = {span.number for span in answer.spans}
    return PastTurn(
        turn_id=turn.turn_id,
        question=turn.question,
        query=query,
        answer=answer.text,
        citations=tuple(c for c in citations if c.number in cited),
        tier=found.tier,
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        finish_reason=answer.finish_reason,
    )


def _timings(started_at: float, retrieved_at: float, first_token_at: float | None) -> Timings:
    def elapsed(moment: float) -> float:
        return round((moment - started_at) * 1_000, 1)

    return Timings(
        retrieval=elapsed(retrieved_at),
        first_token=elapsed(first_token_at) if first_token_at else None,
        total=elapsed(perf_counter()),
    )
