"""A ranking's figures come in; whether the question is answered there, and how sure, goes out.

A logistic regression over a handful of features, learned for each library (services/calibrate.py)
and kept with it, since what a good score is depends on what the library speaks of. Pure.
"""

import math
from collections.abc import Mapping, Sequence
from operator import mul

from msgspec import Struct

from app.schemas import Tier, TierHits, Verdict

# How sure the gate must be, and how many of the best passages it looks at.
NEEDED = 0.5
DEPTH = 12
# With a smaller part of the question's words in the library, its meaning alone may be enough.
FEW_KNOWN = 0.5
# A narrower tier yields to a wider one whose best passage is more than so many times as good: a
# creator who merely uses a word of the question does not answer it.
MUCH_BETTER = 1.6


class PassageScores(Struct, frozen=True):
    """What a search says of one passage; `cosine` is None where words alone are compared.

    `score`, `lexical` and `cosine` are near 0 … 1. `coverage` is the part of the question's idf
    that the passage has, `known` the part that the library has at all, `worth` the whole of it.
    """

    score: float
    lexical: float
    cosine: float | None
    coverage: float
    known: float
    worth: float


class AnswerabilityClassifier(Struct, frozen=True):
    """A fitted model: standardise the features, weigh them, compare with 0.

    `centroid` is the mean of the library's embeddings; `by_meaning` judges by cosines alone, for
    questions whose words the library does not use, such as those in another language. `floor` is
    a score that few passages have for questions which the library does not answer.
    """

    means: tuple[float, ...]
    scales: tuple[float, ...]
    weights: tuple[float, ...]
    bias: float
    floor: float
    centroid: tuple[float, ...] = ()
    by_meaning: "AnswerabilityClassifier | None" = None

    def confidence(self, ranking: Sequence[PassageScores], typical: float = 0.0) -> float:
        """Return how sure it is, 0 … 1, that the best passages answer; from 0.5 on they do.

        `typical` is what `typical` gives for the question.
        """
        if not ranking:
            return 0.0
        logit = self.logit(features(ranking, typical))
        if self.by_meaning and ranking[0].known < FEW_KNOWN:
            logit = max(logit, self.by_meaning.logit(nearness(ranking, typical)))
        return 1 / (1 + math.exp(-max(-30.0, min(30.0, logit))))

    def logit(self, values: Sequence[float]) -> float:
        """Weigh features; above 0 the question is rather answered than not."""
        return self.bias + sum(
            weight * (value - mean) / scale
            for value, mean, scale, weight in zip(
                values, self.means, self.scales, self.weights, strict=True
            )
        )

    def typical(self, embedding: Sequence[float]) -> float:
        """Return the mean cosine of a question with all that the library has."""
        if not self.centroid:
            return 0.0
        if len(self.centroid) != len(embedding):
            raise ValueError("the embedding has another dimension than the library's")
        cosine: float = sum(map(mul, self.centroid, embedding))
        return cosine


def features(ranking: Sequence[PassageScores], typical: float) -> tuple[float, ...]:
    """Sum a ranking up, best first, at most a dozen passages."""
    best, last = ranking[0], ranking[-1]
    coverage = max(one.coverage for one in ranking)
    common = (
        best.score,
        ranking[min(2, len(ranking) - 1)].score,
        best.score - last.score,
        max(one.lexical for one in ranking),
        best.coverage,
        coverage,
        # A long question of which half is found says more than a short one.
        coverage * best.worth,
        best.known,
    )
    if best.cosine is None:
        return common
    near = nearness(ranking, typical)
    return (*common, *near, best.cosine, near[0] * coverage)


def nearness(ranking: Sequence[PassageScores], typical: float) -> tuple[float, ...]:
    """Sum up what a ranking says of the meaning alone."""
    cosines = sorted((one.cosine or 0.0 for one in ranking), reverse=True)
    nearest = cosines[:5]
    # What is near to everything is near to nothing in particular.
    return cosines[0], sum(nearest) / len(nearest), typical


def decide(
    tiers: Mapping[Tier, Sequence[PassageScores]],
    gate: AnswerabilityClassifier,
    embedding: Sequence[float] = (),
) -> tuple[Tier, tuple[TierHits, ...]]:
    """Choose among tiers, the narrowest first, the one that answers; say of each why.

    The first that the gate is sure of answers, unless a wider one is much better.
    """
    names = list(tiers)
    typical = gate.typical(embedding)
    sure = {tier: gate.confidence(ranking, typical) for tier, ranking in tiers.items()}
    # A cosine may be negative; what is sure none the less answers.
    best = {tier: max(0.0, ranking[0].score) if ranking else 0.0 for tier, ranking in tiers.items()}
    enough = [tier for tier in names if sure[tier] >= NEEDED]
    answers = next(
        (tier for tier in enough if all(best[w] <= MUCH_BETTER * best[tier] for w in enough)),
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
        least = min(gate.floor, tiers[tier][0].score)
        return sum(one.score >= least for one in tiers[tier])

    verdicts = tuple(
        TierHits(
            tier,
            hits=hits(tier),
            confidence=round(sure[tier], 3),
            verdict=verdict(tier),
        )
        for tier in names
    )
    return answers or "none", verdicts


def fit(
    answered: Sequence[Sequence[float]], foreign: Sequence[Sequence[float]]
) -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]:
    """Fit the regression: means and scales of the features, and their weights.

    Both kinds of question count alike however many there are. By Newton's method, with a ridge
    that keeps features which say the same from fighting.
    """
    columns = list(zip(*foreign, strict=True))
    means = [sum(column) / len(column) for column in columns]
    spreads = [
        math.sqrt(sum((v - mean) ** 2 for v in column) / len(column))
        for column, mean in zip(columns, means, strict=True)
    ]
    # A mean is rounded: what is always the same may seem to differ a little.
    scales = [spread if spread > 1e-9 else 1.0 for spread in spreads]
    rows = [
        ([*((v - m) / s for v, m, s in zip(row, means, scales, strict=True)), 1.0], label, share)
        for kind, label in ((answered, 1.0), (foreign, 0.0))
        for row in kind
        for share in ((len(answered) + len(foreign)) / (2 * len(kind)),)
    ]
    size = len(means) + 1
    weights = [0.0] * size
    for _ in range(30):
        gradient = [w * RIDGE for w in weights]
        hessian = [[RIDGE if i == j else 0.0 for j in range(size)] for i in range(size)]
        for row, label, share in rows:
            logit = sum(w * v for w, v in zip(weights, row, strict=True))
            p = 1 / (1 + math.exp(-max(-30.0, min(30.0, logit))))
            slope = share * p * (1 - p)
            for i, value in enumerate(row):
                gradient[i] += share * (p - label) * value
                for j in range(i + 1):
                    hessian[i][j] += slope * value * row[j]
        step = _solve(hessian, gradient)
        weights = [w - s for w, s in zip(weights, step, strict=True)]
        if max(map(abs, step)) < 1e-6:
            break
    return tuple(means), tuple(scales), tuple(weights[:-1])


RIDGE = 1.0


def _solve(lower: list[list[float]], right: list[float]) -> list[float]:
    """Solve a symmetric positive definite system, given its lower half, by Cholesky's method."""
    size = len(right)
    root = [[0.0] * size for _ in range(size)]
    for i in range(size):
        for j in range(i + 1):
            rest = lower[i][j] - sum(root[i][k] * root[j][k] for k in range(j))
            root[i][j] = math.sqrt(rest) if i == j else rest / root[j][j]
    middle = [0.0] * size
    for i in range(size):
        middle[i] = (right[i] - sum(root[i][k] * middle[k] for k in range(i))) / root[i][i]
    solved = [0.0] * size
    for i in reversed(range(size)):
        above = sum(root[k][i] * solved[k] for k in range(i + 1, size))
        solved[i] = (middle[i] - above) / root[i][i]
    return solved


# For libraries too small to learn from.
DEFAULT_LEXICAL = AnswerabilityClassifier(
    (0.0,) * 8, (1.0,) * 8, (0.0, 0.0, 0.0, 0.0, 10.0, 0.0, 0.0, 0.0), -3.5, 0.2
)
DEFAULT_HYBRID = AnswerabilityClassifier(
    (0.0,) * 13, (1.0,) * 13, (0.0, 0.0, 0.0, 0.0, 10.0, *(0.0,) * 8), -3.5, 0.2
)
