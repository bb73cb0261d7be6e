"""Learning weights from the results of several libraries."""

import random

import pytest
from msgspec.structs import replace

from app.services.search.answerability import PassageScores, Regime
from app.services.search.thresholds import Ranking
from app.services.search.weights import LEXICAL, SEMANTIC
from tests.training.examples import Rankings, TrainingLibrary
from tests.training.learning import MIN_QUESTIONS, learn


def _rankings(rng: random.Random, number: int, lexical: float, cosine: float) -> list[Ranking]:
    """Return rankings of one passage whose scores scatter around these."""
    return [
        [
            PassageScores(
                score=0.5,
                lexical=rng.gauss(lexical, 0.1),
                cosine=rng.gauss(cosine, 0.1),
                coverage=0.5,
                library_coverage=1.0,
                idf=8.0,
            )
        ]
        for _ in range(number)
    ]


def _library(seed: int, *, level: float, number: int = 60) -> TrainingLibrary:
    """Return a library where answers have higher lexical scores, but no higher cosines."""
    rng = random.Random(seed)  # noqa: S311

    def group(lexical: float, cosine: float) -> dict[Regime, list[Ranking]]:
        rankings = _rankings(rng, number, level + lexical, cosine)
        return {"full": rankings, "semantic": rankings}

    results = Rankings(
        answerable=group(0.4, 0.3), unanswerable=group(0.0, 0.3), off_topic=group(0.0, 0.3)
    )
    return TrainingLibrary(
        f"library-{seed}", 100, hybrid=results, lexical=_without_cosines(results)
    )


def _without_cosines(results: Rankings) -> Rankings:
    def strip(groups: dict[Regime, list[Ranking]]) -> dict[Regime, list[Ranking]]:
        return {
            regime: [[replace(one, cosine=None) for one in ranking] for ranking in rankings]
            for regime, rankings in groups.items()
        }

    return Rankings(
        strip(results.answerable), strip(results.unanswerable), strip(results.off_topic)
    )


LIBRARIES = [_library(1, level=0.2), _library(2, level=0.9), _library(3, level=0.5)]


def test_features_that_tell_answers_apart_get_the_weight() -> None:
    weights = learn(LIBRARIES, "embedder")
    lexical = LEXICAL.index("lexical")
    assert len(weights.lexical) == len(LEXICAL)
    assert len(weights.hybrid) == len(LEXICAL) + len(SEMANTIC)
    assert len(weights.semantic) == len(weights.typical_semantic.means) == len(SEMANTIC)
    assert weights.typical_semantic.means[0] == pytest.approx(0.3, abs=0.02)
    assert weights.typical_semantic.margin > 0
    assert weights.hybrid[lexical] == max(weights.hybrid) > 5 * abs(weights.semantic[0])


def test_each_library_is_measured_with_the_weights_of_the_others() -> None:
    trained = learn(LIBRARIES, "embedder").trained_on
    assert [one.name for one in trained] == ["library-1", "library-2", "library-3"]
    # The levels of the scores differ, but not what is unusual among off-topic questions.
    assert all(one.lost < 0.1 for one in trained)
    assert all((one.answerable, one.unanswerable) == (120, 240) for one in trained)


def test_library_with_few_questions_teaches_nothing() -> None:
    small = _library(4, level=5.0, number=MIN_QUESTIONS - 1)
    assert learn([*LIBRARIES, small], "e").hybrid == learn(LIBRARIES, "e").hybrid
