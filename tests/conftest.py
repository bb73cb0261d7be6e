"""Fixtures of all tests: the event loop, fresh databases, an empty Redis, servers to stop."""

import os
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest
from hypothesis import settings

from app.embedded import postgres, valkey
from tests.servers import OwnServer, SharedServers, own_server, shared_servers

settings.register_profile("tests", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("tests")


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """Run async tests on the event loop that serves."""
    return "asyncio", {"use_uvloop": True}


@pytest.fixture(scope="session")
def shared() -> Iterator[SharedServers]:
    """Both servers, once for the whole session; started by the first test that needs one."""
    with shared_servers() as running:
        yield running


@pytest.fixture
def database_url(shared: SharedServers) -> Iterator[str]:
    """The DSN of an empty database with the schema applied."""
    url = shared.create_database()
    yield url
    shared.drop_database(url)


@pytest.fixture
def bare_database_url(shared: SharedServers) -> Iterator[str]:
    """The DSN of a database with nothing in it, not even the schema."""
    url = shared.create_database(template="template0")
    yield url
    shared.drop_database(url)


@pytest.fixture
async def database(anyio_backend: object, database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection to `database_url`."""
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


@pytest.fixture
def redis_url(shared: SharedServers) -> str:
    """The URL of an empty Redis-compatible server."""
    shared.flush_redis()
    return shared.redis_url


@pytest.fixture
async def own_postgres(anyio_backend: object) -> AsyncIterator[OwnServer]:
    """A PostgreSQL that the test may stop and start; its database has no schema yet."""
    async with own_server(postgres) as server:
        yield server


@pytest.fixture
async def own_valkey(anyio_backend: object) -> AsyncIterator[OwnServer]:
    """A Redis-compatible server that the test may stop and start."""
    async with own_server(valkey) as server:
        yield server
