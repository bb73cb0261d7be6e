"""Read a library whose documents are listed in `creators.jsonl` and `videos.jsonl`."""

from collections.abc import Container, Iterator
from pathlib import PurePosixPath
from typing import TypeVar

import msgspec
from msgspec import Struct

from app.services.ingest.bounds import MAX_MANIFEST_BYTES, MAX_NAME, MAX_TITLE
from app.services.ingest.discover.listing import LibraryListing
from app.services.ingest.entry import LibraryEntry
from app.services.ingest.errors import BrokenFile, UnusableLibrary
from app.services.ingest.files import LibraryFolder
from app.services.ingest.metadata import parse_date, title_from_slug, web_url, youtube_url
from app.services.ingest.names import clean_name, clean_names, creator_slug

CREATORS, VIDEOS = "creators.jsonl", "videos.jsonl"


class CreatorLine(Struct, frozen=True):
    """A line of `creators.jsonl`."""

    creator: str
    name: str | None = None


class VideoLine(Struct, frozen=True):
    """A line of `videos.jsonl`; other fields are ignored."""

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


def has_manifest(folder: LibraryFolder) -> bool:
    """Return whether a folder has a manifest."""
    return (folder.root / VIDEOS).is_file()


def read_manifest(folder: LibraryFolder) -> LibraryListing:
    """List the videos of a manifest. Raises UnusableLibrary if it cannot be read."""
    creators: dict[str, str] = {}
    fallback_names: dict[str, str] = {}
    if (folder.root / CREATORS).is_file():
        for creator in _read_lines(folder, CREATORS, CreatorLine):
            if name := clean_name(creator.name or "", MAX_NAME):
                creators[creator_slug(creator.creator)] = name
    entries: dict[str, LibraryEntry] = {}
    broken: list[tuple[str, str]] = []
    keys: set[str] = set()
    for line in _read_lines(folder, VIDEOS, VideoLine):
        entry = _entry(line)
        keys.add(entry.key)
        if problem := _problem(entry, entries):
            broken.append((line.path, problem))
            continue
        if entry.creator not in creators:
            fallback_names.setdefault(entry.creator, title_from_slug(line.creator)[:MAX_NAME])
        entries[entry.key] = entry
    return LibraryListing(
        creators=creators,
        fallback_names=fallback_names,
        entries=tuple(entries.values()),
        keys=frozenset(keys),
        broken=tuple(broken),
    )


def _read_lines(folder: LibraryFolder, name: str, kind: type[Line]) -> Iterator[Line]:
    path = folder.root / name
    try:
        data = folder.read(name, MAX_MANIFEST_BYTES)
    except BrokenFile as error:
        raise UnusableLibrary(f"{path} {error}") from None
    lines = data.removeprefix(b"\xef\xbb\xbf").splitlines()
    decoder = msgspec.json.Decoder(kind)
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                yield decoder.decode(line)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                raise UnusableLibrary(f"line {number} of {path} is invalid: {error}") from None


def _entry(line: VideoLine) -> LibraryEntry:
    url = web_url(line.url) or (line.youtube_id and web_url(youtube_url(line.youtube_id))) or None
    return LibraryEntry(
        key=line.video,
        path=line.path,
        creator=creator_slug(line.creator),
        kind="video",
        title=clean_name(line.title or "", MAX_TITLE) or None,
        topic=clean_name(line.topic or "", MAX_NAME) or None,
        url=url,
        language=line.lang,
        speakers=clean_names(line.speakers or ()),
        published=parse_date(line.date),
    )


def _problem(entry: LibraryEntry, known_keys: Container[str]) -> str | None:
    path = PurePosixPath(entry.path)
    if path.is_absolute() or ".." in path.parts:
        return f"is outside the library's folder; correct its path in {VIDEOS}"
    if entry.key in known_keys:
        return f"the manifest lists the video {entry.key!r} twice"
    if not entry.creator:
        return "its creator's name has no letters or digits"
    return None
