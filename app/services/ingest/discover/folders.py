"""A folder with one folder for each creator comes in; its listing goes out."""

import datetime
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from stat import S_ISDIR, S_ISREG

import msgspec
from msgspec import Struct

from app.services.ingest.discover.entries import (
    Entry,
    Listing,
    day,
    readable,
    split_language,
    web_address,
    youtube_url,
)
from app.services.ingest.errors import BrokenFile
from app.services.ingest.parse.decode import decode
from app.services.ingest.parse.markdown import front_matter, words_of
from app.services.search.text import slugify

CAPTIONS = frozenset({".vtt", ".srt", ".sbv", ".sub", ".stc", ".rt"})
READABLE = CAPTIONS | {".md", ".markdown", ".txt"}
_QUIET = frozenset({".json", ".css", ".js", ".py", ".svg", ".toml", ".yaml", ".yml"})
_LICENCES = re.compile(r"(?:licen[cs]es?|copying|notice)(?:\..*)?", re.IGNORECASE)
# What tells of a library, beside its creators' folders, and is no part of it.
_ABOUT = re.compile(r"(?:readme|licen[cs]es?|copying|notice)(?:[._-].*)?", re.IGNORECASE)


class Info(Struct, frozen=True):
    """What yt-dlp leaves beside a video's captions, in `NAME.info.json`."""

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


_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])


class _Walk(Struct):
    """What a walk through the folder `root` could not read (path → why), and what it left out.

    `loose` has the pages and transcripts that lie in no creator's folder.
    """

    root: Path
    unread: dict[str, str] = {}
    skipped: int = 0
    loose: list[str] = []

    def miss(self, path: Path, error: OSError) -> None:
        self.unread[self.key(path)] = f"it cannot be read: {error.strerror}"

    def key(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()


def read_folders(folder: Path) -> Listing:
    """List what stands in the creators' folders; hidden files, pictures and such are left out."""
    creators: dict[str, str] = {}
    unnamed: dict[str, str] = {}
    entries: list[Entry] = []
    keys: set[str] = set()
    broken: list[tuple[str, str]] = []
    walk = _Walk(folder)
    for home in _homes(folder, walk):
        slug = slugify(home.name)
        files = list(_files(home, walk))
        infos = {path: _info(path, walk, broken) for path in files if _is_info(path)}
        documents = [path for path in files if path.suffix.lower() in READABLE]
        if name := _name(slug, documents, infos):
            creators[slug] = name
        elif documents:
            unnamed.setdefault(slug, readable(home.name))
        for path in documents:
            keys.add(walk.key(path))
            info = _info_of(path, infos, walk)
            # Better what the database knows than a document without its description.
            if info is not None:
                entries.append(_entry(walk.key(path), slug, path, info))
    return Listing(
        creators,
        tuple(entries),
        frozenset(keys),
        (*broken, *walk.unread.items()),
        walk.skipped,
        unnamed,
        tuple(walk.unread),
        tuple(walk.loose),
    )


def _homes(folder: Path, walk: _Walk) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        try:
            mode = path.stat().st_mode
        except OSError as error:
            walk.miss(path, error)
            continue
        if S_ISDIR(mode) and slugify(path.name):
            yield path
        elif S_ISREG(mode) and path.suffix.lower() in READABLE and not _ABOUT.fullmatch(path.name):
            walk.loose.append(walk.key(path))


def _files(folder: Path, walk: _Walk) -> Iterator[Path]:
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        walk.miss(folder, error)
        return
    for path in paths:
        if path.name.startswith(".") or _LICENCES.fullmatch(path.name):
            continue
        try:
            mode = path.stat().st_mode
            if S_ISDIR(mode) and not path.is_symlink():
                yield from _files(path, walk)
            elif S_ISREG(mode):
                walk.skipped += path.suffix.lower() not in READABLE and _is_text(path)
                yield path
        except OSError as error:
            walk.miss(path, error)


def _is_text(path: Path) -> bool:
    """Tell whether a file that is not read would have words in it: someone may miss it."""
    if path.suffix.lower() in _QUIET or not path.suffix:
        return False
    with path.open("rb") as file:
        head = file.read(1024)
    if not head.strip() or b"\0" in head:
        return False
    # A letter may be cut at the end.
    return "\ufffd" not in head.decode("utf-8", "replace")[:-4]


def _is_info(path: Path) -> bool:
    return path.name.endswith(".info.json")


def _info(path: Path, walk: _Walk, broken: list[tuple[str, str]]) -> Info | None:
    """Read what is told of a video; a field that is not as it should be tells nothing."""
    try:
        told = _OBJECT.decode(path.read_bytes())
    except (OSError, ValueError) as error:
        broken.append((walk.key(path), f"it cannot be read: {error}"))
        return None
    fields = {}
    for field in msgspec.structs.fields(Info):
        try:
            fields[field.name] = msgspec.json.decode(told[field.name], type=field.type)
        except (KeyError, msgspec.ValidationError):
            continue
    return Info(**fields)


def _entry(key: str, creator: str, path: Path, info: Info) -> Entry:
    tags = [*(info.tags or ()), *(info.categories or ())]
    url = web_address(info.webpage_url)
    if not url and info.id and (info.extractor or "").startswith("youtube"):
        url = youtube_url(info.id)
    is_captions = path.suffix.lower() in CAPTIONS
    language = split_language(path.stem)[1] if is_captions else None
    return Entry(
        key=key,
        path=key,
        creator=creator,
        kind="video" if is_captions else None,
        title=info.title,
        topic=tags[0] if tags else None,
        url=url,
        language=language or info.language,
        published=_upload_day(info),
    )


def _info_of(path: Path, infos: Mapping[Path, Info | None], walk: _Walk) -> Info | None:
    """Find what belongs to `NAME.vtt` or `NAME.en.vtt` in `NAME.info.json`; None: it is broken."""
    for name in (path.stem, split_language(path.stem)[0]):
        beside = path.with_name(f"{name}.info.json")
        if beside in infos:
            return infos[beside]
        if walk.key(beside) in walk.unread:
            return None
    return Info()


def _upload_day(info: Info) -> datetime.date | None:
    return day(info.upload_date) if info.upload_date else None


def _name(slug: str, documents: Sequence[Path], infos: Mapping[Path, Info | None]) -> str | None:
    """Name a creator as the folder is named, in better writing, or else as most files do.

    One page by a guest does not rename the rest.
    """
    written = (_creator_in(path) for path in documents if path.suffix.lower() not in CAPTIONS)
    channels = (info.channel or info.uploader for info in infos.values() if info)
    told = [name for name in (*written, *channels) if name]
    alike = [name for name in told if slugify(name) == slug]
    ranked = Counter(alike or told).most_common(1)
    return ranked[0][0] if ranked else None


def _creator_in(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            if not file.read(16).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"---"):
                return None
        metadata, _ = front_matter(decode(path.read_bytes()))
    except (OSError, BrokenFile):
        return None
    return next(iter(words_of(metadata, "creator")), None)
