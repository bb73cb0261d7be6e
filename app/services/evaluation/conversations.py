"""A follow-up and the questions before it come in; the question that is searched goes out.

The conversation is held as the service holds it where no model is configured: each question is
condensed, searched and answered with quotations.
"""

from app.schemas import PastTurn
from app.services.chat.followups import condense
from app.services.evaluation.questions import Question
from app.services.evaluation.searcher import Searcher
from app.services.models.extractive.model import NOTHING_FOUND, quote


async def searched_question(searcher: Searcher, question: Question) -> str:
    """Return what is searched for a question, after the questions of its history were asked.

    Raises LibraryUnavailable.
    """
    turns: list[PastTurn] = []
    for earlier in question.history:
        turns.append(await _asked(searcher, earlier, question.creator, turns))
    return await condense(question.query, turns, None, 0.0)


async def _asked(
    searcher: Searcher, asked: str, creator: str | None, turns: list[PastTurn]
) -> PastTurn:
    query = await condense(asked, turns, None, 0.0)
    found = await searcher.search(query, creator)
    said = " ".join(turn.answer for turn in turns)
    return PastTurn(
        turn_id=str(len(turns)),
        question=asked,
        query=query,
        answer=quote(query, found.sources, asked, said) if found.sources else NOTHING_FOUND,
        citations=tuple(source.citation for source in found.sources),
        tier=found.tier,
        at="",
    )
