"""The documents that a set's judgements name come in; their passages, to be compared, go out."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator

import msgspec
from msgspec import Struct

from app.infra.database import Connection
from app.schemas import Sentence, Source
from app.services.evaluation.questions import Answer, folded

# $1 keys of documents
PASSAGES = """
SELECT p.id, d.key, d.title, c.slug, t.start_seconds, t.end_seconds, t.sentences::text
FROM passages p
JOIN passage_texts t ON t.passage_id = p.id
JOIN documents d ON d.id = p.document_id
JOIN creators c ON c.id = d.creator_id
WHERE d.key = ANY($1::text[])
ORDER BY d.id, p.ordinal
"""
_SENTENCES = msgspec.json.Decoder(tuple[Sentence, ...])


class IndexedPassage(Struct, frozen=True):
    """A passage of the library; `creator` is a slug, times are in seconds."""

    id: int
    creator: str
    title: str
    start: float | None
    end: float | None
    sentences: tuple[str, ...]


class PassageIndex:
    """The passages of some documents, and which of these documents a source comes from."""

    def __init__(self) -> None:
        self._passages: dict[str, list[IndexedPassage]] = defaultdict(list)
        self._documents: dict[tuple[str, str, str], set[str]] = defaultdict(set)

    def put(self, document: str, passage: IndexedPassage) -> None:
        """Add a passage of the document with this key."""
        self._passages[document].append(passage)
        for text in passage.sentences:
            self._documents[passage.creator, passage.title, text].add(document)

    def passages_of(self, document: str) -> list[IndexedPassage]:
        """Return a document's passages, in order; none where the library has no such document."""
        return self._passages.get(document, [])

    def passages_with(self, answers: Iterable[Answer]) -> Iterator[IndexedPassage]:
        """Yield the passages that any of the answers stands in."""
        for answer in answers:
            for one in self.passages_of(answer.document):
                if answer.stands_in(one.start, one.end, _text(one.sentences)):
                    yield one

    def documents_of(self, source: Source) -> Collection[str]:
        """Return which documents a source's words stand in; more than one has the same words."""
        title, slug = source.citation.title, source.citation.creator.slug
        return self._documents.get((slug, title, source.sentences[0].text), ())

    def holds(self, source: Source, answer: Answer) -> bool:
        """Tell whether an answer stands in a source."""
        said = source.sentences
        start = min((one.start for one in said if one.start is not None), default=None)
        end = max((one.end for one in said if one.end is not None), default=None)
        return answer.document in self.documents_of(source) and answer.stands_in(
            start, end, _text(one.text for one in said)
        )


def _text(sentences: Iterable[str]) -> str:
    return folded(" ".join(sentences))


async def read_shelf(connection: Connection, documents: Collection[str]) -> PassageIndex:
    """Read the passages of the documents with these keys."""
    shelf = PassageIndex()
    for row in await connection.fetch(PASSAGES, list(documents)):
        sentences = _SENTENCES.decode(row["sentences"])
        shelf.put(
            row["key"],
            IndexedPassage(
                id=row["id"],
                creator=row["slug"],
                title=row["title"],
                start=row["start_seconds"],
                end=row["end_seconds"],
                sentences=tuple(one.text for one in sentences),
            ),
        )
    return shelf
