"""Sections of sentences come in; passages to search and to cite go out. Pure."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, pairwise

from msgspec import Struct

from app.schemas import Sentence
from app.services.ingest.parse.cues import count_words
from app.services.ingest.parse.sentences import Section

# Another way to cut makes other rows of the same files: then this number goes up.
VERSION = 3

SPEECH_WORDS = 150
SPEECH_OVERLAP = 50
# A slow speaker's words count as those that others would say in the time: so many times their
# number at most, since beyond that nobody speaks.
SPEECH_SECONDS = 80
SLOWEST = 4
# A window's rest of fewer words joins the window before it.
SPEECH_TAIL = 40
PAGE_WORDS = 160
TINY_SECTION = 25


class Passage(Struct, frozen=True):
    """A moment of a video or a section of a page, of whole sentences.

    `first_sentence` is the place of the first of them within the document.
    """

    ordinal: int
    heading: str
    first_sentence: int
    sentences: tuple[Sentence, ...]


def speech_passages(sections: Sequence[Section]) -> list[Passage]:
    """Cut speech into windows of about a minute that overlap; none goes across a heading."""
    return _passages(sections, _windows)


def page_passages(sections: Sequence[Section]) -> list[Passage]:
    """Cut a page into its sections, and long ones on; tiny ones join what follows."""
    return _passages(_joined(sections), _slices)


def _passages(
    sections: Sequence[Section], cut: Callable[[Sequence[float]], Iterator[tuple[int, int]]]
) -> list[Passage]:
    passages: list[Passage] = []
    offset = 0
    for section in sections:
        for start, end in cut(_words(section.sentences)):
            passages.append(
                Passage(
                    len(passages), section.heading, offset + start, section.sentences[start:end]
                )
            )
        offset += len(section.sentences)
    return passages


def _words(sentences: Sequence[Sentence]) -> list[float]:
    """Count each sentence's words, or those that its time until the next one is worth."""
    counts: list[float] = [count_words(one.text) for one in sentences]
    for place, (one, following) in enumerate(pairwise([*sentences, *sentences[-1:]])):
        until = one.end if following is one else following.start
        if one.start is not None and until is not None:
            worth = (until - one.start) * SPEECH_WORDS / SPEECH_SECONDS
            counts[place] = max(counts[place], min(worth, SLOWEST * counts[place]))
    return counts


def _windows(words: Sequence[float]) -> Iterator[tuple[int, int]]:
    before = [0, *accumulate(words)]
    start = end = 0
    while end < len(words):
        end = max(start + 1, _nearest(before, before[start] + SPEECH_WORDS))
        if before[-1] - before[end] < SPEECH_TAIL:
            end = len(words)
        yield start, end
        # Always forward, however long the sentences are.
        start = max(start + 1, _nearest(before, before[end] - SPEECH_OVERLAP))


def _slices(words: Sequence[float]) -> Iterator[tuple[int, int]]:
    before = [0, *accumulate(words)]
    start = 0
    while start < len(words):
        end = max(start + 1, bisect_right(before, before[start] + PAGE_WORDS) - 1)
        if before[-1] - before[end] < TINY_SECTION:
            end = len(words)
        yield start, end
        start = end


def _nearest(before: Sequence[float], words: float) -> int:
    """Return the place before which the words come nearest to that many."""
    place = min(bisect_left(before, words), len(before) - 1)
    if place and words - before[place - 1] < before[place] - words:
        return place - 1
    return place


def _joined(sections: Sequence[Section]) -> list[Section]:
    joined: list[Section] = []
    for section in sections:
        if joined and _size(joined[-1]) < TINY_SECTION:
            before = joined.pop()
            section = Section(
                _heading(before.heading, section.heading), before.sentences + section.sentences
            )
        joined.append(section)
    if len(joined) > 1 and _size(joined[-1]) < TINY_SECTION:
        last, before = joined.pop(), joined.pop()
        joined.append(
            Section(_heading(before.heading, last.heading), before.sentences + last.sentences)
        )
    return joined


def _size(section: Section) -> int:
    return sum(count_words(one.text) for one in section.sentences)


def _heading(one: str, other: str) -> str:
    if other.startswith(one):
        return other
    return one if one.startswith(other) else f"{one} · {other}"
