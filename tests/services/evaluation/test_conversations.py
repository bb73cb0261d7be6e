"""Queries for follow-ups are those of a conversation with the service."""

import pytest

from app.services.evaluation.conversations import standalone_query
from app.services.evaluation.questions import Answer, Question
from tests.services.evaluation.scripted_searcher import ScriptedSearcher
from tests.services.samples import source

pytestmark = pytest.mark.anyio

ANSWERS = (Answer("talk"),)


async def test_question_without_history_is_not_changed() -> None:
    searcher = ScriptedSearcher({}, {})
    question = Question("1", "How do I side-chain a bass?", ANSWERS)
    assert await standalone_query(searcher, question) == "How do I side-chain a bass?"
    assert searcher.searches == []


async def test_each_turn_is_expanded_and_searched_before_the_next() -> None:
    sources = (source(1, "Side-chain the bass to the kick."),)
    searcher = ScriptedSearcher({"How do I side-chain a bass?": sources}, {})
    history = ("How do I side-chain a bass?", "And the attack?")
    question = Question("1", "and the release?", ANSWERS, creator="mara", history=history)
    query = await standalone_query(searcher, question)
    first, second = searcher.searches
    assert first == ("How do I side-chain a bass?", "mara")
    assert second[0].startswith("And the attack?")
    assert "side-chain" in second[0]
    # The subject persists over both turns.
    assert query.startswith("and the release?")
    assert "bass" in query
