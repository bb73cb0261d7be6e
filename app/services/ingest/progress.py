"""A run's progress and report come in; lines for whoever waits at a terminal go out."""

import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, NoReturn, Self, TextIO

from app.services.ingest.errors import MissingParsers
from app.services.ingest.report import Progress, Report

if TYPE_CHECKING:
    from tqdm import tqdm

# Seconds between two lines where there is no terminal.
PAUSE = 10.0

_STAGES = {
    "waiting": "waiting for another ingestion to end",
    "reading": "looking for what has changed",
    "words": "counting words",
}
# What is counted in the stages that take their time: one, and many.
_COUNTED = {
    "documents": ("document", "documents"),
    "embeddings": ("passage embedded", "passages embedded"),
    "gate": ("question tried", "questions tried"),
}
# How many of the files that lie in no creator's folder are named.
NAMED = 10


class ProgressLines:
    """Shows how far a run is: a bar on a terminal, a line now and then elsewhere.

    Call it with each Progress, inside of a `with` block.
    """

    def __init__(self, stream: TextIO = sys.stderr) -> None:
        self._stream = stream
        self._bar: tqdm[NoReturn] | None = None
        self._next_line = 0.0
        self._stage = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._close()

    def __call__(self, progress: Progress) -> None:
        """Show one step."""
        if progress.stage != self._stage:
            self._stage = progress.stage
            self._close()
        if progress.stage not in _COUNTED:
            # Quick steps are no news, but for who has to wait.
            if progress.stage == "waiting" or progress.total:
                print(f"{_STAGES[progress.stage]} …", file=self._stream, flush=True)
            return
        one, many = _COUNTED[progress.stage]
        counted = one if progress.total == 1 else many
        if self._stream.isatty():
            self._move(progress, counted)
        elif time.monotonic() >= self._next_line or progress.done == progress.total:
            self._next_line = time.monotonic() + PAUSE
            what = f"{counted}, {progress.path}" if progress.path else counted
            print(f"{progress.done} of {progress.total} {what}", file=self._stream, flush=True)

    def _move(self, progress: Progress, counted: str) -> None:
        if self._bar is None:
            self._bar = _bar(progress.total, counted, self._stream)
        self._bar.update(progress.done - self._bar.n)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _bar(total: int, counted: str, stream: TextIO) -> "tqdm[NoReturn]":
    try:
        from tqdm import tqdm
    except ModuleNotFoundError:
        raise MissingParsers from None
    return tqdm(total=total, unit=f" {counted}", file=stream)


def summary(report: Report) -> str:
    """Lay out a report as a table of a few lines; below it what was left out, and what is broken.

    Every broken file is named, but of those that lie in no creator's folder only some.
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
    if report.skipped == 1:
        lines.append("  1 file of another kind was left out")
    elif report.skipped:
        lines.append(f"  {report.skipped:,} files of other kinds were left out")
    if report.loose:
        lines.append(f"  {_loose(report.loose)}")
    lines += [f"  broken: {path}: {why}" for path, why in report.broken]
    return "\n".join(lines)


def _loose(paths: Sequence[str]) -> str:
    named = ", ".join(paths[:NAMED])
    if len(paths) == 1:
        return (
            "1 file lies in no creator's folder and was left out;"
            f" put it in a folder with its creator's name: {named}"
        )
    more = f" and {len(paths) - NAMED:,} more" if len(paths) > NAMED else ""
    return (
        f"{len(paths):,} files lie in no creator's folder and were left out;"
        f" put each in a folder with its creator's name: {named}{more}"
    )


def _changes(report: Report) -> str:
    counts = {
        "added": report.added,
        "changed": report.changed,
        "removed": report.removed,
        "broken": len(report.broken),
        "unchanged": report.unchanged,
    }
    return ", ".join(f"{count:,} {what}" for what, count in counts.items() if count) or "nothing"
