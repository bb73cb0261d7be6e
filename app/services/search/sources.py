"""Turn retrieved passages into numbered sources that an answer can cite."""

import math
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from urllib.parse import parse_qsl, urlencode, urlsplit

from msgspec import Struct
from msgspec.structs import replace

from app.schemas import Citation, CreatorRef, Kind, Sentence, Source
from app.services.search.text import stems

# In characters. Most cited text fits in this; less than half of it fits in 300.
_SNIPPET_LENGTH = 1_000
# Prefers the shorter of two sentences with the same terms of the question.
_LENGTH_PENALTY = 0.02
# A source starts at its first sentence with at least this share of the best sentence's score: an
# answer often begins before the sentence that repeats most of the question.
_MIN_START_SCORE = 0.5
# The cache of sentence stems: entries of about a kilobyte, and characters of the longest sentence.
_CACHE_SIZE, _MAX_CACHED_LENGTH = 4_000, 250


class RetrievedPassage(Struct, frozen=True):
    """A passage found by a search; `first_sentence` is the position of its first sentence."""

    document_id: int
    ordinal: int
    first_sentence: int
    sentences: tuple[Sentence, ...]
    language: str
    kind: Kind
    title: str
    url: str | None
    topic: str | None
    creator: CreatorRef
    score: float


def build_sources(
    passages: Iterable[RetrievedPassage], question: str, limit: int
) -> tuple[Source, ...]:
    """Merge adjacent passages and return the best `limit` as sources numbered from 1.

    Duplicates with the same text become one source. A source starts at its first sentence that
    matches the question well, where rare terms count more than common ones.
    """
    merged = _merge_adjacent(sorted(passages, key=lambda p: (p.document_id, p.ordinal)))
    distinct = {tuple(s.text for s in p.sentences): p for p in reversed(merged)}
    best = sorted(distinct.values(), key=lambda p: (-p.score, p.document_id, p.ordinal))[:limit]
    terms = {
        language: frozenset(stems(question, language)) for language in {p.language for p in best}
    }
    all_terms = frozenset().union(*terms.values())
    matches = [[all_terms & _sentence_stems(s.text, p.language) for s in p.sentences] for p in best]
    idf = _idf(matches)
    return tuple(
        _source(passage, number, _first_match(passage, matched, terms[passage.language], idf))
        for number, (passage, matched) in enumerate(zip(best, matches, strict=True), 1)
    )


def url_at(url: str | None, seconds: float | None) -> str | None:
    """Return a video's URL that starts playing at `seconds`."""
    if url is None or seconds is None:
        return url
    parts = urlsplit(url)
    host = (parts.hostname or "").removeprefix("www.").removeprefix("m.")
    if host in ("youtube.com", "youtu.be"):
        query = [(k, v) for k, v in parse_qsl(parts.query) if k != "t"]
        return parts._replace(query=urlencode([*query, ("t", str(int(seconds)))])).geturl()
    # Media fragment (https://www.w3.org/TR/media-frags/), unless the URL has a fragment.
    return url if parts.fragment else parts._replace(fragment=f"t={int(seconds)}").geturl()


def _merge_adjacent(passages: Iterable[RetrievedPassage]) -> list[RetrievedPassage]:
    merged: list[RetrievedPassage] = []
    last_ordinal = -1
    for passage in passages:
        if (
            merged
            and merged[-1].document_id == passage.document_id
            and passage.ordinal == last_ordinal + 1
        ):
            merged[-1] = _merge(merged[-1], passage)
        else:
            merged.append(passage)
        last_ordinal = passage.ordinal
    return merged


def _merge(one: RetrievedPassage, following: RetrievedPassage) -> RetrievedPassage:
    # Passages of speech overlap by some sentences.
    overlap = one.first_sentence + len(one.sentences) - following.first_sentence
    return replace(
        one,
        sentences=one.sentences + following.sentences[max(0, overlap) :],
        score=max(one.score, following.score),
    )


def _sentence_stems(sentence: str, language: str) -> frozenset[str]:
    cached = len(sentence) <= _MAX_CACHED_LENGTH
    return (_cached_stems if cached else _cached_stems.__wrapped__)(sentence, language)


# Stemming the 45 sentences found for a question took a sixth of the time to the first token, and
# the same sentences are found for other questions. Interning stores each stem once.
@lru_cache(_CACHE_SIZE)
def _cached_stems(sentence: str, language: str) -> frozenset[str]:
    return frozenset(map(sys.intern, stems(sentence, language)))


def _idf(matches: Sequence[Sequence[frozenset[str]]]) -> dict[str, float]:
    """Return the idf of the question's terms among the retrieved sentences."""
    sentences = sum(map(len, matches))
    frequency = Counter(term for passage in matches for sentence in passage for term in sentence)
    return {term: math.log(1 + sentences / count) for term, count in frequency.items()}


def _first_match(
    passage: RetrievedPassage,
    matches: Sequence[frozenset[str]],
    terms: frozenset[str],
    idf: Mapping[str, float],
) -> int:
    """Return the index of the first sentence that matches the question well, 0 if none matches.

    `matches` has the question's terms in each sentence, stemmed in any of the languages; `terms`
    are those stemmed in the passage's own language.
    """
    scores: list[float] = []
    for sentence, matched in zip(passage.sentences, matches, strict=True):
        length = len(_sentence_stems(sentence.text, passage.language))
        total = math.fsum(map(idf.__getitem__, matched & terms))
        scores.append(total / (1 + _LENGTH_PENALTY * length))
    threshold = _MIN_START_SCORE * max(scores, default=0.0)
    return next((index for index, score in enumerate(scores) if score >= threshold), 0)


def _source(passage: RetrievedPassage, number: int, first: int) -> Source:
    # The link starts at this sentence instead of the passage's beginning.
    start = next((s.start for s in passage.sentences[first:] if s.start is not None), None)
    end = next((s.end for s in reversed(passage.sentences) if s.end is not None), None)
    return Source(
        citation=Citation(
            number=number,
            kind=passage.kind,
            title=passage.title,
            creator=passage.creator,
            topic=passage.topic,
            url=url_at(passage.url, start),
            start_seconds=start,
            end_seconds=end,
            snippet=_snippet([s.text for s in passage.sentences], first),
            # Maps the unbounded ranking score to 0 … 1.
            score=round(1 - math.exp(-1.5 * passage.score), 4),
        ),
        sentences=passage.sentences,
        language=passage.language,
    )


def _snippet(sentences: Sequence[str], start: int) -> str:
    """Join whole sentences that fit: from `start` on, then those before it.

    If the sentence at `start` alone is too long, it is cut at a word.
    """
    first, length = start, len(sentences[start])
    if length > _SNIPPET_LENGTH:
        return sentences[start][: _SNIPPET_LENGTH - 1].rsplit(" ", 1)[0] + "…"
    last = start + 1
    while last < len(sentences) and length + 1 + len(sentences[last]) <= _SNIPPET_LENGTH:
        length += 1 + len(sentences[last])
        last += 1
    while first > 0 and length + 1 + len(sentences[first - 1]) <= _SNIPPET_LENGTH:
        first -= 1
        length += 1 + len(sentences[first])
    return " ".join(sentences[first:last])
