"""Word counts per language, and the BM25 weights of passages."""

from collections.abc import Iterable

from app.infra.database import Connection
from app.services.ingest.store.documents import STATEMENT_TIMEOUT

STALE_LANGUAGES = "SELECT language FROM languages WHERE stale"

# Share of a language's passages that may change before all its words are counted again.
MAX_UNCOUNTED = 0.1
# Relative change of the mean length that is allowed before all weights are computed again.
MAX_DRIFT = 0.05

# $1 language
LANGUAGE_STATE = """
SELECT count(p.id) AS passages, coalesce(avg(p.length), 0)::float8 AS mean_length,
       coalesce(max(p.id), 0) AS last, coalesce(max(l.changed), 0) AS changed,
       coalesce(max(l.counted_to), 0) AS counted_to,
       coalesce(max(l.mean_length), 0) AS weighted_mean
FROM languages l LEFT JOIN passages p USING (language)
WHERE l.language = $1
"""

# $1 language
DELETE_TERMS = "DELETE FROM terms WHERE language = $1"
# $1 language · $2 id of the last passage that was counted
ADD_TERMS = """
INSERT INTO terms (language, lexeme, passages)
SELECT $1, word, ndoc
FROM ts_stat(format('SELECT search FROM passages WHERE language = %L AND id > %s',
                    $1::text, $2::bigint))
ON CONFLICT (language, lexeme) DO UPDATE SET passages = terms.passages + excluded.passages
"""

# $1 language
DELETE_LANGUAGE = "DELETE FROM languages WHERE language = $1"
# $1 language · $2 number of passages · $3 id of the last one · $4 passages changed since the last
# full count · $5 mean length that the weights are computed with
UPDATE_LANGUAGE = """
UPDATE languages
SET passages = $2, counted_to = $3, changed = $4, mean_length = $5, stale = false
WHERE language = $1
"""

# $1 language · $2 id of the last passage that keeps its weights · $3 mean length
UPDATE_WEIGHTS = """
UPDATE passages SET weights = bm25_weights(search, length, $3)
WHERE language = $1 AND (id > $2 OR weights IS NULL)
"""

DELETE_EMPTY_CREATORS = """
DELETE FROM creators c WHERE NOT EXISTS (SELECT FROM documents d WHERE d.creator_id = c.id)
"""
DELETE_EMPTY_TOPICS = """
DELETE FROM topics t WHERE NOT EXISTS (SELECT FROM documents d WHERE d.topic_id = t.id)
"""

# Every search would scan the index's pending list.
FLUSH_PENDING_LIST = "SELECT gin_clean_pending_list('passages_search')"


async def stale_languages(connection: Connection) -> set[str]:
    """Return the text search configurations whose passages changed since they were counted."""
    rows = await connection.fetch(STALE_LANGUAGES, timeout=STATEMENT_TIMEOUT)
    return {row["language"] for row in rows}


async def refresh_statistics(
    connection: Connection, languages: Iterable[str], *, pgvector: bool
) -> None:
    """Update the counts and weights of these text search configurations.

    Also deletes creators and topics without documents.
    """
    async with connection.transaction():
        await connection.execute(DELETE_EMPTY_CREATORS)
        await connection.execute(DELETE_EMPTY_TOPICS)
        for language in sorted(languages):
            await _refresh_language(connection, language, pgvector=pgvector)
    await connection.execute(FLUSH_PENDING_LIST, timeout=STATEMENT_TIMEOUT)
    for table in ("passages", "passage_texts", "documents", "terms", "languages"):
        await connection.execute(f"ANALYZE {table}", timeout=STATEMENT_TIMEOUT)


async def _refresh_language(connection: Connection, language: str, *, pgvector: bool) -> None:
    state = await connection.fetchrow(LANGUAGE_STATE, language, timeout=STATEMENT_TIMEOUT)
    assert state is not None  # noqa: S101 -- an aggregate always returns a row
    passages, mean = state["passages"], state["mean_length"]
    if not passages:
        await connection.execute(DELETE_TERMS, language)
        await connection.execute(DELETE_LANGUAGE, language)
        return
    counted_to, changed = state["counted_to"], state["changed"]
    if pgvector:
        weighted_to = 0
        if abs(mean - state["weighted_mean"]) <= MAX_DRIFT * mean:
            mean, weighted_to = state["weighted_mean"], counted_to
        await connection.execute(
            UPDATE_WEIGHTS, language, weighted_to, mean, timeout=STATEMENT_TIMEOUT
        )
    if changed > MAX_UNCOUNTED * passages:
        await connection.execute(DELETE_TERMS, language, timeout=STATEMENT_TIMEOUT)
        counted_to = changed = 0
    await connection.execute(ADD_TERMS, language, counted_to, timeout=STATEMENT_TIMEOUT)
    await connection.execute(UPDATE_LANGUAGE, language, passages, state["last"], changed, mean)
