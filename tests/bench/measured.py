"""Medians and ratios of several rounds, with their ranges. Pure."""

from collections.abc import Sequence
from statistics import median

from msgspec import Struct


class Figure(Struct, frozen=True):
    """One figure of each server, with a value per round; `more` means that more is better.

    `key` is its name in `expected.json`. `note` says if a value is only a lower bound.
    """

    key: str
    title: str
    values: dict[str, list[float]]
    more: bool = False
    note: str = ""

    def middle(self, name: str) -> float | None:
        """Return the median of a server's rounds."""
        values = self.values.get(name)
        return median(values) if values else None

    def ratios(self, against: str) -> list[float]:
        """Return the service's value over another server's, round by round."""
        pairs = zip(self.values.get("service", []), self.values.get(against, []), strict=False)
        return [ours / other for ours, other in pairs if other]


class Step(Struct, frozen=True):
    """A number of concurrent streams, and their lateness (ms at p99; share of late tokens)."""

    server: str
    streams: int
    p99_ms: float
    late: float


class Results(Struct):
    """A run: figures, the steps of the capacity search, and why parts are void."""

    machine: dict[str, str]
    figures: list[Figure]
    steps: list[Step]
    void: dict[str, str]


def spread(values: Sequence[float]) -> tuple[float, float, float] | None:
    """Return median, minimum and maximum; None if empty."""
    return (median(values), min(values), max(values)) if values else None
