"""Whole sets are measured on a real database, which is as it was before when they are done."""

import json
from pathlib import Path

import asyncpg
import pytest

from app.config import Settings
from app.services.evaluation.jsonl import EvaluationError
from app.services.evaluation.run import evaluate
from app.services.evaluation.scratch_database import PREFIX
from tests.services.evaluation.folders import judged_folder, lines
from tests.services.ingest.libraries import plain_library, write_files

pytestmark = pytest.mark.anyio

OTHER_CORPUS = {
    "trees#0": "An oak tree lives for more than five hundred years in a quiet forest.",
    "trees#1": "A birch tree grows fast and lives for about eighty years.",
}
OTHER_QUESTIONS = {"t1": "How old does an oak tree become?", "t2": "Why is the sky blue?"}


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    return Settings(database_url=database_url, data_dir=tmp_path / "data")


async def test_judged_sets_are_measured_one_after_another(
    settings: Settings, database: asyncpg.Connection, tmp_path: Path
) -> None:
    mixing = judged_folder(tmp_path / "mixing", q1={"answer": "60 hz"}, q2={"answer": "words"})
    trees = judged_folder(
        tmp_path / "trees",
        OTHER_CORPUS,
        OTHER_QUESTIONS,
        {"t1": ("trees#0",), "t2": ("no such entry",)},
    )
    told: list[str] = []
    first, second = await evaluate(settings, [mixing, trees], tell=told.append)
    assert (first.name, first.language, first.passages, first.questions) == ("mixing", "en", 4, 2)
    assert (first.ndcg_at_10, first.recall_at_10, first.mrr_at_10) == (1, 1, 1)
    assert first.quoting
    assert (first.quoting.replies, first.quoting.told, first.quoting.foreign) == (2, 1, 0)
    assert first.off_topic
    assert (first.off_topic.questions, list(first.off_topic.by_source)) == (2, ["trees"])
    assert first.ingestion.passages_per_second > 0
    assert 0 < first.search_ms.p50 <= first.search_ms.p95
    assert (second.questions, second.skipped, second.quoting) == (1, ("t2",), None)
    assert second.mrr_at_10 == 1
    assert any("mixing" in line for line in told)
    left = "SELECT count(*) FROM pg_database WHERE starts_with(datname, $1)"
    assert await database.fetchval(left, PREFIX) == 0
    assert await database.fetchval("SELECT count(*) FROM documents") == 0


async def test_questions_are_asked_within_their_group(settings: Settings, tmp_path: Path) -> None:
    corpus = {
        "a#0": "The drummer tunes the snare drum with a key.",
        "a#1": "The singer drinks warm water.",
        "b#0": "Tune the snare drum by ear: the snare drum rings.",
        "b#1": "Then the band goes home.",
    }
    folder = judged_folder(
        tmp_path / "bands",
        corpus,
        {"q": "How is the snare drum tuned?"},
        {"q": ("a#0",)},
        q={"band": "a"},
    )
    # Of all, the other band's is as good or better; of the own there is only one.
    (report,) = await evaluate(settings, [folder], within="band")
    assert (report.within, report.mrr_at_10, report.recall_lost) == ("band", 1, 0)


async def test_a_library_is_measured_with_questions_of_its_own(
    settings: Settings, tmp_path: Path
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
            "answers": [{"document": "mara-voss/talks/modes.md", "start": 6.0, "end": 9.0}],
        },
        {
            "id": "gone",
            "query": "Who plays the flute?",
            "answers": [{"document": "mara-voss/flute.md"}],
        },
    ]
    write_files(folder, {"questions.jsonl": lines(questions)})
    foreign = tmp_path / "foreign.txt"
    foreign.write_text("Who won the cup of 1974?\n", encoding="utf-8")
    (report,) = await evaluate(settings, [folder], off_topic=foreign)
    assert (report.name, report.questions, report.skipped) == ("demo", 2, ("gone",))
    assert report.recall_at_10 == 1
    assert report.follow_ups
    assert report.follow_ups.questions == 1
    assert report.follow_ups.whole_recall_at_5 == 1
    assert report.off_topic
    assert report.off_topic.questions == 1


async def test_an_entry_that_the_database_does_not_take_is_named(
    settings: Settings, tmp_path: Path
) -> None:
    folder = judged_folder(tmp_path / "odd", {"kick#0": "A kick\0drum.", "reverb#1": "Duck it."})
    with pytest.raises(EvaluationError, match="odd: the database does not take 'kick#0'"):
        await evaluate(settings, [folder])


async def test_a_set_whose_library_answers_nothing_is_told(
    settings: Settings, tmp_path: Path
) -> None:
    folder = plain_library(tmp_path / "demo")
    question = {"id": "1", "query": "Where?", "answers": [{"document": "gone.md"}]}
    write_files(folder, {"questions.jsonl": json.dumps(question)})
    with pytest.raises(EvaluationError, match="demo: nothing that its questions ask for"):
        await evaluate(settings, [folder])
