"""PostgreSQL and Valkey for tests, shared by all tests of a process or owned by one test."""

import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    asynccontextmanager,
    contextmanager,
    suppress,
)
from importlib.resources import as_file, files
from pathlib import Path
from random import Random
from uuid import uuid4

import asyncpg
import redis
from anyio.from_thread import BlockingPortal, start_blocking_portal
from msgspec import Struct

from app.cli.library import ingest_folder, open_library
from app.config import Settings
from app.infra.database import migrate
from app.infra.embedded import servers
from app.infra.embedded.roles import ROLE, SUPERUSER

TEMPLATE = "template_of_tests"


class SharedServers(Struct, frozen=True):
    """The shared servers, and the thread whose event loop runs them."""

    portal: BlockingPortal
    url: str
    redis_url: str

    def create_database(self, template: str = TEMPLATE) -> str:
        """Create a database from a template and return its DSN, with the service's role."""
        name = f"test_{uuid4().hex}"
        statement = f"CREATE DATABASE {name} OWNER {ROLE} TEMPLATE {template} STRATEGY FILE_COPY"
        self.portal.call(_execute, superuser_url(self.url), statement)
        return _named(self.url, name)

    def drop_database(self, url: str) -> None:
        """Drop a database, closing its connections."""
        name = url.partition("?")[0].rpartition("/")[2]
        self.portal.call(_execute, superuser_url(self.url), f"DROP DATABASE {name} WITH (FORCE)")

    def flush_redis(self) -> None:
        """Delete all keys."""
        with redis.Redis.from_url(self.redis_url) as client:
            client.flushall()


class OwnServer:
    """A server of one test, which may stop and start it; it keeps its data and its URL."""

    def __init__(self, run: Callable[[Path], AbstractAsyncContextManager[str]], data_dir: Path):
        self._run = run
        self._data_dir = data_dir
        self._running: AbstractAsyncContextManager[str] | None = None
        self.url = ""

    async def start(self) -> None:
        """Start it and wait until it is ready."""
        self._running = self._run(self._data_dir)
        self.url = await self._running.__aenter__()

    async def stop(self) -> None:
        """Stop it if it runs, and wait until it is gone."""
        running, self._running = self._running, None
        if running is not None:
            await running.__aexit__(None, None, None)


@contextmanager
def shared_servers() -> Iterator[SharedServers]:
    """Run both servers in a thread of their own, with a migrated database to copy."""
    with (
        tempfile.TemporaryDirectory(prefix="chrysopedia-") as folder,
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(servers(Path(folder))) as running,
    ):
        assert running.database_url
        assert running.redis_url
        portal.call(_prepare, running.database_url)
        yield SharedServers(portal, running.database_url, running.redis_url)


@asynccontextmanager
async def own_server(
    run: Callable[[Path], AbstractAsyncContextManager[str]], data_dir: Path
) -> AsyncIterator[OwnServer]:
    """Start a server for one test and stop it afterwards."""
    server = OwnServer(run, data_dir)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


async def ingest_sample(database_url: str) -> None:
    """Ingest the sample library."""
    async with open_library(Settings(database_url=database_url)) as library:
        with as_file(files("app").joinpath("sample_library")) as folder:
            await ingest_folder(library, folder)


def superuser_url(url: str) -> str:
    """Return the DSN of a database of an embedded PostgreSQL with the superuser's name."""
    return url.replace(f"//{ROLE}@", f"//{SUPERUSER}@", 1)


def free_ports(count: int) -> list[int]:
    """Find free ports outside the range that the system gives to outgoing connections.

    So a server may stop and start again without losing its port to a client.
    """
    found: list[int] = []
    for port in Random().sample(range(20_000, 32_000), 1_000):  # noqa: S311
        with socket.socket() as candidate, suppress(OSError):
            candidate.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == count:
            return found
    raise OSError("no free port")


async def _prepare(url: str) -> None:
    # Test data need not survive a power failure.
    await _execute(superuser_url(url), "ALTER SYSTEM SET fsync = off")
    await _execute(superuser_url(url), "SELECT pg_reload_conf()")
    await _execute(url, f"CREATE DATABASE {TEMPLATE}")
    connection = await asyncpg.connect(_named(url, TEMPLATE))
    await migrate(connection)
    await connection.close()


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def _named(url: str, name: str) -> str:
    """Return the DSN of another database on the same server."""
    server, _, query = url.partition("?")
    return f"{server.rpartition('/')[0]}/{name}?{query}"
