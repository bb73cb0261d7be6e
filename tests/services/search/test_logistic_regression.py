"""Logistic regression: standardization, class weights, and the maximum of the likelihood."""

import math
import random

import pytest

from app.services.search.answerability import AnswerabilityClassifier
from app.services.search.logistic_regression import RIDGE, fit


def test_separable_classes_are_separated() -> None:
    rng = random.Random(1)  # noqa: S311
    positive = [(rng.gauss(2, 0.5), rng.gauss(0, 1)) for _ in range(60)]
    negative = [(rng.gauss(-1, 0.5), rng.gauss(0, 1)) for _ in range(200)]
    classifier = AnswerabilityClassifier(*fit(positive, negative), bias=0.0, floor=0.0)
    assert classifier.weights[0] > 5 * abs(classifier.weights[1])
    assert min(map(classifier.logit, positive)) > max(map(classifier.logit, negative))


def test_features_are_standardized_by_the_negative_examples() -> None:
    means, scales, _ = fit([(1.0, 5.0), (2.0, 5.0)], [(1.0, 7.0), (3.0, 7.0)])
    assert means == (2.0, 7.0)
    assert scales == (1.0, 1.0)


def test_fit_maximizes_the_penalized_likelihood() -> None:
    # One feature, with mean 0 and deviation 1 in the negative examples. At the fitted slope, search
    # for the intercept where both derivatives of the penalized likelihood are 0.
    positive, negative = [(2.0,), (0.5,), (3.0,)], [(-1.0,), (1.0,)]
    _, _, (slope,) = fit(positive, negative)

    def derivatives(intercept: float) -> tuple[float, float]:
        rows = [(x, 1.0, 5 / 6) for (x,) in positive] + [(x, 0.0, 5 / 4) for (x,) in negative]
        errors = [(x, s * (1 / (1 + math.exp(-intercept - slope * x)) - y)) for x, y, s in rows]
        by_slope = sum(x * error for x, error in errors) + RIDGE * slope
        return by_slope, sum(error for _, error in errors) + RIDGE * intercept

    low, high = -10.0, 10.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if derivatives(middle)[1] < 0 else (low, middle)
    assert derivatives(low) == pytest.approx((0, 0), abs=1e-5)
    assert slope > 0


def test_classes_have_equal_weight_whatever_their_size() -> None:
    positive, negative = [(2.0,), (1.0,)], [(0.0,), (0.5,), (-0.5,)]
    _, _, (even,) = fit(positive * 30, negative * 20)
    _, _, (lopsided,) = fit(positive * 45, negative * 10)
    assert even == pytest.approx(lopsided)


@pytest.mark.parametrize("value", [0.1, 0.7, 1.0])
def test_constant_feature_is_not_scaled(value: float) -> None:
    # The mean of three times 0.1 is not exactly 0.1.
    negative = [(value, 0.2), (value, 0.1), (value, 0.3)]
    means, scales, weights = fit([(0.9, 0.8), (0.7, 0.9)], negative)
    assert scales[0] == 1.0
    classifier = AnswerabilityClassifier(means, scales, weights, 0.0, 0.0)
    assert classifier.logit((0.9, 0.9)) > classifier.logit((value, 0.2))
