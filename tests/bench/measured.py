"""Values of several rounds come in; medians and ratios, with their ranges, go out. Pure."""

from collections.abc import Sequence
from statistics import median

from msgspec import Struct


class Figure(Struct, frozen=True):
    """One figure of each server, a value for each round; `more` is better, or less.

    `key` names it for `expected.json`. A value that is only a lower bound is told by `note`.
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
    """So many streams at once: how late their tokens were (ms at p99; the late ones' share)."""

    server: str
    streams: int
    p99_ms: float
    late: float


class Results(Struct):
    """All of a run: figures, the capacity's steps, and why parts of it are void."""

    machine: dict[str, str]
    figures: list[Figure]
    steps: list[Step]
    void: dict[str, str]


def spread(values: Sequence[float]) -> tuple[float, float, float] | None:
    """Return median, least and greatest; None of nothing."""
    return (median(values), min(values), max(values)) if values else None
