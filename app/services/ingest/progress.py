"""Progress of a run, and its display as a bar or as lines on standard error."""

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, NoReturn, Self, TextIO, TypeAlias

from msgspec import Struct

from app.services.ingest.errors import MissingParsers
from app.services.ingest.names import printable

if TYPE_CHECKING:
    from tqdm import tqdm

# Seconds between two lines when the output is not a terminal.
LINE_INTERVAL = 10.0

_STAGES = {
    "waiting": "waiting for another ingestion to finish",
    "reading": "looking for changes",
    "words": "counting words",
}
# What the long stages count: singular, plural.
_UNITS = {
    "documents": ("document", "documents"),
    "embeddings": ("passage embedded", "passages embedded"),
    "calibration": ("question tried", "questions tried"),
}


class Progress(Struct, frozen=True):
    """Work done so far in a stage; `path` is the document that was processed last."""

    stage: Literal["waiting", "reading", "documents", "words", "embeddings", "calibration"]
    done: int = 0
    total: int = 0
    path: str = ""


ProgressCallback: TypeAlias = Callable[[Progress], None]


class ProgressDisplay:
    """Displays a run's progress: a bar on a terminal, an occasional line elsewhere.

    Call it with each Progress inside a `with` block.
    """

    def __init__(self, stream: TextIO = sys.stderr) -> None:
        self._stream = stream
        self._bar: tqdm[NoReturn] | None = None
        self._next_line = 0.0
        self._stage = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close_bar()

    def __call__(self, progress: Progress) -> None:
        """Display one step."""
        if progress.stage != self._stage:
            self._stage = progress.stage
            self._close_bar()
        if progress.stage not in _UNITS:
            # A short stage is shown only if there is something to do or to wait for.
            if progress.stage == "waiting" or progress.total:
                print(f"{_STAGES[progress.stage]} …", file=self._stream, flush=True)
            return
        singular, plural = _UNITS[progress.stage]
        unit = singular if progress.total == 1 else plural
        if self._stream.isatty():
            self._update_bar(progress, unit)
        elif time.monotonic() >= self._next_line or progress.done == progress.total:
            self._next_line = time.monotonic() + LINE_INTERVAL
            path = f", {printable(progress.path)}" if progress.path else ""
            line = f"{progress.done} of {progress.total} {unit}{path}"
            print(line, file=self._stream, flush=True)

    def _update_bar(self, progress: Progress, unit: str) -> None:
        if self._bar is None:
            self._bar = _new_bar(progress.total, unit, self._stream)
        self._bar.update(progress.done - self._bar.n)

    def _close_bar(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _new_bar(total: int, unit: str, stream: TextIO) -> "tqdm[NoReturn]":
    try:
        from tqdm import tqdm
    except ModuleNotFoundError:
        raise MissingParsers from None
    return tqdm(total=total, unit=f" {unit}", file=stream)
