"""The answerability classifier: its features, its confidence, and the tier that it chooses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from app.schemas import Tier, TierHits, Verdict
from app.services.search.answerability import (
    DEFAULT_HYBRID,
    DEFAULT_LEXICAL,
    OVERRIDE_RATIO,
    THRESHOLD,
    AnswerabilityClassifier,
    PassageScores,
    choose_tier,
    ranking_features,
)

TIERS: tuple[Tier, ...] = ("creator", "domain", "global")
# Confidence depends on the best passage's score only: 0.5 at a score of 0.3.
BY_SCORE = AnswerabilityClassifier((0.3, *(0.0,) * 7), (1.0,) * 8, (20.0, *(0.0,) * 7), 0.0, 0.2)

PART = st.floats(0, 1)
SCORES = st.builds(
    PassageScores,
    st.floats(-0.5, 2),
    st.floats(0, 2),
    st.none(),
    PART,
    PART,
    st.floats(0, 50),
)


def found(score: float, *, cosine: float | None = None, coverage: float = 0.5) -> PassageScores:
    return PassageScores(score, score, cosine, coverage, library_coverage=1.0, idf=10.0)


def verdicts(hits: tuple[TierHits, ...]) -> dict[Tier, Verdict]:
    return {one.tier: one.verdict for one in hits}


def test_empty_ranking_has_no_confidence() -> None:
    assert replace(DEFAULT_LEXICAL, bias=99.0).confidence([]) == 0


@pytest.mark.parametrize("classifier", [DEFAULT_LEXICAL, DEFAULT_HYBRID])
def test_default_classifiers_depend_on_the_coverage_of_the_best_passage(
    classifier: AnswerabilityClassifier,
) -> None:
    cosine = 0.9 if classifier is DEFAULT_HYBRID else None
    parts = [0.0, 0.2, 0.34, 0.36, 0.6, 1.0]
    confidence = [
        classifier.confidence([found(0.5, cosine=cosine, coverage=part)]) for part in parts
    ]
    assert confidence == sorted(confidence)
    assert [one >= THRESHOLD for one in confidence] == [False, False, False, True, True, True]


def test_confidence_is_always_between_0_and_1() -> None:
    for bias in (-1e6, 1e6):
        confidence = replace(DEFAULT_LEXICAL, bias=bias).confidence([found(0.5)])
        assert 0 <= confidence <= 1
        assert round(confidence, 6) == (bias > 0)


def test_lexical_features_summarize_scores_and_coverage() -> None:
    ranking = [
        PassageScores(0.9, 0.8, None, 0.5, 0.75, 8.0),
        PassageScores(0.7, 0.85, None, 0.6, 0.75, 8.0),
        PassageScores(0.4, 0.3, None, 0.2, 0.75, 8.0),
        PassageScores(0.1, 0.1, None, 0.1, 0.75, 8.0),
    ]
    assert ranking_features(ranking, 0.0) == pytest.approx(
        (0.9, 0.4, 0.8, 0.85, 0.5, 0.6, 4.8, 0.75)
    )


def test_hybrid_features_include_the_cosines() -> None:
    ranking = [found(0.9, cosine=0.4), found(0.8, cosine=0.7), found(0.2, cosine=-0.2)]
    semantic = ranking_features(ranking, 0.25)[8:]
    assert semantic == pytest.approx((0.7, 0.3, 0.25, 0.4, 0.35))


def test_single_passage_also_counts_as_third_and_last() -> None:
    assert ranking_features([found(0.6)], 0.0)[:3] == pytest.approx((0.6, 0.6, 0.0))


def test_centroid_similarity_is_the_cosine_with_the_centroid() -> None:
    classifier = replace(DEFAULT_HYBRID, centroid=(0.6, 0.8))
    assert classifier.centroid_similarity([0.8, 0.6]) == pytest.approx(0.96)
    assert DEFAULT_HYBRID.centroid_similarity([0.8, 0.6]) == 0


def test_narrowest_tier_above_the_threshold_answers() -> None:
    rankings = {
        "creator": [found(0.2)],
        "domain": [found(0.5), found(0.45), found(0.19)],
        "global": [found(0.6), found(0.5)],
    }
    tier, hits = choose_tier({tier: rankings[tier] for tier in TIERS}, BY_SCORE)
    assert tier == "domain"
    assert verdicts(hits) == {
        "creator": "too little",
        "domain": "answers",
        "global": "not needed",
    }
    # The floor is 0.2, and one passage of the domain is below it. A refused tier has no hits.
    assert [one.hits for one in hits] == [0, 2, 2]
    assert hits[0].confidence < THRESHOLD <= hits[1].confidence < hits[2].confidence <= 1


def test_tier_gives_way_to_a_wider_one_that_scores_much_better() -> None:
    for wider, expected in [(0.35 * OVERRIDE_RATIO, "creator"), (0.36 * OVERRIDE_RATIO, "global")]:
        tier, hits = choose_tier({"creator": [found(0.35)], "global": [found(wider)]}, BY_SCORE)
        assert tier == expected
    assert verdicts(hits) == {"creator": "others say more", "global": "answers"}


def test_tier_with_the_best_passage_of_a_wider_one_that_answers_is_preferred() -> None:
    # Confidence depends on the last score.
    classifier = replace(BY_SCORE, means=(0.0, 0.3, *(0.0,) * 6), weights=(0.0, 20.0, *(0.0,) * 6))
    whole = [found(0.6), found(0.5), found(0.5)]
    for own, expected in [(0.6, "creator"), (0.59, "global")]:
        tier, hits = choose_tier({"creator": [found(own), found(0.1)], "global": whole}, classifier)
        assert tier == expected
    assert hits[0].confidence < THRESHOLD <= hits[1].confidence
    tiers = {"creator": [found(0.6)], "domain": [found(0.6), found(0.1)], "global": whole}
    _, hits = choose_tier({tier: tiers[tier] for tier in TIERS}, classifier)
    assert hits[0].confidence >= hits[1].confidence == hits[2].confidence
    # A wider tier that would not answer does not help.
    weak: dict[Tier, list[PassageScores]] = {
        "creator": [found(0.6), found(0.1)],
        "global": [found(0.6), found(0.2)],
    }
    assert choose_tier(weak, classifier)[0] == "none"


def test_better_scoring_tier_below_the_threshold_does_not_answer() -> None:
    classifier = replace(BY_SCORE, weights=(-20.0, *(0.0,) * 7))
    tier, hits = choose_tier({"creator": [found(0.2)], "global": [found(0.9)]}, classifier)
    assert tier == "creator"
    assert verdicts(hits) == {"creator": "answers", "global": "too little"}


def test_none_answers_if_every_tier_is_below_the_threshold() -> None:
    tier, hits = choose_tier({"domain": [], "global": [found(0.1)]}, BY_SCORE)
    assert tier == "none"
    assert set(verdicts(hits).values()) == {"too little"}
    assert [one.hits for one in hits] == [0, 0]


def test_answering_tier_has_at_least_one_hit() -> None:
    classifier = replace(BY_SCORE, bias=20.0, floor=5.0)
    assert choose_tier({"global": [found(0.1), found(0.05)]}, classifier)[1][0].hits == 1


@given(st.lists(st.lists(SCORES, max_size=4), min_size=1, max_size=3), st.floats(-20, 20))
def test_exactly_one_tier_answers_if_any_is_above_the_threshold(
    rankings: list[list[PassageScores]], bias: float
) -> None:
    tiers = dict(zip(TIERS, rankings, strict=False))
    tier, hits = choose_tier(tiers, replace(BY_SCORE, bias=bias))
    enough = [
        t
        for t, ranking in tiers.items()
        if replace(BY_SCORE, bias=bias).confidence(ranking) >= THRESHOLD
    ]
    assert (tier == "none") == (enough == [])
    assert [one.tier for one in hits if one.verdict == "answers"] == ([tier] if enough else [])
    assert all(one.hits > 0 for one in hits if one.tier in enough)
    assert all((one.hits > 0) == (one.verdict != "too little") for one in hits)
