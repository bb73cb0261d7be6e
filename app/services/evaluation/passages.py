"""Index of the passages in judged documents, to recognize them in the sources of an answer."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence

import msgspec
from msgspec import Struct

from app.infra.database import Connection
from app.schemas import Sentence, Source
from app.services.evaluation.questions import Answer, normalize

# $1 document keys
PASSAGES = """
SELECT p.id, d.key, d.title, d.language, c.slug, t.start_seconds, t.end_seconds, t.sentences::text
FROM passages p
JOIN passage_texts t ON t.passage_id = p.id
JOIN documents d ON d.id = p.document_id
JOIN creators c ON c.id = d.creator_id
WHERE d.key = ANY($1::text[])
ORDER BY d.id, p.ordinal
"""
_SENTENCES = msgspec.json.Decoder(tuple[Sentence, ...])


class IndexedPassage(Struct, frozen=True):
    """A passage of the library; `creator` is a slug, `language` a BCP 47 tag, times in seconds."""

    id: int
    creator: str
    title: str
    language: str
    start: float | None
    end: float | None
    sentences: tuple[str, ...]


class PassageIndex:
    """Passages by document, and documents by sentence."""

    def __init__(self) -> None:
        self._passages: dict[str, list[IndexedPassage]] = defaultdict(list)
        self._documents: dict[tuple[str, str, str], set[str]] = defaultdict(set)

    def add(self, document: str, passage: IndexedPassage) -> None:
        """Add a passage of the document with this key."""
        self._passages[document].append(passage)
        for text in passage.sentences:
            self._documents[passage.creator, passage.title, text].add(document)

    def passages_of(self, document: str) -> list[IndexedPassage]:
        """Return the passages of a document in order; empty for an unknown document."""
        return self._passages.get(document, [])

    def passages_with(self, answers: Iterable[Answer]) -> Iterator[IndexedPassage]:
        """Yield the passages that contain any of the answers."""
        for answer in answers:
            for one in self.passages_of(answer.document):
                if answer.is_in(one.start, one.end, _text(one.sentences)):
                    yield one

    def documents_of(self, source: Source) -> Collection[str]:
        """Return the documents that a source may come from; several may have the same text."""
        title, slug = source.citation.title, source.citation.creator.slug
        return self._documents.get((slug, title, source.sentences[0].text), ())

    def is_of(self, source: Source, answer: Answer) -> bool:
        """Return whether a source is of the answer's document."""
        return answer.document in self.documents_of(source)

    def source_contains(self, source: Source, answer: Answer) -> bool:
        """Return whether a source contains an answer, before or after the citation's start."""
        sentences = source.sentences
        start = min((one.start for one in sentences if one.start is not None), default=None)
        end = max((one.end for one in sentences if one.end is not None), default=None)
        return self.is_of(source, answer) and answer.is_in(start, end, _sentences_text(sentences))

    def is_moment(self, source: Source, answer: Answer) -> bool:
        """Return whether the citation's times overlap those of the answer.

        Without times in either, the source must contain the answer's words.
        """
        start, end = source.citation.start_seconds, source.citation.end_seconds
        if answer.start is None or start is None:
            return self.source_contains(source, answer)
        return self.is_of(source, answer) and answer.overlaps(start, end)

    def reaches_sentence(self, source: Source, answer: Answer) -> bool:
        """Return whether the answer's sentence is at or after the citation's start.

        For an answer without words its times count instead.
        """
        start, end = source.citation.start_seconds, source.citation.end_seconds
        text = _sentences_text(_from(start, source.sentences))
        return self.is_of(source, answer) and answer.is_in(start, end, text)


def _from(start: float | None, sentences: Sequence[Sentence]) -> Sequence[Sentence]:
    """Return the sentences from the first that does not start before `start` seconds."""
    if start is None:
        return sentences
    starts = (n for n, s in enumerate(sentences) if s.start is not None and s.start >= start)
    return sentences[next(starts, len(sentences)) :]


def _sentences_text(sentences: Iterable[Sentence]) -> str:
    return _text(one.text for one in sentences)


def _text(sentences: Iterable[str]) -> str:
    return normalize(" ".join(sentences))


async def read_passage_index(connection: Connection, documents: Collection[str]) -> PassageIndex:
    """Index the passages of the documents with these keys."""
    index = PassageIndex()
    for row in await connection.fetch(PASSAGES, list(documents)):
        sentences = _SENTENCES.decode(row["sentences"])
        index.add(
            row["key"],
            IndexedPassage(
                id=row["id"],
                creator=row["slug"],
                title=row["title"],
                language=row["language"],
                start=row["start_seconds"],
                end=row["end_seconds"],
                sentences=tuple(one.text for one in sentences),
            ),
        )
    return index
