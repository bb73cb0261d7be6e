"""A library's metadata on a document, and the document's file."""

import datetime
from typing import Literal, TypeAlias

from msgspec import Struct

from app.services.ingest.bounds import MAX_FILE_BYTES, MAX_KEY_BYTES
from app.services.ingest.errors import BrokenFile
from app.services.ingest.files import LibraryFolder

DocumentKind: TypeAlias = Literal["video", "page"]


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


def read_file(folder: LibraryFolder, entry: LibraryEntry) -> bytes:
    """Return the bytes of an entry's file. Raises BrokenFile if the entry cannot be used."""
    if "\0" in entry.key:
        raise BrokenFile("its name contains a NUL character")
    if len(entry.key.encode()) > MAX_KEY_BYTES:
        raise BrokenFile(f"its name is longer than {MAX_KEY_BYTES:,} bytes")
    return folder.read(entry.path, MAX_FILE_BYTES)
