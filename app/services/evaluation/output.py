"""Format reports as a table or as JSON."""

from collections.abc import Iterator, Sequence

import msgspec

from app.services.evaluation.report import DatasetReport

_HEADINGS = (
    *("dataset", "questions", "passages", "nDCG@10", "recall@10", "MRR@10", "served@5"),
    *("wrongly refused", "off-topic refused", "p50 ms", "p95 ms", "passages/s"),
)


def as_table(reports: Sequence[DatasetReport]) -> str:
    """Return a table with a row per dataset, followed by notes."""
    rows = [_HEADINGS, *(_row(one) for one in reports)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [_line(row, widths) for row in rows]
    return "\n".join(
        [*lines, *(f"  {one.name}: {note}" for one in reports for note in _notes(one))]
    )


def as_json(reports: Sequence[DatasetReport]) -> str:
    """Return a JSON array with the fields of DatasetReport."""
    return msgspec.json.format(msgspec.json.encode(reports)).decode()


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    name, *numbers = row
    cells = [f"{cell:>{width}}" for cell, width in zip(numbers, widths[1:], strict=True)]
    return "  ".join([f"{name:<{widths[0]}}", *cells])


def _row(one: DatasetReport) -> tuple[str, ...]:
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


def _notes(one: DatasetReport) -> Iterator[str]:
    if one.within:
        yield f"each question is searched within its {one.within}"
    if one.skipped:
        yield f"{len(one.skipped):,} questions skipped: their answers are not in the library"
    if one.off_topic and len(one.off_topic.by_source) > 1:
        shares = (f"{_percent(share)} of {name}" for name, share in one.off_topic.by_source.items())
        yield f"off-topic questions refused: {', '.join(shares)}"
    if quoting := one.quoting:
        yield (
            f"{_percent(quoting.correct)} of {quoting.served:,} extractive answers are correct;"
            f" {quoting.ungrounded:,} of {quoting.answers:,} have text that is not in their sources"
        )
    if follow_ups := one.follow_ups:
        yield (
            f"{follow_ups.questions:,} follow-ups, recall@5 {follow_ups.recall_at_5:.3f},"
            f" standalone {follow_ups.whole_recall_at_5:.3f}"
        )
        if follow_ups.missed:
            yield f"found only as standalone questions: {', '.join(follow_ups.missed)}"
        if follow_ups.gained:
            yield f"found only as follow-ups: {', '.join(follow_ups.gained)}"
