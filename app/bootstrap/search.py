"""Open the database, and build the embedder, the retriever and the indexer."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from urllib.request import getproxies_environment

from msgspec.structs import replace

from app.config import Settings
from app.infra.database import DatabaseState, Pool, open_pool
from app.infra.http.client import HTTPClient
from app.services.ingest.store.indexer import Indexer
from app.services.search.embedding import Embedder, EmbedderMissing
from app.services.search.embedding.bge import BGE, BgeEmbedder
from app.services.search.embedding.local import RETIRED, is_installed
from app.services.search.embedding.remote import RemoteConfig, RemoteEmbedder
from app.services.search.embedding.use import USE, UseEmbedder
from app.services.search.retriever import PostgresRetriever

# The EMBEDDING_MODEL that turns embeddings off.
NO_EMBEDDINGS = "none"


def open_database(settings: Settings) -> AbstractAsyncContextManager[tuple[Pool, DatabaseState]]:
    """Open the configured database; see `open_pool` for what it yields and raises."""
    return open_pool(
        settings.database_url,
        size=settings.database_pool,
        timeout=settings.database_timeout,
        statement_cache=settings.database_statement_cache,
    )


@asynccontextmanager
async def open_indexer(settings: Settings, state: DatabaseState) -> AsyncIterator[Indexer]:
    """Yield the configured indexer. Raises EmbedderMissing."""
    async with HTTPClient(getproxies_environment()) as http:
        embedder = build_embedder(settings, http, questions=False) if state.pgvector else None
        yield Indexer(
            pgvector=state.pgvector is not None,
            embedder=embedder,
            alpha=_alpha(settings, embedder),
            per_document=settings.max_passages_per_document,
        )


def build_embedder(settings: Settings, http: HTTPClient, *, questions: bool) -> Embedder | None:
    """Build the configured embedder, tuned for single questions or for many passages.

    None if embeddings are off, or if no embedder is configured or installed. Raises
    EmbedderMissing.
    """
    name = settings.embedding_model
    if settings.embedding_base_url:
        config = RemoteConfig(
            base_url=settings.embedding_base_url,
            model=name,
            api_key=settings.embedding_api_key,
            query_model=settings.embedding_query_model,
            query_prefix=settings.embedding_query_prefix,
            document_prefix=settings.embedding_document_prefix,
        )
        if questions:
            limit = settings.embedding_timeout
            config = replace(config, timeout=limit, deadline=limit, attempts=2, backoff=0.05)
        return RemoteEmbedder(http, config)
    if name == NO_EMBEDDINGS or (not name and not is_installed(USE)):
        return None
    if name in ("", "use", USE.name):
        return UseEmbedder()
    if name in ("bge", BGE.name):
        return BgeEmbedder()
    for *names, replacement in RETIRED:
        if name in names:
            raise EmbedderMissing(
                f"EMBEDDING_MODEL: {name} is no longer available; set it to {replacement}, and run"
                " `python -m app reindex` to embed the library again"
            )
    raise EmbedderMissing(
        f"EMBEDDING_MODEL: unknown embedder {name!r}; set it to use, bge or none,"
        " or set EMBEDDING_BASE_URL to the server that has this model"
    )


def build_retriever(
    settings: Settings,
    pool: Pool,
    state: DatabaseState,
    embedder: Embedder | None,
    on_connection_wait: Callable[[float], None] | None = None,
) -> PostgresRetriever:
    """Build the retriever for a database; without an embedder its search is lexical."""
    return PostgresRetriever(
        pool,
        pgvector=state.pgvector is not None,
        embedder=embedder if state.pgvector else None,
        alpha=_alpha(settings, embedder),
        sources=settings.max_sources,
        per_document=settings.max_passages_per_document,
        timeout=settings.database_timeout,
        embedding_timeout=settings.embedding_timeout,
        on_connection_wait=on_connection_wait,
    )


def _alpha(settings: Settings, embedder: Embedder | None) -> float:
    """Return the weight of the lexical score: the less accurate the embedder, the higher."""
    if settings.alpha is not None:
        return settings.alpha
    return 0.3 if isinstance(embedder, BgeEmbedder) else 0.4
