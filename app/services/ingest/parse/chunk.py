"""Cut sections of sentences into passages."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, pairwise

from msgspec import Struct

from app.schemas import Sentence
from app.services.ingest.bounds import MAX_HEADINGS, MAX_WORD
from app.services.ingest.parse.sentences import Section
from app.services.ingest.parse.words import count_words

# About a minute of speech.
SPEECH_WORDS = 150
SPEECH_OVERLAP = 50
# A passage of slow speech is cut by time instead: a sentence counts as the words that fit in its
# time at this pace, but as no more than MAX_SLOWNESS times its own words (the rest is a pause).
SPEECH_SECONDS = 80
MAX_SLOWNESS = 4
# A shorter remainder of speech is added to the passage before it.
MIN_LAST_SPEECH_WORDS = 40
PAGE_WORDS = 160
# A shorter section, or remainder of one, is joined to its neighbour.
MIN_SECTION_WORDS = 25


class Passage(Struct, frozen=True):
    """A moment of a video or a section of a page, in whole sentences.

    `first_sentence` is the index of the first of them within the document.
    """

    ordinal: int
    heading: str
    first_sentence: int
    sentences: tuple[Sentence, ...]


def chunk_speech(sections: Sequence[Section]) -> list[Passage]:
    """Cut speech into overlapping passages of about a minute that never cross a heading."""
    return _chunk(sections, _overlapping_windows)


def chunk_page(sections: Sequence[Section]) -> list[Passage]:
    """Cut a page into its sections and divide long ones; tiny ones join the next."""
    return _chunk(_join_tiny(sections), _consecutive_windows)


def _chunk(
    sections: Sequence[Section], windows: Callable[[Sequence[float]], Iterator[tuple[int, int]]]
) -> list[Passage]:
    passages: list[Passage] = []
    offset = 0
    for section in sections:
        sentences = section.sentences
        for start, end in windows(_word_counts(sentences)):
            passages.append(
                Passage(len(passages), section.heading, offset + start, sentences[start:end])
            )
        offset += len(sentences)
    return passages


def _word_counts(sentences: Sequence[Sentence]) -> list[float]:
    """Return each sentence's words, more if they are very long or slow (see SPEECH_SECONDS)."""
    counts: list[float] = [
        max(count_words(one.text), len(one.text) / MAX_WORD) for one in sentences
    ]
    for n, (one, following) in enumerate(pairwise([*sentences, *sentences[-1:]])):
        until = one.end if following is one else following.start
        if one.start is not None and until is not None:
            by_time = (until - one.start) * SPEECH_WORDS / SPEECH_SECONDS
            counts[n] = max(counts[n], min(by_time, MAX_SLOWNESS * counts[n]))
    return counts


def _overlapping_windows(counts: Sequence[float]) -> Iterator[tuple[int, int]]:
    words_before = [0, *accumulate(counts)]
    start = end = 0
    while end < len(counts):
        end = max(start + 1, _nearest(words_before, words_before[start] + SPEECH_WORDS))
        if words_before[-1] - words_before[end] < MIN_LAST_SPEECH_WORDS:
            end = len(counts)
        yield start, end
        # A window always advances, even if its first sentence is longer than the overlap.
        start = max(start + 1, _nearest(words_before, words_before[end] - SPEECH_OVERLAP))


def _consecutive_windows(counts: Sequence[float]) -> Iterator[tuple[int, int]]:
    words_before = [0, *accumulate(counts)]
    start = 0
    while start < len(counts):
        end = max(start + 1, bisect_right(words_before, words_before[start] + PAGE_WORDS) - 1)
        if words_before[-1] - words_before[end] < MIN_SECTION_WORDS:
            end = len(counts)
        yield start, end
        start = end


def _nearest(words_before: Sequence[float], words: float) -> int:
    """Return the index of the sentence before which the number of words is nearest to `words`."""
    n = min(bisect_left(words_before, words), len(words_before) - 1)
    return n - 1 if n and words - words_before[n - 1] < words_before[n] - words else n


def _join_tiny(sections: Sequence[Section]) -> list[Section]:
    joined: list[Section] = []
    for section in sections:
        if joined and _is_tiny(joined[-1]):
            section = _join(joined.pop(), section)
        joined.append(section)
    if len(joined) > 1 and _is_tiny(joined[-1]):
        last = joined.pop()
        joined.append(_join(joined.pop(), last))
    return joined


def _is_tiny(section: Section) -> bool:
    return sum(count_words(one.text) for one in section.sentences) < MIN_SECTION_WORDS


def _join(section: Section, following: Section) -> Section:
    heading, other = section.heading, following.heading
    if other.startswith(heading):
        heading = other
    elif not heading.startswith(other):
        heading = f"{heading} · {other}"[:MAX_HEADINGS]
    return Section(heading, section.sentences + following.sentences)
