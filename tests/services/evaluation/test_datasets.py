"""Reading datasets, and choosing off-topic questions for them."""

from pathlib import Path

import pytest

from app.services.evaluation.datasets import dataset_language, read_datasets
from app.services.evaluation.errors import EvaluationError
from app.services.evaluation.negatives import (
    MAX_QUESTIONS,
    Negative,
    negatives_for,
    read_negatives,
    sample_negatives,
)
from tests.services.evaluation.folders import QUESTIONS, beir_folder
from tests.services.ingest.libraries import write_files

OWN = (
    '{"id": "1", "query": "And the release?", "history": ["How do I duck a bass?"],'
    ' "whole": "How long is the release when I duck a bass?", "answers": [{"document": "talk"}]}'
)


def test_folder_that_is_not_a_dataset_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="is not a folder"):
        read_datasets([tmp_path / "missing"])
    with pytest.raises(
        EvaluationError, match=r"not a dataset: expected corpus.jsonl.*questions.jsonl"
    ):
        read_datasets([tmp_path])


def test_metadata_field_that_no_query_has_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="no query has the metadata field 'talk'"):
        read_datasets([beir_folder(tmp_path)], within="talk")


def test_questions_file_needs_exactly_one_library(tmp_path: Path) -> None:
    write_files(tmp_path, {"a/mara/a.md": "", "b/mara/b.md": "", "mine.jsonl": OWN})
    given = tmp_path / "mine.jsonl"
    with pytest.raises(EvaluationError, match="exactly one library, but there are 2"):
        read_datasets([tmp_path / "a", tmp_path / "b"], questions=[given])
    with pytest.raises(EvaluationError, match="exactly one library, but there are 0"):
        read_datasets([beir_folder(tmp_path / "c")], questions=[given])


def test_questions_of_other_datasets_in_the_same_language_are_to_be_refused(
    tmp_path: Path,
) -> None:
    write_files(tmp_path, {"demo/questions.jsonl": OWN})
    beir, library = read_datasets([beir_folder(tmp_path / "mixing"), tmp_path / "demo"])
    languages = [(beir, "en"), (library, "en")]
    assert negatives_for(beir, "en", languages) == [
        Negative(query="How long is the release when I duck a bass?", kind="demo")
    ]
    others = negatives_for(library, "en", languages)
    assert [one.query for one in others] == list(QUESTIONS.values())
    assert negatives_for(beir, "en", [(beir, "en"), (library, "de")]) == []


def test_language_is_detected_from_the_texts(tmp_path: Path) -> None:
    texts = {
        "a": "Der Hall gehört auf eine eigene Spur, damit man ihn gut regeln kann.",
        "b": "Die Stimme bleibt klar, wenn die tiefen Töne aus dem Hall entfernt werden.",
    }
    (one,) = read_datasets([beir_folder(tmp_path, texts, judgements={"q1": ("a",)})])
    assert dataset_language(one) == "de"


def test_sample_is_even_and_reproducible_without_the_datasets_own_questions() -> None:
    pool = [Negative(query=str(number), kind="other") for number in range(10 * MAX_QUESTIONS)]
    sample = sample_negatives(pool, {"0", "1", "2"})
    assert len(sample) == len({one.query for one in sample}) == MAX_QUESTIONS
    assert sample == sample_negatives(pool, {"0", "1", "2"})
    assert "0" not in {one.query for one in sample}
    assert sum(int(one.query) < 5 * MAX_QUESTIONS for one in sample) == pytest.approx(
        MAX_QUESTIONS / 2, abs=1
    )
    assert sample_negatives(pool[:4], {"3"}) == pool[:3]


def test_questions_to_refuse_are_read_from_files(tmp_path: Path) -> None:
    plain, typed = tmp_path / "plain.txt", tmp_path / "typed.jsonl"
    plain.write_text('Who won the cup?\n\n{"query": "Is it going to rain?"}\n', encoding="utf-8")
    typed.write_text(
        '{"id": "n1", "query": "hi", "kind": "greeting", "creator": "mara"}\n', encoding="utf-8"
    )
    assert read_negatives([plain, typed]) == [
        Negative(query="Who won the cup?", kind="plain.txt"),
        Negative(query="Is it going to rain?", kind="plain.txt"),
        Negative(query="hi", kind="greeting", id="n1", creator="mara"),
    ]
    typed.write_text('{"text": "Is it going to rain?"}\n', encoding="utf-8")
    with pytest.raises(EvaluationError, match=r"typed\.jsonl, line 1"):
        read_negatives([typed])
