"""Reading BEIR folders: splits, languages, groups and errors."""

from pathlib import Path

import pytest

from app.services.evaluation.beir import read_beir
from app.services.evaluation.errors import EvaluationError
from tests.services.evaluation.folders import CORPUS, beir_folder, lines, tsv
from tests.services.ingest.libraries import write_files


def test_queries_have_their_positive_judgements(tmp_path: Path) -> None:
    beir_folder(tmp_path / "mixing")
    write_files(
        tmp_path / "mixing",
        {"qrels/dev.tsv": "query-id\tcorpus-id\tscore\nq1\tkick#0\t2\nq1\tkick#1\t0\n"},
    )
    (one,) = read_beir(tmp_path / "mixing", None, None)
    assert one.name == "mixing"
    assert one.language is None
    assert [entry.id for entry in one.entries] == list(CORPUS)
    assert [(query.id, query.grades) for query in one.queries] == [("q1", {"kick#0": 2})]


def test_split_is_chosen_by_file_name(tmp_path: Path) -> None:
    beir_folder(tmp_path)
    write_files(tmp_path, {"test.tsv": tsv({"q2": ("reverb#0",)})})
    (one,) = read_beir(tmp_path, "test", None)
    assert [query.grades for query in one.queries] == [{"reverb#0": 1}]
    for split in (None, "train"):
        with pytest.raises(EvaluationError, match=r"judgements (dev, test|test, dev).*--split"):
            read_beir(tmp_path, split, None)


def test_folder_with_several_languages_has_a_dataset_for_each(tmp_path: Path) -> None:
    for language, text in {"de": "Der Bass ist zu laut.", "zh": "低音太响了。"}.items():
        write_files(
            tmp_path / "both",
            {
                f"corpus.{language}.jsonl": lines([{"_id": 0, "text": text}]),
                f"queries.{language}.jsonl": lines([{"_id": 7, "text": text}]),
                f"{language}.tsv": tsv({"7": ("0",)}),
            },
        )
    # The judgements of neither language name a split, so they serve for any.
    sets = read_beir(tmp_path / "both", "dev", None)
    assert [(one.name, one.language) for one in sets] == [("both.de", "de"), ("both.zh", "zh")]
    assert sets[1].queries[0].text == "低音太响了。"


def test_language_may_have_splits(tmp_path: Path) -> None:
    files = {f"{part}.de.tsv": tsv({"q": (part,)}) for part in ("dev", "test")}
    line = lines([{"_id": "q", "text": "Wie laut?"}])
    write_files(tmp_path, {"corpus.de.jsonl": line, "queries.de.jsonl": line, **files})
    (one,) = read_beir(tmp_path, "test", None)
    assert one.queries[0].grades == {"test": 1}


def test_entries_are_grouped_by_metadata_or_else_by_id(tmp_path: Path) -> None:
    beir_folder(tmp_path, q1={"talk": "kick"}, q2={"talk": "other"})
    entry = {"_id": "reverb#1", "text": "Duck it.", "metadata": {"talk": "other"}}
    write_files(tmp_path, {"corpus.jsonl": lines([{"_id": "kick#0", "text": "Tune it."}, entry])})
    (one,) = read_beir(tmp_path, None, "talk")
    assert one.within == "talk"
    assert one.groups == {"kick#0": "kick", "reverb#1": "other"}
    assert [query.group for query in one.queries] == ["kick", "other"]


def test_grouping_is_ignored_if_no_query_has_the_field(tmp_path: Path) -> None:
    (one,) = read_beir(beir_folder(tmp_path), None, "talk")
    assert one.within is None
    assert one.groups == {}
    assert [query.group for query in one.queries] == [None, None]


def test_query_in_an_unknown_group_is_an_error(tmp_path: Path) -> None:
    beir_folder(tmp_path, q1={"talk": "snare"})
    with pytest.raises(EvaluationError, match="'q1' has the talk 'snare'"):
        read_beir(tmp_path, None, "talk")


@pytest.mark.parametrize(
    ("files", "error"),
    [
        ({"corpus.jsonl": '{"_id": "a", "text": "x"}\n{"text": "y"}\n'}, "corpus.jsonl, line 2"),
        ({"corpus.jsonl": '{"_id": "a"}\n{"_id": "a"}\n'}, "same _id"),
        ({"queries.jsonl": '{"_id": "other", "text": "x"}\n'}, "judges none of the queries"),
        ({"qrels/dev.tsv": "query-id\tcorpus-id\tscore\nq1 kick#0 1\n"}, "dev.tsv, line 2"),
        ({"qrels/dev.tsv": b"\xff\xfe"}, "dev.tsv cannot be read"),
    ],
)
def test_errors_name_the_file_and_line(
    tmp_path: Path, files: dict[str, str | bytes], error: str
) -> None:
    write_files(beir_folder(tmp_path), files)
    with pytest.raises(EvaluationError, match=error):
        read_beir(tmp_path, None, None)


def test_corpus_without_judgements_or_queries_is_an_error(tmp_path: Path) -> None:
    write_files(tmp_path, {"corpus.jsonl": lines([{"_id": "a", "text": "x"}])})
    with pytest.raises(EvaluationError, match="has no judgements: expected qrels"):
        read_beir(tmp_path, None, None)
    write_files(tmp_path, {"dev.tsv": tsv({"q": ("a",)})})
    with pytest.raises(EvaluationError, match=r"queries.jsonl cannot be read"):
        read_beir(tmp_path, None, None)
