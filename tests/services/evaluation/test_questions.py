"""Questions about a library, and the places of their answers."""

from pathlib import Path

import pytest

from app.services.evaluation.errors import EvaluationError
from app.services.evaluation.questions import Answer, normalize, read_library, read_questions
from tests.services.ingest.libraries import write_files

QUESTION = '{"id": "1", "query": "How loud?", "answers": [{"document": "talk", "start": 5.0}]}'


def test_answer_is_where_its_seconds_overlap() -> None:
    answer = Answer("talk", start=60.0, end=70.0)
    assert answer.is_in(0.0, 61.0, "")
    assert answer.is_in(69.0, 90.0, "")
    assert answer.is_in(62.0, 64.0, "")
    assert not answer.is_in(0.0, 60.0, "")
    assert not answer.is_in(70.0, 90.0, "")
    assert not answer.is_in(None, None, "")


def test_answer_without_an_end_is_in_the_passage_that_contains_its_start() -> None:
    answer = Answer("talk", start=60.0)
    assert answer.is_in(60.0, 90.0, "")
    assert not answer.is_in(30.0, 60.0, "")


def test_answer_is_where_its_words_are_ignoring_case() -> None:
    answer = Answer("page", contains="a  release of\n100 ms")
    assert answer.is_in(None, None, normalize("Start with A release of 100 ms."))
    assert not answer.is_in(None, None, normalize("Start with an attack of 100 ms."))


def test_words_of_an_answer_count_more_than_its_times() -> None:
    answer = Answer("talk", start=60.0, end=70.0, contains="100 ms")
    assert answer.is_in(100.0, 120.0, "a release of 100 ms")
    assert not answer.is_in(60.0, 70.0, "an attack of 10 ms")


def test_answer_without_a_place_is_anywhere_in_its_document() -> None:
    assert Answer("page").is_in(None, None, "anything")


def test_questions_are_read_from_the_folder_or_from_a_given_file(
    tmp_path: Path,
) -> None:
    write_files(
        tmp_path,
        {"demo/questions.jsonl": QUESTION, "mine.jsonl": f"\n{QUESTION}\n".replace('"1"', '"2"')},
    )
    own = read_library(tmp_path / "demo")
    assert own.name == "demo"
    assert [question.id for question in own.questions] == ["1"]
    assert own.questions[0].answers == (Answer("talk", 5.0),)
    given = read_library(tmp_path / "demo", [tmp_path / "mine.jsonl"])
    assert [question.id for question in given.questions] == ["2"]


def test_questions_of_several_files_are_joined(tmp_path: Path) -> None:
    write_files(tmp_path, {"a.jsonl": QUESTION, "b.jsonl": QUESTION.replace('"1"', '"2"')})
    paths = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    assert [question.id for question in read_questions(paths)] == ["1", "2"]
    with pytest.raises(EvaluationError, match="'1' is used twice"):
        read_questions([paths[0], paths[0]])


def test_all_fields_of_a_question_are_read(tmp_path: Path) -> None:
    line = (
        '{"id": "1", "kind": "fact", "lang": "pt-BR", "query": "Quanto?", "creator": null,'
        ' "answers": [{"document": "a", "start": 5, "end": 9, "contains": "12 dB"}],'
        ' "facts": [["12 dB", "12 decibels"], ["below"]], "note": "Twelve."}'
    )
    write_files(tmp_path, {"a.jsonl": line})
    (one,) = read_questions([tmp_path / "a.jsonl"])
    assert (one.kind, one.lang, one.creator) == ("fact", "pt-BR", None)
    assert one.answers == (Answer("a", 5.0, 9.0, "12 dB"),)
    assert one.facts == (("12 dB", "12 decibels"), ("below",))


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "has no questions"),
        ('{"id": "1", "query": "?"}', "line 1: .*answers"),
        ('{"id": "1", "query": "Why?", "answers": []}', "'1' needs a query and answers"),
        (
            '{"id": "1", "query": "Why?", "answers": [{"document": "a", "end": 3.0}]}',
            "an end but no start",
        ),
        (f"{QUESTION}\n{QUESTION}", "'1' is used twice"),
        (f'{QUESTION[:-1]}, "facts": [[]]}}', "empty group or fact"),
        (f'{QUESTION[:-1]}, "facts": [["a", " "]]}}', "empty group or fact"),
    ],
)
def test_invalid_questions_are_an_error(tmp_path: Path, text: str, error: str) -> None:
    write_files(tmp_path, {"questions.jsonl": text})
    with pytest.raises(EvaluationError, match=error):
        read_library(tmp_path)
