"""Write documents and their passages to the database, and delete them."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import pairwise

import msgspec

from app.infra.database import Connection
from app.schemas import Sentence
from app.services.ingest.parse.document import Document
from app.services.search.text import fold, segment, slugify, stemmer

# Seconds for one statement: counting the words of a large library takes minutes.
STATEMENT_TIMEOUT = 3600.0

TEXT_SEARCH_CONFIGURATIONS = "SELECT cfgname FROM pg_ts_config"

# $1 slugs · $2 names · $3 folded names
RENAME_CREATORS = """
UPDATE creators c SET name = given.name, name_key = given.name_key
FROM unnest($1::text[], $2::text[], $3::text[]) AS given (slug, name, name_key)
WHERE c.slug = given.slug AND c.name <> given.name
RETURNING c.id
"""

# $1 creators
DOCUMENT_NAMES = """
SELECT d.id, c.name, d.speakers FROM documents d JOIN creators c ON c.id = d.creator_id
WHERE c.id = ANY($1::bigint[])
"""

# $1 documents · $2 their segmented names
REPLACE_NAMES = """
WITH replaced AS (
    UPDATE passages p SET search = named.search, length = words_in(named.search){weights}
    FROM (
        SELECT id, ts_filter(search, '{a,b,d}') || setweight(tokenize(language, names), 'C')
                       AS search
        FROM unnest($1::bigint[], $2::text[]) AS given (document_id, names)
        JOIN passages USING (document_id)
    ) named
    WHERE p.id = named.id
    RETURNING p.language
)
-- The new lexemes are in passages that have been counted before, so all are counted again.
UPDATE languages SET stale = true, changed = changed + passages
WHERE language IN (SELECT language FROM replaced)
RETURNING language
"""

# $1 slug · $2 name · $3 folded name
UPSERT_CREATOR = """
INSERT INTO creators (slug, name, name_key) VALUES ($1, $2, $3)
ON CONFLICT (slug) DO UPDATE SET name = excluded.name, name_key = excluded.name_key
RETURNING id
"""

# $1 slug · $2 name; a topic keeps its first name
UPSERT_TOPIC = """
INSERT INTO topics (slug, name) VALUES ($1, $2)
ON CONFLICT (slug) DO UPDATE SET name = topics.name
RETURNING id
"""

# $1 library · $2 creator · $3 topic · $4 key · $5 kind · $6 title · $7 url · $8 language
# $9 speakers · $10 published · $11 words · $12 content hash
# `previous` is the document as it was before the statement.
UPSERT_DOCUMENT = """
WITH previous AS (
    SELECT creator_id, kind FROM documents WHERE library_id = $1 AND key = $4
),
moved AS (
    SELECT creator_id, sum(change) FILTER (WHERE kind = 'video') AS videos,
           sum(change) FILTER (WHERE kind = 'page') AS pages
    FROM (SELECT creator_id, kind, -1 FROM previous UNION ALL SELECT $2, $5, 1)
        AS changes (creator_id, kind, change)
    GROUP BY creator_id
),
counted AS (
    UPDATE creators c SET videos = c.videos + coalesce(moved.videos, 0),
                          pages = c.pages + coalesce(moved.pages, 0)
    FROM moved
    WHERE c.id = moved.creator_id AND (moved.videos <> 0 OR moved.pages <> 0)
)
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
DELETE_PASSAGES = "DELETE FROM passages WHERE document_id = $1 RETURNING language"

# $1 document · $2 creator · $3 topic · $4 text search configuration · $5 segmented title
# $6 segmented names of the creator and the speakers
# $7 ordinals · $8 headings · $9 segmented headings · $10 indexes of the first sentences
# $11 sentences as JSON · $12 starts · $13 ends · $14 segmented text with speakers' names
# Only the names weigh C, so that they can be replaced.
INSERT_PASSAGES = """
WITH given AS MATERIALIZED (
    SELECT *, setweight(tokenize($4, $5), 'B') || setweight(tokenize($4, head), 'B')
                  || setweight(tokenize($4, body), 'D') || setweight(tokenize($4, $6), 'C')
                  AS search
    FROM unnest($7::integer[], $8::text[], $9::text[], $10::integer[], $11::text[],
                $12::double precision[], $13::double precision[], $14::text[])
        AS passage (ordinal, heading, head, first_sentence, sentences, starts, ends, body)
),
inserted AS (
    INSERT INTO passages (document_id, creator_id, topic_id, language, ordinal, search,
                          length{into})
    SELECT $1, $2, $3, $4, ordinal, search, words_in(search){weights} FROM given
    RETURNING id, ordinal
)
INSERT INTO passage_texts (passage_id, heading, first_sentence, sentences, start_seconds,
                           end_seconds)
SELECT id, heading, first_sentence, sentences::jsonb, starts, ends
FROM inserted JOIN given USING (ordinal)
"""

# A new passage is weighted immediately, with the mean length of its language, so that searches find
# it. The passages of a new language are weighted when its statistics are computed.
WEIGHTS = """bm25_weights({search}, words_in({search}), (
               SELECT mean_length FROM languages l
               WHERE l.language = {language} AND mean_length > 0))"""

# $1 languages · $2 number of passages added to and deleted from each
MARK_STALE = """
INSERT INTO languages AS known (language, passages, stale, changed)
SELECT language, 0, true, changed FROM unnest($1::text[], $2::integer[]) AS now (language, changed)
ON CONFLICT (language) DO UPDATE SET stale = true, changed = known.changed + excluded.changed
"""

# $1 library · $2 keys; the statement still sees the passages that are deleted by the cascade
DELETE_DOCUMENTS = """
WITH deleted AS (
    DELETE FROM documents WHERE library_id = $1 AND key = ANY($2::text[])
    RETURNING id, creator_id, kind
),
counted AS (
    UPDATE creators c SET videos = c.videos - gone.videos, pages = c.pages - gone.pages
    FROM (SELECT creator_id, count(*) FILTER (WHERE kind = 'video') AS videos,
                 count(*) FILTER (WHERE kind = 'page') AS pages
          FROM deleted GROUP BY creator_id) gone
    WHERE c.id = gone.creator_id
)
SELECT p.language, count(*)::integer AS passages
FROM passages p JOIN deleted ON deleted.id = p.document_id
GROUP BY p.language
"""


async def text_search_configurations(connection: Connection) -> frozenset[str]:
    """Return the names of the server's text search configurations."""
    rows = await connection.fetch(TEXT_SEARCH_CONFIGURATIONS)
    return frozenset(row["cfgname"] for row in rows)


async def rename_creators(
    connection: Connection, names: Mapping[str, str], *, pgvector: bool
) -> set[str]:
    """Update the names of existing creators, given by their slugs, also in their passages.

    Returns the text search configurations whose passages changed.
    """
    folded = [fold(name) for name in names.values()]
    async with connection.transaction():
        renamed = await connection.fetch(RENAME_CREATORS, list(names), list(names.values()), folded)
        documents = await connection.fetch(DOCUMENT_NAMES, [row["id"] for row in renamed])
        weights = WEIGHTS.format(search="named.search", language="p.language")
        changed = await connection.fetch(
            REPLACE_NAMES.replace("{weights}", f", weights = {weights}" if pgvector else ""),
            [row["id"] for row in documents],
            [_segmented_names(row["name"], row["speakers"]) for row in documents],
            timeout=STATEMENT_TIMEOUT,
        )
    return {row["language"] for row in changed}


def _segmented_names(creator: str, speakers: Iterable[str]) -> str:
    return segment("\n".join(dict.fromkeys((creator, *speakers))))


async def replace_document(
    connection: Connection,
    library: int,
    document: Document,
    creator_name: str,
    configurations: Collection[str],
    *,
    pgvector: bool,
) -> set[str]:
    """Insert a document, or replace the one with the same key, in one transaction.

    `configurations` are the server's text search configurations. Returns those whose passages
    changed.
    """
    preferred = stemmer(document.language)
    configuration = preferred if preferred in configurations else "simple"
    async with connection.transaction():
        creator: int = await connection.fetchval(
            UPSERT_CREATOR, document.creator, creator_name, fold(creator_name)
        )
        topic: int | None = None
        if document.topic and (slug := slugify(document.topic)):
            topic = await connection.fetchval(UPSERT_TOPIC, slug, document.topic)
        document_id: int = await connection.fetchval(
            UPSERT_DOCUMENT,
            *(library, creator, topic, document.key, document.kind, document.title, document.url),
            *(document.language, list(document.speakers), document.published, document.words),
            document.content_hash,
        )
        deleted = await connection.fetch(DELETE_PASSAGES, document_id)
        changed = Counter(row["language"] for row in deleted)
        changed[configuration] += len(document.passages)
        weights = WEIGHTS.format(search="search", language="$4")
        insert = INSERT_PASSAGES.format(
            into=", weights" if pgvector else "", weights=f", {weights}" if pgvector else ""
        )
        await connection.execute(
            insert,
            *(document_id, creator, topic, configuration, segment(document.title)),
            _segmented_names(creator_name, document.speakers),
            *_passage_columns(document),
            timeout=STATEMENT_TIMEOUT,
        )
        await _mark_stale(connection, changed)
    return set(changed)


async def _mark_stale(connection: Connection, changed: Mapping[str, int]) -> None:
    await connection.execute(MARK_STALE, list(changed), list(changed.values()))


def _passage_columns(document: Document) -> list[list[object]]:
    """Return the arguments $7 to $14 of INSERT_PASSAGES."""
    rows = [
        (
            passage.ordinal,
            passage.heading,
            segment(passage.heading),
            passage.first_sentence,
            msgspec.json.encode(passage.sentences).decode(),
            min((one.start for one in passage.sentences if one.start is not None), default=None),
            max((one.end for one in passage.sentences if one.end is not None), default=None),
            segment(searchable_text(passage.sentences)),
        )
        for passage in document.passages
    ]
    return [list(column) for column in zip(*rows, strict=True)]


def searchable_text(sentences: Sequence[Sentence]) -> str:
    """Join sentences, with the speaker's name where the speaker changes."""
    return " ".join(
        f"{one.speaker}: {one.text}" if one.speaker and one.speaker != before.speaker else one.text
        for before, one in pairwise([Sentence(""), *sentences])
    )


async def delete_documents(connection: Connection, library: int, keys: Iterable[str]) -> set[str]:
    """Delete documents; return the text search configurations whose passages changed."""
    async with connection.transaction():
        rows = await connection.fetch(
            DELETE_DOCUMENTS, library, list(keys), timeout=STATEMENT_TIMEOUT
        )
        changed = {row["language"]: row["passages"] for row in rows}
        await _mark_stale(connection, changed)
    return set(changed)
