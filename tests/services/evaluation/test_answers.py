"""Checks of extractive answers."""

from app.services.evaluation.answers import (
    AnswerCheck,
    ExtractiveAnswers,
    contains_answer,
    is_ungrounded,
    summarize_answers,
)
from app.services.models.extractive.model import extract_answer
from tests.services.samples import source

SOURCES = (
    source(1, "Set the attack to 2 ms.", "Then listen."),
    source(2, "The release follows the tempo."),
)


def test_expected_answer_is_found_ignoring_case_and_markers() -> None:
    assert contains_answer("Set it to 2 MS. [1] Then listen. [1]", "2 ms. then")
    assert not contains_answer("Set it to 2 ms. [1]", "20 ms")
    assert not contains_answer("Listen. [1]", "1")


def test_sentences_of_the_cited_sources_are_grounded() -> None:
    question = "How fast is the attack? And the release?"
    assert not is_ungrounded("Set the attack to 2 ms. [1] Then listen. [1]", SOURCES)
    assert not is_ungrounded("Set the attack to 2 ms. Then listen. [1]", SOURCES)
    assert not is_ungrounded(extract_answer(question, SOURCES), SOURCES)
    assert not is_ungrounded("", SOURCES)


def test_any_other_text_is_ungrounded() -> None:
    assert is_ungrounded("Set the attack to 3 ms. [1]", SOURCES)
    assert is_ungrounded("The release follows the tempo. [1]", SOURCES)
    assert is_ungrounded("Then listen. [1] As I always say.", SOURCES)
    assert is_ungrounded("Then listen. As I always say. [1]", SOURCES)
    assert is_ungrounded("Then listen. Set the attack to 2 ms. [1]", SOURCES)
    assert is_ungrounded("Then listen. [3]", SOURCES)


def test_correct_answers_are_counted_only_where_the_sources_contain_them() -> None:
    checks = [
        AnswerCheck(served=True, correct=True, ungrounded=False),
        AnswerCheck(served=True, correct=False, ungrounded=True),
        AnswerCheck(served=False, correct=True, ungrounded=False),
    ]
    assert summarize_answers(checks) == ExtractiveAnswers(
        answers=3, served=2, correct=0.5, ungrounded=1
    )
    assert summarize_answers(checks[2:]).correct is None
