"""Calibration questions: off-topic ones, whole, as keywords, and in other languages."""

from collections import Counter

from app.services.search.calibration_questions import (
    PER_FOREIGN_LANGUAGE,
    foreign_questions,
    keyword_questions,
    off_topic_questions,
    words_of,
)

QUESTIONS = ["How do I prune an old apple tree?", "Why does my pizza dough tear?", "Is it far?"]


def test_off_topic_questions_are_in_the_librarys_languages_or_else_in_english() -> None:
    assert {one.language for one in off_topic_questions(["de", "zh"])} == {"de", "zh"}
    assert {one.language for one in off_topic_questions(["el"])} == {"en"}


def test_foreign_questions_are_in_all_other_languages() -> None:
    languages = Counter(one.language for one in foreign_questions(["en", "de"]))
    assert not languages.keys() & {"en", "de"}
    assert languages.keys() >= {"fr", "ja", "ru"}
    assert set(languages.values()) == {PER_FOREIGN_LANGUAGE}


def test_keyword_is_the_rarest_word_that_the_library_has() -> None:
    frequencies = {"appl": 9, "tree": 40, "dough": 3, "tear": 2}
    first, second = keyword_questions(QUESTIONS, frequencies, "english")
    assert first == "what is apple?"
    # Every other question has two words.
    assert second == "dough tear"


def test_question_without_a_word_of_the_library_has_no_keyword() -> None:
    assert keyword_questions(QUESTIONS, {}, "english") == []


def test_words_that_may_become_keywords_are_stemmed() -> None:
    assert words_of(QUESTIONS[:1], "english") == {"prune", "old", "appl", "tree"}
