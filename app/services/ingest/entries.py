"""What a library's folder says of each document before the document itself is opened."""

import datetime
import hashlib
import re
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec
from msgspec import Struct

from app.services.ingest.chunk import VERSION
from app.services.ingest.errors import BrokenFile

DocumentKind: TypeAlias = Literal["video", "page"]

# A tag of BCP 47, roughly: `en`, `pt-BR`, `zh-Hans`.
LANGUAGE = r"[a-z]{2,3}(?:[-_][A-Za-z0-9]{2,8}){0,3}"
# As in `NAME.en.vtt`.
INFIX = rf"\.({LANGUAGE})$"
LARGEST = 20_000_000


class Entry(Struct, frozen=True):
    """A document of a library; None is what only the file itself can tell.

    `path` is relative to the folder, with `/`; `key` names the document within the library;
    `creator` is a slug.
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


class Listing(Struct, frozen=True):
    """What a folder holds: creators (slug → name), documents by key, what is broken or skipped.

    `keys` has every document that the folder names, the broken ones too. `broken` has pairs of a
    path and why.
    """

    creators: dict[str, str]
    entries: tuple[Entry, ...]
    keys: frozenset[str]
    broken: tuple[tuple[str, str], ...] = ()
    skipped: int = 0


def load(folder: Path, entry: Entry) -> bytes:
    """Return the bytes of an entry's file. Raises BrokenFile for one that cannot be read."""
    path = folder / entry.path
    try:
        if path.stat().st_size > LARGEST:
            raise BrokenFile(f"it is larger than {LARGEST // 1_000_000} MB")
        return path.read_bytes()
    except OSError as error:
        raise BrokenFile(f"it cannot be read: {error.strerror}") from None


def content_hash(entry: Entry, data: bytes) -> bytes:
    """Sum up all that a document's rows are made from."""
    digest = hashlib.sha256(msgspec.json.encode((VERSION, entry)))
    digest.update(data)
    return digest.digest()


def day(value: object) -> datetime.date | None:
    """Read a date such as `2024-05-31` or `20240531`; None where it is none."""
    if isinstance(value, datetime.datetime):
        return value.date()
    if isinstance(value, datetime.date):
        return value
    try:
        return datetime.date.fromisoformat(str(value).strip()[:10])
    except ValueError:
        return None


def readable(slug: str) -> str:
    """Make a file's or folder's name readable: without the id of a video, words apart."""
    bare = re.sub(r"\s*\[[\w-]{6,}\]$", "", slug)
    words = " ".join(re.sub(r"[_-]+", " ", bare).split()) or slug
    return words[:1].upper() + words[1:]


def youtube_url(video: str) -> str:
    """Return the address of a video on YouTube."""
    return f"https://www.youtube.com/watch?v={video}"
