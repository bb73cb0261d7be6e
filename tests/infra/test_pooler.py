"""Behind a pooler in transaction mode, nothing fails, and nothing reaches other clients."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import asyncpg
import pytest

from app.cli.library import ingest_folder, open_library
from app.config import Settings
from app.infra.database import Pool, open_pool
from app.infra.pooler import is_pooled, keep_session
from app.services.ingest.lock import ingestion_lock
from tests.pgbouncer import POOL_SIZE, pgbouncer
from tests.service import answer, running, unlimited

SEARCHES = 60
JIT = "SELECT current_setting('jit') AS jit, current_setting('hnsw.ef_search', true) AS ef"

needs_pgbouncer = pytest.mark.needs("pgbouncer")
pytestmark = pytest.mark.anyio


@pytest.fixture
async def pooled_url(anyio_backend: object, database_url: str) -> AsyncIterator[str]:
    """The URL of an empty database through PgBouncer."""
    async with pgbouncer(database_url) as url:
        yield url


async def count_failures(pool: Pool) -> int:
    """Run many queries with an argument at once; returns how many failed."""
    failures = 0

    async def fetch(number: int) -> None:
        nonlocal failures
        try:
            rows = await pool.fetch(f"SELECT $1::integer AS it, {number % 5}", number)
            assert rows[0]["it"] == number
        except asyncpg.PostgresError:
            failures += 1

    async with anyio.create_task_group() as tasks:
        for number in range(SEARCHES):
            tasks.start_soon(fetch, number)
    return failures


async def test_a_direct_connection_is_not_taken_for_a_pooler(database_url: str) -> None:
    async with open_pool(database_url, size=1, timeout=5) as (pool, _), pool.acquire() as one:
        assert not await is_pooled(one)
        assert dict((await one.fetch(JIT))[0]) == {"jit": "off", "ef": "100"}
        async with keep_session(one) as session:
            assert session is one


async def test_a_setting_declares_a_pooler_that_is_not_detected(database_url: str) -> None:
    async with (
        open_pool(database_url, size=1, timeout=5, statement_cache=0) as (pool, _),
        pool.acquire() as one,
        keep_session(one) as session,
    ):
        assert session is not one
        assert dict((await one.fetch(JIT))[0]) == {"jit": "off", "ef": "100"}
        # The settings were the transaction's.
        assert await one.fetchval("SELECT current_setting('jit')") == "on"
        assert await one.fetchval("SELECT count(*) FROM pg_prepared_statements") == 0


@needs_pgbouncer
async def test_concurrent_queries_through_a_pooler_do_not_fail(pooled_url: str) -> None:
    async with open_pool(pooled_url, size=20, timeout=5) as (pool, state):
        assert state.pgvector
        async with pool.acquire() as one:
            assert await is_pooled(one)
        assert await count_failures(pool) == 0


@needs_pgbouncer
async def test_prepared_statements_through_a_pooler_fail(pooled_url: str) -> None:
    """The test above would notice: this old PgBouncer does not support them."""
    async with open_pool(pooled_url, size=20, timeout=5, statement_cache=100) as (pool, _):
        assert await count_failures(pool) > 0


@needs_pgbouncer
async def test_settings_of_searches_do_not_reach_other_clients(
    pooled_url: str, database: asyncpg.Connection
) -> None:
    async with open_pool(pooled_url, size=20, timeout=5) as (pool, _):
        await count_failures(pool)
        for _ in range(2 * POOL_SIZE):
            assert dict((await pool.fetch(JIT))[0]) == {"jit": "off", "ef": "100"}
    other = await asyncpg.connect(pooled_url, statement_cache_size=0)
    for _ in range(2 * POOL_SIZE):
        assert await other.fetchval("SELECT current_setting('jit')") == "on"
    await other.close()


@needs_pgbouncer
async def test_a_query_that_times_out_leaves_the_pool_usable(pooled_url: str) -> None:
    async with open_pool(pooled_url, size=1, timeout=5) as (pool, _):
        for _ in range(2 * POOL_SIZE):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.02):
                    await pool.fetch("SELECT pg_sleep(10)")
            assert (await pool.fetch("SELECT 1 AS it"))[0]["it"] == 1


@needs_pgbouncer
async def test_only_one_ingestion_runs_through_a_pooler(pooled_url: str) -> None:
    order: list[str] = []
    holding, waiting = anyio.Event(), anyio.Event()

    async def ingest(pool: Pool, name: str) -> None:
        async with pool.acquire() as one, ingestion_lock(one, lambda _: waiting.set()):
            order.append(f"{name} begins")
            if not holding.is_set():
                holding.set()
                await waiting.wait()
            # Each of these may run in another session.
            for _ in range(2 * POOL_SIZE):
                await one.fetch("SELECT 1")
            order.append(f"{name} ends")

    async with open_pool(pooled_url, size=2, timeout=5) as (pool, _):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ingest, pool, "first")
            await holding.wait()
            tasks.start_soon(ingest, pool, "second")
        assert order == ["first begins", "first ends", "second begins", "second ends"]
        left = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
        assert await pool.fetchval(left) == 0


@needs_pgbouncer
async def test_a_library_is_ingested_through_a_pooler(
    pooled_url: str, database: asyncpg.Connection, tmp_path: Path
) -> None:
    (tmp_path / "anna").mkdir()
    (tmp_path / "anna" / "delay.md").write_text("Keep the feedback of a tape delay below 40 %.")
    settings = Settings(database_url=pooled_url, embedding_model="none")
    async with open_library(settings) as library:
        assert (await ingest_folder(library, tmp_path)).added == 1
    assert await database.fetchval("SELECT count(*) FROM passages") == 1


@needs_pgbouncer
async def test_concurrent_chats_and_searches_through_a_pooler_do_not_fail(
    library_url: str, redis_url: str
) -> None:
    async with pgbouncer(library_url) as url:
        settings = unlimited(Settings(database_url=url, redis_url=redis_url, database_pool=20))
        async with running(settings) as client:

            async def ask(number: int) -> None:
                query = f"How thick must absorber panels be in room {number}?"
                assert "10 centimetres" in answer(await client.ask(query))
                path = f"/api/v1/search?q=How thick must absorber panels be {number}"
                assert (await client.call("GET", path))[0] == 200

            async with anyio.create_task_group() as tasks:
                for number in range(SEARCHES):
                    tasks.start_soon(ask, number)
