"""Folders as BEIR has them are read: splits, languages, groups; and what is wrong is told."""

from pathlib import Path

import pytest

from app.services.evaluation.beir import read_judged
from app.services.evaluation.jsonl import EvaluationError
from tests.services.evaluation.folders import CORPUS, judged_folder, lines, tsv
from tests.services.ingest.libraries import write_files


def test_questions_come_with_what_is_judged_relevant(tmp_path: Path) -> None:
    judged_folder(tmp_path / "mixing")
    write_files(
        tmp_path / "mixing",
        {"qrels/dev.tsv": "query-id\tcorpus-id\tscore\nq1\tkick#0\t2\nq1\tkick#1\t0\n"},
    )
    (one,) = read_judged(tmp_path / "mixing", None, None)
    assert one.name == "mixing"
    assert one.language is None
    assert [entry.id for entry in one.entries] == list(CORPUS)
    assert [(query.id, query.grades) for query in one.queries] == [("q1", {"kick#0": 2})]


def test_a_split_is_chosen_by_the_name_of_its_file(tmp_path: Path) -> None:
    judged_folder(tmp_path)
    write_files(tmp_path, {"test.tsv": tsv({"q2": ("reverb#0",)})})
    (one,) = read_judged(tmp_path, "test", None)
    assert [query.grades for query in one.queries] == [{"reverb#0": 1}]
    for split in (None, "train"):
        with pytest.raises(EvaluationError, match=r"judgements (dev, test|test, dev).*--split"):
            read_judged(tmp_path, split, None)


def test_a_folder_of_several_languages_holds_a_set_for_each(tmp_path: Path) -> None:
    for language, text in {"de": "Der Bass ist zu laut.", "zh": "低音太响了。"}.items():
        write_files(
            tmp_path / "both",
            {
                f"corpus.{language}.jsonl": lines([{"_id": 0, "text": text}]),
                f"queries.{language}.jsonl": lines([{"_id": 7, "text": text}]),
                f"{language}.tsv": tsv({"7": ("0",)}),
            },
        )
    # Neither language names a split: its only judgements are taken, whatever others have.
    sets = read_judged(tmp_path / "both", "dev", None)
    assert [(one.name, one.language) for one in sets] == [("both.de", "de"), ("both.zh", "zh")]
    assert sets[1].queries[0].text == "低音太响了。"


def test_a_language_may_have_splits(tmp_path: Path) -> None:
    files = {f"{part}.de.tsv": tsv({"q": (part,)}) for part in ("dev", "test")}
    line = lines([{"_id": "q", "text": "Wie laut?"}])
    write_files(tmp_path, {"corpus.de.jsonl": line, "queries.de.jsonl": line, **files})
    (one,) = read_judged(tmp_path, "test", None)
    assert one.queries[0].grades == {"test": 1}


def test_entries_are_grouped_by_their_metadata_or_else_by_their_id(tmp_path: Path) -> None:
    judged_folder(tmp_path, q1={"talk": "kick"}, q2={"talk": "other"})
    told = {"_id": "reverb#1", "text": "Duck it.", "metadata": {"talk": "other"}}
    write_files(tmp_path, {"corpus.jsonl": lines([{"_id": "kick#0", "text": "Tune it."}, told])})
    (one,) = read_judged(tmp_path, None, "talk")
    assert one.within == "talk"
    assert one.groups == {"kick#0": "kick", "reverb#1": "other"}
    assert [query.group for query in one.queries] == ["kick", "other"]


def test_a_set_whose_questions_lack_the_field_is_asked_as_a_whole(tmp_path: Path) -> None:
    (one,) = read_judged(judged_folder(tmp_path), None, "talk")
    assert one.within is None
    assert one.groups == {}
    assert [query.group for query in one.queries] == [None, None]


def test_a_question_within_a_group_that_there_is_not_is_told(tmp_path: Path) -> None:
    judged_folder(tmp_path, q1={"talk": "snare"})
    with pytest.raises(EvaluationError, match="'q1' is asked within the talk 'snare'"):
        read_judged(tmp_path, None, "talk")


@pytest.mark.parametrize(
    ("files", "wrong"),
    [
        ({"corpus.jsonl": '{"_id": "a", "text": "x"}\n{"text": "y"}\n'}, "line 2 of .*corpus"),
        ({"corpus.jsonl": '{"_id": "a"}\n{"_id": "a"}\n'}, "same _id"),
        ({"queries.jsonl": '{"_id": "other", "text": "x"}\n'}, "judges none of the questions"),
        ({"qrels/dev.tsv": "query-id\tcorpus-id\tscore\nq1 kick#0 1\n"}, "line 2 of .*dev.tsv"),
        ({"qrels/dev.tsv": b"\xff\xfe"}, "dev.tsv cannot be read"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(
    tmp_path: Path, files: dict[str, str | bytes], wrong: str
) -> None:
    write_files(judged_folder(tmp_path), files)
    with pytest.raises(EvaluationError, match=wrong):
        read_judged(tmp_path, None, None)


def test_a_corpus_without_judgements_or_questions_is_told(tmp_path: Path) -> None:
    write_files(tmp_path, {"corpus.jsonl": lines([{"_id": "a", "text": "x"}])})
    with pytest.raises(EvaluationError, match="has no judgements: qrels"):
        read_judged(tmp_path, None, None)
    write_files(tmp_path, {"dev.tsv": tsv({"q": ("a",)})})
    with pytest.raises(EvaluationError, match=r"queries.jsonl cannot be read"):
        read_judged(tmp_path, None, None)
