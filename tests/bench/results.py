"""Results of a benchmark run: values per round, their medians and ratios."""

from collections.abc import Sequence
from statistics import median

from msgspec import Struct


class Figure(Struct, frozen=True):
    """One figure: for each server a value per round.

    `key` names it in `expected.json`; `note` says if a value is only a lower bound.
    """

    key: str
    title: str
    values: dict[str, list[float]]
    higher_is_better: bool = False
    note: str = ""

    def median_of(self, name: str) -> float | None:
        """Return the median of a server's rounds, or None if it was not measured."""
        values = self.values.get(name)
        return median(values) if values else None

    def ratios(self, other: str) -> list[float]:
        """Return the service's value divided by the other server's, round by round."""
        pairs = zip(self.values.get("service", []), self.values.get(other, []), strict=False)
        return [ours / theirs for ours, theirs in pairs if theirs]


class Step(Struct, frozen=True):
    """A step of the capacity search: lateness in ms at p99, and the share of late tokens."""

    server: str
    streams: int
    p99_ms: float
    late: float


class Results(Struct):
    """A run's machine, figures and capacity steps; `invalid` maps parts to reasons."""

    machine: dict[str, str]
    figures: list[Figure]
    steps: list[Step]
    invalid: dict[str, str]


def median_and_range(values: Sequence[float]) -> tuple[float, float, float] | None:
    """Return (median, minimum, maximum), or None without values."""
    return (median(values), min(values), max(values)) if values else None
