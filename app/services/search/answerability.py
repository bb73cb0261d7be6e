"""Decide from the scores of a search whether the library answers a question, and in which tier.

The classifier is a logistic regression. It is fitted to each library (see `calibration`), because
what counts as a good score depends on the library's subject.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from operator import mul

import msgspec
from msgspec import Struct

from app.schemas import Tier, TierHits, Verdict

# Confidence needed to answer.
THRESHOLD = 0.5
# The number of best passages that the classifier gets.
DEPTH = 12
# If the library has a smaller share of the question's idf, high cosines alone suffice.
LOW_COVERAGE = 0.5
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


class AnswerabilityClassifier(Struct, frozen=True):
    """A fitted logistic regression over `ranking_features`, stored as JSON in the table `gates`.

    `centroid` is the mean embedding of the library. `semantic` uses only cosines, for questions
    whose words the library lacks, such as those in another language. `floor` is a score that is
    rarely reached for questions that the library does not answer.
    """

    means: tuple[float, ...]
    scales: tuple[float, ...]
    weights: tuple[float, ...]
    bias: float
    floor: float
    centroid: tuple[float, ...] = ()
    semantic: "AnswerabilityClassifier | None" = msgspec.field(default=None, name="by_meaning")

    def confidence(
        self, ranking: Sequence[PassageScores], centroid_similarity: float = 0.0
    ) -> float:
        """Return the probability (0 to 1) that the ranked passages answer the question."""
        if not ranking:
            return 0.0
        logit = self.logit(ranking_features(ranking, centroid_similarity))
        if self.semantic and ranking[0].library_coverage < LOW_COVERAGE:
            semantic = self.semantic.logit(semantic_features(ranking, centroid_similarity))
            logit = max(logit, semantic)
        return 1 / (1 + math.exp(-max(-30.0, min(30.0, logit))))

    def logit(self, features: Sequence[float]) -> float:
        """Return the log-odds that the question is answered."""
        return self.bias + sum(
            weight * (value - mean) / scale
            for value, mean, scale, weight in zip(
                features, self.means, self.scales, self.weights, strict=True
            )
        )

    def centroid_similarity(self, embedding: Sequence[float]) -> float:
        """Return the mean cosine of a question with all passages of the library."""
        if not self.centroid:
            return 0.0
        if len(self.centroid) != len(embedding):
            raise ValueError("the embedding and the library's centroid differ in dimension")
        cosine: float = sum(map(mul, self.centroid, embedding))
        return cosine


def ranking_features(
    ranking: Sequence[PassageScores], centroid_similarity: float
) -> tuple[float, ...]:
    """Return the features of a ranking, which is not empty and has the best passage first."""
    best, last = ranking[0], ranking[-1]
    coverage = max(one.coverage for one in ranking)
    lexical = (
        best.score,
        ranking[min(2, len(ranking) - 1)].score,
        best.score - last.score,
        max(one.lexical for one in ranking),
        best.coverage,
        coverage,
        # Half of a long question is stronger evidence than half of a short one.
        coverage * best.idf,
        best.library_coverage,
    )
    if best.cosine is None:
        return lexical
    semantic = semantic_features(ranking, centroid_similarity)
    return (*lexical, *semantic, best.cosine, semantic[0] * coverage)


def semantic_features(
    ranking: Sequence[PassageScores], centroid_similarity: float
) -> tuple[float, ...]:
    """Return the features of a ranking that depend on cosines only."""
    cosines = sorted((one.cosine or 0.0 for one in ranking), reverse=True)
    nearest = cosines[:5]
    # A question that is similar to every passage is not answered by any of them.
    return cosines[0], sum(nearest) / len(nearest), centroid_similarity


def choose_tier(
    tiers: Mapping[Tier, Sequence[PassageScores]],
    classifier: AnswerabilityClassifier,
    embedding: Sequence[float] = (),
) -> tuple[Tier, tuple[TierHits, ...]]:
    """Return the tier that answers and the verdict on each; `tiers` has the narrowest first.

    The narrowest tier above the threshold answers, unless a wider one scores much better. If the
    best passage of a wider tier is in a narrower one, that has at least the same confidence.
    """
    names = list(tiers)
    similarity = classifier.centroid_similarity(embedding)
    confidence = {
        tier: classifier.confidence(ranking, similarity) for tier, ranking in tiers.items()
    }
    # A cosine, and so a score, may be negative.
    best = {tier: max(0.0, ranking[0].score) if ranking else 0.0 for tier, ranking in tiers.items()}
    for wider, tier in pairwise(reversed(names)):
        if tiers[tier] and best[tier] >= best[wider]:
            confidence[tier] = max(confidence[tier], confidence[wider])
    enough = [tier for tier in names if confidence[tier] >= THRESHOLD]
    answers = next(
        (
            tier
            for tier in enough
            if all(best[other] <= OVERRIDE_RATIO * best[tier] for other in enough)
        ),
        None,
    )

    def verdict(tier: Tier) -> Verdict:
        if tier == answers:
            return "answers"
        if tier not in enough:
            return "too little"
        wider = answers is not None and names.index(tier) > names.index(answers)
        return "not needed" if wider else "others say more"

    def hits(tier: Tier) -> int:
        if tier not in enough:
            return 0
        # The best passage counts even if it is below the floor.
        floor = min(classifier.floor, tiers[tier][0].score)
        return sum(one.score >= floor for one in tiers[tier])

    verdicts = tuple(
        TierHits(
            tier, hits=hits(tier), confidence=round(confidence[tier], 3), verdict=verdict(tier)
        )
        for tier in names
    )
    return answers or "none", verdicts


# For libraries too small to calibrate: only the coverage of the best passage counts.
DEFAULT_LEXICAL = AnswerabilityClassifier(
    (0.0,) * 8, (1.0,) * 8, (0.0, 0.0, 0.0, 0.0, 10.0, 0.0, 0.0, 0.0), -3.5, 0.2
)
DEFAULT_HYBRID = AnswerabilityClassifier(
    (0.0,) * 13, (1.0,) * 13, (0.0, 0.0, 0.0, 0.0, 10.0, *(0.0,) * 8), -3.5, 0.2
)
