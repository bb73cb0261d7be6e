"""The measures are those of trec_eval, on cases that were worked out by hand."""

import pytest

from app.services.evaluation.metrics import mean, ndcg, percentile, recall, reciprocal_rank


def test_the_best_order_has_an_ndcg_of_one() -> None:
    assert ndcg(["a", "b", "x"], {"b": 1, "a": 2}) == 1


def test_gains_are_linear_and_fall_with_the_logarithm_of_the_rank() -> None:
    # (1 / log2 2 + 3 / log2 4) / (3 / log2 2 + 1 / log2 3) = 2.5 / 3.63093
    assert ndcg(["b", "x", "a"], {"a": 3, "b": 1}) == pytest.approx(0.688529, abs=1e-6)


def test_what_stands_below_the_depth_counts_for_nothing() -> None:
    ranked = [*"123456789", "x", "a"]
    assert ndcg(ranked, {"a": 1}) == recall(ranked, {"a": 1}) == 0
    assert reciprocal_rank(ranked, {"a": 1}) == 0
    assert recall(ranked, {"a": 1}, depth=11) == 1


def test_more_that_is_relevant_than_fits_still_allows_an_ndcg_of_one() -> None:
    grades = {str(number): 1 for number in range(15)}
    assert ndcg([str(number) for number in range(10)], grades) == 1
    assert recall([str(number) for number in range(10)], grades) == pytest.approx(10 / 15)


def test_recall_is_the_share_of_all_that_is_relevant() -> None:
    assert recall(["a", "x", "b"], {"a": 1, "b": 2, "c": 1, "d": 1}) == 0.5


def test_the_reciprocal_rank_is_that_of_the_first_that_is_relevant() -> None:
    assert reciprocal_rank(["x", "y", "b", "a"], {"a": 1, "b": 1}) == pytest.approx(1 / 3)


def test_where_nothing_is_relevant_nothing_is_gained() -> None:
    assert ndcg(["a"], {}) == recall(["a"], {}) == reciprocal_rank(["a"], {}) == 0
    assert ndcg(["a"], {"a": 0}) == 0


def test_a_percentile_is_one_of_the_values() -> None:
    values = [float(value) for value in range(1, 21)]
    assert percentile(values, 0.5) == 10
    assert percentile(values, 0.95) == 19
    assert percentile([7.0], 0.95) == 7
    assert mean(values) == 10.5
