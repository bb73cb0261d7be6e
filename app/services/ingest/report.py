"""What a run tells while it runs, and what it tells at its end."""

from typing import Literal

from msgspec import Struct


class Progress(Struct, frozen=True):
    """How far a run is: documents done of those that changed, and the last one's path."""

    stage: Literal["waiting", "reading", "documents", "words", "embeddings", "gate"]
    done: int = 0
    total: int = 0
    path: str = ""


class Report(Struct, frozen=True):
    """What a library now holds, and what this run did.

    `broken` has pairs of a path and why; `skipped` counts files of other kinds; `loose` has the
    paths of pages and transcripts that were left out because they lie in no creator's folder.
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
    loose: tuple[str, ...]
    seconds: float
