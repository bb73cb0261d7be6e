"""A follow-up is searched as it would be in a conversation with the service."""

import pytest

from app.services.evaluation.conversations import searched_question
from app.services.evaluation.questions import Answer, Question
from tests.services.evaluation.searching import ToldSearcher
from tests.services.samples import source

pytestmark = pytest.mark.anyio

ANSWERS = (Answer("talk"),)


async def test_a_question_without_a_history_is_searched_as_it_is() -> None:
    searcher = ToldSearcher({}, {})
    question = Question("1", "How do I side-chain a bass?", ANSWERS)
    assert await searched_question(searcher, question) == "How do I side-chain a bass?"
    assert searcher.asked == []


async def test_each_turn_is_condensed_and_searched_before_the_next() -> None:
    told = (source(1, "Side-chain the bass to the kick."),)
    searcher = ToldSearcher({"How do I side-chain a bass?": told}, {})
    history = ("How do I side-chain a bass?", "And the attack?")
    question = Question("1", "and the release?", ANSWERS, creator="mara", history=history)
    searched = await searched_question(searcher, question)
    first, second = searcher.asked
    assert first == ("How do I side-chain a bass?", "mara")
    assert second[0].startswith("And the attack?")
    assert "side-chain" in second[0]
    # The subject lives on over both turns.
    assert searched.startswith("and the release?")
    assert "bass" in searched
