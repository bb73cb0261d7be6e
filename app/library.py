"""Settings come in; the library, open to be searched and to be filled, goes out.

Beside lifespan.py the only file that names concrete classes.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.request import getproxies_environment

import asyncpg
from msgspec.structs import replace

from app.config import Settings
from app.infra.database import DatabaseState, migrate
from app.infra.http.client import HTTPClient
from app.services.ingest.store.indexer import Indexer
from app.services.search.embedding import Embedder, EmbedderMissing
from app.services.search.embedding.local import (
    MINILM,
    WORDLLAMA,
    MiniLmEmbedder,
    WordLlamaEmbedder,
    installed,
)
from app.services.search.embedding.remote import RemoteConfig, RemoteEmbedder
from app.services.search.retriever import PostgresRetriever

# What EMBEDDING_MODEL says for no embeddings at all.
NONE = "none"


@asynccontextmanager
async def database(
    settings: Settings,
) -> AsyncIterator[tuple["asyncpg.Pool[asyncpg.Record]", DatabaseState]]:
    """Connect to PostgreSQL, bring its tables up to date, and yield a pool and what it found."""
    async with asyncpg.create_pool(
        settings.database_url,
        min_size=1,
        max_size=settings.database_pool,
        timeout=settings.database_timeout,
        init=_prepare,
        # Nothing else is ever set on a connection, so it need not be reset: one round trip less.
        reset=_leave,
    ) as pool:
        async with pool.acquire() as connection:
            state = await migrate(connection)
        yield pool, state


async def _prepare(connection: asyncpg.Connection) -> None:
    # Compiling the search takes longer than running it, however large the library.
    # Nor is there anything to gain by planning it anew for each question. What the index of
    # embeddings finds must still be looked through by creator or topic, until there is enough.
    await connection.execute(
        "SET jit = off; SET plan_cache_mode = force_generic_plan;"
        " SET hnsw.ef_search = 100; SET hnsw.iterative_scan = relaxed_order"
    )


async def _leave(connection: object) -> None:
    pass


@asynccontextmanager
async def indexing(settings: Settings, state: DatabaseState) -> AsyncIterator[Indexer]:
    """Tell how what is ingested is made searchable. Raises EmbedderMissing."""
    async with HTTPClient(getproxies_environment()) as http:
        embedder = embedder_of(settings, http, questions=False) if state.pgvector else None
        yield Indexer(
            pgvector=state.pgvector is not None,
            embedder=embedder,
            alpha=alpha_of(settings, embedder),
            per_document=settings.max_passages_per_document,
        )


def embedder_of(settings: Settings, http: HTTPClient, *, questions: bool) -> Embedder | None:
    """Make the embedder that the settings name, for single questions or for many passages.

    None where there is to be none. Raises EmbedderMissing where it is not installed.
    """
    name = settings.embedding_model
    if settings.embedding_base_url:
        config = RemoteConfig(
            base_url=settings.embedding_base_url,
            model=name,
            api_key=settings.embedding_api_key,
        )
        if questions:
            limit = settings.embedding_timeout
            config = replace(config, timeout=limit, deadline=limit, attempts=2, backoff=0.05)
        try:
            return RemoteEmbedder(http, config)
        except ValueError as error:
            raise EmbedderMissing(f"EMBEDDING_BASE_URL or EMBEDDING_API_KEY: {error}") from None
    if name == NONE or (not name and not installed(WORDLLAMA)):
        return None
    if name in ("", "wordllama", WORDLLAMA):
        return WordLlamaEmbedder()
    if name in ("minilm", MINILM):
        return MiniLmEmbedder()
    raise EmbedderMissing(
        f"EMBEDDING_MODEL: there is no embedder {name}: take wordllama, minilm or none,"
        " or name the server that has it with EMBEDDING_BASE_URL"
    )


def retriever_of(
    settings: Settings,
    pool: "asyncpg.Pool[asyncpg.Record]",
    state: DatabaseState,
    embedder: Embedder | None,
    on_connection_wait: Callable[[float], None] | None = None,
) -> PostgresRetriever:
    """Make what searches the library."""
    return PostgresRetriever(
        pool,
        pgvector=state.pgvector is not None,
        embedder=embedder if state.pgvector else None,
        alpha=alpha_of(settings, embedder),
        sources=settings.max_sources,
        per_document=settings.max_passages_per_document,
        timeout=settings.database_timeout,
        embedding_timeout=settings.embedding_timeout,
        on_connection_wait=on_connection_wait,
    )


def alpha_of(settings: Settings, embedder: Embedder | None) -> float:
    """How much words count beside the meaning: more where the embedder is a light one."""
    if settings.alpha is not None:
        return settings.alpha
    return 0.6 if isinstance(embedder, WordLlamaEmbedder) else 0.4
