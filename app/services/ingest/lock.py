"""Database lock that lets only one ingestion run at a time."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.infra.database import Connection
from app.infra.pooler import keep_session
from app.services.ingest.errors import AlreadyRunning
from app.services.ingest.progress import Progress, ProgressCallback

# An arbitrary number that nothing else in the database uses.
LOCK_KEY = 0x696E67657374
# Seconds to wait for another ingestion to finish.
LOCK_TIMEOUT = 600.0

TRY_LOCK = "SELECT pg_try_advisory_lock($1)"
LOCK = "SELECT pg_advisory_lock($1)"
UNLOCK = "SELECT pg_advisory_unlock($1)"


@asynccontextmanager
async def ingestion_lock(
    connection: Connection, on_progress: ProgressCallback
) -> AsyncIterator[None]:
    """Hold the lock. Waits for a running ingestion; raises AlreadyRunning after 10 minutes."""
    async with keep_session(connection) as session:
        if not await session.fetchval(TRY_LOCK, LOCK_KEY):
            on_progress(Progress("waiting"))
            try:
                await session.execute(LOCK, LOCK_KEY, timeout=LOCK_TIMEOUT)
            except TimeoutError:
                raise AlreadyRunning(
                    f"another ingestion has been using this database for {LOCK_TIMEOUT / 60:.0f}"
                    " minutes; try again when it has finished"
                ) from None
        try:
            yield
        finally:
            # PostgreSQL releases the lock when the connection closes.
            if not session.is_closed():
                await session.execute(UNLOCK, LOCK_KEY)
