"""The passages as they now stand come in; the counts that a search weighs words by go out."""

from collections.abc import Iterable

from app.database import Connection
from app.services.ingest.write import STATEMENT_LIMIT

# The languages whose number of passages is not what was counted, as after a run that was cut off.
STALE = """
SELECT coalesce(l.language, now.language) AS language
FROM languages l
FULL JOIN (SELECT language, count(*) AS passages FROM passages GROUP BY language) now
    ON now.language = l.language
WHERE l.passages IS DISTINCT FROM now.passages
"""

# $1 language
DROP_TERMS = "DELETE FROM terms WHERE language = $1"
KEEP_TERMS = """
INSERT INTO terms (language, lexeme, passages)
SELECT $1, word, ndoc
FROM ts_stat(format('SELECT search FROM passages WHERE language = %L', $1::text))
"""
DROP_LANGUAGE = "DELETE FROM languages WHERE language = $1"
KEEP_LANGUAGE = """
INSERT INTO languages (language, passages)
SELECT $1, count(*) FROM passages WHERE language = $1 HAVING count(*) > 0
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
