"""Thresholds refuse the intended shares of off-topic questions."""

import pytest

from app.services.search.answerability import THRESHOLD, PassageScores, QuestionTraits
from app.services.search.thresholds import MIN_EXAMPLES, REFUSED, Ranking, calibrated_classifier


def off_topic(*scores: float) -> list[Ranking]:
    return [[PassageScores(one, one, 0.2 + one, 0.5, 1.0, 8.0)] for one in scores]


def test_threshold_refuses_the_intended_share_of_off_topic_questions() -> None:
    rankings = off_topic(*(n / 100 for n in range(100)))
    classifier = calibrated_classifier({"full": rankings}, hybrid=True)
    assert classifier is not None
    assessed = [classifier.assess(ranking, QuestionTraits()) for ranking in rankings]
    refused, shown = REFUSED["full"]
    answered = sum(one.confidence > THRESHOLD for one in assessed)
    assert answered == pytest.approx((1 - refused) * 100, abs=1)
    assert sum(one.is_close for one in assessed) == pytest.approx((1 - shown) * 100, abs=2)
    # The floor is a score that only these reach.
    assert sum(ranking[0].score > classifier.floor for ranking in rankings) == answered


def test_regimes_with_few_off_topic_questions_are_not_calibrated() -> None:
    few, many = off_topic(*[0.1] * (MIN_EXAMPLES - 1)), off_topic(*[0.1] * MIN_EXAMPLES)
    classifier = calibrated_classifier({"full": many, "short": few, "semantic": many}, hybrid=True)
    assert classifier is not None
    assert classifier.short is None
    assert classifier.semantic is not None
    assert calibrated_classifier({"full": few}, hybrid=True) is None


def test_small_library_is_calibrated_on_off_topic_questions_of_all_regimes() -> None:
    few, many = off_topic(0.1), off_topic(*[0.2] * MIN_EXAMPLES)
    classifier = calibrated_classifier({"full": few, "semantic": many}, hybrid=True)
    assert classifier is not None
    assert classifier.full.means[1] == pytest.approx(
        (0.1 + 0.2 * MIN_EXAMPLES) / (MIN_EXAMPLES + 1)
    )
