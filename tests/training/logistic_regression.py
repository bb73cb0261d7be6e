"""Ridge-penalized logistic regression, fitted by Newton's method."""

import math
from collections.abc import Sequence

RIDGE = 1.0
_MAX_ITERATIONS = 30
_TOLERANCE = 1e-6


def fit(
    positive: Sequence[Sequence[float]], negative: Sequence[Sequence[float]]
) -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]:
    """Return the means, scales and weights of the features.

    Features are standardized by the negative examples. Both classes have the same total weight,
    and the ridge keeps correlated features from getting opposite large weights.
    """
    means, scales = _standardization(negative)
    examples = [
        ([*((v - m) / s for v, m, s in zip(row, means, scales, strict=True)), 1.0], label, share)
        for rows, label in ((positive, 1.0), (negative, 0.0))
        for row in rows
        for share in ((len(positive) + len(negative)) / (2 * len(rows)),)
    ]
    size = len(means) + 1
    weights = [0.0] * size
    for _ in range(_MAX_ITERATIONS):
        gradient = [w * RIDGE for w in weights]
        hessian = [[RIDGE if i == j else 0.0 for j in range(size)] for i in range(size)]
        for row, label, share in examples:
            logit = sum(w * v for w, v in zip(weights, row, strict=True))
            p = 1 / (1 + math.exp(-max(-30.0, min(30.0, logit))))
            slope = share * p * (1 - p)
            for i, value in enumerate(row):
                gradient[i] += share * (p - label) * value
                for j in range(i + 1):
                    hessian[i][j] += slope * value * row[j]
        step = _solve(hessian, gradient)
        weights = [w - s for w, s in zip(weights, step, strict=True)]
        if max(map(abs, step)) < _TOLERANCE:
            break
    return means, scales, tuple(weights[:-1])


def _standardization(
    rows: Sequence[Sequence[float]],
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    columns = list(zip(*rows, strict=True))
    means = [sum(column) / len(column) for column in columns]
    deviations = [
        math.sqrt(sum((v - mean) ** 2 for v in column) / len(column))
        for column, mean in zip(columns, means, strict=True)
    ]
    # Rounding gives a constant feature a tiny deviation.
    return tuple(means), tuple(one if one > 1e-9 else 1.0 for one in deviations)


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
