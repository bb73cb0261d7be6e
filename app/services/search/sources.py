"""Passages that were found come in, best first; numbered sources to cite go out. Pure."""

import math
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from urllib.parse import parse_qsl, urlencode, urlsplit

from msgspec import Struct
from msgspec.structs import replace

from app.schemas import Citation, CreatorRef, Kind, Sentence, Source
from app.services.search.text import keys

# In characters. Most of what is cited stands in so many; in 300 not half of it did.
_SNIPPET_LENGTH = 1_000
# Of two sentences that share the same words with a question, the shorter is more on it.
_WORD_COST = 0.02
# How many sentences have their keys kept, a kilobyte each, and how long these may be.
_MOST_KEPT, _LONGEST_KEPT = 4_000, 250


class Passage(Struct, frozen=True):
    """A passage as it was found; `first_sentence` is the place of its first in the document."""

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


def sources_from(passages: Iterable[Passage], question: str, most: int) -> tuple[Source, ...]:
    """Join passages that touch into one moment each, and number the `most` best from 1.

    What was published twice in the same words is one source. A moment starts where the
    question's words are said, the rarer of them before those that stand everywhere.
    """
    joined: list[Passage] = []
    ordered = sorted(passages, key=lambda p: (p.document_id, p.ordinal))
    last_ordinal = -1
    for passage in ordered:
        if (
            joined
            and joined[-1].document_id == passage.document_id
            and passage.ordinal == last_ordinal + 1
        ):
            joined[-1] = _join(joined[-1], passage)
        else:
            joined.append(passage)
        last_ordinal = passage.ordinal
    published = {tuple(s.text for s in p.sentences): p for p in reversed(joined)}
    best = sorted(published.values(), key=lambda p: (-p.score, p.document_id, p.ordinal))[:most]
    asked = {
        language: frozenset(keys(question, language)) for language in {p.language for p in best}
    }
    any_asked = frozenset().union(*asked.values())
    shared = [[any_asked & _keys_of(s.text, p.language) for s in p.sentences] for p in best]
    worth = _worth(shared)
    return tuple(
        _source(passage, number, _matter(passage, found, asked[passage.language], worth))
        for number, (passage, found) in enumerate(zip(best, shared, strict=True), 1)
    )


def url_at(url: str | None, seconds: float | None) -> str | None:
    """Make a video's address start at a second, the way its host understands."""
    if url is None or seconds is None:
        return url
    parts = urlsplit(url)
    host = (parts.hostname or "").removeprefix("www.").removeprefix("m.")
    if host in ("youtube.com", "youtu.be"):
        query = [(k, v) for k, v in parse_qsl(parts.query) if k != "t"]
        return parts._replace(query=urlencode([*query, ("t", str(int(seconds)))])).geturl()
    # Elsewhere a media fragment (https://www.w3.org/TR/media-frags/), unless there is one already.
    return url if parts.fragment else parts._replace(fragment=f"t={int(seconds)}").geturl()


def _join(one: Passage, following: Passage) -> Passage:
    # Passages of speech overlap: what both have is said once.
    known = one.first_sentence + len(one.sentences) - following.first_sentence
    return replace(
        one,
        sentences=one.sentences + following.sentences[max(0, known) :],
        score=max(one.score, following.score),
    )


def _keys_of(sentence: str, language: str) -> frozenset[str]:
    find = _kept_keys if len(sentence) <= _LONGEST_KEPT else _kept_keys.__wrapped__
    return find(sentence, language)


# What was found for one question is found for others, and looking the words of its 45 sentences up
# was a sixth of a short chat. A key has one string however many sentences have it.
@lru_cache(_MOST_KEPT)
def _kept_keys(sentence: str, language: str) -> frozenset[str]:
    return frozenset(map(sys.intern, keys(sentence, language)))


def _worth(shared: Sequence[Sequence[frozenset[str]]]) -> dict[str, float]:
    """Weigh the question's keys: the fewer of the sentences found have one, the more."""
    sentences = sum(map(len, shared))
    spread = Counter(key for passage in shared for sentence in passage for key in sentence)
    return {key: math.log(1 + sentences / count) for key, count in spread.items()}


def _matter(
    passage: Passage,
    shared: Sequence[frozenset[str]],
    asked: frozenset[str],
    worth: Mapping[str, float],
) -> int:
    """Return the place of the sentence that is most on the question; the first where none is.

    `shared` are the question's keys that each of its sentences has, in whatever language.
    """
    most, place = 0.0, 0
    for at, (sentence, found) in enumerate(zip(passage.sentences, shared, strict=True)):
        if own := found & asked:
            length = len(_keys_of(sentence.text, passage.language))
            score = math.fsum(map(worth.__getitem__, own)) / (1 + _WORD_COST * length)
            if score > most:
                most, place = score, at
    return place


def _source(passage: Passage, number: int, matter: int) -> Source:
    # Whoever follows the link should hear the matter itself, not what led to it.
    start = next((s.start for s in passage.sentences[matter:] if s.start is not None), None)
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
            snippet=_snippet([s.text for s in passage.sentences], matter),
            # A ranking's score has no upper end; near 0 it is about the same.
            score=round(1 - math.exp(-1.5 * passage.score), 4),
        ),
        sentences=passage.sentences,
        language=passage.language,
    )


def _snippet(sentences: Sequence[str], matter: int) -> str:
    """Join as many whole sentences as fit from the matter on, and then of those before it.

    One that is too long by itself is cut at a word.
    """
    first, length = matter, len(sentences[matter])
    if length > _SNIPPET_LENGTH:
        return sentences[matter][: _SNIPPET_LENGTH - 1].rsplit(" ", 1)[0] + "…"
    last = matter + 1
    while last < len(sentences) and length + 1 + len(sentences[last]) <= _SNIPPET_LENGTH:
        length += 1 + len(sentences[last])
        last += 1
    while first > 0 and length + 1 + len(sentences[first - 1]) <= _SNIPPET_LENGTH:
        first -= 1
        length += 1 + len(sentences[first])
    return " ".join(sentences[first:last])
