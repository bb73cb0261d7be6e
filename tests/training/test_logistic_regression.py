"""Logistic regression: class weights, and the maximum of the penalized likelihood."""

import math
import random

import pytest

from tests.training.logistic_regression import Example, fit


def _logit(weights: tuple[float, ...], features: tuple[float, ...]) -> float:
    return sum(w * v for w, v in zip(weights, features, strict=True))


def test_separable_classes_are_separated() -> None:
    rng = random.Random(1)  # noqa: S311
    positive = [(rng.gauss(2, 0.5), rng.gauss(0, 1)) for _ in range(60)]
    negative = [(rng.gauss(-1, 0.5), rng.gauss(0, 1)) for _ in range(200)]
    examples = [Example(row, True, 1 / 60) for row in positive]
    examples += [Example(row, False, 1 / 200) for row in negative]
    weights = fit(examples, ridge=0.01)
    assert weights[0] > 5 * abs(weights[1])
    assert min(_logit(weights, row) for row in positive) > max(
        _logit(weights, row) for row in negative
    )


def test_fit_maximizes_the_penalized_likelihood() -> None:
    rows = [(2.0, True, 0.8), (0.5, True, 0.8), (3.0, True, 0.8), (-1.0, False, 1.2)]
    rows += [(1.0, False, 1.2)]
    (slope,) = fit([Example((x,), y, w) for x, y, w in rows], ridge=1.0)

    def derivatives(intercept: float) -> tuple[float, float]:
        errors = [(x, w * (1 / (1 + math.exp(-intercept - slope * x)) - y)) for x, y, w in rows]
        return sum(x * error for x, error in errors) + slope, sum(error for _, error in errors)

    # At the fitted slope, search for the intercept where both derivatives are 0.
    low, high = -10.0, 10.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if derivatives(middle)[1] < 0 else (low, middle)
    assert derivatives(low) == pytest.approx((0.0, 0.0), abs=1e-4)


def test_examples_count_by_their_weights() -> None:
    rows = [((1.0,), True, 1.0), ((1.0,), False, 1.0), ((0.0,), False, 3.0), ((-1.0,), False, 1.0)]
    examples = [Example(*row) for row in rows]
    repeated = [one for one in examples for _ in range(int(one.weight))]
    assert fit(examples) == pytest.approx(
        fit(
            [Example(*row[:2], 1.0) for row in [(one.features, one.answerable) for one in repeated]]
        )
    )


def test_ridge_shrinks_the_weights() -> None:
    examples = [Example((1.0,), True, 1.0), Example((-1.0,), False, 1.0)]
    assert fit(examples, ridge=10.0)[0] < fit(examples, ridge=1.0)[0]
