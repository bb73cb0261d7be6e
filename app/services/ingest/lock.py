"""A database and a folder come in; the one right to write the folder's library goes out."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from app.infra.database import Connection
from app.services.ingest.errors import AlreadyRunning, NameTaken
from app.services.ingest.report import Progress
from app.services.ingest.store import write

# Any number that nothing else in the database locks.
LOCK_KEY = 0x696E67657374
# Seconds to wait for another ingestion to end.
PATIENCE = 600.0

TRY_LOCK = "SELECT pg_try_advisory_lock($1)"
LOCK = "SELECT pg_advisory_lock($1)"
UNLOCK = "SELECT pg_advisory_unlock($1)"


@asynccontextmanager
async def ingestion_lock(
    connection: Connection, report: Callable[[Progress], None]
) -> AsyncIterator[None]:
    """Keep every other ingestion off the database; waits for one that runs."""
    if not await connection.fetchval(TRY_LOCK, LOCK_KEY):
        report(Progress("waiting"))
        try:
            await connection.execute(LOCK, LOCK_KEY, timeout=PATIENCE)
        except TimeoutError:
            raise AlreadyRunning(
                "another ingestion has been writing to this database for long;"
                " try again when it has ended"
            ) from None
    try:
        yield
    finally:
        # A connection that broke has let go of the lock.
        if not connection.is_closed():
            await connection.execute(UNLOCK, LOCK_KEY)


async def library_of(connection: Connection, name: str, folder: Path) -> int:
    """Return the id of the folder's library, added where there is none.

    A name whose folder is gone is taken over. Raises NameTaken where it is not.
    """
    found = await write.library_named(connection, name)
    if found is not None:
        library, path = found
        if path == str(folder):
            return library
        if _is_another(Path(path), folder):
            raise NameTaken(
                f"the library {name!r} is that of the folder {path}:"
                " give this one another name with --name"
            )
    return await write.keep_library(connection, name, str(folder))


def _is_another(path: Path, folder: Path) -> bool:
    return path.is_dir() and not path.samefile(folder)
