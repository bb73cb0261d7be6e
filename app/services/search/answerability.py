"""Decide from the scores of a search whether the library answers a question, and in which tier.

The classifier is a logistic regression. Its weights are the same for every library (see `weights`);
what counts as an unusual score and how much is enough depend on the library's subject, and are
calibrated on each (see `calibration`).
"""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from operator import mul
from typing import Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from app.schemas import Tier, TierHits, Verdict
from app.services.search.weights import LEXICAL, SEMANTIC, WEIGHTS

# Kinds of questions with different thresholds: those whose words the library lacks, such as those
# in another language (only the cosines count), short ones, and all others.
Regime: TypeAlias = Literal["semantic", "short", "full"]

# Confidence needed to answer.
THRESHOLD = 0.5
# The number of best passages that the classifier gets.
DEPTH = 12
# The share of the question's idf below which the library lacks its words.
LOW_COVERAGE = 0.5
# The number of content words up to which a question is short.
SHORT = 2
# Subtracted from the log-odds of a question with a name or number that the library never has.
UNKNOWN_TERM_PENALTY = 1.25
# In standard deviations: the scores of a language with few passages are not comparable to others.
MAX_DEVIATION = 6.0
# A narrow tier is passed over if a wider one's best score is more than this many times its own: a
# creator who only mentions a word of the question does not answer it.
OVERRIDE_RATIO = 1.6


class PassageScores(Struct, frozen=True):
    """The scores of one passage, roughly 0 to 1; `cosine` is None in lexical search.

    `idf` is the total idf of the question; `coverage` is the share of it in the passage,
    `library_coverage` the share of it in the whole library.
    """

    score: float
    lexical: float
    cosine: float | None
    coverage: float
    library_coverage: float
    idf: float


class QuestionTraits(Struct, frozen=True):
    """What the classifier knows about a question, apart from its results.

    `content_words` is the number of different ones, `unknown_terms` the names and numbers that the
    library never has.
    """

    content_words: int = SHORT + 1
    unknown_terms: tuple[str, ...] = ()


class CalibratedRegression(Struct, frozen=True):
    """A logistic regression, calibrated on questions that the library does not answer.

    `means` and `scales` are the features' for these questions. The log-odds are 0 at the threshold
    for an answer, and `-margin` at the one for showing the closest passages.
    """

    weights: tuple[float, ...]
    means: tuple[float, ...]
    scales: tuple[float, ...]
    bias: float = 0.0
    margin: float = 0.0

    def logit(self, features: Sequence[float]) -> float:
        """Return the log-odds that the question is answered."""
        standardized = standardize(features, self.means, self.scales)
        return self.bias + math.fsum(map(mul, self.weights, standardized))


def standardize(
    features: Sequence[float], means: Sequence[float], scales: Sequence[float]
) -> list[float]:
    """Return the features in standard deviations from the means, limited to `MAX_DEVIATION`."""
    return [
        max(-MAX_DEVIATION, min(MAX_DEVIATION, (value - mean) / scale))
        for value, mean, scale in zip(features, means, scales, strict=True)
    ]


class Assessment(Struct, frozen=True):
    """`confidence` is the probability (0 to 1) that passages answer a question.

    `is_close` means that they may be worth showing even if the confidence is not enough.
    """

    confidence: float
    is_close: bool


class AnswerabilityClassifier(Struct, frozen=True):
    """A library's classifier, stored as JSON in the table `gates`.

    It has a regression for each regime; without `short` or `semantic`, `full` is used. `floor` is a
    score that is rarely reached for questions that the library does not answer.
    """

    full: CalibratedRegression
    floor: float
    short: CalibratedRegression | None = None
    semantic: CalibratedRegression | None = None

    def assess(
        self,
        ranking: Sequence[PassageScores],
        question: QuestionTraits,
    ) -> Assessment:
        """Assess whether the ranked passages answer the question."""
        if not ranking:
            return Assessment(0.0, is_close=False)
        regime = regime_of(ranking, question)
        if regime == "semantic" and self.semantic:
            regression, features = self.semantic, semantic_features(ranking)
        else:
            short = self.short if regime == "short" else None
            regression, features = short or self.full, ranking_features(ranking)
        logit = regression.logit(features)
        # Most words of a question in another language are unknown, not only its names.
        if question.unknown_terms and ranking[0].library_coverage >= LOW_COVERAGE:
            logit -= UNKNOWN_TERM_PENALTY
        confidence = 1 / (1 + math.exp(-max(-30.0, min(30.0, logit))))
        return Assessment(confidence, is_close=logit >= -regression.margin)


def regime_of(ranking: Sequence[PassageScores], question: QuestionTraits) -> Regime:
    """Return the regime of a question with this ranking, which is not empty."""
    if ranking[0].cosine is not None and ranking[0].library_coverage < LOW_COVERAGE:
        return "semantic"
    return "short" if question.content_words <= SHORT else "full"


def ranking_features(ranking: Sequence[PassageScores]) -> tuple[float, ...]:
    """Return the features of a ranking, which is not empty and has the best passage first.

    They are named by `weights.LEXICAL` and, in hybrid search, by `weights.SEMANTIC`.
    """
    best = ranking[0]
    lexical = (
        best.score - ranking[-1].score,
        max(one.lexical for one in ranking),
        best.coverage,
        # Half of a long question is stronger evidence than half of a short one.
        max(one.coverage for one in ranking) * best.idf,
        best.library_coverage,
    )
    return lexical if best.cosine is None else (*lexical, *semantic_features(ranking))


def semantic_features(ranking: Sequence[PassageScores]) -> tuple[float, ...]:
    """Return the features of a ranking that depend on cosines only."""
    cosines = sorted((one.cosine or 0.0 for one in ranking), reverse=True)
    nearest = cosines[:5]
    return cosines[0], math.fsum(nearest) / len(nearest), ranking[0].cosine or 0.0


class Decision(Struct, frozen=True):
    """The tier that answers and the verdict on each.

    With tier `none`, `closest` is the narrowest tier that has passages worth showing, if any.
    """

    tier: Tier
    verdicts: tuple[TierHits, ...]
    closest: Tier = "none"


def choose_tier(
    tiers: Mapping[Tier, Sequence[PassageScores]],
    classifier: AnswerabilityClassifier,
    question: QuestionTraits,
) -> Decision:
    """Choose the narrowest tier above the threshold, unless a wider one scores much better.

    `tiers` has the narrowest first. If the best passage of a wider tier is in a narrower one, that
    has at least the same confidence.
    """
    assessed = _assess_tiers(tiers, classifier, question)
    enough = [tier for tier, one in assessed.items() if one.confidence >= THRESHOLD]
    answers = _narrowest_good_enough({tier: tiers[tier] for tier in enough})
    wider = list(tiers)[list(tiers).index(answers) + 1 :] if answers else []

    def verdict(tier: Tier) -> Verdict:
        if tier == answers:
            return "answers"
        if tier not in enough:
            return "too little"
        return "not needed" if tier in wider else "others say more"

    def hits(tier: Tier) -> int:
        if tier not in enough:
            return 0
        # The best passage counts even if it is below the floor.
        floor = min(classifier.floor, tiers[tier][0].score)
        return sum(one.score >= floor for one in tiers[tier])

    return Decision(
        tier=answers or "none",
        verdicts=tuple(
            TierHits(tier, hits(tier), round(one.confidence, 3), verdict(tier))
            for tier, one in assessed.items()
        ),
        closest="none"
        if answers
        else next((tier for tier, one in assessed.items() if one.is_close), "none"),
    )


def _assess_tiers(
    tiers: Mapping[Tier, Sequence[PassageScores]],
    classifier: AnswerabilityClassifier,
    question: QuestionTraits,
) -> dict[Tier, Assessment]:
    assessed = {tier: classifier.assess(ranking, question) for tier, ranking in tiers.items()}
    for wider, tier in pairwise(reversed(list(tiers))):
        narrow, wide = tiers[tier], tiers[wider]
        if narrow and wide and narrow[0].score >= wide[0].score:
            assessed[tier] = max(assessed[tier], assessed[wider], key=lambda one: one.confidence)
    return assessed


def _narrowest_good_enough(tiers: Mapping[Tier, Sequence[PassageScores]]) -> Tier | None:
    # A cosine, and so a score, may be negative.
    best = {tier: max(0.0, ranking[0].score) for tier, ranking in tiers.items()}
    most = max(best.values(), default=0.0)
    return next((tier for tier, score in best.items() if most <= OVERRIDE_RATIO * score), None)


def _by_coverage(features: int) -> AnswerabilityClassifier:
    """Return a classifier for libraries too small to calibrate: only the best coverage counts."""
    weights = [0.0] * features
    weights[2] = 10.0
    return AnswerabilityClassifier(
        CalibratedRegression(
            tuple(weights), (0.0,) * features, (1.0,) * features, bias=-3.5, margin=1.5
        ),
        floor=0.2,
    )


DEFAULT_LEXICAL = _by_coverage(len(LEXICAL))
_HYBRID = _by_coverage(len(LEXICAL) + len(SEMANTIC))
_TYPICAL = WEIGHTS.typical_semantic
_HYBRID_WITH_COSINES = replace(
    _HYBRID,
    semantic=CalibratedRegression(
        WEIGHTS.semantic, _TYPICAL.means, _TYPICAL.scales, _TYPICAL.bias, _TYPICAL.margin
    ),
)


def default_hybrid(embedder: str | None) -> AnswerabilityClassifier:
    """Return the default for libraries with embeddings by this embedder.

    What cosines are typical is known only for the embedder that the weights were learned with.
    """
    return _HYBRID_WITH_COSINES if embedder == WEIGHTS.embedder else _HYBRID
