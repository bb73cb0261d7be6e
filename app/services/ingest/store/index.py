"""The passages as they now stand come in; the counts and weights that a search needs go out."""

from collections.abc import Iterable

from app.infra.database import Connection
from app.services.ingest.store.write import STATEMENT_LIMIT, drop_documents

STALE = "SELECT language FROM languages WHERE stale"

# Of a language's passages, how many may have changed until all its words are counted anew.
RECOUNT = 0.1
# How far the mean length may have moved until all weights are made anew.
DRIFT = 0.05

# $1 language
STANDING = """
SELECT count(p.id) AS passages, coalesce(avg(p.length), 0)::float8 AS mean_length,
       coalesce(max(p.id), 0) AS last, coalesce(max(l.changed), 0) AS changed,
       coalesce(max(l.mean_length), 0) AS weighed_by, coalesce(max(l.counted_to), 0) AS counted_to
FROM languages l LEFT JOIN passages p USING (language)
WHERE l.language = $1
"""

# $1 language
DROP_TERMS = "DELETE FROM terms WHERE language = $1"
# $1 language · $2 the last passage that was counted
ADD_TERMS = """
INSERT INTO terms AS known (language, lexeme, passages)
SELECT $1, word, ndoc
FROM ts_stat(format('SELECT search FROM passages WHERE language = %L AND id > %s',
                    $1::text, $2::bigint))
ON CONFLICT (language, lexeme) DO UPDATE SET passages = known.passages + excluded.passages
"""

# $1 language
DROP_LANGUAGE = "DELETE FROM languages WHERE language = $1"
# $1 language · $2 its passages · $3 the last of them · $4 changed since all were counted
# $5 the mean length that the weights are made with
KEEP_LANGUAGE = """
UPDATE languages
SET passages = $2, counted_to = $3, changed = $4, mean_length = $5, stale = false
WHERE language = $1
"""

# $1 language · $2 the last passage that keeps its weights · $3 mean length
WEIGH = """
UPDATE passages SET weights = bm25_weights(search, length, $3)
WHERE language = $1 AND (id > $2 OR weights IS NULL)
"""

DROP_CREATORS = """
DELETE FROM creators c WHERE NOT EXISTS (SELECT FROM documents d WHERE d.creator_id = c.id)
"""
DROP_TOPICS = """
DELETE FROM topics t WHERE NOT EXISTS (SELECT FROM documents d WHERE d.topic_id = t.id)
"""

# What waits in the index's list of news would be walked through by every search.
TIDY = "SELECT gin_clean_pending_list('passages_search')"


async def stale_languages(connection: Connection) -> set[str]:
    """Return the text search configurations whose words were not counted since they changed."""
    rows = await connection.fetch(STALE, timeout=STATEMENT_LIMIT)
    return {row["language"] for row in rows}


async def refresh(connection: Connection, languages: Iterable[str], *, pgvector: bool) -> None:
    """Bring the counts and weights of these languages up to date, and drop empty creators."""
    async with connection.transaction():
        await connection.execute(DROP_CREATORS)
        await connection.execute(DROP_TOPICS)
        for language in sorted(languages):
            await _refresh(connection, language, pgvector=pgvector)
    await connection.execute(TIDY, timeout=STATEMENT_LIMIT)
    for table in ("passages", "passage_texts", "documents", "terms", "languages"):
        await connection.execute(f"ANALYZE {table}", timeout=STATEMENT_LIMIT)


async def _refresh(connection: Connection, language: str, *, pgvector: bool) -> None:
    now = await connection.fetchrow(STANDING, language, timeout=STATEMENT_LIMIT)
    assert now is not None  # noqa: S101 -- a count always has its row
    if not now["passages"]:
        await connection.execute(DROP_TERMS, language)
        await connection.execute(DROP_LANGUAGE, language)
        return
    counted_to, changed = now["counted_to"], now["changed"]
    mean, weighed_by = now["mean_length"], now["weighed_by"]
    drifted = abs(mean - weighed_by) > DRIFT * mean
    if pgvector:
        mean = mean if drifted else weighed_by
        kept = 0 if drifted else counted_to
        await connection.execute(WEIGH, language, kept, mean, timeout=STATEMENT_LIMIT)
    if changed > RECOUNT * now["passages"]:
        await connection.execute(DROP_TERMS, language, timeout=STATEMENT_LIMIT)
        counted_to = changed = 0
    await connection.execute(ADD_TERMS, language, counted_to, timeout=STATEMENT_LIMIT)
    await connection.execute(KEEP_LANGUAGE, language, now["passages"], now["last"], changed, mean)


# $1 library
LIBRARY_KEYS = "SELECT key FROM documents WHERE library_id = $1"
DROP_LIBRARY = "DELETE FROM libraries WHERE id = $1"


async def drop_library(connection: Connection, library: int, *, pgvector: bool) -> None:
    """Remove a library with all that is in it."""
    async with connection.transaction():
        keys = [row["key"] for row in await connection.fetch(LIBRARY_KEYS, library)]
        changed = await drop_documents(connection, library, keys)
        await connection.execute(DROP_LIBRARY, library)
        await refresh(connection, changed, pgvector=pgvector)
