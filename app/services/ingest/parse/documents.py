"""An entry and its file's bytes come in; the document to write, cut in passages, goes out. Pure."""

import datetime
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from msgspec import Struct

from app.services.ingest.discover.entries import (
    DocumentKind,
    Entry,
    content_hash,
    day,
    language_tag,
    readable,
    split_language,
    web_address,
    youtube_url,
)
from app.services.ingest.errors import BrokenFile
from app.services.ingest.parse.captions import captions
from app.services.ingest.parse.chunk import Passage, page_passages, speech_passages
from app.services.ingest.parse.cues import Cue, count_words, fill_times
from app.services.ingest.parse.decode import decode
from app.services.ingest.parse.dialogue import has_times, page, turns
from app.services.ingest.parse.language import language_of
from app.services.ingest.parse.markdown import Block, blocks, first_heading, front_matter, words_of
from app.services.ingest.parse.sentences import sections
from app.services.ingest.parse.speech import speech

_MARKDOWN = (".md", ".markdown")
_PROSE = (*_MARKDOWN, ".txt")


class Document(Struct, frozen=True):
    """A video or a page, ready to be written; `topic` is its name as it is shown."""

    key: str
    creator: str
    kind: DocumentKind
    title: str
    topic: str | None
    url: str | None
    language: str
    speakers: tuple[str, ...]
    published: datetime.date | None
    words: int
    passages: tuple[Passage, ...]
    content_hash: bytes


def read_document(entry: Entry, data: bytes) -> Document:
    """Read, parse and cut one document. Raises BrokenFile where there is nothing to be had.

    What the library says of it comes first, then its own front matter, then its text.
    """
    suffix = PurePosixPath(entry.path).suffix.lower()
    metadata, text = _front_matter(decode(data, entry.language), suffix)

    def told(*keys: str) -> str | None:
        return next(iter(words_of(metadata, *keys)), None)

    title = entry.title or told("title") or _title(entry.path, text, suffix)
    speakers = entry.speakers or _speakers(metadata)
    kind, cues = _cues(text, suffix, entry.kind or told("kind"), title, speakers)
    parts = sections(cues)
    sentences = [one for part in parts for one in part.sentences]
    passages = tuple(speech_passages(parts) if kind == "video" else page_passages(parts))
    if not passages:
        raise BrokenFile("there is no text in it")
    video = told("youtube_id")
    urls = (entry.url, told("url"), told("media"), told("link"), video and youtube_url(video))
    return Document(
        key=entry.key,
        creator=entry.creator,
        kind=kind,
        title=title,
        topic=told("topic") or entry.topic or told("tags", "categories"),
        url=next(filter(None, map(web_address, urls)), None),
        language=language_of(
            " ".join(one.text for one in sentences),
            language_tag(entry.language or told("language", "lang")),
        ),
        speakers=speakers,
        published=entry.published or day(metadata.get("date")),
        words=sum(count_words(one.text) for one in sentences),
        passages=passages,
        content_hash=content_hash(entry, data),
    )


def _front_matter(text: str, suffix: str) -> tuple[Mapping[str, object], str]:
    return front_matter(text) if suffix in _PROSE else ({}, text)


def _speakers(metadata: Mapping[str, object]) -> tuple[str, ...]:
    told = words_of(metadata, "speakers", "speaker")
    if len(told) == 1:
        told = [one.strip() for one in told[0].split(",")]
    return tuple(filter(None, told))


def _cues(
    text: str, suffix: str, kind: str | None, title: str, speakers: Sequence[str]
) -> tuple[DocumentKind, list[Cue]]:
    if suffix not in _MARKDOWN and kind != "page":
        if shown := captions(text):
            return "video", fill_times(speech(shown, speakers))
        if suffix not in _PROSE:
            raise BrokenFile("there are no captions in it")
    found = blocks(text, title) if suffix in _MARKDOWN else _paragraphs(text)
    if kind == "video" or (kind != "page" and has_times(found, speakers)):
        return "video", fill_times(turns(found, speakers))
    return "page", page(found)


def _paragraphs(text: str) -> list[Block]:
    paragraphs = re.split(r"\n\s*\n", text)
    lines = ([" ".join(line.split()) for line in one.split("\n")] for one in paragraphs)
    return [Block(tuple(filter(None, one))) for one in lines if any(one)]


def _title(path: str, text: str, suffix: str) -> str:
    heading = first_heading(text) if suffix in _MARKDOWN else None
    stem = PurePosixPath(path).stem
    return heading or readable(stem if suffix in _PROSE else split_language(stem)[0])
