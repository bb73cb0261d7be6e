"""Sentences that an answer does not quote, or that make poor quotations."""

import pytest
from msgspec.structs import replace

from app.services.models.extractive.sentences import (
    candidates_of,
    is_incomplete,
    is_question,
    is_quotable,
    says_nothing,
)
from tests.services.samples import source


@pytest.mark.parametrize(
    "sentence",
    [
        "The attack[3] is fast.",
        "https://a.example/attack",
        "Attack: www.a.example",
        "Speaker 1:",
        "Dr. Ada Sand:",
        "M –",
        "[music]",
        "(Applause)",
        "[audience laughs].",
    ],
)
def test_sentence_without_words_of_its_own_is_not_quotable(sentence: str) -> None:
    assert not is_quotable(sentence)


@pytest.mark.parametrize(
    "sentence",
    [
        "Speaker 1: The attack is fast.",
        "The attack (the fast one) is audible.",
        "[laughs] The attack is fast.",
        "Read on at www.a.example today.",
        "Attack.",
    ],
)
def test_sentence_with_words_is_quotable(sentence: str) -> None:
    assert is_quotable(sentence)


@pytest.mark.parametrize(
    "sentence",
    [
        "Is it fast?",
        "他说什么？",
        'He asked "why?"',
        "Q: You said that it is fast.",
        "Q - Tell us about the attack.",
    ],
)
def test_question_is_recognized_by_its_end_or_its_label(sentence: str) -> None:
    assert is_question(sentence)
    assert says_nothing(sentence)


@pytest.mark.parametrize("sentence", ["It is fast.", "Quiet: it is fast.", "Why? Because."])
def test_statement_is_not_a_question(sentence: str) -> None:
    assert not is_question(sentence)


@pytest.mark.parametrize(
    "sentence",
    [
        "Yeah.",
        "Yeah, exactly.",
        "Oh, okay, cool.",
        "Mm-hm.",
        "So, you know...",
        "That's right.",
        "Ja, genau.",
        "Да, да.",
        "对，对。",
        "Hi, I'm Zoë, and this is an attack.",
        "Today, we're going to set the attack.",
        "Joining me today is Ada Sand.",
        "Thank you so much for that attack.",
    ],
)
def test_interjections_greetings_and_announcements_say_nothing(sentence: str) -> None:
    assert says_nothing(sentence)


@pytest.mark.parametrize(
    "sentence",
    ["Yes, the attack is fast.", "Right speakers hum.", "Thanks to oversampling it is clean."],
)
def test_sentence_with_more_than_interjections_says_something(sentence: str) -> None:
    assert not says_nothing(sentence)


@pytest.mark.parametrize(
    "sentence",
    [
        "and then the attack is fast.",
        "...which makes it fast.",
        "Ada: …makes it fast.",
        "и тогда он быстрый.",
        "The attack is fast...",
        "The attack is fast,",
        "The attack is --",
        "The attack is [unintelligible] fast.",
    ],
)
def test_sentence_that_is_cut_off_or_inaudible_is_incomplete(sentence: str) -> None:
    assert is_incomplete(sentence)


@pytest.mark.parametrize(
    "sentence", ["The attack is fast.", "Übrigens ist er schnell.", "攻击很快。", "3 of them [a]."]
)
def test_whole_sentence_is_complete(sentence: str) -> None:
    assert not is_incomplete(sentence)


def test_words_of_an_unspaced_script_are_counted_by_letters() -> None:
    chinese = replace(source(1, "压缩器的起音时间大约是两毫秒"), language="simple")
    assert candidates_of(chinese)[0].words == 6
    assert candidates_of(source(1, "An attack of 2 ms is safe."))[0].words == 7
