"""Open the connections and build the services; the only package that names concrete classes."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypedDict
from urllib.request import getproxies_environment

import anyio

from app.bootstrap.access import build_authenticator
from app.bootstrap.models import build_answerer
from app.bootstrap.search import NO_EMBEDDINGS, build_embedder, build_retriever, open_database
from app.config import Settings
from app.infra.database import Pool
from app.infra.http.client import HTTPClient
from app.infra.redis import close_idle_connections, redis_client
from app.services.access.active_keys import ActiveKeys
from app.services.access.audit import AuditLog
from app.services.access.authenticator import Authenticator
from app.services.access.browsers import Browsers
from app.services.access.conversation_ids import ConversationIds
from app.services.access.key_usage import KeyUsage
from app.services.access.limiter import Limiter
from app.services.access.limits import Holders, Limits
from app.services.access.signing import load_secret
from app.services.access.tickets import Tickets
from app.services.chat.answerer import Answerer
from app.services.chat.memory import RedisMemory
from app.services.chat.small_talk import load_phrases
from app.services.metrics.redis_usage import RedisUsage
from app.services.metrics.registry import Metrics
from app.services.search.retriever import PostgresRetriever
from app.services.streams import EventStore, Grace, Heartbeat, IdempotencyStore, StreamRunner

log = logging.getLogger(__name__)

# Seconds between two times at which idle connections to Redis are closed.
IDLE_INTERVAL = 60.0
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
    authenticator: Authenticator
    browsers: Browsers | None
    tickets: Tickets
    active_keys: ActiveKeys
    key_usage: KeyUsage
    audit: AuditLog
    conversation_ids: ConversationIds
    heartbeat: Heartbeat
    retriever: PostgresRetriever
    # For searches without an answer: half of the connections are left to questions.
    limited_retriever: PostgresRetriever
    memory: RedisMemory
    limiter: Limiter
    metrics: Metrics
    redis_usage: RedisUsage


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
        secret = await load_secret(pool)
        anonymous = settings.auth != "on" or settings.auth_anonymous == "on"
        browsers = Browsers(secret) if anonymous else None
        tickets = Tickets(secret, settings.llm_answer_timeout + settings.turn_replay)
        active_keys = ActiveKeys(pool, timeout=settings.database_timeout)
        audit = AuditLog(settings.audit_log)
        key_usage = KeyUsage(pool, audit)
        metrics = Metrics()
        retriever = build_retriever(settings, pool, state, embedder, metrics.database_wait.observe)
        await retriever.warm_up()
        load_phrases()
        memory = RedisMemory(
            redis,
            turns=settings.memory_turns,
            ttl=settings.memory_ttl,
            max_conversations=settings.max_conversations,
            timeout=settings.memory_timeout,
        )
        limiter = Limiter(redis, _holders(settings), timeout=settings.memory_timeout)
        grace = Grace(settings.turn_grace)
        event_store = EventStore(
            redis,
            sync_redis=sync_redis,
            lease=settings.turn_lease,
            grace=grace,
            replay=settings.turn_replay,
            encode_lost=encode_lost,
            on_sync=limiter.write,
        )
        answerer = build_answerer(settings, http, metrics, retriever, memory)
        runner = StreamRunner(
            event_store=event_store,
            idempotency=IdempotencyStore(redis),
            max_streams=settings.max_turns,
            grace=grace,
            drain_time=settings.drain_time,
        )

        _add_readings(metrics, settings, runner, event_store, pool)
        redis_usage = RedisUsage(redis, timeout=settings.memory_timeout)
        metrics.registry.register(redis_usage)

        def check_shutdown() -> None:
            if shutdown_requested():
                runner.draining.set()

        tasks.start_soon(event_store.run)
        tasks.start_soon(runner.drain)
        tasks.start_soon(close_idle_connections, redis, IDLE_INTERVAL)
        tasks.start_soon(key_usage.run)
        try:
            with metrics.measuring_loop_lag():
                yield State(
                    settings=settings,
                    answerer=answerer,
                    runner=runner,
                    browsers=browsers,
                    tickets=tickets,
                    authenticator=build_authenticator(
                        settings, http, active_keys, secret, browsers, tickets
                    ),
                    active_keys=active_keys,
                    key_usage=key_usage,
                    audit=audit,
                    conversation_ids=ConversationIds(secret),
                    heartbeat=Heartbeat(
                        every=settings.heartbeat,
                        stall_timeout=settings.send_timeout,
                        on_check=check_shutdown,
                    ),
                    retriever=retriever,
                    limited_retriever=retriever.limited(max(1, settings.database_pool // 2)),
                    memory=memory,
                    limiter=limiter,
                    metrics=metrics,
                    redis_usage=redis_usage,
                )
        finally:
            # A graceful shutdown has drained the runner already; otherwise end all streams now.
            runner.shutdown_now()
            await runner.drained.wait()
            tasks.cancel_scope.cancel()


def _holders(settings: Settings) -> Holders:
    return Holders(
        Limits(
            settings.rate_limit,
            settings.daily_limit,
            settings.turns_at_once,
            settings.daily_tokens,
        ),
        Limits(
            settings.service_rate_limit,
            settings.service_daily_limit,
            tokens_per_day=settings.service_daily_tokens,
        ),
    )


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
