"""A question and maybe a creator come in; the tier that answers and its sources go out.

The cascade: the creator's own material, else the creator's topics whoever made it, else the whole
library, else none. One statement gives all tiers, so one round trip to PostgreSQL is enough; the
gate decides which of them answers.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from time import perf_counter

import asyncpg
import msgspec

from app.errors import LibraryUnavailable
from app.infra.database import Connection
from app.schemas import CreatorEntry, CreatorRef, Retrieval, Sentence
from app.services.search.answerability import DEPTH
from app.services.search.embedding import Embedder, EmbeddingFailed
from app.services.search.plan import SearchPlan, ask, is_asking, load_search_plan
from app.services.search.ranking import Hit, Ranking, build_ranking
from app.services.search.sources import Passage, sources_from
from app.services.search.text import fold

log = logging.getLogger(__name__)

# A passage that scores less than this part of the best one is not shown.
WORTH_SHOWING = 0.4

_SENTENCES = msgspec.json.Decoder(tuple[Sentence, ...])

# Seconds for an embedder to load its model.
WARM_UP = 10.0

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


class PostgresRetriever:
    """Searches the library in PostgreSQL. Every method raises LibraryUnavailable.

    `embedder` makes questions comparable with the embeddings of the library, within
    `embedding_timeout` seconds; where it cannot, words alone are searched.
    """

    def __init__(
        self,
        pool: "asyncpg.Pool[asyncpg.Record]",
        *,
        pgvector: bool,
        embedder: Embedder | None,
        alpha: float,
        sources: int,
        per_document: int,
        timeout: float,
        embedding_timeout: float,
    ) -> None:
        self._pool = pool
        self._pgvector = pgvector
        self._embedder = embedder
        self._alpha = alpha
        self._sources = sources
        self._per_document = per_document
        self._timeout = timeout
        self._embedding_timeout = embedding_timeout
        self._plan: SearchPlan | None = None
        # Called with the seconds that a connection was waited for.
        self.on_connected: Callable[[float], None] = _nothing

    async def search(self, question: str, creator: str | None) -> Retrieval:
        """Find what the library holds on a question, in the first tier that has enough."""
        # More than are shown, since neighbours are merged into one.
        found = await self.rank(question, creator, most=2 * self._sources)
        hits = found.hits(found.tier)
        # What is best is shown in any case: where all are far off, scores are below 0.
        least = min(hits[0].score, WORTH_SHOWING * hits[0].score) if hits else 0.0
        worth = [hit for hit in hits if hit.score >= least]
        return Retrieval(
            tier=found.tier,
            sources=sources_from(map(_passage, worth), question, self._sources),
            creator=found.creator,
            tiers=found.verdicts,
            matching=found.matching,
        )

    async def rank(
        self, question: str, creator: str | None, *, most: int, per_document: int | None = None
    ) -> Ranking:
        """Rank each tier's `most` best passages, and tell which tier answers."""
        embedding = await self._embed(question)
        async with self._connection() as connection:
            plan, rows = await self._ask(
                connection,
                question,
                creator,
                embedding,
                per_document=per_document or self._per_document,
                most=max(most, DEPTH),
            )
        hybrid = plan.compares(embedding)
        if embedding and plan.index and not hybrid:
            log.warning(
                "searched by words alone: %s gives %d dimensions, and the library's embeddings"
                " have %d: run `python -m app reindex`",
                *(plan.index.name, len(embedding), plan.index.dimension),
            )
        return build_ranking(
            rows,
            gate=plan.hybrid_gate if hybrid else plan.lexical_gate,
            embedding=embedding,
            matching="hybrid" if hybrid else "lexical",
            named=creator is not None,
            per_document=self._per_document,
        )

    async def creators(self, prefix: str, limit: int = 50) -> list[CreatorEntry]:
        """List the creators whose name or slug begins so, by name, with what each has."""
        async with self._connection() as connection:
            rows = await connection.fetch(CREATORS, fold(prefix), limit)
        return [CreatorEntry(**row) for row in rows]

    async def warm_up(self) -> None:
        """Have the embedder load what it needs, so that the first question need not wait."""
        if self._embedder is not None:
            try:
                async with asyncio.timeout(WARM_UP):
                    await self._embedder(["?"])
            except (EmbeddingFailed, TimeoutError) as error:
                log.warning("the embedder does not work yet: %s", str(error) or "it is too slow")

    async def ping(self) -> None:
        """Raise LibraryUnavailable unless the database answers."""
        async with self._connection() as connection:
            await connection.fetchval("SELECT 1")

    async def _embed(self, question: str) -> Sequence[float]:
        """Return the question's embedding; nothing where it cannot be had, or is of no use."""
        if self._embedder is None or not is_asking(question):
            return ()
        if self._plan is not None and self._plan.hybrid is None:
            return ()
        try:
            async with asyncio.timeout(self._embedding_timeout):
                (vector,) = await self._embedder([question])
        except (EmbeddingFailed, TimeoutError) as error:
            reason = str(error) or "the embedder is too slow"
            log.warning("searched by words alone: %s", reason)
            return ()
        return vector

    async def _ask(
        self,
        connection: Connection,
        question: str,
        creator: str | None,
        embedding: Sequence[float],
        *,
        per_document: int,
        most: int,
    ) -> tuple[SearchPlan, Sequence[asyncpg.Record]]:
        """Run the statement; once more where the library's indexes or gates have changed."""
        name = self._embedder.name if self._embedder else None
        for _ in range(2):
            plan = self._plan or await load_search_plan(connection, name, pgvector=self._pgvector)
            self._plan = plan
            try:
                rows = await ask(
                    connection,
                    plan,
                    question,
                    creator,
                    embedding=embedding,
                    alpha=self._alpha,
                    per_document=per_document,
                    most=most,
                )
            except asyncpg.UndefinedTableError:
                # The index was dropped.
                self._plan = None
                continue
            if not plan.is_old(rows[0]):
                return plan, rows
            self._plan = None
        raise LibraryUnavailable("The library is being changed. Try again in a few seconds.")

    @asynccontextmanager
    async def _connection(
        self,
    ) -> AsyncIterator["asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"]:
        try:
            # For the wait and the work together.
            asked_at = perf_counter()
            async with asyncio.timeout(self._timeout), self._pool.acquire() as connection:
                self.on_connected(perf_counter() - asked_at)
                yield connection
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            log.error("the library cannot be searched: %s: %s", type(error).__name__, error)
            raise LibraryUnavailable(
                "The library does not answer at the moment. Try again in a few seconds."
            ) from error


def _nothing(seconds: float) -> None:
    return None


def _passage(hit: Hit) -> Passage:
    row = hit.row
    return Passage(
        document_id=row["document_id"],
        ordinal=row["ordinal"],
        first_sentence=row["first_sentence"],
        sentences=_SENTENCES.decode(row["sentences"]),
        language=row["language"],
        kind="moment" if row["kind"] == "video" else "page",
        title=row["title"],
        url=row["url"],
        topic=row["topic"],
        creator=CreatorRef(row["slug"], row["name"]),
        score=max(0.0, hit.score),  # A cosine may be negative.
    )
