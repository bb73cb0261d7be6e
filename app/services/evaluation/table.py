"""Align the columns of a text table."""

from collections.abc import Sequence

MISSING = "–"


def align(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a line per row: the first column aligned left, the others right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [_line(row, widths) for row in rows]


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    name, *numbers = row
    cells = [f"{cell:>{width}}" for cell, width in zip(numbers, widths[1:], strict=True)]
    return "  ".join([f"{name:<{widths[0]}}", *cells])


def percent(share: float | None) -> str:
    """Format a share between 0 and 1 as a percentage."""
    return MISSING if share is None else f"{share:.1%}"
