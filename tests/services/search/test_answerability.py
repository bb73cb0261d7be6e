"""The answerability classifier: its features, its confidence, and the tier that it chooses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from app.schemas import Tier, TierHits, Verdict
from app.services.search.answerability import (
    DEFAULT_LEXICAL,
    LOW_COVERAGE,
    OVERRIDE_RATIO,
    SHORT,
    THRESHOLD,
    UNKNOWN_TERM_PENALTY,
    AnswerabilityClassifier,
    CalibratedRegression,
    PassageScores,
    QuestionTraits,
    choose_tier,
    default_hybrid,
    ranking_features,
    regime_of,
)
from app.services.search.weights import LEXICAL, SEMANTIC, WEIGHTS

TIERS: tuple[Tier, ...] = ("creator", "domain", "global")
LONG = QuestionTraits(SHORT + 1)
# Confidence depends on the best lexical score only: 0.5 at 0.3.
BY_SCORE = AnswerabilityClassifier(
    CalibratedRegression((0.0, 2.0, 0.0, 0.0, 0.0), (0.3,) * 5, (0.1,) * 5), floor=0.2
)

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


def found(
    score: float, *, cosine: float | None = None, coverage: float = 0.5, known: float = 1.0
) -> PassageScores:
    return PassageScores(score, score, cosine, coverage, library_coverage=known, idf=10.0)


def constant(logit: float, features: int = 5, margin: float = 0.0) -> CalibratedRegression:
    """Return a regression with the same log-odds for every ranking."""
    zeros = (0.0,) * features
    return CalibratedRegression(zeros, zeros, (1.0,) * features, bias=logit, margin=margin)


def verdicts(hits: tuple[TierHits, ...]) -> dict[Tier, Verdict]:
    return {one.tier: one.verdict for one in hits}


def test_every_feature_has_a_weight() -> None:
    assert len(WEIGHTS.lexical) == len(LEXICAL) == len(ranking_features([found(0.5)]))
    hybrid = ranking_features([found(0.5, cosine=0.5)])
    assert len(WEIGHTS.hybrid) == len(LEXICAL) + len(SEMANTIC) == len(hybrid)
    assert len(WEIGHTS.semantic) == len(SEMANTIC)


def test_empty_ranking_has_no_confidence() -> None:
    assessment = AnswerabilityClassifier(constant(99.0, margin=99.0), 0.0).assess([], LONG)
    assert (assessment.confidence, assessment.is_close) == (0.0, False)


@pytest.mark.parametrize("classifier", [DEFAULT_LEXICAL, default_hybrid("other")])
def test_default_classifiers_depend_on_the_coverage_of_the_best_passage(
    classifier: AnswerabilityClassifier,
) -> None:
    cosine = None if classifier is DEFAULT_LEXICAL else 0.9
    parts = [0.0, 0.2, 0.34, 0.36, 0.6, 1.0]
    assessed = [
        classifier.assess([found(0.5, cosine=cosine, coverage=part)], LONG) for part in parts
    ]
    confidence = [one.confidence for one in assessed]
    assert confidence == sorted(confidence)
    assert [one >= THRESHOLD for one in confidence] == [False, False, False, True, True, True]
    assert [one.is_close for one in assessed] == [False, True, True, True, True, True]


@pytest.mark.parametrize(("cosine", "answers"), [(0.5, True), (0.15, False)])
def test_small_library_answers_questions_in_another_language_by_typical_cosines(
    cosine: float, answers: bool
) -> None:
    ranking = [found(0.1, cosine=cosine, coverage=0.0, known=0.0)]
    known_embedder = default_hybrid(WEIGHTS.embedder).assess(ranking, LONG)
    assert (known_embedder.confidence >= THRESHOLD) == answers
    # Other embedders may have higher cosines for everything.
    assert default_hybrid("other").assess(ranking, LONG).confidence < THRESHOLD


@pytest.mark.parametrize("logit", [-1e6, 1e6])
def test_confidence_is_always_between_0_and_1(logit: float) -> None:
    assessment = AnswerabilityClassifier(constant(logit), 0.0).assess([found(0.5)], LONG)
    assert round(assessment.confidence, 6) == (logit > 0)


def test_lexical_features_summarize_scores_and_coverage() -> None:
    ranking = [
        PassageScores(0.9, 0.8, None, 0.5, 0.75, 8.0),
        PassageScores(0.7, 0.85, None, 0.6, 0.75, 8.0),
        PassageScores(0.1, 0.1, None, 0.1, 0.75, 8.0),
    ]
    assert ranking_features(ranking) == pytest.approx((0.8, 0.85, 0.5, 4.8, 0.75))


def test_hybrid_features_include_the_cosines() -> None:
    ranking = [found(0.9, cosine=0.4), found(0.8, cosine=0.7), found(0.2, cosine=-0.2)]
    assert ranking_features(ranking)[5:] == pytest.approx((0.7, 0.3, 0.4))


def test_features_far_from_those_of_off_topic_questions_are_limited() -> None:
    regression = CalibratedRegression((1.0,), (0.0,), (1.0,))
    assert regression.logit([1e9]) == regression.logit([100.0]) == 6.0
    assert regression.logit([-1e9]) == -6.0


@pytest.mark.parametrize(
    ("words", "known", "cosine", "expected"),
    [
        (SHORT + 1, 1.0, 0.4, "full"),
        (SHORT, 1.0, 0.4, "short"),
        (SHORT, LOW_COVERAGE - 0.1, 0.4, "semantic"),
        (SHORT + 1, LOW_COVERAGE, 0.4, "full"),
        # Without cosines there is nothing else to judge by.
        (SHORT + 1, 0.0, None, "full"),
    ],
)
def test_short_questions_and_questions_of_unknown_words_have_their_own_regime(
    words: int, known: float, cosine: float | None, expected: str
) -> None:
    assert regime_of([found(0.5, cosine=cosine, known=known)], QuestionTraits(words)) == expected


def test_each_regime_has_its_own_threshold() -> None:
    classifier = AnswerabilityClassifier(
        constant(-1.0, 8), 0.2, short=constant(1.0, 8), semantic=constant(2.0, 3)
    )
    full, short, semantic = (
        classifier.assess([found(0.5, cosine=0.4, known=known)], QuestionTraits(words)).confidence
        for words, known in ((3, 1.0), (1, 1.0), (3, 0.0))
    )
    assert full < THRESHOLD < short < semantic
    plain = replace(classifier, short=None, semantic=None)
    for words, known in ((1, 1.0), (3, 0.0)):
        ranking = [found(0.5, cosine=0.4, known=known)]
        assert plain.assess(ranking, QuestionTraits(words)).confidence == full


def test_unknown_name_counts_against_an_answer() -> None:
    named = QuestionTraits(3, ("Marlowe",))
    sure = AnswerabilityClassifier(constant(UNKNOWN_TERM_PENALTY + 0.1), 0.2)
    unsure = AnswerabilityClassifier(constant(UNKNOWN_TERM_PENALTY - 0.1), 0.2)
    foreign = [found(0.5, known=0.0)]
    assert unsure.assess(foreign, named) == unsure.assess(foreign, LONG)
    for classifier, answers in ((sure, True), (unsure, False)):
        assert classifier.assess([found(0.5)], LONG).confidence >= THRESHOLD
        assert (classifier.assess([found(0.5)], named).confidence >= THRESHOLD) == answers


def test_narrowest_tier_above_the_threshold_answers() -> None:
    rankings = {
        "creator": [found(0.2)],
        "domain": [found(0.5), found(0.45), found(0.19)],
        "global": [found(0.6), found(0.5)],
    }
    decision = choose_tier({tier: rankings[tier] for tier in TIERS}, BY_SCORE, LONG)
    assert (decision.tier, decision.closest) == ("domain", "none")
    assert verdicts(decision.verdicts) == {
        "creator": "too little",
        "domain": "answers",
        "global": "not needed",
    }
    # The floor is 0.2, and one passage of the domain is below it. A refused tier has no hits.
    assert [one.hits for one in decision.verdicts] == [0, 2, 2]
    confidence = [one.confidence for one in decision.verdicts]
    assert confidence[0] < THRESHOLD <= confidence[1] < confidence[2] <= 1


@pytest.mark.parametrize(
    ("wider", "expected"),
    [(0.35 * OVERRIDE_RATIO, "creator"), (0.36 * OVERRIDE_RATIO, "global")],
)
def test_tier_gives_way_to_a_wider_one_that_scores_much_better(
    wider: float, expected: Tier
) -> None:
    tiers: dict[Tier, list[PassageScores]] = {"creator": [found(0.35)], "global": [found(wider)]}
    decision = choose_tier(tiers, BY_SCORE, LONG)
    assert decision.tier == expected
    if expected == "global":
        assert verdicts(decision.verdicts) == {"creator": "others say more", "global": "answers"}


def test_tier_with_the_best_passage_of_a_wider_one_that_answers_is_preferred() -> None:
    # Confidence depends on how far the best passage stands out: 0.5 at 0.3.
    standing_out = replace(BY_SCORE.full, weights=(-2.0, 0.0, 0.0, 0.0, 0.0))
    classifier = replace(BY_SCORE, full=standing_out)
    whole = [found(0.6), found(0.5)]
    for own, expected in [(0.6, "creator"), (0.59, "global")]:
        creator = [found(own), found(0.1)]
        decision = choose_tier({"creator": creator, "global": whole}, classifier, LONG)
        assert decision.tier == expected
    confidence = [one.confidence for one in decision.verdicts]
    assert confidence[0] < THRESHOLD <= confidence[1]
    # A wider tier that would not answer does not help.
    weak: dict[Tier, list[PassageScores]] = {
        "creator": [found(0.6), found(0.1)],
        "global": [found(0.6), found(0.2)],
    }
    assert choose_tier(weak, classifier, LONG).tier == "none"


def test_better_scoring_tier_below_the_threshold_does_not_answer() -> None:
    regression = replace(BY_SCORE.full, weights=(0.0, -2.0, 0.0, 0.0, 0.0))
    tiers: dict[Tier, list[PassageScores]] = {"creator": [found(0.2)], "global": [found(0.9)]}
    decision = choose_tier(tiers, replace(BY_SCORE, full=regression), LONG)
    assert decision.tier == "creator"
    assert verdicts(decision.verdicts) == {"creator": "answers", "global": "too little"}


def test_none_answers_if_every_tier_is_below_the_threshold() -> None:
    decision = choose_tier({"domain": [], "global": [found(0.1)]}, BY_SCORE, LONG)
    assert (decision.tier, decision.closest) == ("none", "none")
    assert set(verdicts(decision.verdicts).values()) == {"too little"}
    assert [one.hits for one in decision.verdicts] == [0, 0]


def test_refusal_names_the_narrowest_tier_within_the_margin() -> None:
    classifier = replace(BY_SCORE, full=replace(BY_SCORE.full, margin=2.0))
    tiers: dict[Tier, list[PassageScores]] = {
        "creator": [found(0.1)],
        "domain": [found(0.21)],
        "global": [found(0.25)],
    }
    decision = choose_tier(tiers, classifier, LONG)
    assert (decision.tier, decision.closest) == ("none", "domain")


def test_answering_tier_has_at_least_one_hit() -> None:
    classifier = AnswerabilityClassifier(constant(20.0), floor=5.0)
    decision = choose_tier({"global": [found(0.1), found(0.05)]}, classifier, LONG)
    assert decision.verdicts[0].hits == 1


@given(st.lists(st.lists(SCORES, max_size=4), min_size=1, max_size=3), st.floats(-20, 20))
def test_exactly_one_tier_answers_if_any_is_above_the_threshold(
    rankings: list[list[PassageScores]], bias: float
) -> None:
    tiers = dict(zip(TIERS, rankings, strict=False))
    classifier = replace(BY_SCORE, full=replace(BY_SCORE.full, bias=bias, margin=1.0))
    decision = choose_tier(tiers, classifier, LONG)
    enough = [
        tier
        for tier, ranking in tiers.items()
        if classifier.assess(ranking, LONG).confidence >= THRESHOLD
    ]
    answering = [one.tier for one in decision.verdicts if one.verdict == "answers"]
    assert answering == ([decision.tier] if enough else [])
    assert (decision.tier == "none") == (not enough)
    assert decision.closest == "none" or decision.tier == "none"
    assert [one.tier for one in decision.verdicts] == list(tiers)
    assert all(one.hits > 0 for one in decision.verdicts if one.tier in enough)
