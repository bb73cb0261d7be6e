"""A question and maybe a creator come in; the tier that answers and its sources go out.

The cascade: the creator's own material, else the creator's topics whoever made it, else the whole
library, else none. One statement gives all tiers, so one round trip to PostgreSQL is enough.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import asyncpg
import msgspec

from app.errors import LibraryUnavailable
from app.schemas import CreatorEntry, CreatorRef, Retrieval, Sentence, Tier, TierHits
from app.services.sources import Passage, sources_from
from app.services.text import fold, keys, slugify, spaced

log = logging.getLogger(__name__)

# A passage is on the question when the words it shares with it carry this part of all that the
# question's words are worth (a word is worth the more the fewer passages have it).
MINIMUM_COVERAGE = 0.35

# A narrower tier yields to a wider one whose best passage is more than so many times as good: a
# creator who merely uses a word of the question does not answer it.
MUCH_BETTER = 2.0

# $1 question · $2 creator's slug · $3 creator's name, folded · $4 least coverage
# $5 passages of one document · $6 passages in all · $7 how many times better is much better
SEARCH = """
WITH asked AS (
    SELECT id, slug, name FROM creators
    WHERE slug = $2 OR name_key = $3
    ORDER BY slug = $2 DESC, id
    LIMIT 1
),
-- The question's words in each language of the library, and what each is worth (BM25's idf). One
-- that hardly anybody uses is worth no more than one in three passages: it may be a slip.
words AS MATERIALIZED (
    SELECT l.language, t.spread, l.passages AS total,
           greatest(0.1, ln((l.passages + 1) / (greatest(t.spread, 3) + 0.5))) AS worth,
           -- As a query of one word, in quotes; quotes and backslashes in it are doubled.
           concat('''', regexp_replace(q.lexeme, '([''\\\\])', '\\1\\1', 'g'), '''')::tsquery AS one
    FROM languages l
    CROSS JOIN LATERAL unnest(tokenize(l.language, $1)) AS q
    CROSS JOIN LATERAL (
        SELECT coalesce(max(passages), 0) AS spread
        FROM terms WHERE language = l.language AND lexeme = q.lexeme
    ) t
),
-- Candidates have at least one of the rarer words: common ones alone are no match.
asks AS MATERIALIZED (
    SELECT language, sum(worth) AS worth,
           (string_agg(one::text, ' | ') FILTER (
                WHERE spread > 0 AND (rarity <= 2 OR spread <= greatest(1000, total * 0.1))
           ))::tsquery AS gather
    FROM (SELECT *, rank() OVER (PARTITION BY language ORDER BY spread = 0, spread) AS rarity
          FROM words) ordered
    GROUP BY language
),
scored AS MATERIALIZED (
    SELECT p.id, p.document_id, p.creator_id, p.topic_id, s.score / a.worth AS score
    FROM asks a
    -- OFFSET 0 keeps the planner from turning this about: the words are few, the passages many.
    CROSS JOIN LATERAL (
        SELECT id, document_id, creator_id, topic_id, search FROM passages
        WHERE search @@ a.gather AND language = a.language
        OFFSET 0
    ) p
    CROSS JOIN LATERAL (
        -- For a single word ts_rank grows with its count and levels off, as BM25 has it.
        SELECT sum(w.worth * m.rank) AS score, sum(w.worth) FILTER (WHERE m.rank > 0) AS covered
        FROM words w
        CROSS JOIN LATERAL (SELECT ts_rank('{0.9, 0.9, 1, 1}', p.search, w.one) AS rank) m
        WHERE w.language = a.language
    ) s
    WHERE s.covered >= $4 * a.worth
),
tiered AS MATERIALIZED (
    SELECT 1 AS tier, * FROM scored WHERE creator_id = (SELECT id FROM asked)
    UNION ALL
    SELECT 2, * FROM scored WHERE topic_id IN (
        SELECT topic_id FROM documents WHERE creator_id = (SELECT id FROM asked))
    UNION ALL
    SELECT 3, * FROM scored
),
answering AS (
    SELECT *, row_number() OVER (PARTITION BY document_id ORDER BY score DESC, id) AS in_document
    FROM tiered
    WHERE tier = (SELECT min(tier) FROM tiered
                  WHERE score * $7 >= (SELECT max(score) FROM tiered))
),
best AS (
    SELECT * FROM answering WHERE in_document <= $5 ORDER BY score DESC, id LIMIT $6
)
SELECT asked.slug AS asked_slug, asked.name AS asked_name, hits.*, hit.*
FROM (SELECT count(*) FILTER (WHERE tier = 1) AS creator_hits,
             count(*) FILTER (WHERE tier = 2) AS domain_hits,
             count(*) FILTER (WHERE tier = 3) AS global_hits FROM tiered) hits
LEFT JOIN asked ON true
LEFT JOIN (
    SELECT b.tier, b.score, b.document_id, p.ordinal, p.first_sentence, p.sentences::text,
           p.language, d.kind, d.title, d.url, t.name AS topic, c.slug, c.name
    FROM best b
    JOIN passages p ON p.id = b.id
    JOIN documents d ON d.id = b.document_id
    JOIN creators c ON c.id = d.creator_id
    LEFT JOIN topics t ON t.id = d.topic_id
) hit ON true
ORDER BY hit.score DESC, hit.document_id, hit.ordinal
"""

# $1 the beginning of a name or a slug, folded · $2 how many
CREATORS = """
SELECT c.slug, c.name,
       count(d.id) FILTER (WHERE d.kind = 'video') AS videos,
       count(d.id) FILTER (WHERE d.kind = 'page') AS pages
FROM creators c
LEFT JOIN documents d ON d.creator_id = c.id
WHERE starts_with(c.name_key, $1) OR starts_with(c.slug, $1)
GROUP BY c.id
ORDER BY c.name_key, c.slug
LIMIT $2
"""

_TIERS: tuple[Tier, ...] = ("creator", "domain", "global")


class PostgresRetriever:
    """Searches the library in PostgreSQL. Every method raises LibraryUnavailable."""

    def __init__(
        self,
        pool: "asyncpg.Pool[asyncpg.Record]",
        *,
        sources: int,
        per_document: int,
        timeout: float,
    ) -> None:
        self._pool = pool
        self._sources = sources
        self._per_document = per_document
        self._timeout = timeout

    async def search(self, question: str, creator: str | None) -> Retrieval:
        """Find what the library holds on a question, in the first tier that has anything."""
        slug, name = (slugify(creator), fold(creator)) if creator else (None, None)
        async with self._connection() as connection:
            rows = await connection.fetch(
                SEARCH,
                # Words of grammar alone ask for nothing, and every passage has them.
                spaced(question) if keys(question, "simple") else "",
                slug,
                name,
                MINIMUM_COVERAGE,
                self._per_document,
                # More than are shown, since neighbours are merged into one.
                self._sources * 2,
                MUCH_BETTER,
            )
        return _retrieval(rows, question, named=creator is not None, most=self._sources)

    async def creators(self, prefix: str, limit: int = 50) -> list[CreatorEntry]:
        """List the creators whose name or slug begins so, by name, with what each has."""
        async with self._connection() as connection:
            rows = await connection.fetch(CREATORS, fold(prefix), limit)
        return [CreatorEntry(**row) for row in rows]

    async def ping(self) -> None:
        """Raise LibraryUnavailable unless the database answers."""
        async with self._connection() as connection:
            await connection.fetchval("SELECT 1")

    @asynccontextmanager
    async def _connection(
        self,
    ) -> AsyncIterator["asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"]:
        try:
            # For the wait and the work together.
            async with asyncio.timeout(self._timeout), self._pool.acquire() as connection:
                yield connection
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            log.error("the library cannot be searched: %s: %s", type(error).__name__, error)
            raise LibraryUnavailable(
                "The library does not answer at the moment. Try again in a few seconds."
            ) from error


def _retrieval(
    rows: Sequence[asyncpg.Record], question: str, *, named: bool, most: int
) -> Retrieval:
    first = rows[0]
    asked = CreatorRef(first["asked_slug"], first["asked_name"]) if first["asked_slug"] else None
    hits = {tier: first[f"{tier}_hits"] for tier in _TIERS}
    # Without a creator there is only the library; an unknown one starts one tier lower.
    searched = _TIERS[(0 if asked else 1 if named else 2) :]
    answering = first["tier"]
    passages = [_passage(row) for row in rows] if answering else []
    return Retrieval(
        tier=_TIERS[answering - 1] if answering else "none",
        sources=sources_from(passages, question, most),
        creator=asked,
        tiers=tuple(TierHits(tier, hits[tier]) for tier in searched),
    )


def _passage(row: asyncpg.Record) -> Passage:
    return Passage(
        document_id=row["document_id"],
        ordinal=row["ordinal"],
        first_sentence=row["first_sentence"],
        sentences=msgspec.json.decode(row["sentences"], type=tuple[Sentence, ...]),
        language=row["language"],
        kind="moment" if row["kind"] == "video" else "page",
        title=row["title"],
        url=row["url"],
        topic=row["topic"],
        creator=CreatorRef(row["slug"], row["name"]),
        score=row["score"],
    )
