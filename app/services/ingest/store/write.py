"""Documents come in; rows of the library's tables go out, and what is there already is told."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import pairwise

import msgspec
from msgspec import Struct

from app.infra.database import Connection
from app.schemas import Sentence
from app.services.ingest.parse.documents import Document
from app.services.search.text import fold, segment, slugify, stemmer

# As connected, or as lent by a pool.
# No pool's limit for questions holds here: counting the words of a large library takes its time.
STATEMENT_LIMIT = 3600.0

# In which passages of a library's documents there is what; `words` is counted per document.
HOLDINGS = """
SELECT count(DISTINCT creator_id) AS creators,
       count(*) FILTER (WHERE kind = 'video') AS videos,
       count(*) FILTER (WHERE kind = 'page') AS pages,
       coalesce(sum(words), 0) AS words,
       (SELECT count(*) FROM passages p JOIN documents own ON own.id = p.document_id
        WHERE own.library_id = $1) AS passages
FROM documents
WHERE library_id = $1
"""


class Holdings(Struct, frozen=True):
    """What a library holds."""

    creators: int
    videos: int
    pages: int
    passages: int
    words: int


async def holdings(connection: Connection, library: int) -> Holdings:
    """Count what a library holds."""
    (row,) = await connection.fetch(HOLDINGS, library, timeout=STATEMENT_LIMIT)
    return Holdings(**row)


# $1 name
LIBRARY = "SELECT id, path FROM libraries WHERE name = $1"


async def library_named(connection: Connection, name: str) -> tuple[int, str] | None:
    """Return the id of a library and the folder it was read from; None where there is none."""
    row = await connection.fetchrow(LIBRARY, name)
    return (row["id"], row["path"]) if row else None


# $1 name · $2 path
KEEP_LIBRARY = """
INSERT INTO libraries (name, path) VALUES ($1, $2)
ON CONFLICT (name) DO UPDATE SET path = excluded.path
RETURNING id
"""


async def keep_library(connection: Connection, name: str, path: str) -> int:
    """Add a library, or set the folder it is read from; returns its id."""
    library: int = await connection.fetchval(KEEP_LIBRARY, name, path)
    return library


# $1 library
HASHES = "SELECT key, content_hash FROM documents WHERE library_id = $1"


async def hashes(connection: Connection, library: int) -> dict[str, bytes]:
    """Return what each document of a library was made from, by its key."""
    return {row["key"]: row["content_hash"] for row in await connection.fetch(HASHES, library)}


CONFIGURATIONS = "SELECT cfgname FROM pg_ts_config"


async def configurations(connection: Connection) -> frozenset[str]:
    """Return the text search configurations that the server has."""
    return frozenset(row["cfgname"] for row in await connection.fetch(CONFIGURATIONS))


# $1 slugs · $2 names · $3 names, folded
RENAME_CREATORS = """
UPDATE creators c SET name = told.name, name_key = told.name_key
FROM unnest($1::text[], $2::text[], $3::text[]) AS told (slug, name, name_key)
WHERE c.slug = told.slug AND c.name <> told.name
"""


async def rename_creators(connection: Connection, names: Mapping[str, str]) -> bool:
    """Bring the names of creators that are there up to date; tells whether any was another."""
    folded = [fold(name) for name in names.values()]
    status: str = await connection.execute(
        RENAME_CREATORS, list(names), list(names.values()), folded
    )
    return status != "UPDATE 0"


# $1 slug · $2 name · $3 name, folded
KEEP_CREATOR = """
INSERT INTO creators (slug, name, name_key) VALUES ($1, $2, $3)
ON CONFLICT (slug) DO UPDATE SET name = excluded.name, name_key = excluded.name_key
RETURNING id
"""

# $1 slug · $2 name; the first name that a topic came with stays
KEEP_TOPIC = """
INSERT INTO topics (slug, name) VALUES ($1, $2)
ON CONFLICT (slug) DO UPDATE SET name = topics.name
RETURNING id
"""

# $1 library · $2 creator · $3 topic · $4 key · $5 kind · $6 title · $7 url · $8 language
# $9 speakers · $10 published · $11 words · $12 content hash
KEEP_DOCUMENT = """
INSERT INTO documents (library_id, creator_id, topic_id, key, kind, title, url, language,
                       speakers, published, words, content_hash)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
ON CONFLICT (library_id, key) DO UPDATE SET
    creator_id = excluded.creator_id, topic_id = excluded.topic_id, kind = excluded.kind,
    title = excluded.title, url = excluded.url, language = excluded.language,
    speakers = excluded.speakers, published = excluded.published, words = excluded.words,
    content_hash = excluded.content_hash, ingested_at = now()
RETURNING id
"""

# $1 document
DROP_PASSAGES = "DELETE FROM passages WHERE document_id = $1 RETURNING language"

# $1 document · $2 creator · $3 topic · $4 text search configuration · $5 title
# $6 ordinals · $7 headings · $8 headings as searched · $9 places of the first sentences
# $10 sentences as JSON · $11 starts · $12 ends · $13 the words with the speakers' names
KEEP_PASSAGES = """
WITH given AS MATERIALIZED (
    SELECT *, setweight(tokenize($4, $5), 'B') || setweight(tokenize($4, head), 'B')
                  || setweight(tokenize($4, body), 'D') AS search
    FROM unnest($6::integer[], $7::text[], $8::text[], $9::integer[], $10::text[],
                $11::double precision[], $12::double precision[], $13::text[])
        AS passage (ordinal, heading, head, first_sentence, sentences, starts, ends, body)
),
kept AS (
    INSERT INTO passages (document_id, creator_id, topic_id, language, ordinal, search,
                          length{into})
    SELECT $1, $2, $3, $4, ordinal, search, words_in(search){weights} FROM given
    RETURNING id, ordinal
)
INSERT INTO passage_texts (passage_id, heading, first_sentence, sentences, start_seconds,
                           end_seconds)
SELECT id, heading, first_sentence, sentences::jsonb, starts, ends
FROM kept JOIN given USING (ordinal)
"""

# What a language's passages are weighed by already; what is new can be found at once. In a new
# language all are weighed in the end.
WEIGHTS = """,
           bm25_weights(search, words_in(search), (
               SELECT mean_length FROM languages WHERE language = $4 AND mean_length > 0))"""

# $1 languages · $2 how many passages of each came or went
MARK_STALE = """
INSERT INTO languages AS known (language, passages, stale, changed)
SELECT language, 0, true, changed FROM unnest($1::text[], $2::integer[]) AS now (language, changed)
ON CONFLICT (language) DO UPDATE SET stale = true, changed = known.changed + excluded.changed
"""


async def replace_document(
    connection: Connection,
    library: int,
    document: Document,
    creator_name: str,
    available: Collection[str],
    *,
    pgvector: bool,
) -> set[str]:
    """Put a document in the place of the one with its key, in one transaction.

    `available` are the server's text search configurations; returns those whose passages changed.
    """
    wanted = stemmer(document.language)
    language = wanted if wanted in available else "simple"
    async with connection.transaction():
        creator: int = await connection.fetchval(
            KEEP_CREATOR, document.creator, creator_name, fold(creator_name)
        )
        topic: int | None = None
        if document.topic and (slug := slugify(document.topic)):
            topic = await connection.fetchval(KEEP_TOPIC, slug, document.topic)
        number: int = await connection.fetchval(
            KEEP_DOCUMENT,
            *(library, creator, topic, document.key, document.kind, document.title, document.url),
            *(document.language, list(document.speakers), document.published, document.words),
            document.content_hash,
        )
        dropped = await connection.fetch(DROP_PASSAGES, number)
        changed = Counter(row["language"] for row in dropped)
        changed[language] += len(document.passages)
        keep = KEEP_PASSAGES.format(
            into=", weights" if pgvector else "", weights=WEIGHTS if pgvector else ""
        )
        await connection.execute(
            keep,
            *(number, creator, topic, language, segment(document.title)),
            *_columns(document),
            timeout=STATEMENT_LIMIT,
        )
        await _mark_stale(connection, changed)
    return set(changed)


async def _mark_stale(connection: Connection, changed: Mapping[str, int]) -> None:
    await connection.execute(MARK_STALE, list(changed), list(changed.values()))


def _columns(document: Document) -> list[list[object]]:
    """Turn passages into the columns that `KEEP_PASSAGES` takes."""
    rows = [
        (
            passage.ordinal,
            passage.heading,
            segment(passage.heading),
            passage.first_sentence,
            msgspec.json.encode(passage.sentences).decode(),
            min((one.start for one in passage.sentences if one.start is not None), default=None),
            max((one.end for one in passage.sentences if one.end is not None), default=None),
            segment(searched(passage.sentences)),
        )
        for passage in document.passages
    ]
    return [list(column) for column in zip(*rows, strict=True)]


def searched(sentences: Sequence[Sentence]) -> str:
    """Join sentences to what is searched: a speaker's name stands where the speaker changes."""
    before = Sentence("")
    said = [
        f"{one.speaker}: {one.text}" if one.speaker and one.speaker != last.speaker else one.text
        for last, one in pairwise([before, *sentences])
    ]
    return " ".join(said)


# $1 library · $2 keys
DROP_DOCUMENTS = """
WITH gone AS (
    DELETE FROM documents WHERE library_id = $1 AND key = ANY($2::text[]) RETURNING id
)
SELECT p.language, count(*)::integer AS passages
FROM passages p JOIN gone ON gone.id = p.document_id
GROUP BY p.language
"""


async def drop_documents(connection: Connection, library: int, keys: Iterable[str]) -> set[str]:
    """Remove documents; returns the text search configurations whose passages changed."""
    async with connection.transaction():
        rows = await connection.fetch(DROP_DOCUMENTS, library, list(keys), timeout=STATEMENT_LIMIT)
        changed = {row["language"]: row["passages"] for row in rows}
        await _mark_stale(connection, changed)
    return set(changed)
