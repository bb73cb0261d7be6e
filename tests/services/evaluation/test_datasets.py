"""Folders are told apart, and off-topic questions are taken from the sets that speak alike."""

from pathlib import Path

import pytest

from app.services.evaluation.datasets import read_sets, set_language
from app.services.evaluation.jsonl import EvaluationError
from app.services.evaluation.off_topic import MOST, OffTopic, off_topic_for, read_off_topic, sampled
from tests.services.evaluation.folders import QUESTIONS, judged_folder
from tests.services.ingest.libraries import write_files

OWN = (
    '{"id": "1", "query": "And the release?", "history": ["How do I duck a bass?"],'
    ' "whole": "How long is the release when I duck a bass?", "answers": [{"document": "talk"}]}'
)


def test_a_folder_that_is_no_set_is_told_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="there is no folder"):
        read_sets([tmp_path / "missing"])
    with pytest.raises(EvaluationError, match=r"no set: expected corpus.jsonl.*questions.jsonl"):
        read_sets([tmp_path])


def test_a_field_that_no_set_has_is_told(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="no question has 'talk' in its metadata"):
        read_sets([judged_folder(tmp_path)], within="talk")


def test_questions_are_given_for_one_library_only(tmp_path: Path) -> None:
    write_files(tmp_path, {"a/mara/a.md": "", "b/mara/b.md": "", "mine.jsonl": OWN})
    given = tmp_path / "mine.jsonl"
    with pytest.raises(EvaluationError, match="for one library, and there are 2"):
        read_sets([tmp_path / "a", tmp_path / "b"], questions=given)
    with pytest.raises(EvaluationError, match="for one library, and there are 0"):
        read_sets([judged_folder(tmp_path / "c")], questions=given)


def test_off_topic_are_the_questions_of_other_sets_of_the_language(tmp_path: Path) -> None:
    write_files(tmp_path, {"demo/questions.jsonl": OWN})
    judged, library = read_sets([judged_folder(tmp_path / "mixing"), tmp_path / "demo"])
    spoken = [(judged, "en"), (library, "en")]
    assert off_topic_for(judged, "en", spoken) == [
        OffTopic("demo", "How long is the release when I duck a bass?")
    ]
    assert [one.text for one in off_topic_for(library, "en", spoken)] == list(QUESTIONS.values())
    assert off_topic_for(judged, "en", [(judged, "en"), (library, "de")]) == []


def test_a_sets_language_is_told_by_its_files_or_by_its_texts(tmp_path: Path) -> None:
    texts = {
        "a": "Der Hall gehört auf eine eigene Spur, damit man ihn gut regeln kann.",
        "b": "Die Stimme bleibt klar, wenn die tiefen Töne aus dem Hall entfernt werden.",
    }
    (one,) = read_sets([judged_folder(tmp_path, texts, judgements={"q1": ("a",)})])
    assert set_language(one) == "de"


def test_a_sample_is_even_and_always_the_same_and_asks_nothing_of_the_set() -> None:
    pool = [OffTopic("other", str(number)) for number in range(10 * MOST)]
    sample = sampled(pool, {"0", "1", "2"})
    assert len(sample) == len({one.text for one in sample}) == MOST
    assert sample == sampled(pool, {"0", "1", "2"})
    assert "0" not in {one.text for one in sample}
    assert sum(int(one.text) < 5 * MOST for one in sample) == pytest.approx(MOST / 2, abs=1)
    assert sampled(pool[:4], {"3"}) == pool[:3]


def test_off_topic_questions_may_stand_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "foreign.txt"
    path.write_text('Who won the cup?\n\n{"text": "Is it going to rain?"}\n', encoding="utf-8")
    assert [one.text for one in read_off_topic(path)] == [
        "Who won the cup?",
        "Is it going to rain?",
    ]
    path.write_text('{"query": "Is it going to rain?"}\n', encoding="utf-8")
    with pytest.raises(EvaluationError, match="line 1 of"):
        read_off_topic(path)
