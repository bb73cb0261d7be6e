"""Answers questions; `Answerer.answer` shows all the steps."""

import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from time import perf_counter
from typing import Literal, Protocol

import anyio
from msgspec.structs import replace

from app.errors import ModelFailed, ShuttingDown
from app.schemas import Done, Event, FinishReason, PastTurn, Sources, Timings
from app.services.chat.answer_stream import AnswerStream, AnswerTooLong
from app.services.chat.condenser import Condenser
from app.services.chat.memory import MemoryUnavailable
from app.services.chat.planner import Retriever, TurnInput, TurnPlan, TurnPlanner
from app.services.chat.prompt import fits, shorter_prompt
from app.services.models.completion import Delta
from app.services.models.prompt import Prompt, PromptTooLong

log = logging.getLogger(__name__)

# Turns recalled first. More rarely fit into the prompt, and decoding ten long ones takes a fifth of
# the time to the first token.
RECENT_TURNS = 3
DECLINED = "The language model declined to answer this question."
CUT_SHORT = "The service is restarting and the answer was cut short. Ask again in a few seconds."


class Memory(Protocol):
    """Stores the turns of conversations. Every method may raise MemoryUnavailable."""

    async def recall(
        self,
        conversation_id: str,
        latest: int | None = None,
        /,
        *,
        owner: str,
        allowed_creators: tuple[str, ...] | None,
    ) -> tuple[PastTurn, ...]:
        """Return a conversation's turns, oldest first; with `latest` at most that many."""
        ...

    async def remember(
        self,
        conversation_id: str,
        turn: PastTurn,
        /,
        *,
        owner: str,
        shared: bool,
        allowed_creators: tuple[str, ...] | None,
    ) -> None:
        """Append a turn."""
        ...


class LanguageModel(Protocol):
    """Writes an answer."""

    def stream(
        self, prompt: Prompt, on_delta: Callable[[Delta], None], /
    ) -> Coroutine[None, None, None]:
        """Pass each piece of the answer to `on_delta`.

        May raise ModelFailed after any of them, and PromptTooLong before the first.
        """
        ...


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


class Answerer:
    """Answers questions.

    Without `has_model`, `model` is not a language model: it only quotes. Without a `condenser`, a
    rule expands follow-ups, and questions are not translated. `answer_timeout` limits a whole
    answer of the model, in seconds.
    """

    def __init__(
        self,
        *,
        retriever: Retriever,
        model: LanguageModel,
        memory: Memory,
        has_model: bool,
        condenser: Condenser | None,
        history_tokens: int,
        source_tokens: int,
        answer_timeout: float,
    ) -> None:
        self._planner = TurnPlanner(
            retriever,
            condenser,
            has_model=has_model,
            history_tokens=history_tokens,
            source_tokens=source_tokens,
        )
        self._model = model
        self._has_model = has_model
        self._memory = memory
        self._history_tokens = history_tokens
        self._source_tokens = source_tokens
        self._answer_timeout = answer_timeout

    async def answer(
        self,
        turn: TurnInput,
        emit: Callable[[Event], None],
        cancellation: Cancellation,
        use_tokens: Callable[[int], None] = lambda tokens: None,
    ) -> None:
        """Emit `Sources`, any number of `Token`, and `Done`.

        `use_tokens` gets the number of the model's tokens, an estimate if the model does not tell.
        Raises LibraryUnavailable before the first event, ModelFailed and ShuttingDown after it.
        """
        started_at = perf_counter()
        history, recalled = await self._recall(turn)
        # Recognizes small talk, completes follow-ups, and searches.
        plan = await self._planner.plan(turn, history)
        emit(Sources(plan.citations))
        retrieved_at = perf_counter()

        answer = AnswerStream(len(plan.citations), emit)
        if plan.prompt is None:
            answer.refuse(plan.reply)
        else:
            generation = self._write(plan.prompt, answer)
            prompt_length = sum(len(message.content) for message in plan.prompt.messages)
            # Free the memory of everything read for the prompt while the model writes.
            del history
            plan = replace(plan, prompt=None)
            try:
                await self._generate(generation, answer, cancellation)
            finally:
                use_tokens(answer.tokens(prompt_length) if self._has_model else 0)
            plan = _settle(plan, answer)

        remembered = await self._remember(turn, plan, answer)
        if answer.cut_short:
            raise ShuttingDown(CUT_SHORT)
        emit(
            Done(
                cascade_tier=plan.tier,
                conversation_id=turn.conversation_id,
                turn_id=turn.turn_id,
                finish_reason=answer.finish_reason,
                citations=answer.spans,
                scope=plan.scope,
                usage=answer.usage,
                timings_ms=_timings(started_at, retrieved_at, answer.first_token_at),
                memory="kept" if recalled and remembered else "unavailable",
            )
        )

    async def _write(self, prompt: Prompt, answer: AnswerStream) -> None:
        """Let the model write the answer; if the prompt is too long, from half of the sources."""
        generation = self._model.stream(prompt, answer.on_delta)
        del prompt
        try:
            await generation
        except PromptTooLong as error:
            shorter = shorter_prompt(error.prompt, self._source_tokens)
            if shorter is None:
                raise
        else:
            return
        log.info("the prompt is too long for the model: asking again with fewer sources")
        answer.limit_sources(len(shorter.sources))
        await self._model.stream(shorter, answer.on_delta)

    async def _generate(
        self,
        generation: Coroutine[None, None, None],
        answer: AnswerStream,
        cancellation: Cancellation,
    ) -> None:
        with suppress(AnswerTooLong):
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
        elif not answer.text and answer.finish_reason != "refused":
            raise ModelFailed("The language model gave an empty answer. Ask again.")

    async def _recall(self, turn: TurnInput) -> tuple[tuple[PastTurn, ...], bool]:
        """Return the conversation's latest turns, and whether memory is available."""
        if turn.new_conversation:
            return (), True
        recall = partial(
            self._memory.recall, owner=turn.owner, allowed_creators=turn.allowed_creators
        )
        try:
            history = await recall(turn.conversation_id, RECENT_TURNS)
            if len(history) == RECENT_TURNS and fits(history, self._history_tokens):
                history = await recall(turn.conversation_id)
            return history, True
        except MemoryUnavailable:
            return (), False

    async def _remember(self, turn: TurnInput, plan: TurnPlan, answer: AnswerStream) -> bool:
        """Store the turn if the plan says so, and return whether memory is available."""
        if plan.query is None:
            return True
        cited = {span.number for span in answer.spans}
        past = PastTurn(
            turn_id=turn.turn_id,
            question=turn.question,
            query=plan.query,
            answer=answer.text,
            citations=tuple(c for c in plan.citations if c.number in cited),
            tier=plan.tier,
            at=datetime.now(UTC).isoformat(timespec="seconds"),
            finish_reason=answer.finish_reason,
        )
        try:
            await self._memory.remember(
                turn.conversation_id,
                past,
                owner=turn.owner,
                shared=turn.shared,
                allowed_creators=turn.allowed_creators,
            )
        except MemoryUnavailable:
            return False
        return True


def _settle(plan: TurnPlan, answer: AnswerStream) -> TurnPlan:
    """Return the plan with the tier that the model's answer is from, and complete a refusal.

    If the library has no certain answer and the model cites nothing either, that is a refusal.
    """
    if answer.finish_reason == "refused" and not answer.text:
        answer.refuse(DECLINED)
        # In later prompts, a question that was refused could get those refused too.
        return replace(plan, query=None)
    if plan.tier != "none" or not plan.citations:
        return plan
    if answer.spans:
        return replace(plan, tier=plan.cited_tier)
    if answer.finish_reason in ("stop", "length"):
        answer.finish_reason = "refused"
    return plan


def _timings(started_at: float, retrieved_at: float, first_token_at: float | None) -> Timings:
    def elapsed(moment: float) -> float:
        return round((moment - started_at) * 1_000, 1)

    return Timings(
        retrieval=elapsed(retrieved_at),
        first_token=elapsed(first_token_at) if first_token_at else None,
        total=elapsed(perf_counter()),
    )
