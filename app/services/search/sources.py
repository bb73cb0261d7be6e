"""Turn retrieved passages into numbered sources that an answer can cite."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import parse_qsl, urlencode, urlsplit

from app.schemas import Citation, Source
from app.services.search.selection import RetrievedPassage, select_passages
from app.services.search.text import stem_set, stems

# In characters. Of the sentences that extractive answers quote, 97 % are in such a snippet, and
# 83 % in one of half the length.
_SNIPPET_LENGTH = 2_000
# A shorter one is filled up to this length with what comes before the source's start.
_SNIPPET_LENGTH_WITH_START = 1_000
# Prefers the shorter of two sentences with the same terms of the question.
_LENGTH_PENALTY = 0.02
# A source starts at its first sentence with at least this share of the best sentence's score: an
# answer often begins before the sentence that repeats most of the question.
_MIN_START_SCORE = 0.4


def build_sources(
    passages: Iterable[RetrievedPassage], question: str, limit: int, creator: str | None = None
) -> tuple[Source, ...]:
    """Return at most `limit` sources numbered from 1, the best first; see `select_passages`.

    A source starts at its first sentence that matches the question well, where rare terms count
    more than common ones.
    """
    best = select_passages(passages, limit, creator)
    terms = {
        language: frozenset(stems(question, language)) for language in {p.language for p in best}
    }
    all_terms = frozenset().union(*terms.values())
    matches = [[all_terms & stem_set(s.text, p.language) for s in p.sentences] for p in best]
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
        length = len(stem_set(sentence.text, passage.language))
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
    while first > 0 and length + 1 + len(sentences[first - 1]) <= _SNIPPET_LENGTH_WITH_START:
        first -= 1
        length += 1 + len(sentences[first])
    return " ".join(sentences[first:last])
