"""Reports about a library, as data, tables and JSON."""

import json

import pytest

from app.schemas import Tier
from app.services.evaluation.judging import NegativeOutcome, QuestionOutcome, Scope
from app.services.evaluation.library_report import (
    LibraryReport,
    summarize,
    summarize_follow_ups,
    summarize_negatives,
    summarize_times,
)
from app.services.evaluation.output import as_json, as_table
from app.services.evaluation.report import Ingestion


def outcome(
    rank: int | None,
    *,
    kind: str | None = "fact",
    lang: str = "en",
    scope: Scope = "main",
    told: bool | None = None,
    creator_tier: bool | None = None,
    refused: bool = False,
) -> QuestionOutcome:
    tier: Tier = "none" if refused else "global"
    return QuestionOutcome(
        id="q",
        query="?",
        kind=kind,
        lang=lang,
        scope=scope,
        creator=None,
        tier=tier,
        finish_reason="refused" if refused else "stop",
        refused=refused,
        moment_rank=rank,
        sentence_rank=rank,
        passage_rank=rank,
        document_rank=1,
        told=told,
        cites=rank == 1,
        creator_tier=creator_tier,
        searched="?",
        matching="lexical" if refused else "hybrid",
        search_ms=4.0,
        total_ms=5.0,
        answer="",
        sources=(),
    )


OUTCOMES = (
    outcome(1, told=True, creator_tier=True),
    outcome(5, told=False, creator_tier=False),
    outcome(6, kind="why"),
    outcome(None, kind=None, refused=True),
    outcome(1, lang="de", scope="across"),
    outcome(None, lang="ja", scope="across"),
)
NEGATIVES = tuple(
    NegativeOutcome(None, "hi", kind, refused, "none", "")
    for kind, refused in (("greeting", True), ("near", False), ("greeting", True))
)
REPORT = LibraryReport(
    name="talks",
    language="en",
    passages=12_345,
    questions=len(OUTCOMES),
    skipped=("q9",),
    cells=summarize(OUTCOMES),
    negatives=summarize_negatives(NEGATIVES),
    search_ms=summarize_times([4.0, 8.0]),
    reply_ms=summarize_times([5.0, 9.0]),
    ingestion=Ingestion(10.0, 1_234.5, 0.5),
    follow_ups=summarize_follow_ups(
        {"f1": (True, True), "f2": (False, True), "f3": (True, False), "f4": (True, True)}
    ),
    outcomes=OUTCOMES,
    negative_outcomes=NEGATIVES,
)


def test_cells_are_of_all_questions_and_of_each_scope_kind_and_language() -> None:
    cells = {(one.scope, one.kind, one.lang): one for one in REPORT.cells}
    assert list(cells) == [
        (None, None, None),
        ("main", None, None),
        *(("main", "fact", None), ("main", "why", None)),
        ("across", None, None),
        ("across", "fact", None),
        *(("across", None, "de"), ("across", None, "ja")),
    ]
    main = cells["main", None, None]
    assert (main.questions, main.moment_at_1, main.moment_at_5) == (4, 0.25, 0.5)
    assert (main.sentence_at_1, main.sentence_at_5, main.document_at_5) == (0.25, 0.5, 1)
    assert (main.cites, main.wrongly_refused) == (0.25, 0.25)
    # Questions without facts, or without a creator who answers, do not count.
    assert (main.told, main.creator_tier, main.creator_questions) == (0.5, 0.5, 2)
    across = cells["across", None, None]
    assert (across.told, across.creator_tier) == (None, None)


def test_negatives_are_summarized_by_kind() -> None:
    assert [(one.kind, one.questions, one.refused) for one in REPORT.negatives] == [
        (None, 3, pytest.approx(2 / 3)),
        ("greeting", 2, 1),
        ("near", 1, 0),
    ]
    assert summarize_negatives([]) == ()


def test_follow_ups_are_compared_with_standalone_questions() -> None:
    follow_ups = REPORT.follow_ups
    assert follow_ups
    assert (follow_ups.recall_at_5, follow_ups.whole_recall_at_5) == (0.75, 0.75)
    assert (follow_ups.missed, follow_ups.gained) == (("f2",), ("f3",))
    assert summarize_follow_ups({}) is None


def test_tables_have_a_row_per_cell_and_kind() -> None:
    lines = as_table([REPORT]).split("\n")
    assert lines[0] == "talks: 12,345 passages, main language en"
    rows = [line.split() for line in lines]
    assert rows[5][:4] == ["fact", "2", "0.500", "1.000"]
    assert rows[4][-3:] == ["0.500", "of", "2"]
    assert ["greeting", "2", "1.000"] in rows
    text = "\n".join(lines)
    assert "in en, about documents in en" in text
    assert "about documents in another language" in text
    assert "p50 4.0 ms, p95 8.0 ms; whole reply: p50 5.0 ms, p95 9.0 ms" in text
    assert "1 of 6 questions were searched by words only" in text
    assert "1 questions skipped, their answers are not in the library: q9" in text
    assert "4 follow-ups, moment@5 0.750, standalone 0.750" in text
    assert "found only as standalone questions: f2" in text


def test_json_has_the_cells_and_every_question() -> None:
    (one,) = json.loads(as_json([REPORT]))
    assert one["cells"][1]["moment_at_5"] == 0.5
    assert [each["moment_rank"] for each in one["outcomes"]] == [1, 5, 6, None, 1, None]
    assert one["negatives"][1] == {"kind": "greeting", "questions": 2, "refused": 1.0}
    assert one["negative_outcomes"][1]["refused"] is False
