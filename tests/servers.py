"""Real servers for the tests: PostgreSQL and Valkey, shared by a session or a test's own."""

import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from importlib.resources import as_file, files
from pathlib import Path
from uuid import uuid4

import asyncpg
import redis
from anyio.from_thread import BlockingPortal, start_blocking_portal
from msgspec import Struct

from app.cli.library import ingest_folder, open_library
from app.config import Settings
from app.infra.database import migrate
from app.infra.embedded import servers

TEMPLATE = "template_of_tests"


class SharedServers(Struct, frozen=True):
    """The session's servers, and the thread whose event loop they are run from."""

    portal: BlockingPortal
    admin_url: str
    redis_url: str

    def create_database(self, template: str = TEMPLATE) -> str:
        """Make a database of the template's tables and return its DSN."""
        name = f"test_{uuid4().hex}"
        self.portal.call(_execute, self.admin_url, f"CREATE DATABASE {name} TEMPLATE {template}")
        return _named(self.admin_url, name)

    def drop_database(self, url: str) -> None:
        """Drop a database of `create_database`, whoever is still connected."""
        name = url.partition("?")[0].rpartition("/")[2]
        self.portal.call(_execute, self.admin_url, f"DROP DATABASE {name} WITH (FORCE)")

    def flush_redis(self) -> None:
        """Forget everything in Redis."""
        with redis.Redis.from_url(self.redis_url) as client:
            client.flushall()


class OwnServer:
    """One test's own server, stopped and started at will; its data and its URL stay."""

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
        """Stop it and wait until it is gone; nothing where it does not run."""
        running, self._running = self._running, None
        if running is not None:
            await running.__aexit__(None, None, None)


@contextmanager
def shared_servers() -> Iterator[SharedServers]:
    """Run both servers, and a migrated database to copy, from a thread of their own."""
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
    """Start a server that only one test sees, and stop it at last if the test did not."""
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


async def _prepare(admin_url: str) -> None:
    # What the tests write need not survive a power cut.
    await _execute(admin_url, "ALTER SYSTEM SET fsync = off")
    await _execute(admin_url, "SELECT pg_reload_conf()")
    await _execute(admin_url, f"CREATE DATABASE {TEMPLATE}")
    connection = await asyncpg.connect(_named(admin_url, TEMPLATE))
    await migrate(connection)
    await connection.close()


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def _named(url: str, name: str) -> str:
    """Put another database's name into a DSN."""
    server, _, query = url.partition("?")
    return f"{server.rpartition('/')[0]}/{name}?{query}"
