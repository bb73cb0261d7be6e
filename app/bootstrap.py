"""Open the connections and build the services; the only module that names concrete classes."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypedDict
from urllib.request import getproxies_environment

import anyio
from msgspec.structs import replace

from app.config import Settings
from app.infra.database import DatabaseState, Pool, open_pool
from app.infra.http.client import HTTPClient
from app.infra.redis import redis_client
from app.services.access.rate_limit import RateLimiter
from app.services.chat.answerer import Answerer, Memory
from app.services.chat.condenser import Condenser
from app.services.chat.memory import RedisMemory
from app.services.chat.planner import Retriever
from app.services.chat.small_talk import load_phrases
from app.services.ingest.store.indexer import Indexer
from app.services.metrics.registry import Metrics
from app.services.models.extractive.model import ExtractiveModel
from app.services.models.openai import OpenAIModel
from app.services.models.request import ModelConfig, ServerConfig
from app.services.search.embedding import Embedder, EmbedderMissing
from app.services.search.embedding.bge import BGE, BgeEmbedder
from app.services.search.embedding.local import RETIRED, is_installed
from app.services.search.embedding.remote import RemoteConfig, RemoteEmbedder
from app.services.search.embedding.use import USE, UseEmbedder
from app.services.search.retriever import PostgresRetriever
from app.services.streams import EventStore, Heartbeat, IdempotencyStore, StreamRunner

log = logging.getLogger(__name__)

# The EMBEDDING_MODEL that turns embeddings off.
NO_EMBEDDINGS = "none"
NO_PGVECTOR = (
    "lexical search only: PostgreSQL has no pgvector 0.8 or newer; install the extension or"
    " run `ALTER EXTENSION vector UPDATE`, then run `python -m app ingest` again"
)
NO_EMBEDDER = (
    "lexical search only: no embedder is installed; pip install 'chrysopedia-chat[use]',"
    " or set EMBEDDING_BASE_URL"
)


class State(TypedDict):
    """What handlers find in `request.state`."""

    settings: Settings
    answerer: Answerer
    runner: StreamRunner
    heartbeat: Heartbeat
    retriever: PostgresRetriever
    memory: RedisMemory
    limiter: RateLimiter
    metrics: Metrics


@asynccontextmanager
async def services(
    settings: Settings,
    *,
    encode_lost: Callable[[str, int], bytes],
    shutdown_requested: Callable[[], bool],
) -> AsyncIterator[State]:
    """Open all connections and build the services; everything is closed when the block ends.

    The settings must name a database and a Redis. `encode_lost(stream_id, number)` encodes the last
    frame of a stream whose worker died. `shutdown_requested` returns whether the server has begun
    to shut down by itself. Raises what `open_pool` raises, and ValueError for a
    wrong Redis URL.
    """
    async with (
        open_database(settings) as (pool, state),
        redis_client(settings.redis_url, timeout=settings.memory_timeout) as redis,
        # Half a lease, so that a renewal that times out can be repeated before the lease ends.
        redis_client(
            settings.redis_url, timeout=settings.turn_lease / 2, single_connection=True
        ) as sync_redis,
        HTTPClient(getproxies_environment()) as http,
        anyio.create_task_group() as tasks,
    ):
        embedder = build_embedder(settings, http, questions=True) if state.pgvector else None
        if state.pgvector is None:
            log.warning(NO_PGVECTOR)
        elif embedder is None and settings.embedding_model != NO_EMBEDDINGS:
            log.warning(NO_EMBEDDER)
        metrics = Metrics()
        retriever = build_retriever(settings, pool, state, embedder, metrics.database_wait.observe)
        await retriever.warm_up()
        load_phrases()
        memory = RedisMemory(
            redis,
            turns=settings.memory_turns,
            ttl=settings.memory_ttl,
            timeout=settings.memory_timeout,
        )
        event_store = EventStore(
            redis,
            sync_redis=sync_redis,
            lease=settings.turn_lease,
            grace=settings.turn_grace,
            replay=settings.turn_replay,
            encode_lost=encode_lost,
        )
        answerer = build_answerer(settings, http, metrics, retriever, memory)
        runner = StreamRunner(
            event_store=event_store,
            idempotency=IdempotencyStore(redis),
            max_streams=settings.max_turns,
            grace=settings.turn_grace,
            drain_time=settings.drain_time,
        )

        _add_readings(metrics, settings, runner, event_store, pool)

        def check_shutdown() -> None:
            if shutdown_requested():
                runner.draining.set()

        tasks.start_soon(event_store.run)
        tasks.start_soon(runner.drain)
        try:
            with metrics.measuring_loop_lag():
                yield State(
                    settings=settings,
                    answerer=answerer,
                    runner=runner,
                    heartbeat=Heartbeat(
                        every=settings.heartbeat,
                        stall_timeout=settings.send_timeout,
                        on_check=check_shutdown,
                    ),
                    retriever=retriever,
                    memory=memory,
                    limiter=RateLimiter(
                        redis, limit=settings.rate_limit, timeout=settings.memory_timeout
                    ),
                    metrics=metrics,
                )
        finally:
            # A graceful shutdown has drained the runner already; otherwise end all streams now.
            runner.shutdown_now()
            await runner.drained.wait()
            tasks.cancel_scope.cancel()


def _add_readings(
    metrics: Metrics, settings: Settings, runner: StreamRunner, event_store: EventStore, pool: Pool
) -> None:
    for name, documentation, read in (
        ("turns_running", "Turns running on this worker.", lambda: runner.running),
        ("turns_limit", "Maximum turns running at once.", lambda: settings.max_turns),
        ("viewers", "Viewers of turns on any worker.", lambda: event_store.viewers),
        ("database_connections", "Open database connections.", pool.get_size),
        ("database_connections_idle", "Idle database connections.", pool.get_idle_size),
        ("database_connections_limit", "Maximum database connections.", pool.get_max_size),
    ):
        metrics.add_gauge(name, documentation, read)
    metrics.add_counter("log_writes", "Writes to the event log.", lambda: event_store.writes)
    metrics.add_counter(
        "log_writes_failed", "Failed writes to the event log.", lambda: event_store.failed_writes
    )


def build_answerer(
    settings: Settings, http: HTTPClient, metrics: Metrics, retriever: Retriever, memory: Memory
) -> Answerer:
    """Build the answerer with the configured model, or else the extractive one."""
    config = model_config(settings) if settings.llm_base_url else None
    return Answerer(
        retriever=retriever,
        model=build_model(http, config, metrics) if config else ExtractiveModel(),
        memory=memory,
        has_model=config is not None,
        condenser=_condenser(http, config, settings, metrics) if config else None,
        history_tokens=settings.history_tokens,
        answer_timeout=settings.llm_answer_timeout,
    )


def _fallback_server(settings: Settings) -> ServerConfig | None:
    """Return the fallback's server, None for the first model's."""
    if settings.llm_fallback_base_url:
        # The first server's key and headers must not reach another host.
        return ServerConfig(
            base_url=settings.llm_fallback_base_url,
            api_key=settings.llm_fallback_api_key,
            headers=settings.llm_fallback_headers or {},
            extra_body=settings.llm_fallback_extra_body or {},
            settings="LLM_FALLBACK_",
        )
    if not settings.llm_fallback_model:
        return None
    return ServerConfig(
        base_url=settings.llm_base_url,
        api_key=settings.llm_fallback_api_key or settings.llm_api_key,
        headers=settings.llm_fallback_headers or settings.llm_headers or {},
        extra_body=settings.llm_fallback_extra_body or settings.llm_extra_body or {},
    )


def model_config(settings: Settings) -> ModelConfig:
    """Return the configured language model; LLM_BASE_URL must be set."""
    return ModelConfig(
        base_url=settings.llm_base_url,
        model=settings.llm_model,
        api_key=settings.llm_api_key,
        headers=settings.llm_headers or {},
        extra_body=settings.llm_extra_body or {},
        fallback_server=_fallback_server(settings),
        fallback_model=settings.llm_fallback_model,
        rules_role=settings.llm_rules_role,
        connect_timeout=settings.llm_connect_timeout,
        first_token_timeout=settings.llm_first_token_timeout,
        silence_timeout=settings.llm_silence_timeout,
        thinking_timeout=settings.llm_thinking_timeout,
        max_tokens=settings.llm_max_tokens,
        temperature=settings.llm_temperature,
        thought_marks=settings.llm_thought_marks,
    )


def build_model(http: HTTPClient, config: ModelConfig, metrics: Metrics) -> OpenAIModel:
    """Build the client of a language model and its fallback."""
    return OpenAIModel(
        http, config, on_retry=metrics.model_retries.inc, on_fallback=metrics.model_fallbacks.inc
    )


def _condenser(
    http: HTTPClient, config: ModelConfig, settings: Settings, metrics: Metrics
) -> Condenser | None:
    if settings.condense == "off":
        return None
    config = replace(
        config,
        model=settings.condense_model or config.model,
        max_tokens=settings.condense_max_tokens,
        # Some models refuse any temperature.
        temperature=None if config.temperature is None else 0.0,
    )
    return Condenser(build_model(http, config, metrics), timeout=settings.condense_timeout)


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
