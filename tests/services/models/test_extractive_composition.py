"""Answers are composed of ranked sentences."""

from itertools import pairwise

from msgspec.structs import replace

from app.services.models.extractive.composition import compose
from app.services.models.extractive.sentences import candidates_of
from tests.services.samples import source

A = "An attack of 2 ms is safe for any drum."
B = "Every release depends on the tempo there."
C = "Most people listen to cymbals in the end."
D = "Loud rooms need carpets under all chairs."
AND = "And those who like bees buy a hive first."


def composed(*passages: dict[str, float]) -> str:
    """Compose an answer from the sentences of each source with their scores."""
    scored = []
    for number, passage in enumerate(passages, 1):
        candidates = candidates_of(source(number, *passage))
        scored += list(zip(passage.values(), candidates, strict=True))
    return compose(sorted(scored, key=lambda pair: -pair[0]))


def test_adjacent_sentences_share_a_marker() -> None:
    assert composed({A: 0.5, B: 1, C: 0, D: 0, "Last.": 0}) == f"{A} {B} {C} [1]"


def test_best_run_of_a_source_comes_first() -> None:
    apart = {f"Bus {n} leaves the station at noon.": 0.0 for n in range(4)}
    assert composed({A: 0.5, **apart, B: 1}) == f"{B} [1] {A} [1]"


def test_sentence_after_the_best_one_is_added_unless_it_is_a_question() -> None:
    assert composed({A: 1, B: 0, C: 0}) == f"{A} {B} [1]"
    assert composed({A: 1, "Is the release slow there?": 0, C: 0}) == f"{A} [1]"


def test_sentence_of_another_speaker_is_not_added_after_the_best_one() -> None:
    passage = source(1, A, B)
    other = replace(passage.sentences[1], speaker="Mara")
    passage = replace(passage, sentences=(passage.sentences[0], other))
    assert compose(list(zip((1, 0), candidates_of(passage), strict=True))) == f"{A} [1]"


def test_sentence_is_added_before_one_that_continues_it() -> None:
    assert composed({A: 0, AND: 1}) == f"{A} {AND} [1]"
    assert composed({A: 0, B: 1}) == f"{B} [1]"


def test_sentence_between_two_chosen_ones_is_added() -> None:
    assert composed({A: 0.5, B: 0, C: 1}) == f"{A} {B} {C} [1]"


def test_interjection_between_two_sentences_is_left_out() -> None:
    assert composed({A: 1, "Yeah, right.": 1, B: 1}) == f"{A} [1] {B} [1]"


def test_a_lower_score_is_enough_near_a_chosen_sentence_than_elsewhere() -> None:
    apart = {f"Bus {n} leaves the station at noon.": 0.0 for n in range(4)}
    assert composed({A: 0.15, B: 1}) == f"{A} {B} [1]"
    assert composed({A: 0.15, **apart, B: 1}) == f"{B} [1]"
    assert composed({A: 0.3, **apart, B: 1}) == f"{B} [1] {A} [1]"
    assert composed({B: 1}, {A: 0.3}) == f"{B} [1]"
    assert composed({B: 1}, {A: 0.5}) == f"{B} [1]\n\n{A} [2]"


def test_weak_continuation_of_an_unquoted_sentence_is_left_out() -> None:
    apart = {f"Bus {n} leaves the station at noon.": 0.0 for n in range(3)}
    asked = {"What do you think about the bees?": 0.0}
    assert (
        composed({B: 1, **apart, **asked, AND: 0.28})
        == f"{B} Bus 0 leaves the station at noon. [1]"
    )
    assert AND in composed({B: 1, **apart, **asked, AND: 0.4})


def test_added_sentence_does_not_repeat_one_of_another_source() -> None:
    assert composed({A: 1, B: 0}, {B: 0.9, C: 0}) == f"{A} [1]\n\n{B} [2]"


def test_at_most_five_sentences_are_chosen() -> None:
    words = "red", "oak", "sea", "ink", "tea", "sky", "gold"
    passage = {f"The {one} {one}{other} {other}.": 1.0 for one, other in pairwise(words)}
    assert composed(passage).count(".") == 5


def test_at_most_three_sources_are_quoted() -> None:
    assert composed({A: 1}, {B: 0.9}, {C: 0.9}, {D: 0.9}).count("\n\n") == 2


def test_short_sentence_of_another_source_is_left_out() -> None:
    assert composed({A: 1}, {"Compress drums.": 1}) == f"{A} [1]"
