"""Calibration questions: those made from sentences, and the off-topic ones."""

import re

import pytest

from app.schemas import Sentence
from app.services.search.calibration_questions import off_topic_questions, own_questions
from app.services.search.text import STOP_WORDS


def passages(*texts: str) -> list[list[Sentence]]:
    return [[Sentence(text)] for text in texts]


ENGLISH = passages(
    *(
        f"The engineer moved the number {n} microphone away from the loud amplifier yesterday."
        for n in range(30)
    )
)


def test_same_passages_give_the_same_questions() -> None:
    questions = own_questions(ENGLISH)
    assert questions == own_questions(ENGLISH)
    assert len(questions) > 200
    assert len(set(questions)) > 100


def test_questions_mix_words_of_two_sentences() -> None:
    known = {word.lower() for (one,) in ENGLISH for word in re.findall(r"\w+", one.text)}
    questions = own_questions(ENGLISH)
    for question in questions:
        words = question.lower().split()
        assert set(words) <= known
        assert set(words) - STOP_WORDS
    whole = [len(one.text.split()) for (one,) in ENGLISH]
    content_words = [len(set(q.lower().split()) - STOP_WORDS) for q in questions]
    assert sum(content_words) / len(content_words) < sum(whole) / len(whole)


def test_chinese_sentences_are_split_into_short_pieces() -> None:
    # Real Chinese text contains digits and Latin letters.
    text = (
        "混音的时候先用EQ把低音和底鼓的关系处理好然后再去调整人声的空间感和亮度最后检查整体的响度"
    )
    questions = own_questions(passages(*(f"{text}第{n}次" for n in range(10))))
    assert len(questions) > 200
    assert all(len(piece) <= 3 for question in questions for piece in question.split())
    assert any("EQ" in question.split() for question in questions)


@pytest.mark.parametrize("texts", [(), ("Too short.", "Just so.")])
def test_passages_without_long_sentences_give_no_questions(texts: tuple[str, ...]) -> None:
    assert own_questions(passages(*texts)) == []


def test_off_topic_questions_are_in_the_librarys_languages_or_else_in_english() -> None:
    assert {one.language for one in off_topic_questions(["de", "zh"])} == {"de", "zh"}
    assert {one.language for one in off_topic_questions(["el"])} == {"en"}
