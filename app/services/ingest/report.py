"""Report on a finished run, and its summary for people."""

from collections.abc import Sequence

from msgspec import Struct

# How many files outside creators' folders a summary names.
MAX_UNASSIGNED_NAMED = 10


class Report(Struct, frozen=True):
    """What a library contains after a run, and what the run changed.

    `broken` has pairs of a path and a reason; `skipped` counts files in unsupported formats;
    `unassigned` has the paths of pages and transcripts that are not in a creator's folder, which
    are left out.
    """

    library: str
    creators: int
    videos: int
    pages: int
    passages: int
    words: int
    added: int
    changed: int
    unchanged: int
    removed: int
    broken: tuple[tuple[str, str], ...]
    skipped: int
    unassigned: tuple[str, ...]
    seconds: float


def summary(report: Report) -> str:
    """Format a report as a table of counts, followed by skipped and broken files.

    Every broken file is named, but only some of the unassigned ones.
    """
    rows = (
        ("creators", report.creators),
        ("videos", report.videos),
        ("pages", report.pages),
        ("passages", report.passages),
        ("words", report.words),
    )
    width = max(len(f"{count:,}") for _, count in rows)
    lines = [f"{report.library}: {_changes(report)}, in {report.seconds:.1f} s"]
    lines += [f"  {name:<9} {count:>{width},}" for name, count in rows]
    if report.skipped:
        lines.append(f"  skipped {_files(report.skipped)} in an unsupported format")
    if report.unassigned:
        lines.append(f"  {_unassigned(report.unassigned)}")
    lines += [f"  broken: {path}: {reason}" for path, reason in report.broken]
    return "\n".join(lines)


def _changes(report: Report) -> str:
    counts = {
        "added": report.added,
        "changed": report.changed,
        "removed": report.removed,
        "broken": len(report.broken),
        "unchanged": report.unchanged,
    }
    return ", ".join(f"{count:,} {what}" for what, count in counts.items() if count) or "nothing"


def _unassigned(paths: Sequence[str]) -> str:
    named = ", ".join(paths[:MAX_UNASSIGNED_NAMED])
    rest = len(paths) - MAX_UNASSIGNED_NAMED
    more = f" and {rest:,} more" if rest > 0 else ""
    return (
        f"skipped {_files(len(paths))} outside the creators' folders;"
        f" move each into a folder named after its creator: {named}{more}"
    )


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count:,} files"
