"""Connections behind a pooler such as PgBouncer.

In transaction mode each transaction may run in another session. Prepared statements, session
settings and session locks are lost, or reach another client; none of them is used here.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import asyncpg

# A connection, either separate or from a pool.
Connection: TypeAlias = (
    "asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
)

# JIT compilation takes longer than the search, and custom plans are no better than a generic one.
# With a filter on creator or topic, the scan of the HNSW index must continue until it has enough
# rows.
SEARCH_SETTINGS = (
    "SET {scope} jit = off; SET {scope} plan_cache_mode = force_generic_plan;"
    " SET {scope} hnsw.ef_search = 100; SET {scope} hnsw.iterative_scan = relaxed_order"
)


async def is_pooled(connection: Connection) -> bool:
    """Return whether a pooler is between this client and PostgreSQL.

    A pooler answers cancel requests itself, so it invents the process id that clients need for
    them.
    """
    pid: int = await connection.fetchval("SELECT pg_backend_pid()")
    return pid != connection.get_server_pid()


class PooledConnection(asyncpg.Connection):
    """A connection behind a pooler, which may be in transaction mode."""

    _url = ""

    async def remember_url(self, url: str) -> None:
        """Set the URL for further connections."""
        self._url = url

    async def fetch(self, query: str, *args: object, **options: Any) -> Any:
        """Run a query with the settings of searches, in the current or in its own transaction."""
        async with self.transaction():
            await self.execute(SEARCH_SETTINGS.format(scope="LOCAL"))
            return await super().fetch(query, *args, **options)

    @asynccontextmanager
    async def open_session(self) -> AsyncIterator[Connection]:
        """Yield another connection, which keeps its session for the length of the block."""
        connection = await asyncpg.connect(self._url, statement_cache_size=0)
        try:
            # A pooler keeps a session for as long as a transaction is open.
            async with connection.transaction():
                await connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
                yield connection
        finally:
            await connection.close()


@asynccontextmanager
async def keep_session(connection: Connection) -> AsyncIterator[Connection]:
    """Yield a connection whose session lasts for the length of the block, for session locks."""
    # The pool's proxy passes the attribute on.
    open_session = getattr(connection, "open_session", None)
    if open_session is None:
        yield connection
        return
    async with open_session() as session:
        yield session
