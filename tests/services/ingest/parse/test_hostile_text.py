"""The CPU time of parsing is at most a multiple of a file's length, whatever is in it."""

import time
from itertools import cycle

import pytest

from app.services.ingest.bounds import MAX_SENTENCE
from app.services.ingest.entry import LibraryEntry
from app.services.ingest.errors import BrokenFile
from app.services.ingest.parse.document import Document, parse_document
from tests.services.ingest.parse.hostile_text import PATTERNS, hostile_text

# Far more than any pattern takes, and far less than one that takes quadratic time.
SECONDS_PER_CHARACTER = 100e-6
# Libraries are imported and language models loaded once.
SECONDS_TO_LOAD = 1.0
MAX_PASSAGE = 30_000
# What comes before the pattern, so that the format's own parser reads it.
STARTS = {
    ".md": "",
    ".txt": "",
    ".vtt": "WEBVTT\n\n00:00:01.000 --> 00:00:02.000\n",
    ".srt": "1\n00:00:01,000 --> 00:00:02,000\n",
    ".sub": "{1}{2}",
    ".rt": '<time begin="1"/>',
}


def parse(suffix: str, text: str) -> Document | None:
    path = f"a{suffix}"
    try:
        return parse_document(LibraryEntry(key=path, path=path, creator="ann"), text.encode())
    except BrokenFile:
        return None


def check(suffix: str, pattern: str, length: int) -> None:
    text = STARTS[suffix] + hostile_text(pattern, length)

    started = time.process_time()
    document = parse(suffix, text)
    seconds = time.process_time() - started

    assert seconds < SECONDS_TO_LOAD + SECONDS_PER_CHARACTER * length
    for passage in document.passages if document else ():
        lengths = [len(one.text) for one in passage.sentences]
        assert max(lengths) <= MAX_SENTENCE
        assert sum(lengths) <= MAX_PASSAGE


def in_turn(*suffixes: str) -> list[tuple[str, str]]:
    """Pair each pattern with one of the suffixes, since all pairs take minutes."""
    return list(zip(cycle(suffixes), PATTERNS, strict=False))


@pytest.mark.parametrize(("suffix", "pattern"), in_turn(*STARTS))
def test_parsing_takes_linear_time(suffix: str, pattern: str) -> None:
    check(suffix, pattern, 20_000)


@pytest.mark.slow
@pytest.mark.parametrize(("suffix", "pattern"), [*in_turn(".vtt", ".srt"), *in_turn(".sub", ".rt")])
def test_parsing_captions_takes_linear_time(suffix: str, pattern: str) -> None:
    check(suffix, pattern, 20_000)


@pytest.mark.slow
@pytest.mark.parametrize(("suffix", "pattern"), in_turn(".txt", ".md", ".vtt"))
def test_parsing_a_large_file_takes_linear_time(suffix: str, pattern: str) -> None:
    # Markdown takes some 20 µs a character; a larger page that is all markup exceeds the limit.
    check(suffix, pattern, 100_000 if suffix == ".md" else 1_000_000)
