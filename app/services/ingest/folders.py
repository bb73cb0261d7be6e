"""A folder with one folder for each creator comes in; its listing goes out."""

import datetime
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from app.services.ingest.decode import decode
from app.services.ingest.entries import INFIX, Entry, Listing, day, readable, youtube_url
from app.services.ingest.errors import BrokenFile
from app.services.ingest.markdown import front_matter, words_of
from app.services.text import slugify

CAPTIONS = frozenset({".vtt", ".srt", ".sbv", ".sub", ".stc", ".rt"})
READABLE = CAPTIONS | {".md", ".markdown", ".txt"}
_QUIET = frozenset({".json", ".css", ".js", ".py", ".svg", ".toml", ".yaml", ".yml"})
_LICENCES = re.compile(r"(?:licen[cs]es?|copying|notice)(?:\..*)?", re.IGNORECASE)
_INFIX = re.compile(INFIX)


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


_INFO = msgspec.json.Decoder(Info)


def read_folders(folder: Path) -> Listing:
    """List what stands in the creators' folders; hidden files, pictures and such are left out."""
    creators: dict[str, str] = {}
    entries: list[Entry] = []
    broken: list[tuple[str, str]] = []
    skipped = 0
    for home in sorted(path for path in folder.iterdir() if _is_home(path)):
        slug = slugify(home.name)
        files = list(_files(home))
        skipped += sum(path.suffix.lower() not in READABLE and _is_text(path) for path in files)
        infos = {path: _info(path, folder, broken) for path in files if _is_info(path)}
        documents = [path for path in files if path.suffix.lower() in READABLE]
        if documents:
            creators[slug] = _name(home, documents, infos)
        for path in documents:
            entries.append(_entry(folder, slug, path, infos))
    listed = tuple(entries)
    return Listing(
        creators, listed, frozenset(entry.key for entry in listed), tuple(broken), skipped
    )


def _is_home(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith(".") and bool(slugify(path.name))


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or _LICENCES.fullmatch(path.name):
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _files(path)
        elif path.is_file():
            yield path


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


def _info(path: Path, folder: Path, broken: list[tuple[str, str]]) -> Info:
    try:
        return _INFO.decode(path.read_bytes())
    except (OSError, ValueError) as error:
        broken.append((path.relative_to(folder).as_posix(), f"it cannot be read: {error}"))
        return Info()


def _entry(folder: Path, creator: str, path: Path, infos: Mapping[Path, Info]) -> Entry:
    relative = path.relative_to(folder).as_posix()
    infix = _INFIX.search(path.stem)
    info = _info_of(path, infos)
    tags = [*(info.tags or ()), *(info.categories or ())]
    url = info.webpage_url
    if not url and info.id and (info.extractor or "").startswith("youtube"):
        url = youtube_url(info.id)
    is_captions = path.suffix.lower() in CAPTIONS
    return Entry(
        key=relative,
        path=relative,
        creator=creator,
        kind="video" if is_captions else None,
        title=info.title,
        topic=tags[0] if tags else None,
        url=url,
        language=(infix[1] if infix and is_captions else None) or info.language,
        published=_upload_day(info),
    )


def _info_of(path: Path, infos: Mapping[Path, Info]) -> Info:
    """Find what belongs to `NAME.vtt` or `NAME.en.vtt` in `NAME.info.json`."""
    for name in (path.stem, _INFIX.sub("", path.stem)):
        if info := infos.get(path.with_name(f"{name}.info.json")):
            return info
    return Info()


def _upload_day(info: Info) -> datetime.date | None:
    return day(info.upload_date) if info.upload_date else None


def _name(home: Path, documents: Sequence[Path], infos: Mapping[Path, Info]) -> str:
    """Name a creator: as the first page or video that tells does, else as the folder does."""
    for path in documents:
        if path.suffix.lower() not in CAPTIONS and (told := _creator_in(path)):
            return told
    channels = (info.channel or info.uploader for info in infos.values())
    return next((channel for channel in channels if channel), None) or readable(home.name)


def _creator_in(path: Path) -> str | None:
    with path.open("rb") as file:
        if not file.read(16).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"---"):
            return None
    try:
        metadata, _ = front_matter(decode(path.read_bytes()))
    except (OSError, BrokenFile):
        return None
    return next(iter(words_of(metadata, "creator")), None)
