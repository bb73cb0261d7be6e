"""Set the thresholds of the answerability classifiers from the results of off-topic questions."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TypeAlias

from app.services.search.answerability import (
    AnswerabilityClassifier,
    CalibratedRegression,
    PassageScores,
    QuestionTraits,
    Regime,
    ranking_features,
    regime_of,
    semantic_features,
)
from app.services.search.text import stems
from app.services.search.weights import WEIGHTS

Ranking: TypeAlias = Sequence[PassageScores]

# Shares of the off-topic questions to refuse, and to refuse without showing the closest passages.
# In practice, unanswerable questions are closer to the library than these.
REFUSED: dict[Regime, tuple[float, float]] = {
    "full": (0.97, 0.9),
    # Nearly all these consist of words that the library has.
    "short": (0.7, 0.5),
    "semantic": (0.93, 0.8),
}
# Questions always allowed through, because the highest scores in a small set are noise.
MIN_ALLOWED = 2
# Questions of a kind that must find anything.
MIN_EXAMPLES = 20


def group_by_regime(
    questions: Iterable[str], rankings: Iterable[Ranking], configuration: str
) -> dict[Regime, list[Ranking]]:
    """Group the rankings that are not empty by the regime of their questions."""
    grouped: dict[Regime, list[Ranking]] = defaultdict(list)
    for question, ranking in zip(questions, rankings, strict=True):
        if ranking:
            traits = QuestionTraits(len(set(stems(question, configuration))))
            grouped[regime_of(ranking, traits)].append(ranking)
    return grouped


def calibrated_classifier(
    off_topic: dict[Regime, list[Ranking]], *, hybrid: bool
) -> AnswerabilityClassifier | None:
    """Return a classifier that refuses the intended shares of the off-topic questions.

    Returns None if too few of them found anything.
    """
    weights = WEIGHTS.hybrid if hybrid else WEIGHTS.lexical
    if len(off_topic.get("full", [])) < MIN_EXAMPLES:
        # A small library lacks most words of most questions.
        off_topic = {**off_topic, "full": [one for group in off_topic.values() for one in group]}
    full = calibrate_regression("full", weights, off_topic)
    if full is None:
        return None
    scores = sorted(ranking[0].score for ranking in off_topic["full"])
    return AnswerabilityClassifier(
        full=full,
        floor=scores[-1 - allowed_through(REFUSED["full"][0], len(scores))],
        short=calibrate_regression("short", weights, off_topic),
        semantic=calibrate_regression("semantic", WEIGHTS.semantic, off_topic) if hybrid else None,
    )


def calibrate_regression(
    regime: Regime, weights: tuple[float, ...], off_topic: dict[Regime, list[Ranking]]
) -> CalibratedRegression | None:
    """Return a regression with these weights that refuses the regime's share of its questions.

    Returns None if they are too few.
    """
    rankings = off_topic.get(regime, [])
    if len(rankings) < MIN_EXAMPLES:
        return None
    summarize = semantic_features if regime == "semantic" else ranking_features
    rows = [summarize(ranking) for ranking in rankings]
    means, scales = standardization(rows)
    unbiased = CalibratedRegression(weights, means, scales)
    logits = sorted(map(unbiased.logit, rows))
    refused, shown = REFUSED[regime]
    threshold = logits[-1 - allowed_through(refused, len(logits))]
    margin = threshold - logits[-1 - allowed_through(shown, len(logits))]
    return CalibratedRegression(weights, means, scales, -threshold, margin)


def allowed_through(refused: float, questions: int) -> int:
    """Return how many of the off-topic questions may be answered if a share is to be refused."""
    return min(questions - 1, max(MIN_ALLOWED, int((1 - refused) * questions)))


def standardization(
    rows: Sequence[Sequence[float]],
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the means and standard deviations of the columns; 1 for a constant column."""
    columns = list(zip(*rows, strict=True))
    means = [math.fsum(column) / len(column) for column in columns]
    deviations = [
        math.sqrt(math.fsum((value - mean) ** 2 for value in column) / len(column))
        for column, mean in zip(columns, means, strict=True)
    ]
    # Rounding gives a constant feature a tiny deviation.
    return tuple(means), tuple(one if one > 1e-9 else 1.0 for one in deviations)
