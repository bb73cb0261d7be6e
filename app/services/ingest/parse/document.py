"""Parse one file of a library into a document with its passages."""

import datetime
import hashlib
import re
from collections.abc import Sequence
from pathlib import PurePosixPath

import msgspec
from msgspec import Struct

from app.services.ingest.bounds import MAX_NAME, MAX_TITLE, MAX_URL
from app.services.ingest.entry import DocumentKind, LibraryEntry
from app.services.ingest.errors import BrokenFile
from app.services.ingest.language_tags import parse_language, split_language
from app.services.ingest.metadata import parse_date, title_from_slug, web_url, youtube_url
from app.services.ingest.names import clean_name, clean_names
from app.services.ingest.parse.captions import parse_captions
from app.services.ingest.parse.chunk import Passage, chunk_page, chunk_speech
from app.services.ingest.parse.cues import Cue, fill_times
from app.services.ingest.parse.decode import decode
from app.services.ingest.parse.dialogue import is_transcript, transcript_cues
from app.services.ingest.parse.front_matter import front_matter, front_matter_values
from app.services.ingest.parse.language import detect_language
from app.services.ingest.parse.markdown import (
    Block,
    first_heading,
    parse_blocks,
)
from app.services.ingest.parse.sentences import build_sections
from app.services.ingest.parse.speech import caption_cues
from app.services.ingest.parse.words import count_words

# Part of the content hash: increase it when parsing changes, so that every file is parsed again.
PARSER_VERSION = 4

_MARKDOWN = (".md", ".markdown")
_PROSE = (*_MARKDOWN, ".txt")


class Document(Struct, frozen=True):
    """A video or a page; `creator` is a slug, `topic` a name, `language` a BCP 47 tag."""

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


def content_hash(entry: LibraryEntry, data: bytes) -> bytes:
    """Hash everything that a document depends on: its entry, its file and the parser's version."""
    digest = hashlib.sha256(msgspec.json.encode((PARSER_VERSION, entry)))
    digest.update(data)
    return digest.digest()


def parse_document(entry: LibraryEntry, data: bytes) -> Document:
    """Parse a file's bytes. Raises BrokenFile if there is no text in it.

    The library's metadata takes precedence over the file's front matter, which takes precedence
    over anything derived from the text.
    """
    suffix = PurePosixPath(entry.path).suffix.lower()
    text = decode(data, entry.language)
    metadata, text = front_matter(text) if suffix in _PROSE else ({}, text)

    def stated(*keys: str, limit: int = MAX_URL) -> str | None:
        values = front_matter_values(metadata, *keys)
        return clean_name(values[0], limit) or None if values else None

    title = (
        entry.title or stated("title", limit=MAX_TITLE) or _derive_title(entry.path, text, suffix)
    )
    speakers = entry.speakers or _speakers(front_matter_values(metadata, "speakers", "speaker"))
    kind, cues = _parse_cues(text, suffix, entry.kind or stated("kind"), title, speakers)
    sections = build_sections(cues)
    sentences = [sentence.text for section in sections for sentence in section.sentences]
    passages = chunk_speech(sections) if kind == "video" else chunk_page(sections)
    if not passages:
        raise BrokenFile("contains no text")
    video_id = stated("youtube_id")
    urls = (entry.url, *map(stated, ("url", "media", "link")), video_id and youtube_url(video_id))
    return Document(
        key=entry.key,
        creator=entry.creator,
        kind=kind,
        title=title,
        topic=stated("topic", limit=MAX_NAME)
        or entry.topic
        or stated("tags", "categories", limit=MAX_NAME),
        url=next(filter(None, map(web_url, urls)), None),
        language=detect_language(
            " ".join(sentences), parse_language(entry.language or stated("language", "lang"))
        ),
        speakers=speakers,
        published=entry.published or parse_date(stated("date")),
        words=sum(map(count_words, sentences)),
        passages=tuple(passages),
        content_hash=content_hash(entry, data),
    )


def _derive_title(path: str, text: str, suffix: str) -> str:
    heading = first_heading(text) if suffix in _MARKDOWN else None
    stem = PurePosixPath(path).stem
    return heading or title_from_slug(stem if suffix in _PROSE else split_language(stem)[0])


def _speakers(names: Sequence[str]) -> tuple[str, ...]:
    return clean_names(names[0].split(",") if len(names) == 1 else names)


def _parse_cues(
    text: str, suffix: str, kind: str | None, title: str, speakers: Sequence[str]
) -> tuple[DocumentKind, list[Cue]]:
    if suffix not in _MARKDOWN and kind != "page":
        if captions := parse_captions(text):
            return "video", fill_times(caption_cues(captions, speakers))
        if suffix not in _PROSE:
            raise BrokenFile("contains no captions")
    blocks = parse_blocks(text, title) if suffix in _MARKDOWN else _paragraphs(text)
    if kind == "video" or (kind != "page" and is_transcript(blocks, speakers)):
        return "video", fill_times(transcript_cues(blocks, speakers))
    return "page", _page_cues(blocks)


def _paragraphs(text: str) -> list[Block]:
    paragraphs = re.split(r"\n\s*\n", text)
    lines = ([" ".join(line.split()) for line in one.split("\n")] for one in paragraphs)
    return [Block(tuple(filter(None, one))) for one in lines if any(one)]


def _page_cues(blocks: Sequence[Block]) -> list[Cue]:
    cues = []
    for block in blocks:
        text = " ".join(block.lines)
        if block.lead:
            text = f"{block.lead}: {text.lstrip(': ')}"
        if text:
            cues.append(Cue(text, heading=block.heading, closes=True))
    return cues
