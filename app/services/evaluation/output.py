"""Reports come in; a table to read, or JSON to work on, goes out. Pure."""

from collections.abc import Iterator, Sequence

import msgspec

from app.services.evaluation.report import SetReport

_HEADS = (
    "set",
    "questions",
    "passages",
    "nDCG@10",
    "recall@10",
    "MRR@10",
    "served@5",
    "lost",
    "refused",
    "p50 ms",
    "p95 ms",
    "passages/s",
)


def as_table(reports: Sequence[SetReport]) -> str:
    """Lay reports out: a line for each set, and below what only some of them have."""
    rows = [_HEADS, *(_row(one) for one in reports)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [_line(row, widths) for row in rows]
    return "\n".join([*lines, *(f"  {note}" for one in reports for note in _notes(one))])


def as_json(reports: Sequence[SetReport]) -> str:
    """Lay reports out as a JSON array; the fields are those of SetReport."""
    return msgspec.json.format(msgspec.json.encode(reports)).decode()


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    name, *numbers = row
    cells = [f"{cell:>{width}}" for cell, width in zip(numbers, widths[1:], strict=True)]
    return "  ".join([f"{name:<{widths[0]}}", *cells])


def _row(one: SetReport) -> tuple[str, ...]:
    return (
        one.name,
        f"{one.questions:,}",
        f"{one.passages:,}",
        f"{one.ndcg_at_10:.3f}",
        f"{one.recall_at_10:.3f}",
        f"{one.mrr_at_10:.3f}",
        f"{one.served_recall_at_5:.3f}",
        _percent(one.recall_lost),
        _percent(one.off_topic.refused if one.off_topic else None),
        f"{one.search_ms.p50:.1f}",
        f"{one.search_ms.p95:.1f}",
        f"{one.ingestion.passages_per_second:,.0f}",
    )


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"


def _notes(one: SetReport) -> Iterator[str]:
    if one.within:
        yield f"{one.name}: each question is asked within its {one.within}"
    if one.skipped:
        yield (
            f"{one.name}: {len(one.skipped):,} more questions were skipped, since nothing that"
            " answers them is in the library"
        )
    if one.off_topic and len(one.off_topic.by_source) > 1:
        shares = (f"{_percent(share)} of {name}" for name, share in one.off_topic.by_source.items())
        yield f"{one.name}: refused {', '.join(shares)}"
    if one.quoting:
        yield (
            f"{one.name}: {_percent(one.quoting.told)} of {one.quoting.served:,} quoted answers"
            f" hold what was asked; {one.quoting.foreign:,} of {one.quoting.replies:,} replies say"
            " anything but their sources' sentences"
        )
    if one.follow_ups:
        yield (
            f"{one.name}: {one.follow_ups.questions:,} follow-ups, recall@5"
            f" {one.follow_ups.recall_at_5:.3f}, asked whole"
            f" {one.follow_ups.whole_recall_at_5:.3f}"
        )
    if one.follow_ups and one.follow_ups.missed:
        yield f"{one.name}: found only when asked whole: {', '.join(one.follow_ups.missed)}"
    if one.follow_ups and one.follow_ups.gained:
        yield f"{one.name}: found only as follow-ups: {', '.join(one.follow_ups.gained)}"
