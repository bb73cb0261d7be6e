"""Aggregate the results of a BEIR dataset into a report."""

from collections import defaultdict
from collections.abc import Sequence

from msgspec import Struct

from app.services.evaluation.answers import ExtractiveAnswers, summarize_answers
from app.services.evaluation.measure import QuestionResult
from app.services.evaluation.metrics import mean, percentile


class SearchTimes(Struct, frozen=True):
    """Percentiles of the search time, in milliseconds."""

    p50: float
    p95: float


class Ingestion(Struct, frozen=True):
    """How long filling and calibrating the library took, in seconds."""

    seconds: float
    passages_per_second: float
    calibration_seconds: float


class Refusals(Struct, frozen=True):
    """The share of off-topic questions that were refused, in total and by origin."""

    questions: int
    refused: float
    by_source: dict[str, float]


class BeirReport(Struct, frozen=True):
    """The results of a BEIR dataset; shares are between 0 and 1.

    nDCG, recall and MRR measure the ranking before the answerability classifier;
    `served_recall_at_5` measures the sources that a client gets. `recall_lost` is the share of
    questions with an answer in the ranking that are refused. `skipped` has the ids of questions
    whose answers are not in the library.
    """

    name: str
    language: str
    within: str | None
    passages: int
    questions: int
    skipped: tuple[str, ...]
    ndcg_at_10: float
    recall_at_10: float
    mrr_at_10: float
    served_recall_at_5: float
    recall_lost: float | None
    off_topic: Refusals | None
    search_ms: SearchTimes
    ingestion: Ingestion
    quoting: ExtractiveAnswers | None


def build_report(
    *,
    name: str,
    language: str,
    within: str | None,
    passages: int,
    skipped: tuple[str, ...],
    results: Sequence[QuestionResult],
    off_topic: Refusals | None,
    ingestion: Ingestion,
) -> BeirReport:
    """Aggregate at least one result."""
    found = [one for one in results if one.recall > 0]
    times = [one.milliseconds for one in results]
    answers = [one.answer for one in results if one.answer is not None]
    return BeirReport(
        name=name,
        language=language,
        within=within,
        passages=passages,
        questions=len(results),
        skipped=skipped,
        ndcg_at_10=mean([one.ndcg for one in results]),
        recall_at_10=mean([one.recall for one in results]),
        mrr_at_10=mean([one.reciprocal_rank for one in results]),
        served_recall_at_5=mean([one.served for one in results]),
        recall_lost=mean([float(one.refused) for one in found]) if found else None,
        off_topic=off_topic,
        search_ms=SearchTimes(percentile(times, 0.5), percentile(times, 0.95)),
        ingestion=ingestion,
        quoting=summarize_answers(answers) if answers else None,
    )


def summarize_refusals(results: Sequence[tuple[str, bool]]) -> Refusals | None:
    """Aggregate pairs of an origin and whether the question was refused; None if there are none."""
    if not results:
        return None
    by_origin: dict[str, list[float]] = defaultdict(list)
    for origin, refused in results:
        by_origin[origin].append(float(refused))
    return Refusals(
        questions=len(results),
        refused=mean([float(refused) for _, refused in results]),
        by_source={origin: mean(shares) for origin, shares in by_origin.items()},
    )
