"""A library's metadata on a document, and the document's file."""

import datetime
from pathlib import Path
from typing import Literal, TypeAlias

from msgspec import Struct

from app.services.ingest.errors import BrokenFile

DocumentKind: TypeAlias = Literal["video", "page"]

MAX_FILE_BYTES = 20_000_000


class LibraryEntry(Struct, frozen=True):
    """A library's metadata on a document; None where only the file itself may have it.

    `key` identifies the document within the library, `path` is relative to the library's folder
    and uses `/`, `creator` is a slug. The fields are part of the content hash: renaming one makes
    every library parse all its files again.
    """

    key: str
    path: str
    creator: str
    kind: DocumentKind | None = None
    title: str | None = None
    topic: str | None = None
    url: str | None = None
    language: str | None = None
    speakers: tuple[str, ...] = ()
    published: datetime.date | None = None


def read_file(folder: Path, entry: LibraryEntry) -> bytes:
    """Return the bytes of an entry's file. Raises BrokenFile if it is unreadable or too large."""
    path = folder / entry.path
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise BrokenFile(f"is larger than {MAX_FILE_BYTES // 1_000_000} MB")
        return path.read_bytes()
    except OSError as error:
        raise BrokenFile(f"cannot be read: {error.strerror}") from None
