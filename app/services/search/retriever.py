"""Search the library: the first tier of the cascade that answers a question, and its sources.

The tiers are the creator's own material, the creator's topics by anyone, and the whole library.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from copy import copy
from functools import partial
from math import inf
from time import monotonic, perf_counter

import asyncpg
import msgspec

from app.errors import LibraryUnavailable
from app.infra.database import Connection
from app.infra.database_errors import describe
from app.schemas import CreatorEntry, CreatorRef, Retrieval, Sentence, Source, Tier
from app.services.search.answerability import DEPTH
from app.services.search.creators import list_creators
from app.services.search.embedding import Embedder, EmbeddingFailed
from app.services.search.plan import (
    ALLOWED_LANGUAGES,
    SearchPlan,
    execute_search,
    load_search_plan,
)
from app.services.search.ranking import Hit, Ranking, build_ranking
from app.services.search.selection import RetrievedPassage
from app.services.search.sources import build_sources
from app.services.search.spelling import MIN_COVERAGE, correct_spelling
from app.services.search.text import has_content_words

log = logging.getLogger(__name__)

# Passages below this share of the best score are not shown.
MIN_RELATIVE_SCORE = 0.4
# The number of closest passages that a refusal shows.
CLOSEST = 3
# The number of sets of allowed creators whose languages are kept.
MAX_KNOWN_LANGUAGES = 1_000
# Seconds between two checks of the database by health checks, which anyone may request.
PING_INTERVAL = 1.0
# Seconds for an embedder to load its model.
WARM_UP_TIMEOUT = 10.0

_SENTENCES = msgspec.json.Decoder(tuple[Sentence, ...])


class PostgresRetriever:
    """Searches the library in PostgreSQL. Every method raises LibraryUnavailable.

    A caller may be restricted to `allowed_creators`, given by their slugs: then the methods return
    what they would if the library had no other creators, except that the idf of a term is that of
    the whole library.

    Search is lexical if there is no `embedder`, or if it fails or takes longer than
    `embedding_timeout` seconds. `on_connection_wait` is called with the seconds spent waiting for
    each database connection.
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
        on_connection_wait: Callable[[float], None] | None = None,
    ) -> None:
        self._pool = pool
        self._pgvector = pgvector
        self._embedder = embedder
        self._alpha = alpha
        self._sources = sources
        self._per_document = per_document
        self._timeout = timeout
        self._embedding_timeout = embedding_timeout
        self._on_connection_wait = on_connection_wait
        self._slot: AbstractAsyncContextManager[None] = nullcontext()
        self._plan: SearchPlan | None = None
        self._pinged_at = -inf
        # For sets of allowed creators; counting takes as long as a search.
        self._known_languages: dict[tuple[str, ...], tuple[str, ...]] = {}

    def limited(self, connections: int) -> "PostgresRetriever":
        """Return a retriever that uses at most this many of the pool's connections at once."""
        limited = copy(self)
        limited._slot = asyncio.Semaphore(connections)
        return limited

    async def search(
        self,
        question: str,
        creator: str | None,
        allowed_creators: tuple[str, ...] | None = None,
    ) -> Retrieval:
        """Return the first tier that answers the question, and its sources."""
        # Twice as many passages as sources, because neighbouring passages are merged.
        ranking = await self.rank(
            question, creator, per_tier=2 * self._sources, allowed_creators=allowed_creators
        )
        closest = ranking.closest
        return Retrieval(
            tier=ranking.tier,
            sources=self._build_sources(ranking, ranking.tier, self._sources),
            creator=ranking.creator,
            tiers=ranking.verdicts,
            matching=ranking.matching,
            question=ranking.question,
            closest=self._build_sources(ranking, closest, min(CLOSEST, self._sources)),
            closest_tier=closest,
            unknown_terms=ranking.unknown_terms,
            library_languages=await self.languages(allowed_creators),
        )

    def _build_sources(self, ranking: Ranking, tier: Tier, limit: int) -> tuple[Source, ...]:
        hits = ranking.hits(tier)
        # The best passage is always shown, even if its score is negative.
        threshold = min(hits[0].score, MIN_RELATIVE_SCORE * hits[0].score) if hits else 0.0
        shown = [hit for hit in hits if hit.score >= threshold]
        creator = ranking.creator.slug if ranking.creator else None
        return build_sources(map(_passage, shown), ranking.question, limit, creator)

    async def languages(self, allowed_creators: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """Return the primary language subtags of at least a tenth of the library, largest first."""
        if allowed_creators is not None:
            return await self._languages_of(allowed_creators)
        # A library that was empty may have been filled since.
        if self._plan is None or not self._plan.languages:
            async with self._connection() as connection:
                return (await self._load_plan(connection)).languages
        return self._plan.languages

    async def _languages_of(self, creators: tuple[str, ...]) -> tuple[str, ...]:
        if known := self._known_languages.get(creators):
            return known
        async with self._connection() as connection:
            rows = await connection.fetch(ALLOWED_LANGUAGES, creators)
        if len(self._known_languages) >= MAX_KNOWN_LANGUAGES:
            self._known_languages.clear()
        languages = tuple(row["language"] for row in rows)
        self._known_languages[creators] = languages
        return languages

    async def rank(
        self,
        question: str,
        creator: str | None,
        *,
        per_tier: int,
        per_document: int | None = None,
        allowed_creators: tuple[str, ...] | None = None,
    ) -> Ranking:
        """Return the best passages of each tier, and the tier that answers.

        A question with misspelt words is searched again with its spelling corrected.
        """
        execute = partial(
            self._execute,
            creator=creator,
            per_document=per_document or self._per_document,
            per_tier=max(per_tier, DEPTH),
            allowed_creators=allowed_creators,
        )
        embedding = await self._embed(question)
        async with self._connection() as connection:
            plan, rows = await execute(connection, question, embedding)
            corrected = await _correct_spelling(connection, question, rows[0], allowed_creators)
        if corrected != question:
            question = corrected
            embedding = await self._embed(question)
            async with self._connection() as connection:
                plan, rows = await execute(connection, question, embedding)
        hybrid = plan.is_hybrid(embedding)
        if embedding and plan.index and not hybrid:
            log.warning(
                "lexical search only: %s gives %d dimensions, but the library's embeddings have"
                " %d; run `python -m app reindex`",
                *(plan.index.name, len(embedding), plan.index.dimension),
            )
        return build_ranking(
            question,
            rows,
            classifier=plan.hybrid_classifier if hybrid else plan.lexical_classifier,
            matching="hybrid" if hybrid else "lexical",
            creator_requested=creator is not None,
            per_document=self._per_document,
        )

    async def creators(
        self, prefix: str, allowed_creators: tuple[str, ...] | None = None
    ) -> list[CreatorEntry]:
        """Return up to 50 allowed creators whose name or slug starts with `prefix`."""
        async with self._connection() as connection:
            return await list_creators(connection, prefix, allowed_creators)

    async def warm_up(self) -> None:
        """Load the search plan and, if it is hybrid, the embedder's model.

        So the first question does not wait for them, and warnings are logged at the start.
        """
        with suppress(LibraryUnavailable):
            async with self._connection() as connection:
                await self._load_plan(connection)
        if self._embedder is None or (self._plan and not self._plan.hybrid_sql):
            return
        try:
            async with asyncio.timeout(WARM_UP_TIMEOUT):
                await self._embedder.embed_questions(["?"])
        except (EmbeddingFailed, TimeoutError) as error:
            log.warning("embedder is not ready: %s", str(error) or "timeout")

    async def ping(self) -> None:
        """Raise LibraryUnavailable unless the database answers, or has answered in this second."""
        if monotonic() < self._pinged_at + PING_INTERVAL:
            return
        async with self._connection() as connection:
            await connection.fetchval("SELECT 1")
        self._pinged_at = monotonic()

    async def _embed(self, question: str) -> Sequence[float]:
        """Return the question's embedding, or an empty one if it fails or would not be used."""
        if self._embedder is None or not has_content_words(question):
            return ()
        if self._plan is not None and self._plan.hybrid_sql is None:
            return ()
        try:
            async with asyncio.timeout(self._embedding_timeout):
                (vector,) = await self._embedder.embed_questions([question])
        except (EmbeddingFailed, TimeoutError) as error:
            log.warning("lexical search only: %s", str(error) or "the embedder timed out")
            return ()
        return vector

    async def _execute(
        self,
        connection: Connection,
        question: str,
        embedding: Sequence[float],
        *,
        creator: str | None,
        per_document: int,
        per_tier: int,
        allowed_creators: tuple[str, ...] | None,
    ) -> tuple[SearchPlan, Sequence[asyncpg.Record]]:
        """Execute the search, again with a new plan if indexes or classifiers have changed."""
        for _ in range(2):
            plan = self._plan or await self._load_plan(connection)
            try:
                rows = await execute_search(
                    connection,
                    plan,
                    question,
                    creator,
                    embedding=embedding,
                    alpha=self._alpha,
                    per_document=per_document,
                    per_tier=per_tier,
                    allowed_creators=allowed_creators,
                )
            except asyncpg.UndefinedTableError:
                # The embedding index has been dropped.
                self._plan = None
                continue
            if not plan.is_stale(rows[0]):
                return plan, rows
            self._plan = None
        raise LibraryUnavailable("The library is being updated. Try again in a few seconds.")

    async def _load_plan(self, connection: Connection) -> SearchPlan:
        name = self._embedder.name if self._embedder else None
        self._plan = await load_search_plan(connection, name, pgvector=self._pgvector)
        self._known_languages.clear()
        return self._plan

    @asynccontextmanager
    async def _connection(
        self,
    ) -> AsyncIterator["asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"]:
        try:
            # The timeout covers the wait for a connection and the work on it.
            async with asyncio.timeout(self._timeout), self._slot:
                started_at = perf_counter()
                async with self._pool.acquire() as connection:
                    if self._on_connection_wait:
                        self._on_connection_wait(perf_counter() - started_at)
                    yield connection
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            log.error("library is unavailable: %s", describe(error))
            raise LibraryUnavailable(
                "The library is not responding. Try again in a few seconds."
            ) from error


async def _correct_spelling(
    connection: Connection,
    question: str,
    row: asyncpg.Record,
    allowed_creators: tuple[str, ...] | None,
) -> str:
    """Correct a question's spelling, given a row of its results."""
    if row["main_unknown"] and row["main_coverage"] >= MIN_COVERAGE:
        return await correct_spelling(connection, question, row["main_language"], allowed_creators)
    return question


def _passage(hit: Hit) -> RetrievedPassage:
    row = hit.row
    return RetrievedPassage(
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
