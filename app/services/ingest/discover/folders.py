"""Read a library that has one folder per creator."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from stat import S_ISDIR, S_ISREG

import msgspec
from msgspec import Struct

from app.services.ingest.bounds import (
    MAX_FRONT_MATTER_BYTES,
    MAX_INFO_BYTES,
    MAX_NAME,
    MAX_TITLE,
)
from app.services.ingest.discover.listing import LibraryListing
from app.services.ingest.discover.walk import Walk
from app.services.ingest.entry import LibraryEntry
from app.services.ingest.errors import BrokenFile
from app.services.ingest.files import LibraryFolder
from app.services.ingest.language_tags import split_language
from app.services.ingest.metadata import parse_date, title_from_slug, web_url, youtube_url
from app.services.ingest.names import clean_name, creator_slug
from app.services.ingest.parse.decode import decode
from app.services.ingest.parse.front_matter import front_matter, front_matter_values

CAPTION_SUFFIXES = frozenset({".vtt", ".srt", ".sbv", ".sub", ".stc", ".rt"})
DOCUMENT_SUFFIXES = CAPTION_SUFFIXES | {".md", ".markdown", ".txt"}
# Text that belongs to a website or a program: not reported as skipped.
_TECHNICAL_SUFFIXES = frozenset({".json", ".css", ".js", ".py", ".svg", ".toml", ".yaml", ".yml"})
_LICENCES = re.compile(r"(?:licen[cs]es?|copying|notice)(?:\..*)?", re.IGNORECASE)
# Files about the library itself, next to the creators' folders.
_ABOUT = re.compile(r"(?:readme|licen[cs]es?|copying|notice)(?:[._-].*)?", re.IGNORECASE)


class VideoInfo(Struct, frozen=True):
    """The metadata that yt-dlp writes to `NAME.info.json` beside a video's captions."""

    id: str | None = None
    title: str | None = None
    channel: str | None = None
    uploader: str | None = None
    webpage_url: str | None = None
    extractor: str | None = None
    upload_date: str | None = None
    language: str | None = None
    tags: list[str] | None = None
    categories: list[str] | None = None


_BEGINS_WITH_RULE = re.compile(rb"(?:\xef\xbb\xbf)?\s*---")
_INFO_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])


def read_folders(folder: LibraryFolder) -> LibraryListing:
    """List the documents in the creators' folders, without hidden files and licences."""
    creators: dict[str, str] = {}
    fallback_names: dict[str, str] = {}
    entries: list[LibraryEntry] = []
    keys: set[str] = set()
    walk = Walk(folder)
    for home in _creator_folders(walk):
        slug = creator_slug(home.name)
        files = list(_files(home, walk))
        infos = {path: _read_info(path, walk) for path in files if path.name.endswith(".info.json")}
        documents = [path for path in files if path.suffix.lower() in DOCUMENT_SUFFIXES]
        if name := _creator_name(slug, documents, infos, walk):
            creators[slug] = name
        elif documents:
            fallback_names.setdefault(slug, title_from_slug(home.name)[:MAX_NAME])
        for path in documents:
            keys.add(walk.key(path))
            info = _info_of(path, infos, walk)
            # A document with a broken description stays in the database unchanged.
            if info is not None:
                entries.append(_entry(walk.key(path), slug, path, info))
    return LibraryListing(
        creators=creators,
        fallback_names=fallback_names,
        entries=tuple(entries),
        keys=frozenset(keys),
        broken=(*walk.broken, *walk.unreadable.items()),
        skipped=walk.skipped,
        unreadable=tuple(walk.unreadable),
        unassigned=tuple(walk.unassigned),
        links=tuple(walk.links),
    )


def _creator_folders(walk: Walk) -> Iterator[Path]:
    for path, mode in walk.entries(walk.folder.root):
        if S_ISDIR(mode) and creator_slug(path.name):
            yield path
        elif (
            S_ISREG(mode)
            and path.suffix.lower() in DOCUMENT_SUFFIXES
            and not _ABOUT.fullmatch(path.name)
        ):
            walk.unassigned.append(walk.key(path))


def _files(folder: Path, walk: Walk) -> Iterator[Path]:
    for path, mode in walk.entries(folder):
        if _LICENCES.fullmatch(path.name):
            continue
        if S_ISDIR(mode):
            yield from _files(path, walk)
        elif S_ISREG(mode):
            try:
                walk.skipped += path.suffix.lower() not in DOCUMENT_SUFFIXES and _has_text(
                    path, walk
                )
            except BrokenFile as error:
                walk.unreadable[walk.key(path)] = str(error)
            else:
                yield path


def _has_text(path: Path, walk: Walk) -> bool:
    """Return whether a file in an unsupported format has text and should be reported."""
    if path.suffix.lower() in _TECHNICAL_SUFFIXES or not path.suffix:
        return False
    head = walk.folder.read_head(walk.key(path), 1024)
    if not head.strip() or b"\0" in head:
        return False
    # The last character may be cut.
    return "\ufffd" not in head.decode("utf-8", "replace")[:-4]


def _read_info(path: Path, walk: Walk) -> VideoInfo | None:
    """Read a video's description without its invalid fields; None if it is not JSON."""
    try:
        values = _INFO_OBJECT.decode(walk.folder.read(walk.key(path), MAX_INFO_BYTES))
    except BrokenFile as error:
        walk.broken.append((walk.key(path), str(error)))
        return None
    except (ValueError, RecursionError) as error:
        walk.broken.append((walk.key(path), f"cannot be read: {error}"))
        return None
    fields = {}
    for field in msgspec.structs.fields(VideoInfo):
        try:
            fields[field.name] = msgspec.json.decode(values[field.name], type=field.type)
        except (KeyError, msgspec.MsgspecError, RecursionError):
            continue
    return VideoInfo(**fields)


def _info_of(path: Path, infos: Mapping[Path, VideoInfo | None], walk: Walk) -> VideoInfo | None:
    """Return the contents of `NAME.info.json` for `NAME.vtt` or `NAME.en.vtt`; None if broken."""
    for name in (path.stem, split_language(path.stem)[0]):
        info_path = path.with_name(f"{name}.info.json")
        if info_path in infos:
            return infos[info_path]
        if walk.key(info_path) in walk.unreadable:
            return None
    return VideoInfo()


def _entry(key: str, creator: str, path: Path, info: VideoInfo) -> LibraryEntry:
    tags = (clean_name(tag, MAX_NAME) for tag in (*(info.tags or ()), *(info.categories or ())))
    url = web_url(info.webpage_url)
    if not url and info.id and (info.extractor or "").startswith("youtube"):
        url = web_url(youtube_url(info.id))
    is_captions = path.suffix.lower() in CAPTION_SUFFIXES
    language = split_language(path.stem)[1] if is_captions else None
    return LibraryEntry(
        key=key,
        path=key,
        creator=creator,
        kind="video" if is_captions else None,
        title=clean_name(info.title or "", MAX_TITLE) or None,
        topic=next(filter(None, tags), None),
        url=url,
        language=language or info.language,
        published=parse_date(info.upload_date),
    )


def _creator_name(
    slug: str, documents: Sequence[Path], infos: Mapping[Path, VideoInfo | None], walk: Walk
) -> str | None:
    """Return the name that most files state, preferably one that matches the folder's name.

    This way a page by a guest does not rename the creator.
    """
    from_pages = (_stated_creator(path, walk) for path in documents)
    channels = (info.channel or info.uploader for info in infos.values() if info)
    names = [clean_name(name, MAX_NAME) for name in (*from_pages, *channels) if name]
    matching = [name for name in names if creator_slug(name) == slug]
    ranked = Counter(matching or names).most_common(1)
    return ranked[0][0] if ranked else None


def _stated_creator(path: Path, walk: Walk) -> str | None:
    """Return the creator that a page's front matter names."""
    if path.suffix.lower() in CAPTION_SUFFIXES:
        return None
    try:
        if not _BEGINS_WITH_RULE.match(walk.folder.read_head(walk.key(path), 16)):
            return None
        head = walk.folder.read_head(walk.key(path), MAX_FRONT_MATTER_BYTES + 1024)
        # The last line may be cut, even within a character.
        metadata, _ = front_matter(decode(head[: head.rfind(b"\n") + 1]))
    except BrokenFile:
        return None
    return next(iter(front_matter_values(metadata, "creator")), None)
