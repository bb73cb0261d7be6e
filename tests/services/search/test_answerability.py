"""What the gate makes of rankings: how sure it is, which tier answers, and how it is fitted."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from app.schemas import Tier, TierHits, Verdict
from app.services.search.answerability import (
    DEFAULT_HYBRID,
    DEFAULT_LEXICAL,
    MUCH_BETTER,
    NEEDED,
    RIDGE,
    AnswerabilityClassifier,
    PassageScores,
    decide,
    features,
    fit,
)

TIERS: tuple[Tier, ...] = ("creator", "domain", "global")
# As sure as a passage's score says: 0.5 at a score of 0.3.
BY_SCORE = AnswerabilityClassifier((0.3, *(0.0,) * 7), (1.0,) * 8, (20.0, *(0.0,) * 7), 0.0, 0.2)

PART = st.floats(0, 1)
FIGURES = st.builds(
    PassageScores,
    st.floats(-0.5, 2),
    st.floats(0, 2),
    st.none(),
    PART,
    PART,
    st.floats(0, 50),
)


def found(score: float, *, cosine: float | None = None, coverage: float = 0.5) -> PassageScores:
    return PassageScores(score, score, cosine, coverage, known=1.0, worth=10.0)


def verdicts(hits: tuple[TierHits, ...]) -> dict[Tier, Verdict]:
    return {one.tier: one.verdict for one in hits}


def test_an_empty_ranking_is_never_sure() -> None:
    assert replace(DEFAULT_LEXICAL, bias=99.0).confidence([]) == 0


@pytest.mark.parametrize("gate", [DEFAULT_LEXICAL, DEFAULT_HYBRID])
def test_without_a_library_to_learn_from_the_part_of_the_question_found_decides(
    gate: AnswerabilityClassifier,
) -> None:
    cosine = 0.9 if gate is DEFAULT_HYBRID else None
    parts = [0.0, 0.2, 0.34, 0.36, 0.6, 1.0]
    sure = [gate.confidence([found(0.5, cosine=cosine, coverage=part)]) for part in parts]
    assert sure == sorted(sure)
    assert [one >= NEEDED for one in sure] == [False, False, False, True, True, True]


def test_confidence_stays_between_0_and_1_whatever_the_features() -> None:
    for bias in (-1e6, 1e6):
        sure = replace(DEFAULT_LEXICAL, bias=bias).confidence([found(0.5)])
        assert 0 <= sure <= 1
        assert round(sure, 6) == (bias > 0)


def test_features_sum_up_a_ranking_by_words() -> None:
    ranking = [
        PassageScores(0.9, 0.8, None, 0.5, 0.75, 8.0),
        PassageScores(0.7, 0.85, None, 0.6, 0.75, 8.0),
        PassageScores(0.4, 0.3, None, 0.2, 0.75, 8.0),
        PassageScores(0.1, 0.1, None, 0.1, 0.75, 8.0),
    ]
    assert features(ranking, 0.0) == pytest.approx((0.9, 0.4, 0.8, 0.85, 0.5, 0.6, 4.8, 0.75))


def test_features_of_both_ways_say_how_near_the_nearest_are() -> None:
    ranking = [found(0.9, cosine=0.4), found(0.8, cosine=0.7), found(0.2, cosine=-0.2)]
    by_meaning = features(ranking, 0.25)[8:]
    assert by_meaning == pytest.approx((0.7, 0.3, 0.25, 0.4, 0.35))


def test_a_ranking_of_one_is_its_own_third() -> None:
    assert features([found(0.6)], 0.0)[:3] == pytest.approx((0.6, 0.6, 0.0))


def test_what_is_near_to_all_of_the_library_is_told_by_its_centroid() -> None:
    gate = replace(DEFAULT_HYBRID, centroid=(0.6, 0.8))
    assert gate.typical([0.8, 0.6]) == pytest.approx(0.96)
    assert DEFAULT_HYBRID.typical([0.8, 0.6]) == 0


def test_each_tier_is_told_why() -> None:
    rankings = {
        "creator": [found(0.2)],
        "domain": [found(0.5), found(0.45), found(0.19)],
        "global": [found(0.6), found(0.5)],
    }
    tier, hits = decide({tier: rankings[tier] for tier in TIERS}, BY_SCORE)
    assert tier == "domain"
    assert verdicts(hits) == {
        "creator": "too little",
        "domain": "answers",
        "global": "not needed",
    }
    # The floor is 0.2: one of the domain's is below it. What is not enough has no hits.
    assert [one.hits for one in hits] == [0, 2, 2]
    assert hits[0].confidence < NEEDED <= hits[1].confidence < hits[2].confidence <= 1


def test_a_tier_that_would_do_yields_to_one_that_is_much_better() -> None:
    for wider, expected in [(0.35 * MUCH_BETTER, "creator"), (0.36 * MUCH_BETTER, "global")]:
        tier, hits = decide({"creator": [found(0.35)], "global": [found(wider)]}, BY_SCORE)
        assert tier == expected
    assert verdicts(hits) == {"creator": "others say more", "global": "answers"}


def test_a_much_better_tier_that_is_not_sure_takes_nothing_away() -> None:
    gate = replace(BY_SCORE, weights=(-20.0, *(0.0,) * 7))
    tier, hits = decide({"creator": [found(0.2)], "global": [found(0.9)]}, gate)
    assert tier == "creator"
    assert verdicts(hits) == {"creator": "answers", "global": "too little"}


def test_where_no_tier_has_enough_none_answers() -> None:
    tier, hits = decide({"domain": [], "global": [found(0.1)]}, BY_SCORE)
    assert tier == "none"
    assert set(verdicts(hits).values()) == {"too little"}
    assert [one.hits for one in hits] == [0, 0]


def test_what_answers_has_a_hit_however_low_it_is() -> None:
    gate = replace(BY_SCORE, bias=20.0, floor=5.0)
    assert decide({"global": [found(0.1), found(0.05)]}, gate)[1][0].hits == 1


@given(st.lists(st.lists(FIGURES, max_size=4), min_size=1, max_size=3), st.floats(-20, 20))
def test_one_tier_answers_where_any_is_sure_and_else_none(
    rankings: list[list[PassageScores]], bias: float
) -> None:
    tiers = dict(zip(TIERS, rankings, strict=False))
    tier, hits = decide(tiers, replace(BY_SCORE, bias=bias))
    sure = [
        t
        for t, ranking in tiers.items()
        if replace(BY_SCORE, bias=bias).confidence(ranking) >= NEEDED
    ]
    assert (tier == "none") == (sure == [])
    assert [one.tier for one in hits if one.verdict == "answers"] == ([tier] if sure else [])
    assert all((one.hits > 0) == (one.tier in sure) for one in hits)


def test_what_can_be_told_apart_is() -> None:
    chance = random.Random(1)  # noqa: S311
    answered = [(chance.gauss(2, 0.5), chance.gauss(0, 1)) for _ in range(60)]
    foreign = [(chance.gauss(-1, 0.5), chance.gauss(0, 1)) for _ in range(200)]
    gate = AnswerabilityClassifier(*fit(answered, foreign), bias=0.0, floor=0.0)
    assert gate.weights[0] > 5 * abs(gate.weights[1])
    assert min(map(gate.logit, answered)) > max(map(gate.logit, foreign))


def test_features_are_standardised_by_those_of_foreign_questions() -> None:
    means, scales, _ = fit([(1.0, 5.0), (2.0, 5.0)], [(1.0, 7.0), (3.0, 7.0)])
    assert means == (2.0, 7.0)
    assert scales == (1.0, 1.0)


def test_a_fit_is_where_the_likelihood_is_highest() -> None:
    # One feature, of mean 0 and deviation 1 among the foreign: slope and intercept are found by
    # looking for where both derivatives of the penalised likelihood are 0.
    answered, foreign = [(2.0,), (0.5,), (3.0,)], [(-1.0,), (1.0,)]
    _, _, (slope,) = fit(answered, foreign)

    def derivatives(intercept: float) -> tuple[float, float]:
        rows = [(x, 1.0, 5 / 6) for (x,) in answered] + [(x, 0.0, 5 / 4) for (x,) in foreign]
        errors = [(x, s * (1 / (1 + math.exp(-intercept - slope * x)) - y)) for x, y, s in rows]
        by_slope = sum(x * error for x, error in errors) + RIDGE * slope
        return by_slope, sum(error for _, error in errors) + RIDGE * intercept

    low, high = -10.0, 10.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if derivatives(middle)[1] < 0 else (low, middle)
    assert derivatives(low) == pytest.approx((0, 0), abs=1e-5)
    assert slope > 0


def test_both_kinds_count_alike_however_many_there_are() -> None:
    answered, foreign = [(2.0,), (1.0,)], [(0.0,), (0.5,), (-0.5,)]
    _, _, (even,) = fit(answered * 30, foreign * 20)
    _, _, (lopsided,) = fit(answered * 45, foreign * 10)
    assert even == pytest.approx(lopsided)


@pytest.mark.parametrize("value", [0.1, 0.7, 1.0])
def test_a_feature_that_never_changes_among_foreign_questions_does_no_harm(value: float) -> None:
    # Three times 0.1 has a mean that is not quite 0.1.
    foreign = [(value, 0.2), (value, 0.1), (value, 0.3)]
    means, scales, weights = fit([(0.9, 0.8), (0.7, 0.9)], foreign)
    assert scales[0] == 1.0
    gate = AnswerabilityClassifier(means, scales, weights, 0.0, 0.0)
    assert gate.logit((0.9, 0.9)) > gate.logit((value, 0.2))
