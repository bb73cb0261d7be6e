"""Replay a conversation to find the query that the service searches for a follow-up.

As in a service without a model, every question is expanded by rule, searched and answered with
quotations.
"""

from app.schemas import PastTurn
from app.services.chat.followups import expand_followup
from app.services.evaluation.questions import Question
from app.services.evaluation.searcher import Searcher
from app.services.models.extractive.model import NOTHING_FOUND, extract_answer


async def standalone_query(searcher: Searcher, question: Question) -> str:
    """Return the query for a question after its history. Raises LibraryUnavailable."""
    turns: list[PastTurn] = []
    for earlier in question.history:
        turns.append(await _replay(searcher, earlier, question.creator, turns))
    return _query(question.query, turns)


async def _replay(
    searcher: Searcher, question: str, creator: str | None, turns: list[PastTurn]
) -> PastTurn:
    query = _query(question, turns)
    found = await searcher.search(query, creator)
    earlier = " ".join(turn.answer for turn in turns)
    return PastTurn(
        turn_id=str(len(turns)),
        question=question,
        query=query,
        answer=extract_answer(query, found.sources, question, earlier)
        if found.sources
        else NOTHING_FOUND,
        citations=tuple(source.citation for source in found.sources),
        tier=found.tier,
        at="",
    )


def _query(question: str, turns: list[PastTurn]) -> str:
    return expand_followup(question, turns[-1]) if turns else question
