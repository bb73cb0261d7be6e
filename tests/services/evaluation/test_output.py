"""Reports about BEIR datasets as a table and as JSON."""

import json

from app.services.evaluation.answers import AnswerCheck
from app.services.evaluation.measure import QuestionResult
from app.services.evaluation.output import as_json, as_table
from app.services.evaluation.report import (
    Ingestion,
    build_report,
    summarize_refusals,
)

RESULTS = [
    QuestionResult("q1", 1.0, 1.0, 1.0, 1.0, False, 4.0, AnswerCheck(True, True, False)),
    QuestionResult("q2", 0.5, 0.5, 0.5, 0.0, True, 8.0, None),
    QuestionResult("q3", 0.0, 0.0, 0.0, 0.0, True, 6.0, None),
]
FULL = build_report(
    name="mixing",
    language="en",
    within="talk",
    passages=12_345,
    skipped=("q9",),
    results=RESULTS,
    off_topic=summarize_refusals([("a", True), ("a", True), ("b", False), ("b", True)]),
    ingestion=Ingestion(10.0, 1_234.5, 0.5),
)
BARE = build_report(
    name="b",
    language="en",
    within=None,
    passages=3,
    skipped=(),
    results=RESULTS[2:],
    off_topic=summarize_refusals([]),
    ingestion=Ingestion(1.0, 3.0, 0.0),
)


def test_table_has_a_row_per_dataset_and_notes() -> None:
    headings, first, second, *notes = as_table([FULL, BARE]).split("\n")
    assert headings.split()[:3] == ["dataset", "questions", "passages"]
    assert first.split() == [
        *("mixing", "3", "12,345", "0.500", "0.500", "0.500", "0.333", "50.0%", "75.0%"),
        *("6.0", "8.0", "1,234"),
    ]
    assert second.split()[7:9] == ["–", "–"]
    assert len(headings) == len(first) == len(second)
    below = "\n".join(notes)
    assert "mixing: each question is searched within its talk" in below
    assert "1 questions skipped" in below
    assert "100.0% of a, 50.0% of b" in below
    assert "100.0% of 1 extractive answers are correct" in below


def test_json_field_names_are_stable() -> None:
    full, bare = json.loads(as_json([FULL, BARE]))
    assert full["ndcg_at_10"] == 0.5
    assert full["search_ms"] == {"p50": 6.0, "p95": 8.0}
    assert full["off_topic"]["by_source"] == {"a": 1.0, "b": 0.5}
    assert full["quoting"] == {"replies": 1, "served": 1, "told": 1.0, "foreign": 0}
    assert (bare["recall_lost"], bare["off_topic"], bare["quoting"]) == (None, None, None)
