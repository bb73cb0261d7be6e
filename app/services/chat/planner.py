"""Decide how a turn is answered: with a ready reply, or by the model from sources or history."""

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from app.errors import LibraryUnavailable
from app.schemas import Citation, PastTurn, Retrieval, Scope, Tier
from app.services.chat.condenser import Condenser
from app.services.chat.followups import rewrite_question
from app.services.chat.phrasebooks import DEFAULT
from app.services.chat.prompt import answer_prompt, rework_prompt
from app.services.chat.question_language import detect_question_language
from app.services.chat.refusals import refusal, reply_to
from app.services.chat.small_talk import SmallTalk, find_small_talk
from app.services.models.prompt import Prompt


class Retriever(Protocol):
    """Finds the sources for a question. Every method may raise LibraryUnavailable."""

    async def search(
        self, question: str, creator: str | None, allowed_creators: tuple[str, ...] | None, /
    ) -> Retrieval:
        """Return the tier that answers and its sources, both of allowed creators only."""
        ...

    async def languages(self, allowed_creators: tuple[str, ...] | None, /) -> tuple[str, ...]:
        """Return the library's main languages as primary subtags, the most frequent first."""
        ...


class TurnInput(Struct, frozen=True):
    """A validated question of the conversation's owner; a new one has no turns to recall.

    Strangers may share an owner. `allowed_creators` are the slugs of the creators that the caller
    may read, None for all.
    """

    turn_id: str
    conversation_id: str
    new_conversation: bool
    question: str
    creator: str | None
    owner: str = ""
    shared: bool = False
    allowed_creators: tuple[str, ...] | None = None


class TurnPlan(Struct, frozen=True):
    """How to answer a turn: the model answers the prompt, or without one, `reply` refuses.

    If the answer cites a source, its tier is `cited_tier`, otherwise `tier`. `query` is what a
    follow-up refers to; the turn is not remembered if it is None.
    """

    scope: Scope
    query: str | None
    tier: Tier = "none"
    cited_tier: Tier = "none"
    citations: tuple[Citation, ...] = ()
    prompt: Prompt | None = None
    reply: str = ""


class TurnPlanner:
    """Plans turns. `has_model` and `condenser` are those of `Answerer`."""

    def __init__(
        self,
        retriever: Retriever,
        condenser: Condenser | None,
        *,
        has_model: bool,
        history_tokens: int,
        source_tokens: int,
    ) -> None:
        self._retriever = retriever
        self._condenser = condenser
        self._has_model = has_model
        self._history_tokens = history_tokens
        self._source_tokens = source_tokens

    async def plan(self, turn: TurnInput, history: Sequence[PastTurn]) -> TurnPlan:
        """Return the plan for a turn after the given ones. Raises LibraryUnavailable."""
        talk = find_small_talk(turn.question)
        if talk is None:
            found = await self._search(turn, history)
            return await self._answer(turn, found, history)
        answered = [past for past in history if past.answer]
        if talk.kind == "rework" and answered and self._has_model:
            return self._rework(turn.question, answered)
        return await self._reply(turn, talk, history)

    async def _search(self, turn: TurnInput, history: Sequence[PastTurn]) -> Retrieval:
        """Return the result of the first query that the library answers, or else of the first."""
        first: Retrieval | None = None
        for query in await self._queries(turn, history):
            found = await self._retriever.search(query, turn.creator, turn.allowed_creators)
            if found.tier != "none":
                return found
            first = first or found
        assert first is not None  # noqa: S101 -- there is at least one query
        return first

    async def _queries(self, turn: TurnInput, history: Sequence[PastTurn]) -> tuple[str, ...]:
        """Return what to search for: a follow-up is completed, a foreign question translated."""
        target = None
        if self._condenser and (language := detect_question_language(turn.question)):
            languages = await self._retriever.languages(turn.allowed_creators)
            if languages and language not in languages:
                target = languages[0]
        return await rewrite_question(turn.question, history, self._condenser, target)

    async def _answer(
        self, turn: TurnInput, found: Retrieval, history: Sequence[PastTurn]
    ) -> TurnPlan:
        answers = found.tier != "none"
        sources = found.sources if answers else found.closest
        # The model may find an answer in the closest sources, or refuse by itself.
        prompt, reply = None, ""
        if answers or (sources and self._has_model):
            prompt = answer_prompt(
                turn.question,
                found.question,
                sources,
                history,
                history_tokens=self._history_tokens,
                source_tokens=self._source_tokens,
            )
        else:
            own_language = detect_question_language(turn.question)
            language = own_language or await self._conversation_language(turn, history)
            reply = refusal(found, language, own_language)
        return TurnPlan(
            scope=Scope(found.creator, found.question, found.tiers, found.matching),
            query=found.question,
            tier=found.tier,
            cited_tier=found.tier if answers else found.closest_tier,
            citations=tuple(source.citation for source in sources),
            prompt=prompt,
            reply=reply,
        )

    def _rework(self, question: str, history: Sequence[PastTurn]) -> TurnPlan:
        # A follow-up to the reworked answer has the subject of the original one.
        return TurnPlan(
            scope=_not_searched(question),
            query=history[-1].query,
            prompt=rework_prompt(question, history, self._history_tokens),
        )

    async def _reply(
        self, turn: TurnInput, talk: SmallTalk, history: Sequence[PastTurn]
    ) -> TurnPlan:
        language = await self._conversation_language(turn, history)
        # A phrase such as "ok" belongs to many languages.
        talk = find_small_talk(turn.question, language) or talk
        return TurnPlan(
            scope=_not_searched(turn.question),
            query=None,
            reply=reply_to(talk, model=self._has_model),
        )

    async def _conversation_language(self, turn: TurnInput, history: Sequence[PastTurn]) -> str:
        """Return the language of the last question if it is certain, or else of the library."""
        if history and (language := detect_question_language(history[-1].question)):
            return language
        try:
            languages = await self._retriever.languages(turn.allowed_creators)
        except LibraryUnavailable:
            return DEFAULT
        return languages[0] if languages else DEFAULT


def _not_searched(question: str) -> Scope:
    return Scope(None, question, (), "lexical")
