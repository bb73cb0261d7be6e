"""Aggregate the outcomes of the questions about a library into a report."""

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from app.services.evaluation.judging import NegativeOutcome, QuestionOutcome, Scope
from app.services.evaluation.metrics import mean, percentile
from app.services.evaluation.report import Ingestion, SearchTimes

# The number of sources that are examined.
SERVED = 5
SCOPES: tuple[Scope, ...] = ("main", "other", "across")


class Cell(Struct, frozen=True):
    """Shares of a group of questions, between 0 and 1; None where no question has the property.

    A cell without `scope` is of all questions, one without `kind` and `lang` of all in its scope.
    `wrongly_refused` counts every refusal, since each question has an answer in the library.
    """

    scope: Scope | None
    kind: str | None
    lang: str | None
    questions: int
    moment_at_1: float
    moment_at_5: float
    sentence_at_1: float
    sentence_at_5: float
    document_at_5: float
    told: float | None
    cites: float
    wrongly_refused: float
    creator_tier: float | None
    creator_questions: int


class Refused(Struct, frozen=True):
    """The share of questions of a kind that were refused, as they should be; None: of all kinds."""

    kind: str | None
    questions: int
    refused: float


class FollowUps(Struct, frozen=True):
    """The share of follow-ups with an answer in the first five sources.

    `whole_recall_at_5` is the share for the standalone questions. `missed` has the ids of those
    answered only as standalone questions, `gained` of those answered only as follow-ups.
    """

    questions: int
    recall_at_5: float
    whole_recall_at_5: float
    missed: tuple[str, ...]
    gained: tuple[str, ...]


class LibraryReport(Struct, frozen=True):
    """The results for the questions about a library; docs/evaluation.md defines the measures.

    `language` is the library's main language. `skipped` has the ids of questions whose answers are
    not in the library. `ingestion` is None for a library that was ingested before.
    """

    name: str
    language: str
    passages: int
    questions: int
    skipped: tuple[str, ...]
    cells: tuple[Cell, ...]
    negatives: tuple[Refused, ...]
    search_ms: SearchTimes | None
    reply_ms: SearchTimes | None
    ingestion: Ingestion | None
    follow_ups: FollowUps | None
    outcomes: tuple[QuestionOutcome, ...]
    negative_outcomes: tuple[NegativeOutcome, ...]


def summarize(outcomes: Sequence[QuestionOutcome]) -> tuple[Cell, ...]:
    """Return the cells: of all questions, of each scope, and its kinds and languages."""
    if not outcomes:
        return ()
    cells = [_cell(outcomes)]
    for scope in SCOPES:
        if own := [one for one in outcomes if one.scope == scope]:
            cells.append(_cell(own, scope))
            cells += _by_kind(own, scope)
            cells += _by_language(own, scope)
    return tuple(cells)


def _by_kind(outcomes: Sequence[QuestionOutcome], scope: Scope) -> Iterator[Cell]:
    for kind in _distinct([one.kind for one in outcomes if one.kind]):
        yield _cell([one for one in outcomes if one.kind == kind], scope, kind=kind)


def _by_language(outcomes: Sequence[QuestionOutcome], scope: Scope) -> Iterator[Cell]:
    languages = _distinct([one.lang for one in outcomes])
    if scope != "main":
        for lang in languages:
            yield _cell([one for one in outcomes if one.lang == lang], scope, lang=lang)


def _distinct(names: Sequence[str]) -> list[str]:
    """Return each name once, the most common first."""
    return sorted(set(names), key=lambda name: (-names.count(name), name))


def _cell(
    outcomes: Sequence[QuestionOutcome],
    scope: Scope | None = None,
    *,
    kind: str | None = None,
    lang: str | None = None,
) -> Cell:
    told = [one.told for one in outcomes if one.told is not None]
    tiers = [one.creator_tier for one in outcomes if one.creator_tier is not None]
    return Cell(
        scope=scope,
        kind=kind,
        lang=lang,
        questions=len(outcomes),
        moment_at_1=_share([one.moment_rank == 1 for one in outcomes]),
        moment_at_5=_share([is_among(one.moment_rank) for one in outcomes]),
        sentence_at_1=_share([one.sentence_rank == 1 for one in outcomes]),
        sentence_at_5=_share([is_among(one.sentence_rank) for one in outcomes]),
        document_at_5=_share([is_among(one.document_rank) for one in outcomes]),
        told=_share(told) if told else None,
        cites=_share([one.cites for one in outcomes]),
        wrongly_refused=_share([one.refused for one in outcomes]),
        creator_tier=_share(tiers) if tiers else None,
        creator_questions=len(tiers),
    )


def is_among(rank: int | None) -> bool:
    """Return whether a rank is among the first five."""
    return rank is not None and rank <= SERVED


def _share(values: Sequence[bool]) -> float:
    return mean([float(value) for value in values])


def summarize_negatives(outcomes: Sequence[NegativeOutcome]) -> tuple[Refused, ...]:
    """Return the share refused of all, and of each kind in the order of the outcomes."""
    if not outcomes:
        return ()
    kinds = dict.fromkeys(one.kind for one in outcomes)
    groups = {kind: [one.refused for one in outcomes if one.kind == kind] for kind in kinds}
    return (
        Refused(None, len(outcomes), _share([one.refused for one in outcomes])),
        *(Refused(kind, len(refused), _share(refused)) for kind, refused in groups.items()),
    )


def summarize_times(milliseconds: Sequence[float]) -> SearchTimes | None:
    """Return the percentiles, None if there are no times."""
    if not milliseconds:
        return None
    return SearchTimes(percentile(milliseconds, 0.5), percentile(milliseconds, 0.95))


def summarize_follow_ups(found: Mapping[str, tuple[bool, bool]]) -> FollowUps | None:
    """Aggregate id → found as a follow-up and standalone; None if there are none."""
    if not found:
        return None
    return FollowUps(
        questions=len(found),
        recall_at_5=_share([own for own, _ in found.values()]),
        whole_recall_at_5=_share([whole for _, whole in found.values()]),
        missed=tuple(name for name, (own, whole) in found.items() if whole and not own),
        gained=tuple(name for name, (own, whole) in found.items() if own and not whole),
    )
