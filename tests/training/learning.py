"""Learn weights from the results of several libraries."""

from collections.abc import Iterable, Sequence
from statistics import median
from typing import Literal, TypeAlias

from app.services.search.answerability import (
    CalibratedRegression,
    Regime,
    ranking_features,
    semantic_features,
    standardize,
)
from app.services.search.thresholds import (
    REFUSED,
    Ranking,
    allowed_through,
    calibrate_regression,
    standardization,
)
from app.services.search.weights import TrainingSet, TypicalCalibration, Weights
from tests.training.examples import Rankings, TrainingLibrary
from tests.training.logistic_regression import Example, fit

# A set of weights: which results it is learned from.
Target: TypeAlias = Literal["lexical", "hybrid", "semantic"]

# Each library has this total weight in either class, whatever its number of questions.
CLASS_WEIGHT = 100.0
# Fewer questions of a class tell nothing about a library.
MIN_QUESTIONS = 10


def learn(libraries: Sequence[TrainingLibrary], embedder: str) -> Weights:
    """Learn all weights, and measure each library with weights learned from the others."""
    semantic = _learn("semantic", libraries)
    return Weights(
        lexical=_learn("lexical", libraries),
        hybrid=_learn("hybrid", libraries),
        semantic=semantic,
        typical_semantic=_typical(semantic, libraries),
        embedder=embedder,
        trained_on=tuple(
            TrainingSet(
                name=one.name,
                passages=one.passages,
                answerable=_count(one.hybrid.answerable.values()),
                unanswerable=_count(one.hybrid.unanswerable.values())
                + _count(one.hybrid.off_topic.values()),
                lost=round(_lost(one, [other for other in libraries if other is not one]), 3),
            )
            for one in libraries
        ),
    )


def _typical(
    weights: tuple[float, ...], libraries: Sequence[TrainingLibrary]
) -> TypicalCalibration:
    """Return the median calibration of the libraries for questions whose words they lack."""
    calibrated = [
        one
        for library in libraries
        if (one := calibrate_regression("semantic", weights, library.hybrid.off_topic))
    ]

    def medians(rows: Iterable[Sequence[float]]) -> tuple[float, ...]:
        return tuple(round(median(column), 3) for column in zip(*rows, strict=True))

    bias, margin = medians([(one.bias, one.margin) for one in calibrated])
    return TypicalCalibration(
        means=medians(one.means for one in calibrated),
        scales=medians(one.scales for one in calibrated),
        bias=bias,
        margin=margin,
    )


def _count(groups: Iterable[Sequence[Ranking]]) -> int:
    return sum(map(len, groups))


def _learn(target: Target, libraries: Sequence[TrainingLibrary]) -> tuple[float, ...]:
    examples = [one for library in libraries for one in _examples(target, library)]
    return tuple(round(weight, 3) for weight in fit(examples))


def _examples(target: Target, library: TrainingLibrary) -> list[Example]:
    """Return standardized examples; none if the library has too few questions of a kind."""
    results, regime = _results(target, library)
    off_topic = _features(regime, results.off_topic)
    answerable = _features(regime, results.answerable)
    unanswerable = _features(regime, results.unanswerable) + off_topic
    if min(len(answerable), len(off_topic)) < MIN_QUESTIONS:
        return []
    means, scales = standardization(off_topic)
    return [
        Example(
            tuple(standardize(row, means, scales)),
            is_answerable,
            CLASS_WEIGHT / len(rows),
        )
        for rows, is_answerable in ((answerable, True), (unanswerable, False))
        for row in rows
    ]


def _results(target: Target, library: TrainingLibrary) -> tuple[Rankings, Regime]:
    results = library.lexical if target == "lexical" else library.hybrid
    return results, "semantic" if target == "semantic" else "full"


def _features(regime: Regime, groups: dict[Regime, list[Ranking]]) -> list[tuple[float, ...]]:
    summarize = semantic_features if regime == "semantic" else ranking_features
    return [summarize(ranking) for ranking in groups.get(regime, [])]


def _lost(library: TrainingLibrary, others: Sequence[TrainingLibrary]) -> float:
    """Return the share of answerable questions that are refused with weights of other libraries."""
    results, regime = _results("hybrid", library)
    off_topic = _features(regime, results.off_topic)
    means, scales = standardization(off_topic)
    regression = CalibratedRegression(_learn("hybrid", others), means, scales)
    logits = sorted(map(regression.logit, off_topic))
    threshold = logits[-1 - allowed_through(REFUSED[regime][0], len(logits))]
    answerable = _features(regime, results.answerable)
    return sum(regression.logit(row) <= threshold for row in answerable) / len(answerable)
