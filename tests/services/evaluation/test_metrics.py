"""Ranking metrics, on hand-calculated cases as in trec_eval."""

import pytest

from app.services.evaluation.metrics import mean, ndcg, percentile, recall, reciprocal_rank


def test_ideal_order_has_an_ndcg_of_1() -> None:
    assert ndcg(["a", "b", "x"], {"b": 1, "a": 2}) == 1


def test_ndcg_has_linear_gains_with_a_logarithmic_discount() -> None:
    # (1 / log2 2 + 3 / log2 4) / (3 / log2 2 + 1 / log2 3) = 2.5 / 3.63093
    assert ndcg(["b", "x", "a"], {"a": 3, "b": 1}) == pytest.approx(0.688529, abs=1e-6)


def test_ranks_below_the_cutoff_do_not_count() -> None:
    ranked = [*"123456789", "x", "a"]
    assert ndcg(ranked, {"a": 1}) == recall(ranked, {"a": 1}) == 0
    assert reciprocal_rank(ranked, {"a": 1}) == 0
    assert recall(ranked, {"a": 1}, depth=11) == 1


def test_ndcg_can_be_1_with_more_relevant_keys_than_the_cutoff() -> None:
    grades = {str(number): 1 for number in range(15)}
    assert ndcg([str(number) for number in range(10)], grades) == 1
    assert recall([str(number) for number in range(10)], grades) == pytest.approx(10 / 15)


def test_recall_is_the_share_of_relevant_keys() -> None:
    assert recall(["a", "x", "b"], {"a": 1, "b": 2, "c": 1, "d": 1}) == 0.5


def test_reciprocal_rank_is_of_the_first_relevant_key() -> None:
    assert reciprocal_rank(["x", "y", "b", "a"], {"a": 1, "b": 1}) == pytest.approx(1 / 3)


def test_metrics_are_0_without_relevant_keys() -> None:
    assert ndcg(["a"], {}) == recall(["a"], {}) == reciprocal_rank(["a"], {}) == 0
    assert ndcg(["a"], {"a": 0}) == 0


def test_percentile_is_one_of_the_values() -> None:
    values = [float(value) for value in range(1, 21)]
    assert percentile(values, 0.5) == 10
    assert percentile(values, 0.95) == 19
    assert percentile([7.0], 0.95) == 7
    assert mean(values) == 10.5
