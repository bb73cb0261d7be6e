"""Compare results with the recorded ratios. Pure."""

from collections.abc import Iterator, Mapping
from statistics import median

from tests.bench.measured import Figure, Results

# A ratio may be worse than the recorded one by this factor.
TOLERANCE = 0.10
# Figures that vary too much against the floor are compared with the reference only.
EXACT = ("instructions", "instructions_chat", "syscalls")

Ratios = Mapping[str, Mapping[str, float]]


def ratios_of(results: Results) -> dict[str, dict[str, float]]:
    """Return each figure's ratios, to be recorded: `{key: {"reference": …, "floor": …}}`."""
    return {figure.key: dict(_ratios(figure)) for figure in results.figures}


def worse(results: Results, expected: Ratios) -> list[str]:
    """List the ratios that are worse than the recorded ones by more than a tenth."""
    return [
        f"{figure.title}: {ratio:.3g} of the {other}'s, and {expected[figure.key][other]:.3g} is"
        " written down"
        for figure in results.figures
        for other, ratio in _ratios(figure)
        if other in expected.get(figure.key, {})
        and _is_worse(ratio, expected[figure.key][other], more=figure.more)
    ]


def _is_worse(ratio: float, expected: float, *, more: bool) -> bool:
    return ratio < expected * (1 - TOLERANCE) if more else ratio > expected * (1 + TOLERANCE)


def _ratios(figure: Figure) -> Iterator[tuple[str, float]]:
    for other in ("reference", "floor") if figure.key in EXACT else ("reference",):
        if ratios := figure.ratios(other):
            yield other, round(median(ratios), 4)
