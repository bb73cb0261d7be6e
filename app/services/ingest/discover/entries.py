"""What a library's folder says of each document before the document itself is opened."""

import datetime
import hashlib
import re
from pathlib import Path
from typing import Literal, TypeAlias
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from app.services.ingest.errors import BrokenFile
from app.services.ingest.parse.chunk import VERSION
from app.services.search.text import fold

DocumentKind: TypeAlias = Literal["video", "page"]

# A tag of BCP 47, roughly: `en`, `pt-BR`, `zh-Hans`.
_LANGUAGE = re.compile(r"([a-z]{2,3})((?:[-_][a-z0-9]{2,8}){0,3})", re.IGNORECASE)
# As in `NAME.en.vtt`, `NAME.zh-Hans.vtt`, `NAME.en-orig.vtt`.
_INFIX = re.compile(r"\.([a-z]{2,3})(-orig|(?:[-_][A-Za-z]{4})?(?:[-_](?:[A-Za-z]{2}|\d{3}))?)$")
# ISO 639-1, and `iw` as YouTube has it.
_CODES = frozenset(
    """
    aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy
    da de dv dz ee el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu
    hy hz ia id ie ig ii ik io is it iu iw ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la
    lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl nn no nr nv ny oc oj
    om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st su sv
    sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu
    """.split()
)
_LONGER_CODES = dict(
    pair.split("=")
    for pair in """
    eng=en deu=de ger=de fra=fr fre=fr spa=es ita=it por=pt rus=ru jpn=ja zho=zh chi=zh nld=nl
    dut=nl
    """.split()
)
_NAMES = dict(
    pair.split("=")
    for pair in """
    arabic=ar chinese=zh czech=cs danish=da dutch=nl english=en finnish=fi french=fr german=de
    greek=el hebrew=he hindi=hi hungarian=hu indonesian=id italian=it japanese=ja korean=ko
    norwegian=no polish=pl portuguese=pt romanian=ro russian=ru spanish=es swedish=sv thai=th
    turkish=tr ukrainian=uk vietnamese=vi
    """.split()
)
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

    `creators` has the names that something tells; `unnamed` has what to call the others, made
    from their folders' names. `keys` has every document that the folder names, the broken ones
    too; under the paths of `unread` there may be more. `broken` has pairs of a path and why;
    `loose` has the paths of pages and transcripts that lie in no creator's folder.
    """

    creators: dict[str, str]
    entries: tuple[Entry, ...]
    keys: frozenset[str]
    broken: tuple[tuple[str, str], ...] = ()
    skipped: int = 0
    unnamed: dict[str, str] = {}
    unread: tuple[str, ...] = ()
    loose: tuple[str, ...] = ()

    def may_hold(self, key: str) -> bool:
        """Tell whether a document is in the folder, or may be where nobody can look."""
        return key in self.keys or any(
            key == path or key.startswith(f"{path}/") for path in self.unread
        )


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


def web_address(url: object) -> str | None:
    """Return an address of the web as it is; None for what is none, or goes elsewhere."""
    text = str(url or "").strip()
    try:
        parts = urlsplit(text)
    except ValueError:
        return None
    return text if parts.scheme in ("http", "https") and parts.hostname else None


def language_tag(told: str | None) -> str | None:
    """Read a language as people tell it (`en`, `pt_BR`, `eng`, `German`); None where it is none."""
    if told is None:
        return None
    match = _LANGUAGE.fullmatch(told.strip())
    if match is None:
        return _NAMES.get(fold(told))
    code, rest = match[1].lower(), match[2].replace("_", "-")
    return _LONGER_CODES.get(code, code) + ("" if rest == "-orig" else rest)


def split_language(stem: str) -> tuple[str, str | None]:
    """Split `NAME.en`, a file's name without its suffix, into the name and the language's tag."""
    match = _INFIX.search(stem)
    if match is None or not (match[1] in _CODES or match[1] in _LONGER_CODES):
        return stem, None
    return stem[: match.start()], language_tag(stem[match.start() + 1 :])
