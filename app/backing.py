"""Settings come in; servers that run, and a library to read and to fill, go out."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import asyncpg
from msgspec.structs import replace

from app.database import Connection, MigrationError
from app.lifespan import database
from app.services.ingest.report import Report
from app.settings import Settings


class CannotStart(Exception):
    """A command cannot do its work; the message is one line that says why and what to do."""


@asynccontextmanager
async def backing_servers(settings: Settings, *, memory: bool = True) -> AsyncIterator[Settings]:
    """Run the servers that the settings name none for, and yield settings that name them.

    What another process runs on the same data folder is used as it is where only the database
    is asked for (`memory=False`). Raises CannotStart.
    """
    if settings.database_url and (settings.redis_url or not memory):
        yield settings
        return
    # Only here: a service with servers of its own needs none of it.
    from app import embedded

    async with AsyncExitStack() as stack:
        try:
            running = None if memory else embedded.attach(settings.data_dir)
            if running is not None and running.database_url:
                yield replace(settings, database_url=running.database_url)
                return
            servers = await stack.enter_async_context(
                embedded.servers(
                    settings.data_dir,
                    database=not settings.database_url,
                    memory=memory and not settings.redis_url,
                )
            )
        except embedded.EmbeddedError as error:
            raise CannotStart(str(error)) from None
        yield replace(
            settings,
            database_url=settings.database_url or servers.database_url or "",
            redis_url=settings.redis_url or servers.redis_url or "",
        )


@asynccontextmanager
async def library_connection(settings: Settings) -> AsyncIterator[Connection]:
    """Connect to the library, its tables brought up to date. Raises CannotStart."""
    async with AsyncExitStack() as stack:
        try:
            pool, _ = await stack.enter_async_context(database(settings))
            connection = await stack.enter_async_context(pool.acquire())
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            reason = str(error) or type(error).__name__
            raise CannotStart(f"DATABASE_URL: PostgreSQL cannot be used: {reason}") from None
        except MigrationError as error:
            raise CannotStart(f"DATABASE_URL: {error}") from None
        yield connection


async def ingest_folder(
    connection: Connection, folder: Path, *, name: str | None = None, prune: bool = False
) -> Report:
    """Ingest a folder, and show how far it is on standard error. Raises CannotStart."""
    from app.services.ingest.errors import IngestError
    from app.services.ingest.progress import ProgressLines
    from app.services.ingest.run import ingest

    try:
        with ProgressLines() as progress:
            return await ingest(connection, folder, name=name, prune=prune, report=progress)
    except IngestError as error:
        raise CannotStart(str(error)) from None
