"""A temporary database on an existing PostgreSQL server."""

import logging
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import asyncpg

from app.infra.database_errors import describe
from app.services.evaluation.errors import EvaluationError

log = logging.getLogger(__name__)

PREFIX = "chrysopedia_eval_"


@asynccontextmanager
async def scratch_database(url: str) -> AsyncIterator[str]:
    """Create an empty database on the server of `url`, yield its URL, and drop it.

    It remains only if the process is killed. Raises EvaluationError if it cannot be created.
    """
    name = f"{PREFIX}{secrets.token_hex(6)}"
    try:
        await _execute(url, f"CREATE DATABASE {name}")
    except asyncpg.InsufficientPrivilegeError:
        raise EvaluationError(
            "DATABASE_URL: the role may not create a scratch database; grant it CREATEDB, or unset"
            " DATABASE_URL to use an embedded server"
        ) from None
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        raise EvaluationError(
            f"DATABASE_URL: PostgreSQL cannot be used: {describe(error)}"
        ) from None
    try:
        yield with_database_name(url, name)
    finally:
        # After a cancellation every await outside the shield would raise at once.
        with anyio.CancelScope(shield=True):
            await _drop(url, name)


async def _drop(url: str, name: str) -> None:
    try:
        await _execute(url, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        log.warning("scratch database %s was not dropped: %s", name, describe(error))


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def with_database_name(url: str, name: str) -> str:
    """Replace the database name in a URL such as `postgresql://user@host/old?ssl=require`."""
    server, mark, query = url.partition("?")
    scheme, _, rest = server.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}/{name}{mark}{query}"
