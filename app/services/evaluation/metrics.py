"""A ranking and its judgements come in; the measures that BEIR and MTEB report go out. Pure."""

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

# How far down a ranking is looked at.
DEPTH = 10

Key = TypeVar("Key", bound=Hashable)


def ndcg(ranked: Sequence[Key], grades: Mapping[Key, int], depth: int = DEPTH) -> float:
    """Return nDCG with linear gains, as trec_eval has it: 1 for the best order there could be.

    `grades` has what is judged relevant, by how much; what is missing there gains nothing.
    """
    ideal = _gain(sorted(grades.values(), reverse=True)[:depth])
    return _gain([grades.get(one, 0) for one in ranked[:depth]]) / ideal if ideal else 0.0


def _gain(grades: Iterable[int]) -> float:
    return sum(max(0, grade) / math.log2(rank + 1) for rank, grade in enumerate(grades, 1))


def recall(ranked: Sequence[Key], grades: Mapping[Key, int], depth: int = DEPTH) -> float:
    """Return the share of all that is relevant which stands among the first `depth`."""
    relevant = {one for one, grade in grades.items() if grade > 0}
    return len(relevant.intersection(ranked[:depth])) / len(relevant) if relevant else 0.0


def reciprocal_rank(ranked: Sequence[Key], grades: Mapping[Key, int], depth: int = DEPTH) -> float:
    """Return 1 / the rank of the first that is relevant, 0 where none is among the first."""
    ranks = (rank for rank, one in enumerate(ranked[:depth], 1) if grades.get(one, 0) > 0)
    return 1 / next(ranks, math.inf)


def mean(values: Sequence[float]) -> float:
    """Return the mean; there must be at least one."""
    return sum(values) / len(values)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the least value that `share` of all (0 to 1) do not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
