"""Open the library for a command, and ingest folders into it."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import asyncpg
from msgspec import Struct

from app.bootstrap.search import open_database, open_indexer
from app.cli.errors import CommandError, NotFullyEmbedded
from app.config import Settings
from app.errors import LibraryUnavailable
from app.infra.database import Connection, MigrationError
from app.infra.database_errors import describe
from app.services.ingest.errors import IngestError, NotEmbedded
from app.services.ingest.progress import Progress, ProgressDisplay
from app.services.ingest.report import Report
from app.services.ingest.store.indexer import Indexer
from app.services.search.embedding import EmbedderMissing


class Library(Struct, frozen=True):
    """A connection to the library's database, and the indexer of its passages."""

    connection: Connection
    indexer: Indexer


@asynccontextmanager
async def open_library(settings: Settings) -> AsyncIterator[Library]:
    """Connect to the library and migrate its tables. Raises CommandError."""
    async with AsyncExitStack() as stack:
        with opening_library():
            pool, state = await stack.enter_async_context(open_database(settings))
            connection = await stack.enter_async_context(pool.acquire())
            indexer = await stack.enter_async_context(open_indexer(settings, state))
        yield Library(connection, indexer)


@contextmanager
def opening_library() -> Iterator[None]:
    """Turn the errors of connecting to the library into CommandError."""
    try:
        yield
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise CommandError(
            f"DATABASE_URL: cannot use PostgreSQL: {describe(error)};"
            " check the URL and that the server is running"
        ) from None
    except MigrationError as error:
        raise CommandError(f"DATABASE_URL: {error}") from None
    except EmbedderMissing as error:
        raise CommandError(str(error)) from None


async def ingest_folder(
    library: Library,
    folder: Path,
    *,
    name: str | None = None,
    prune: bool = False,
    follow_links: bool = False,
) -> Report:
    """Ingest a folder and show the progress on standard error. Raises CommandError."""
    # Slow to import, and `serve` often has nothing to ingest.
    from app.services.ingest.run import ingest

    with show_progress() as progress:
        return await ingest(
            library.connection,
            folder,
            indexer=library.indexer,
            name=name,
            prune=prune,
            follow_links=follow_links,
            on_progress=progress,
        )


@contextmanager
def show_progress() -> Iterator[Callable[[Progress], None]]:
    """Show progress on standard error, and turn ingestion errors into CommandError."""
    try:
        with ProgressDisplay() as progress:
            yield progress
    except NotEmbedded as error:
        raise NotFullyEmbedded(str(error)) from None
    except (IngestError, LibraryUnavailable) as error:
        raise CommandError(str(error)) from None
