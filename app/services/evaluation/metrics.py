"""Ranking metrics as reported by BEIR and MTEB."""

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

# The cutoff k, as in nDCG@k.
DEPTH = 10

Key = TypeVar("Key", bound=Hashable)


def ndcg(ranked: Sequence[Key], grades: Mapping[Key, int], depth: int = DEPTH) -> float:
    """Return nDCG with linear gains, as trec_eval computes it.

    `grades` has the relevant keys; any other has grade 0.
    """
    ideal = _dcg(sorted(grades.values(), reverse=True)[:depth])
    return _dcg([grades.get(one, 0) for one in ranked[:depth]]) / ideal if ideal else 0.0


def _dcg(grades: Iterable[int]) -> float:
    return sum(max(0, grade) / math.log2(rank + 1) for rank, grade in enumerate(grades, 1))


def recall(ranked: Sequence[Key], grades: Mapping[Key, int], depth: int = DEPTH) -> float:
    """Return the share of the relevant keys that are among the first `depth`."""
    relevant = {one for one, grade in grades.items() if grade > 0}
    return len(relevant.intersection(ranked[:depth])) / len(relevant) if relevant else 0.0


def reciprocal_rank(ranked: Sequence[Key], grades: Mapping[Key, int], depth: int = DEPTH) -> float:
    """Return 1 / rank of the first relevant key, or 0 if it is not among the first `depth`."""
    ranks = (rank for rank, one in enumerate(ranked[:depth], 1) if grades.get(one, 0) > 0)
    return 1 / next(ranks, math.inf)


def mean(values: Sequence[float]) -> float:
    """Return the mean of at least one value."""
    return sum(values) / len(values)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that is not exceeded by a `share` (0 to 1) of all."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
