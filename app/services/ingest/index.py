"""The passages as they now stand come in; the counts that a search weighs words by go out."""

from collections.abc import Iterable

from app.database import Connection
from app.services.ingest.write import STATEMENT_LIMIT, drop_documents

STALE = "SELECT language FROM languages WHERE stale"

# $1 language
DROP_TERMS = "DELETE FROM terms WHERE language = $1"
KEEP_TERMS = """
INSERT INTO terms (language, lexeme, passages)
SELECT $1, word, ndoc
FROM ts_stat(format('SELECT search FROM passages WHERE language = %L', $1::text))
"""
DROP_LANGUAGE = "DELETE FROM languages WHERE language = $1"
KEEP_LANGUAGE = """
INSERT INTO languages (language, passages, stale)
SELECT $1, count(*), false FROM passages WHERE language = $1 HAVING count(*) > 0
"""

DROP_CREATORS = """
DELETE FROM creators c WHERE NOT EXISTS (SELECT FROM documents d WHERE d.creator_id = c.id)
"""
DROP_TOPICS = """
DELETE FROM topics t WHERE NOT EXISTS (SELECT FROM documents d WHERE d.topic_id = t.id)
"""


async def stale_languages(connection: Connection) -> set[str]:
    """Return the text search configurations whose words were not counted since they changed."""
    rows = await connection.fetch(STALE, timeout=STATEMENT_LIMIT)
    return {row["language"] for row in rows}


async def refresh(connection: Connection, languages: Iterable[str]) -> None:
    """Count the words of these languages anew, and drop creators and topics without documents."""
    async with connection.transaction():
        await connection.execute(DROP_CREATORS)
        await connection.execute(DROP_TOPICS)
        for language in sorted(languages):
            for statement in (DROP_TERMS, KEEP_TERMS, DROP_LANGUAGE, KEEP_LANGUAGE):
                await connection.execute(statement, language, timeout=STATEMENT_LIMIT)
    for table in ("passages", "documents", "terms", "languages"):
        await connection.execute(f"ANALYZE {table}", timeout=STATEMENT_LIMIT)


# $1 library
LIBRARY_KEYS = "SELECT key FROM documents WHERE library_id = $1"
DROP_LIBRARY = "DELETE FROM libraries WHERE id = $1"


async def drop_library(connection: Connection, library: int) -> None:
    """Remove a library with all that is in it."""
    async with connection.transaction():
        keys = [row["key"] for row in await connection.fetch(LIBRARY_KEYS, library)]
        changed = await drop_documents(connection, library, keys)
        await connection.execute(DROP_LIBRARY, library)
        await refresh(connection, changed)
