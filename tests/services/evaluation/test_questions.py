"""A library's own questions are read, and their answers are found by seconds or by words."""

from pathlib import Path

import pytest

from app.services.evaluation.jsonl import EvaluationError
from app.services.evaluation.questions import Answer, folded, read_library
from tests.services.ingest.libraries import write_files

QUESTION = '{"id": "1", "query": "How loud?", "answers": [{"document": "talk", "start": 5.0}]}'


def test_an_answer_stands_where_its_seconds_overlap() -> None:
    answer = Answer("talk", start=60.0, end=70.0)
    assert answer.stands_in(0.0, 61.0, "")
    assert answer.stands_in(69.0, 90.0, "")
    assert answer.stands_in(62.0, 64.0, "")
    assert not answer.stands_in(0.0, 60.0, "")
    assert not answer.stands_in(70.0, 90.0, "")
    assert not answer.stands_in(None, None, "")


def test_a_moment_stands_in_the_one_passage_that_is_said_then() -> None:
    answer = Answer("talk", start=60.0)
    assert answer.stands_in(60.0, 90.0, "")
    assert not answer.stands_in(30.0, 60.0, "")


def test_an_answer_stands_where_its_words_are_whatever_their_case() -> None:
    answer = Answer("page", contains="a  release of\n100 ms")
    assert answer.stands_in(None, None, folded("Start with A release of 100 ms."))
    assert not answer.stands_in(None, None, folded("Start with an attack of 100 ms."))


def test_an_answer_without_a_place_stands_everywhere_in_its_document() -> None:
    assert Answer("page").stands_in(None, None, "anything")


def test_a_library_has_its_questions_in_its_folder_or_in_a_file_that_is_given(
    tmp_path: Path,
) -> None:
    write_files(
        tmp_path,
        {"demo/questions.jsonl": QUESTION, "mine.jsonl": f"\n{QUESTION}\n".replace('"1"', '"2"')},
    )
    own = read_library(tmp_path / "demo", None)
    assert own.name == "demo"
    assert [question.id for question in own.questions] == ["1"]
    assert own.questions[0].answers == (Answer("talk", 5.0),)
    given = read_library(tmp_path / "demo", tmp_path / "mine.jsonl")
    assert [question.id for question in given.questions] == ["2"]


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", "holds no questions"),
        ('{"id": "1", "query": "?"}', "line 1 of .*answers"),
        ('{"id": "1", "query": "Why?", "answers": []}', "'1' needs a query and answers"),
        (
            '{"id": "1", "query": "Why?", "answers": [{"document": "a", "end": 3.0}]}',
            "an end and no start",
        ),
        (f"{QUESTION}\n{QUESTION}", "the same id"),
    ],
)
def test_questions_that_cannot_be_used_are_told(tmp_path: Path, text: str, wrong: str) -> None:
    write_files(tmp_path, {"questions.jsonl": text})
    with pytest.raises(EvaluationError, match=wrong):
        read_library(tmp_path, None)
