"""The file of off-topic questions is well-formed and covers its languages and fields."""

import unicodedata
from collections import Counter
from importlib.resources import files

import pytest

from app.services.ingest.parse.language import detect_language
from app.services.search.calibration_questions import OFF_TOPIC_FILE, OffTopicQuestion
from app.services.search.text import fold

LANGUAGES = "en de fr es it pt nl ru pl sv tr ja zh ko ar hi th".split()


def _text() -> str:
    return files("app.services.search").joinpath(OFF_TOPIC_FILE).read_bytes().decode()


def _questions() -> list[OffTopicQuestion]:
    return [
        OffTopicQuestion(*line.split("\t")) for line in _text().removesuffix("\n").split("\n")[1:]
    ]


def test_every_line_has_a_language_a_field_and_a_question() -> None:
    text = _text()
    assert text.startswith("language\tfield\tquestion\n")
    assert text.endswith("\n")
    assert "\r" not in text
    assert text == unicodedata.normalize("NFC", text)
    for one in _questions():
        values = one.language, one.field, one.question
        assert all(value and value == " ".join(value.split()) for value in values), one


def test_no_question_is_repeated() -> None:
    seen = Counter(fold(one.question) for one in _questions())
    assert [question for question, times in seen.items() if times > 1] == []


def test_english_has_33_fields_of_sixteen_questions() -> None:
    fields = Counter(one.field for one in _questions() if one.language == "en")
    assert len(fields) == 33
    assert set(fields.values()) == {16}


def test_every_other_language_has_forty_questions_over_ten_english_fields() -> None:
    english = {one.field for one in _questions() if one.language == "en"}
    assert list(dict.fromkeys(one.language for one in _questions())) == LANGUAGES
    for language in LANGUAGES[1:]:
        fields = Counter(one.field for one in _questions() if one.language == language)
        assert fields.total() == 40, language
        assert len(fields) >= 10, language
        assert fields.keys() <= english, language


@pytest.mark.parametrize("language", LANGUAGES)
def test_questions_are_in_the_language_they_claim(language: str) -> None:
    questions = [one.question for one in _questions() if one.language == language]
    tenth = len(questions) // 10
    for start in range(0, len(questions), tenth):
        some = questions[start : start + tenth]
        assert detect_language("\n".join(some), None) == language, some
