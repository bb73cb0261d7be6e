"""Evaluations of whole datasets in scratch databases."""

import json
from functools import partial
from pathlib import Path

import asyncpg
import pytest

from app.cli.eval import open_empty_library, open_ingested_library
from app.config import Settings
from app.services.evaluation.errors import EvaluationError
from app.services.evaluation.library_report import LibraryReport
from app.services.evaluation.report import BeirReport
from app.services.evaluation.run import evaluate, evaluate_ingested
from app.services.evaluation.scratch_database import PREFIX
from app.services.evaluation.scratch_library import OpenLibrary
from tests.services.evaluation.folders import beir_folder, lines
from tests.services.ingest.libraries import plain_library, write_files

pytestmark = pytest.mark.anyio

OTHER_CORPUS = {
    "trees#0": "An oak tree lives for more than five hundred years in a quiet forest.",
    "trees#1": "A birch tree grows fast and lives for about eighty years.",
}
OTHER_QUESTIONS = {"t1": "How many hundred years does an oak live?", "t2": "Why is the sky blue?"}


@pytest.fixture
def open_library(database_url: str, tmp_path: Path) -> OpenLibrary:
    settings = Settings(database_url=database_url, data_dir=tmp_path / "data")
    return partial(open_empty_library, settings)


async def test_datasets_are_evaluated_one_after_another_and_leave_nothing_behind(
    open_library: OpenLibrary,
    database: asyncpg.Connection,
    database_url: str,
    tmp_path: Path,
) -> None:
    mixing = beir_folder(tmp_path / "mixing", q1={"answer": "60 hz"}, q2={"answer": "words"})
    trees = beir_folder(
        tmp_path / "trees",
        OTHER_CORPUS,
        OTHER_QUESTIONS,
        {"t1": ("trees#0",), "t2": ("no such entry",)},
    )
    steps: list[str] = []
    first, second = await evaluate(
        database_url, [mixing, trees], open_library=open_library, log_step=steps.append
    )
    assert isinstance(first, BeirReport)
    assert isinstance(second, BeirReport)
    assert (first.name, first.language, first.passages, first.questions) == ("mixing", "en", 4, 2)
    assert (first.ndcg_at_10, first.recall_at_10, first.mrr_at_10) == (1, 1, 1)
    assert first.quoting
    assert (first.quoting.answers, first.quoting.correct, first.quoting.ungrounded) == (2, 1, 0)
    assert first.off_topic
    assert (first.off_topic.questions, list(first.off_topic.by_source)) == (2, ["trees"])
    assert first.ingestion.passages_per_second > 0
    assert 0 < first.search_ms.p50 <= first.search_ms.p95
    assert (second.questions, second.skipped, second.quoting) == (1, ("t2",), None)
    assert second.mrr_at_10 == 1
    assert any("mixing" in line for line in steps)
    left = "SELECT count(*) FROM pg_database WHERE starts_with(datname, $1)"
    assert await database.fetchval(left, PREFIX) == 0
    assert await database.fetchval("SELECT count(*) FROM documents") == 0


async def test_queries_are_searched_within_their_group(
    open_library: OpenLibrary, database_url: str, tmp_path: Path
) -> None:
    corpus = {
        "a#0": "The drummer tunes the snare drum with a key.",
        "a#1": "The singer drinks warm water.",
        "b#0": "Tune the snare drum by ear: the snare drum rings.",
        "b#1": "Then the band goes home.",
    }
    folder = beir_folder(
        tmp_path / "bands",
        corpus,
        {"q": "How is the snare drum tuned?"},
        {"q": ("a#0",)},
        q={"band": "a"},
    )
    # The other band's passage would rank first without the group.
    (report,) = await evaluate(database_url, [folder], open_library=open_library, within="band")
    assert isinstance(report, BeirReport)
    assert (report.within, report.mrr_at_10, report.recall_lost) == ("band", 1, 0)


async def test_library_is_evaluated_with_its_own_questions(
    open_library: OpenLibrary, database_url: str, tmp_path: Path
) -> None:
    folder = plain_library(tmp_path / "demo")
    questions = [
        {
            "id": "attack",
            "query": "And how long should the release be?",
            "history": ["How do I set the attack of the compressor?"],
            "whole": "How long should the release of the compressor be?",
            "answers": [{"document": "mara-voss/attack.md", "contains": "100 to 200 ms"}],
        },
        {
            "id": "traps",
            "query": "Where do bass traps go?",
            "kind": "how",
            "creator": "Mara Voss",
            "facts": [["corner"]],
            "answers": [{"document": "mara-voss/talks/modes.md", "start": 6.0, "end": 9.0}],
        },
        {
            "id": "gone",
            "query": "Who plays the flute?",
            "answers": [{"document": "mara-voss/flute.md"}],
        },
    ]
    write_files(folder, {"questions.jsonl": lines(questions)})
    negatives = tmp_path / "negatives.txt"
    negatives.write_text("Who won the cup of 1974?\n", encoding="utf-8")
    (report,) = await evaluate(
        database_url, [folder], open_library=open_library, negatives=[negatives]
    )
    assert isinstance(report, LibraryReport)
    assert (report.name, report.questions, report.skipped) == ("demo", 2, ("gone",))
    total = report.cells[0]
    assert (total.moment_at_5, total.sentence_at_5, total.document_at_5) == (1, 1, 1)
    assert (total.told, total.creator_tier, total.creator_questions) == (1, 1, 1)
    assert report.follow_ups
    assert report.follow_ups.questions == 1
    assert report.follow_ups.whole_recall_at_5 == 1
    assert [(one.kind, one.questions) for one in report.negatives] == [
        *((None, 1), ("negatives.txt", 1))
    ]
    assert report.ingestion


async def test_ingested_library_is_measured_without_changing_it(
    library_url: str, tmp_path: Path
) -> None:
    question = {
        "id": "1",
        "query": "What is dither?",
        "answers": [
            {"document": "tomas-okafor/true-peak-and-dither.md", "contains": "very quiet noise"}
        ],
    }
    write_files(tmp_path, {"questions.jsonl": json.dumps(question)})
    # A timeout that a service on a busy machine may exceed.
    settings = Settings(database_url=library_url, embedding_timeout=1e-6)
    async with open_ingested_library(settings) as library:
        counts = "SELECT (SELECT count(*) FROM passages), (SELECT count(*) FROM gates)"
        before = await library.connection.fetchrow(counts)
        report = await evaluate_ingested(library, questions=[tmp_path / "questions.jsonl"])
        assert await library.connection.fetchrow(counts) == before
    assert (report.questions, report.ingestion) == (1, None)
    assert report.outcomes[0].matching == "hybrid"
    assert report.cells[0].moment_at_5 == 1


async def test_empty_library_is_an_error(database_url: str, tmp_path: Path) -> None:
    write_files(tmp_path, {"negatives.txt": "hi"})
    async with open_ingested_library(Settings(database_url=database_url)) as library:
        with pytest.raises(EvaluationError, match="the library is empty"):
            await evaluate_ingested(library, negatives=[tmp_path / "negatives.txt"])


async def test_entry_that_the_database_rejects_is_named(
    open_library: OpenLibrary, database_url: str, tmp_path: Path
) -> None:
    folder = beir_folder(tmp_path / "odd", {"kick#0": "A kick\0drum.", "reverb#1": "Duck it."})
    with pytest.raises(EvaluationError, match="odd: the database rejected entry 'kick#0'"):
        await evaluate(database_url, [folder], open_library=open_library)


async def test_library_without_any_answer_is_an_error(
    open_library: OpenLibrary, database_url: str, tmp_path: Path
) -> None:
    folder = plain_library(tmp_path / "demo")
    question = {"id": "1", "query": "Where?", "answers": [{"document": "gone.md"}]}
    write_files(folder, {"questions.jsonl": json.dumps(question)})
    with pytest.raises(EvaluationError, match="demo: no question has an answer"):
        await evaluate(database_url, [folder], open_library=open_library)
