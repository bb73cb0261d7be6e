"""A report is laid out as a table to read and as JSON to work on."""

import json

from app.services.evaluation.answers import Reply
from app.services.evaluation.measure import Outcome
from app.services.evaluation.output import as_json, as_table
from app.services.evaluation.report import Ingestion, follow_ups_of, refusals_of, set_report

OUTCOMES = [
    Outcome("q1", 1.0, 1.0, 1.0, 1.0, False, 4.0, Reply(served=True, told=True, foreign=False)),
    Outcome("q2", 0.5, 0.5, 0.5, 0.0, True, 8.0, None),
    Outcome("q3", 0.0, 0.0, 0.0, 0.0, True, 6.0, None),
]
FULL = set_report(
    name="mixing",
    language="en",
    within="talk",
    passages=12_345,
    skipped=("q9",),
    outcomes=OUTCOMES,
    off_topic=refusals_of([("a", True), ("a", True), ("b", False), ("b", True)]),
    ingestion=Ingestion(10.0, 1_234.5, 0.5),
    follow_ups=follow_ups_of({"q1": (1.0, 1.0), "q2": (0.0, 1.0), "q3": (1.0, 0.0)}),
)
BARE = set_report(
    name="b",
    language="en",
    within=None,
    passages=3,
    skipped=(),
    outcomes=OUTCOMES[2:],
    off_topic=refusals_of([]),
    ingestion=Ingestion(1.0, 3.0, 0.0),
    follow_ups=follow_ups_of({}),
)


def test_the_table_has_a_line_for_each_set_and_notes_below() -> None:
    heads, first, second, *notes = as_table([FULL, BARE]).split("\n")
    assert heads.split()[:3] == ["set", "questions", "passages"]
    assert first.split() == [
        *("mixing", "3", "12,345", "0.500", "0.500", "0.500", "0.333", "50.0%", "75.0%"),
        *("6.0", "8.0", "1,234"),
    ]
    assert second.split()[7:9] == ["–", "–"]
    assert len(heads) == len(first) == len(second)
    below = "\n".join(notes)
    assert "each question is asked within its talk" in below
    assert "1 more questions were skipped" in below
    assert "refused 100.0% of a, 50.0% of b" in below
    assert "100.0% of 1 quoted answers hold what was asked" in below
    assert "3 follow-ups, recall@5 0.667, asked whole 0.667" in below
    assert "found only when asked whole: q2" in below
    assert "found only as follow-ups: q3" in below


def test_the_json_has_every_field_by_its_name() -> None:
    full, bare = json.loads(as_json([FULL, BARE]))
    assert full["ndcg_at_10"] == 0.5
    assert full["search_ms"] == {"p50": 6.0, "p95": 8.0}
    assert full["off_topic"]["by_source"] == {"a": 1.0, "b": 0.5}
    assert full["follow_ups"]["missed"] == ["q2"]
    assert full["follow_ups"]["gained"] == ["q3"]
    assert (bare["recall_lost"], bare["off_topic"], bare["quoting"]) == (None, None, None)
