"""Format results as a table in Markdown."""

from collections.abc import Iterator, Sequence

from tests.bench.measured import Figure, Results, spread
from tests.bench.subjects import NAMES


def as_table(results: Results) -> str:
    """Format a row per figure: the servers' medians, and the service's ratios with their range."""
    heads = ["", *NAMES, "of the reference", "of the floor"]
    lines = [_line(heads), _line(["---", *("---:" for _ in heads[1:])])]
    lines += [_line(list(_cells(figure))) for figure in results.figures]
    notes = [f"{figure.title}: {figure.note}" for figure in results.figures if figure.note]
    void = [f"**VOID** {part}: {reason}" for part, reason in results.void.items()]
    machine = ", ".join(results.machine.values())
    return "\n".join([*lines, "", machine, *notes, *void])


def _cells(figure: Figure) -> Iterator[str]:
    yield figure.title
    for name in NAMES:
        yield _number(figure.middle(name))
    for other in ("reference", "floor"):
        yield _ratio(figure.ratios(other))


def _ratio(ratios: Sequence[float]) -> str:
    spreading = spread(ratios)
    if spreading is None:
        return "–"
    middle, least, most = (_number(value) for value in spreading)
    return middle if least == most else f"{middle} ({least} to {most})"


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3g}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
