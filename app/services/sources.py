"""Passages that were found come in, best first; numbered sources to cite go out. Pure."""

from collections.abc import Iterable, Sequence
from urllib.parse import parse_qsl, urlencode, urlsplit

from msgspec import Struct
from msgspec.structs import replace

from app.schemas import Citation, CreatorRef, Kind, Sentence, Source
from app.services.text import keys

_SNIPPET_LENGTH = 300


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

    What was published twice in the same words is one source.
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
    return tuple(_source(passage, number, question) for number, passage in enumerate(best, 1))


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


def _source(passage: Passage, number: int, question: str) -> Source:
    asked = set(keys(question, passage.language))
    shared = [len(asked.intersection(keys(s.text, passage.language))) for s in passage.sentences]
    # Whoever follows the link should hear the matter itself, not what led to it.
    on_it = next(i for i, n in enumerate(shared) if 2 * n >= max(shared))
    start = next((s.start for s in passage.sentences[on_it:] if s.start is not None), None)
    end = next((s.end for s in reversed(passage.sentences) if s.end is not None), None)
    best = shared.index(max(shared))
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
            snippet=_shorten([s.text for s in passage.sentences[best:]], _SNIPPET_LENGTH),
            score=round(min(1.0, passage.score), 4),
        ),
        sentences=passage.sentences,
        language=passage.language,
    )


def _shorten(sentences: Sequence[str], length: int) -> str:
    """Join as many whole sentences as fit, or cut the first at a word."""
    text = sentences[0]
    if len(text) > length:
        return text[: length - 1].rsplit(" ", 1)[0] + "…"
    for sentence in sentences[1:]:
        if len(text) + 1 + len(sentence) > length:
            break
        text += " " + sentence
    return text
