"""Ask questions as the chat does, and collect what a client would see."""

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from app.errors import ModelFailed
from app.schemas import (
    Citation,
    Done,
    Event,
    FinishReason,
    Matching,
    PastTurn,
    Retrieval,
    Source,
    Sources,
    Tier,
    Token,
)
from app.services.chat.answerer import Answerer, Cancellation, Memory
from app.services.chat.planner import Retriever, TurnInput
from app.services.evaluation.errors import EvaluationError

# Builds an answerer that searches and remembers with the given objects.
BuildAnswerer: TypeAlias = Callable[[Retriever, Memory], Answerer]


class Reply(Struct, frozen=True):
    """The reply to a question.

    `sources` are those that the client got, `cited` the numbers in the answer. `query` is what was
    searched, by words and embeddings or, per `matching`, by words only. `search_ms` is the time of
    all searches for the question, `total_ms` that of the whole reply.
    """

    query: str
    matching: Matching
    answer: str
    finish_reason: FinishReason
    tier: Tier
    sources: tuple[Source, ...]
    cited: frozenset[int]
    search_ms: float
    total_ms: float

    @property
    def refused(self) -> bool:
        """Whether the library or the model had no answer, or the question was small talk."""
        return self.finish_reason == "refused"


class Asker:
    """Asks questions, each in a conversation of its own that is kept in the process."""

    def __init__(self, retriever: Retriever, build_answerer: BuildAnswerer) -> None:
        self._retriever = retriever
        self._build_answerer = build_answerer

    async def ask(
        self, question: str, creator: str | None = None, history: Sequence[str] = ()
    ) -> Reply:
        """Ask the questions of `history`, then the question itself, and return its reply.

        Raises LibraryUnavailable, and EvaluationError if the model fails.
        """
        retriever = _RecordingRetriever(self._retriever)
        answerer = self._build_answerer(retriever, _ConversationMemory())
        for earlier in history:
            await _ask(answerer, retriever, earlier, creator)
        return await _ask(answerer, retriever, question, creator)


async def _ask(
    answerer: Answerer, retriever: "_RecordingRetriever", question: str, creator: str | None
) -> Reply:
    retriever.reset()
    turn = TurnInput("turn", "conversation", False, question, creator)
    events: list[Event] = []
    try:
        await answerer.answer(turn, events.append, Cancellation())
    except ModelFailed as error:
        raise EvaluationError(f"question {question!r}: {error.detail}") from None
    done = next(event for event in events if isinstance(event, Done))
    return Reply(
        query=done.scope.query,
        matching=done.scope.matching,
        answer="".join(event.text for event in events if isinstance(event, Token)),
        finish_reason=done.finish_reason,
        tier=done.cascade_tier,
        sources=tuple(
            retriever.source(citation)
            for event in events
            if isinstance(event, Sources)
            for citation in event.citations
        ),
        cited=frozenset(span.number for span in done.citations),
        search_ms=retriever.milliseconds,
        total_ms=done.timings_ms.total,
    )


class _RecordingRetriever:
    """Passes searches on, and records their times and sources."""

    def __init__(self, retriever: Retriever) -> None:
        self._retriever = retriever
        self.reset()

    def reset(self) -> None:
        self.milliseconds = 0.0
        self._sources: dict[Citation, Source] = {}

    async def search(
        self, question: str, creator: str | None, allowed_creators: tuple[str, ...] | None
    ) -> Retrieval:
        started_at = perf_counter()
        found = await self._retriever.search(question, creator, allowed_creators)
        self.milliseconds += (perf_counter() - started_at) * 1_000
        for source in (*found.sources, *found.closest):
            self._sources[_unnumbered(source.citation)] = source
        return found

    async def languages(self, allowed_creators: tuple[str, ...] | None) -> tuple[str, ...]:
        return await self._retriever.languages(allowed_creators)

    def source(self, citation: Citation) -> Source:
        """Return the source of a citation, which may have another number than when found."""
        return replace(self._sources[_unnumbered(citation)], citation=citation)


def _unnumbered(citation: Citation) -> Citation:
    return replace(citation, number=0)


class _ConversationMemory:
    """Remembers one conversation."""

    def __init__(self) -> None:
        self._turns: tuple[PastTurn, ...] = ()

    async def recall(
        self, _conversation_id: str, latest: int | None = None, /, **_caller: object
    ) -> tuple[PastTurn, ...]:
        return self._turns[-latest:] if latest else self._turns

    async def remember(self, _conversation_id: str, turn: PastTurn, /, **_caller: object) -> None:
        self._turns += (turn,)
