"""What came of a set's questions comes in; a report of its shares and times goes out. Pure."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from msgspec import Struct

from app.services.evaluation.answers import Quoting, summed
from app.services.evaluation.measure import Outcome
from app.services.evaluation.metrics import mean, percentile


class Times(Struct, frozen=True):
    """How long a search takes, in milliseconds."""

    p50: float
    p95: float


class Ingestion(Struct, frozen=True):
    """How long it took to fill the library, and to calibrate its gate, in seconds."""

    seconds: float
    passages_per_second: float
    calibration_seconds: float


class Refusals(Struct, frozen=True):
    """Which share of the off-topic questions was refused, of all and by where they come from."""

    questions: int
    refused: float
    by_source: dict[str, float]


class FollowUps(Struct, frozen=True):
    """The share of questions with an answer among the first five sources: as follow-ups, and whole.

    `missed` names those that find an answer only when they are asked whole, `gained` those that
    find one only as follow-ups.
    """

    questions: int
    recall_at_5: float
    whole_recall_at_5: float
    missed: tuple[str, ...]
    gained: tuple[str, ...]


class SetReport(Struct, frozen=True):
    """How a set was found; all shares between 0 and 1.

    nDCG, recall and MRR are of the ranking before the gate; `served_recall_at_5` is of the sources
    that a client gets: of a library's questions, the share that has an answer among the first five.
    `recall_lost` is the share of questions with an answer in the ranking that the gate refuses,
    None where there are none. `skipped` names questions whose answers are not in the library.
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
    search_ms: Times
    ingestion: Ingestion
    quoting: Quoting | None
    follow_ups: FollowUps | None


def set_report(
    *,
    name: str,
    language: str,
    within: str | None,
    passages: int,
    skipped: tuple[str, ...],
    outcomes: Sequence[Outcome],
    off_topic: Refusals | None,
    ingestion: Ingestion,
    follow_ups: FollowUps | None,
) -> SetReport:
    """Sum up what came of a set's questions; there must be at least one outcome."""
    found = [one for one in outcomes if one.recall > 0]
    times = [one.milliseconds for one in outcomes]
    replies = [one.reply for one in outcomes if one.reply is not None]
    return SetReport(
        name=name,
        language=language,
        within=within,
        passages=passages,
        questions=len(outcomes),
        skipped=skipped,
        ndcg_at_10=mean([one.ndcg for one in outcomes]),
        recall_at_10=mean([one.recall for one in outcomes]),
        mrr_at_10=mean([one.reciprocal_rank for one in outcomes]),
        served_recall_at_5=mean([one.served for one in outcomes]),
        recall_lost=mean([float(one.refused) for one in found]) if found else None,
        off_topic=off_topic,
        search_ms=Times(percentile(times, 0.5), percentile(times, 0.95)),
        ingestion=ingestion,
        quoting=summed(replies) if replies else None,
        follow_ups=follow_ups,
    )


def refusals_of(outcomes: Sequence[tuple[str, bool]]) -> Refusals | None:
    """Sum up off-topic questions, pairs of a source and whether it was refused; None of none."""
    if not outcomes:
        return None
    by_source: dict[str, list[float]] = defaultdict(list)
    for source, refused in outcomes:
        by_source[source].append(float(refused))
    return Refusals(
        questions=len(outcomes),
        refused=mean([float(refused) for _, refused in outcomes]),
        by_source={source: mean(shares) for source, shares in by_source.items()},
    )


def follow_ups_of(pairs: Mapping[str, tuple[float, float]]) -> FollowUps | None:
    """Sum up follow-ups, id → what was served of it and of it asked whole; None of none."""
    if not pairs:
        return None
    return FollowUps(
        questions=len(pairs),
        recall_at_5=mean([own for own, _ in pairs.values()]),
        whole_recall_at_5=mean([whole for _, whole in pairs.values()]),
        missed=tuple(name for name, (own, whole) in pairs.items() if own < whole),
        gained=tuple(name for name, (own, whole) in pairs.items() if own > whole),
    )
