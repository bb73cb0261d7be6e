"""A folder with `creators.jsonl` and `videos.jsonl` comes in; its listing goes out."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TypeVar

import msgspec
from msgspec import Struct

from app.services.ingest.discover.entries import (
    Entry,
    Listing,
    day,
    readable,
    web_address,
    youtube_url,
)
from app.services.ingest.errors import UnusableLibrary
from app.services.search.text import slugify

CREATORS, VIDEOS = "creators.jsonl", "videos.jsonl"


class CreatorLine(Struct, frozen=True):
    """A line of `creators.jsonl`."""

    creator: str
    name: str | None = None


class VideoLine(Struct, frozen=True):
    """A line of `videos.jsonl`; fields that are not used here may stand there too."""

    video: str
    creator: str
    path: str
    title: str | None = None
    speakers: list[str] | None = None
    topic: str | None = None
    url: str | None = None
    youtube_id: str | None = None
    date: str | None = None
    lang: str | None = None


Line = TypeVar("Line", CreatorLine, VideoLine)


def has_manifest(folder: Path) -> bool:
    """Tell whether a folder's documents are listed in it."""
    return (folder / VIDEOS).is_file()


def read_manifest(folder: Path) -> Listing:
    """List what the manifest names. Raises UnusableLibrary where it cannot be read."""
    creators: dict[str, str] = {}
    unnamed: dict[str, str] = {}
    if (folder / CREATORS).is_file():
        for one in _lines(folder / CREATORS, CreatorLine):
            if one.name:
                creators[slugify(one.creator)] = one.name
    entries: dict[str, Entry] = {}
    broken: list[tuple[str, str]] = []
    keys: set[str] = set()
    for line in _lines(folder / VIDEOS, VideoLine):
        entry = _entry(line)
        keys.add(entry.key)
        if wrong := _fault(entry, entries):
            broken.append((line.path, wrong))
            continue
        if entry.creator not in creators:
            unnamed.setdefault(entry.creator, readable(line.creator))
        entries[entry.key] = entry
    return Listing(
        creators, tuple(entries.values()), frozenset(keys), tuple(broken), unnamed=unnamed
    )


def _lines(path: Path, kind: type[Line]) -> Iterator[Line]:
    try:
        lines = path.read_bytes().removeprefix(b"\xef\xbb\xbf").splitlines()
    except OSError as error:
        raise UnusableLibrary(f"{path} cannot be read: {error.strerror}") from None
    decoder = msgspec.json.Decoder(kind)
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                yield decoder.decode(line)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                raise UnusableLibrary(f"line {number} of {path} is wrong: {error}") from None


def _entry(line: VideoLine) -> Entry:
    url = web_address(line.url) or (youtube_url(line.youtube_id) if line.youtube_id else None)
    return Entry(
        key=line.video,
        path=line.path,
        creator=slugify(line.creator),
        kind="video",
        title=line.title,
        topic=line.topic,
        url=url,
        language=line.lang,
        speakers=tuple(line.speakers or ()),
        published=day(line.date),
    )


def _fault(entry: Entry, entries: dict[str, Entry]) -> str | None:
    path = PurePosixPath(entry.path)
    if path.is_absolute() or ".." in path.parts:
        return "the manifest names a file outside of the folder"
    if entry.key in entries:
        return f"the manifest names the video {entry.key!r} twice"
    if not entry.creator:
        return "its creator's name has no letter in it"
    return None
