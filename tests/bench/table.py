"""Markdown table of benchmark results."""

from collections.abc import Iterator, Sequence

from tests.bench.results import Figure, Results, median_and_range
from tests.bench.subjects import NAMES


def as_table(results: Results) -> str:
    """Write a row per figure: each server's median, and the service's ratios with their range."""
    heads = ["", *NAMES, "service / reference", "service / floor"]
    lines = [_line(heads), _line(["---", *("---:" for _ in heads[1:])])]
    lines += [_line(list(_cells(figure))) for figure in results.figures]
    notes = [f"{figure.title}: {figure.note}" for figure in results.figures if figure.note]
    invalid = [f"**INVALID** {part}: {reason}" for part, reason in results.invalid.items()]
    machine = ", ".join(results.machine.values())
    return "\n".join([*lines, "", machine, *notes, *invalid])


def _cells(figure: Figure) -> Iterator[str]:
    yield figure.title
    for name in NAMES:
        yield _number(figure.median_of(name))
    for other in ("reference", "floor"):
        yield _ratio(figure.ratios(other))


def _ratio(ratios: Sequence[float]) -> str:
    summary = median_and_range(ratios)
    if summary is None:
        return "–"
    middle, lowest, highest = (_number(value) for value in summary)
    return middle if lowest == highest else f"{middle} ({lowest} to {highest})"


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3g}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
