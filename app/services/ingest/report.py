"""Report on a finished run, and its summary for people."""

from collections.abc import Sequence

from msgspec import Struct

from app.services.ingest.names import printable

# How many of the files that were left out a summary names.
MAX_NAMED = 10


class Report(Struct, frozen=True):
    """What a library contains after a run, and what the run changed.

    `broken` has pairs of a path and a reason; `skipped` counts files in unsupported formats;
    `unassigned` has the paths of pages and transcripts that are not in a creator's folder, which
    are left out, and `links` those of symbolic links that were not read.
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
    links: tuple[str, ...]
    seconds: float


def summary(report: Report) -> str:
    """Format a report as a table of counts, followed by skipped and broken files.

    Every broken file is named, but only some of the others.
    """
    rows = (
        ("creators", report.creators),
        ("videos", report.videos),
        ("pages", report.pages),
        ("passages", report.passages),
        ("words", report.words),
    )
    width = max(len(f"{count:,}") for _, count in rows)
    lines = [f"{printable(report.library)}: {_changes(report)}, in {report.seconds:.1f} s"]
    lines += [f"  {name:<9} {count:>{width},}" for name, count in rows]
    if report.skipped:
        lines.append(f"  skipped {_count(report.skipped, 'file')} in an unsupported format")
    if report.unassigned:
        lines.append(
            f"  skipped {_count(len(report.unassigned), 'file')} outside the creators' folders;"
            " move each into a folder named after its creator: " + _some(report.unassigned)
        )
    if report.links:
        lines.append(
            f"  skipped {_count(len(report.links), 'symbolic link')};"
            f" --follow-links reads links: {_some(report.links)}"
        )
    lines += [f"  broken: {printable(path)}: {printable(reason)}" for path, reason in report.broken]
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


def _some(paths: Sequence[str]) -> str:
    rest = len(paths) - MAX_NAMED
    more = f" and {rest:,} more" if rest > 0 else ""
    return ", ".join(map(printable, paths[:MAX_NAMED])) + more


def _count(number: int, unit: str) -> str:
    return f"1 {unit}" if number == 1 else f"{number:,} {unit}s"
