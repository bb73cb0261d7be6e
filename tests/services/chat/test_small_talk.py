"""Small talk is recognized by whole-message phrases; any other word makes a message a question."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest

from app.services.chat.patterns import parse_patterns, words
from app.services.chat.phrasebooks import phrasebooks
from app.services.chat.small_talk import MAX_LENGTH, find_small_talk, strip_opening

DATA = Path(__file__).parents[4] / "shared" / "data"


@pytest.mark.parametrize(
    ("message", "kind", "language"),
    [
        ("hi", "greeting", "en"),
        ("HELLO!!!", "greeting", "en"),
        ("heyyy 👋", "greeting", "en"),
        ("hi, thanks!", "thanks", "en"),
        ("Thanks, that was very helpful. Bye!", "goodbye", "en"),
        ("how are you doing today?", "wellbeing", "en"),
        ("You're awesome", "praise", "en"),
        ("that is wrong", "complaint", "en"),
        ("ok, got it", "acknowledgement", "en"),
        ("please tell me another joke", "joke", "en"),
        ("so what can you do for me?", "capability", "en"),
        ("Who are you, and what can you do for me?", "identity", "en"),
        ("do you speak German?", "capability", "en"),
        ("how do I delete my chat history?", "history", "en"),
        ("make it shorter please", "rework", "en"),
        ("Grüß Gott", "greeting", "de"),
        ("GRUSS GOTT", "greeting", "de"),
        ("Wie geht’s dir?", "wellbeing", "de"),
        ("Merci bien !", "thanks", "fr"),
        ("¿Quién eres?", "identity", "es"),
    ],
)
def test_small_talk_has_a_kind_and_a_language(message: str, kind: str, language: str) -> None:
    found = find_small_talk(message)
    assert found is not None
    assert (found.kind, found.language) == (kind, language)


@pytest.mark.parametrize(
    "message",
    [
        "hi, how do I de-ess vocals?",
        "thanks, and the release?",
        "hello world in C",
        "who made the first synthesizer?",
        "what can you do about clipping?",
        "how are plugins made?",
        "good night sleep and mixing",
        "so",
        "please",
        "Was ist Taproot?",
        # Slang of other languages, but more often a keyword.
        *("git", "www", "note", "exact", "top", "show", "snap", "fan"),
        "hi " * 60,
    ],
)
def test_any_other_word_makes_a_question(message: str) -> None:
    assert find_small_talk(message) is None


def test_message_without_words_is_small_talk_of_no_kind() -> None:
    found = find_small_talk("👍 !", "de")
    assert found is not None
    assert (found.kind, found.language) == (None, "de")


@pytest.mark.parametrize(("main_language", "language"), [("en", "en"), ("de", "de"), ("xx", "en")])
def test_phrase_of_several_languages_counts_as_the_main_language(
    main_language: str, language: str
) -> None:
    found = find_small_talk("ok", main_language)
    assert found is not None
    assert found.language == language


@pytest.mark.parametrize(
    ("question", "rest"),
    [
        ("Hi! How do I de-ess vocals?", "How do I de-ess vocals?"),
        ("Hello, thank you! And the release?", "And the release?"),
        ("Merci ! Et pour la voix ?", "Et pour la voix ?"),
        ("hi", "hi"),
        ("hi!", "hi!"),
        ("Attack, release, ratio: which first?", "Attack, release, ratio: which first?"),
        ("Hello world, explained?", "Hello world, explained?"),
    ],
)
def test_greeting_before_a_question_is_removed(question: str, rest: str) -> None:
    assert strip_opening(question) == rest


@pytest.mark.parametrize("language", sorted(phrasebooks()))
def test_phrases_of_a_language_are_well_formed_and_recognized(language: str) -> None:
    book = phrasebooks()[language]
    for kind, phrases in book.small_talk.items():
        assert re.fullmatch(r"(?:[^()]|\([^()|]*\|[^()]*\))+", phrases), kind
        assert all(
            alternative or len(part) > 1
            for pattern in parse_patterns(phrases, ["X"])
            for part in pattern
            for alternative in part
        ), kind
    for kind in book.small_talk.keys() - {"fillers"}:
        first = re.sub(r"\([^()]*\)", _first_alternative, _first_phrase(book.small_talk[kind]))
        found = find_small_talk(first.replace("{language}", book.names[language]), language)
        assert found is not None, (kind, first)
        assert found.language == language, (kind, first)


def _first_phrase(phrases: str) -> str:
    return re.split(r",(?![^()]*\))", phrases, maxsplit=1)[0]


def _first_alternative(part: re.Match[str]) -> str:
    return part[0][1:-1].split("|")[0]


def test_work_is_linear_in_the_length_of_a_message() -> None:
    half = MAX_LENGTH // len("tell me ") // 2
    assert 0 < _calls("tell me " * 2 * half) < 2.2 * _calls("tell me " * half)


def test_long_message_is_not_examined() -> None:
    assert _calls("tell me " * MAX_LENGTH) == 1


def _calls(message: str) -> int:
    """Return how many calls of Python functions it takes to recognize a message."""
    find_small_talk("hi")  # Loads the phrases.
    calls = 0

    def count(frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        find_small_talk(message)
    finally:
        sys.setprofile(None)
    return calls


def test_words_ignore_case_accents_apostrophes_and_emoji() -> None:
    assert words("C’EST ÇA 🙂!") == ("cest", "ca")
    assert words("你好吗") == ("你", "好", "吗")


def judged_questions() -> Iterator[str]:
    for path in (*DATA.glob("judged/*/queries*.jsonl"), *DATA.glob("talkqa/questions*.jsonl")):
        for line in path.read_text().splitlines():
            entry = json.loads(line)
            yield entry.get("query") or entry["text"]


def test_no_judged_question_is_taken_for_small_talk() -> None:
    questions = list(judged_questions())
    if not questions:
        pytest.skip(f"{DATA} is not available")
    assert [q for q in questions if find_small_talk(q) or strip_opening(q) != q] == []


@pytest.mark.parametrize("word", ["mist", "legal", "toll", "resume"])
def test_single_word_of_another_language_may_be_a_keyword(word: str) -> None:
    assert find_small_talk(word) is None


@pytest.mark.parametrize("word", ["bonjour", "Danke!", "こんにちは", "adiós"])
def test_single_word_of_another_language_may_be_a_greeting(word: str) -> None:
    assert find_small_talk(word) is not None
