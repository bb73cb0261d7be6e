"""Compare results with the recorded ratios of expected.json."""

from collections.abc import Iterator, Mapping
from statistics import median

from tests.bench.results import Figure, Results

# How much worse than recorded a ratio may be.
TOLERANCE = 0.10
# Only these figures repeat well enough to be compared with the floor as well.
EXACT = ("instructions", "instructions_chat", "syscalls")

Ratios = Mapping[str, Mapping[str, float]]


def ratios_of(results: Results) -> dict[str, dict[str, float]]:
    """Return each figure's ratios to record: `{key: {"reference": …, "floor": …}}`."""
    return {figure.key: dict(_ratios(figure)) for figure in results.figures}


def regressions(results: Results, expected: Ratios) -> list[str]:
    """Describe each ratio that is worse than the recorded one by more than the tolerance."""
    return [
        f"{figure.title}: {ratio:.3g} of the {other}'s, expected {expected[figure.key][other]:.3g}"
        for figure in results.figures
        for other, ratio in _ratios(figure)
        if other in expected.get(figure.key, {})
        and _is_worse(ratio, expected[figure.key][other], higher_is_better=figure.higher_is_better)
    ]


def _is_worse(ratio: float, expected: float, *, higher_is_better: bool) -> bool:
    if higher_is_better:
        return ratio < expected * (1 - TOLERANCE)
    return ratio > expected * (1 + TOLERANCE)


def _ratios(figure: Figure) -> Iterator[tuple[str, float]]:
    for other in ("reference", "floor") if figure.key in EXACT else ("reference",):
        if ratios := figure.ratios(other):
            yield other, round(median(ratios), 4)
