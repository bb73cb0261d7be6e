"""Ridge-penalized logistic regression, fitted by Newton's method."""

import math
from collections.abc import Sequence

from msgspec import Struct

RIDGE = 10.0
_MAX_ITERATIONS = 50
_TOLERANCE = 1e-6


class Example(Struct, frozen=True):
    """Standardized features, whether the library answers the question, and how much it counts."""

    features: tuple[float, ...]
    answerable: bool
    weight: float


def fit(examples: Sequence[Example], ridge: float = RIDGE) -> tuple[float, ...]:
    """Return the weights of the features, without the intercept.

    The ridge, which the intercept does not have, keeps correlated features from getting opposite
    large weights.
    """
    size = len(examples[0].features) + 1
    penalty = [*[ridge] * (size - 1), 1e-6]
    weights = [0.0] * size
    for _ in range(_MAX_ITERATIONS):
        gradient = [w * p for w, p in zip(weights, penalty, strict=True)]
        hessian = [[penalty[i] if i == j else 0.0 for j in range(size)] for i in range(size)]
        for one in examples:
            row = (*one.features, 1.0)
            logit = math.fsum(w * v for w, v in zip(weights, row, strict=True))
            p = 1 / (1 + math.exp(-max(-30.0, min(30.0, logit))))
            error, slope = one.weight * (p - one.answerable), one.weight * p * (1 - p)
            for i, value in enumerate(row):
                gradient[i] += error * value
                for j in range(i + 1):
                    hessian[i][j] += slope * value * row[j]
        step = _solve(hessian, gradient)
        weights = [w - s for w, s in zip(weights, step, strict=True)]
        if max(map(abs, step)) < _TOLERANCE:
            break
    return tuple(weights[:-1])


def _solve(lower: list[list[float]], right: list[float]) -> list[float]:
    """Solve a symmetric positive definite system, given its lower half (Cholesky)."""
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
