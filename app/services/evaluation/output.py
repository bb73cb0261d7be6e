"""Format reports as tables or as JSON."""

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import msgspec

from app.services.evaluation.library_report import LibraryReport
from app.services.evaluation.library_table import library_lines
from app.services.evaluation.report import BeirReport
from app.services.evaluation.table import align, percent

Report: TypeAlias = BeirReport | LibraryReport

_HEADINGS = (
    *("dataset", "questions", "passages", "nDCG@10", "recall@10", "MRR@10", "served@5"),
    *("wrongly refused", "off-topic refused", "p50 ms", "p95 ms", "passages/s"),
)


def as_table(reports: Sequence[Report]) -> str:
    """Return a table with a row per BEIR dataset, with notes, and tables for each library."""
    beir = [one for one in reports if isinstance(one, BeirReport)]
    parts = ["\n".join(_beir_lines(beir))] if beir else []
    parts += ["\n".join(library_lines(one)) for one in reports if isinstance(one, LibraryReport)]
    return "\n\n".join(parts)


def as_json(reports: Sequence[Report]) -> str:
    """Return a JSON array with the fields of BeirReport or LibraryReport."""
    return msgspec.json.format(msgspec.json.encode(reports)).decode()


def _beir_lines(reports: Sequence[BeirReport]) -> Iterator[str]:
    yield from align([_HEADINGS, *map(_row, reports)])
    for one in reports:
        for note in _notes(one):
            yield f"  {one.name}: {note}"


def _row(one: BeirReport) -> tuple[str, ...]:
    return (
        one.name,
        f"{one.questions:,}",
        f"{one.passages:,}",
        f"{one.ndcg_at_10:.3f}",
        f"{one.recall_at_10:.3f}",
        f"{one.mrr_at_10:.3f}",
        f"{one.served_recall_at_5:.3f}",
        percent(one.recall_lost),
        percent(one.off_topic.refused if one.off_topic else None),
        f"{one.search_ms.p50:.1f}",
        f"{one.search_ms.p95:.1f}",
        f"{one.ingestion.passages_per_second:,.0f}",
    )


def _notes(one: BeirReport) -> Iterator[str]:
    if one.within:
        yield f"each question is searched within its {one.within}"
    if one.skipped:
        yield f"{len(one.skipped):,} questions skipped: their answers are not in the library"
    if one.off_topic and len(one.off_topic.by_source) > 1:
        shares = (f"{percent(share)} of {name}" for name, share in one.off_topic.by_source.items())
        yield f"off-topic questions refused: {', '.join(shares)}"
    if quoting := one.quoting:
        yield (
            f"{percent(quoting.correct)} of {quoting.served:,} extractive answers are correct;"
            f" {quoting.ungrounded:,} of {quoting.answers:,} have text that is not in their sources"
        )
