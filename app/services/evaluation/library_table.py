"""Format the report of a library as tables."""

from collections.abc import Iterator

from app.services.evaluation.library_report import Cell, LibraryReport, Refused
from app.services.evaluation.table import MISSING, align

_QUESTIONS = (
    *("questions", "n", "moment@1", "moment@5", "sentence@1", "sentence@5", "document@5"),
    *("told", "cites", "wrongly refused", "creator's tier"),
)
_NEGATIVES = ("to be refused", "n", "refused")


def library_lines(one: LibraryReport) -> Iterator[str]:
    """Yield a heading, a table of the questions, one of the negatives, and notes."""
    yield f"{one.name}: {one.passages:,} passages, main language {one.language}"
    if one.cells:
        yield ""
        yield from align([_QUESTIONS, *(_row(cell, one.language) for cell in one.cells)])
    if one.negatives:
        yield ""
        yield from align([_NEGATIVES, *map(_refused_row, one.negatives)])
    notes = list(_notes(one))
    if notes:
        yield ""
        yield from notes


def _row(cell: Cell, main: str) -> tuple[str, ...]:
    return (
        _label(cell, main),
        f"{cell.questions:,}",
        _share(cell.moment_at_1),
        _share(cell.moment_at_5),
        _share(cell.sentence_at_1),
        _share(cell.sentence_at_5),
        _share(cell.document_at_5),
        _share(cell.told),
        _share(cell.cites),
        _share(cell.wrongly_refused),
        f"{_share(cell.creator_tier)} of {cell.creator_questions}"
        if cell.creator_questions
        else MISSING,
    )


def _label(cell: Cell, main: str) -> str:
    if cell.kind or cell.lang:
        return f"  {cell.kind or cell.lang}"
    return {
        None: "all",
        "main": f"in {main}, about documents in {main}",
        "other": "in other languages, about documents in them",
        "across": "about documents in another language",
    }[cell.scope]


def _refused_row(one: Refused) -> tuple[str, ...]:
    return f"  {one.kind}" if one.kind else "all", f"{one.questions:,}", _share(one.refused)


def _share(share: float | None) -> str:
    return MISSING if share is None else f"{share:.3f}"


def _notes(one: LibraryReport) -> Iterator[str]:
    if one.search_ms and one.reply_ms:
        yield (
            f"search: p50 {one.search_ms.p50:.1f} ms, p95 {one.search_ms.p95:.1f} ms;"
            f" whole reply: p50 {one.reply_ms.p50:.1f} ms, p95 {one.reply_ms.p95:.1f} ms"
        )
    lexical = sum(outcome.matching == "lexical" for outcome in one.outcomes)
    if lexical:
        yield f"{lexical:,} of {one.questions:,} questions were searched by words only"
    if one.ingestion:
        yield (
            f"ingestion: {one.ingestion.seconds:.1f} s,"
            f" calibration: {one.ingestion.calibration_seconds:.1f} s"
        )
    if one.skipped:
        yield (
            f"{len(one.skipped):,} questions skipped, their answers are not in the library:"
            f" {', '.join(one.skipped)}"
        )
    if follow_ups := one.follow_ups:
        yield (
            f"{follow_ups.questions:,} follow-ups, moment@5 {follow_ups.recall_at_5:.3f},"
            f" standalone {follow_ups.whole_recall_at_5:.3f}"
        )
        if follow_ups.missed:
            yield f"found only as standalone questions: {', '.join(follow_ups.missed)}"
        if follow_ups.gained:
            yield f"found only as follow-ups: {', '.join(follow_ups.gained)}"
