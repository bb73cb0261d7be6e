"""A PostgreSQL comes in; a database on it that is there for one measurement only goes out."""

import logging
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import asyncpg

from app.services.evaluation.jsonl import EvaluationError

log = logging.getLogger(__name__)

PREFIX = "chrysopedia_eval_"


@asynccontextmanager
async def scratch_database(url: str) -> AsyncIterator[str]:
    """Make an empty database beside the one that `url` names, yield its own URL, and drop it.

    It is dropped however the measurement ends, unless the process is killed. Raises EvaluationError
    where none can be made.
    """
    name = f"{PREFIX}{secrets.token_hex(6)}"
    try:
        await _execute(url, f"CREATE DATABASE {name}")
    except asyncpg.InsufficientPrivilegeError:
        raise EvaluationError(
            "the role of DATABASE_URL may not make the database to measure in: give it CREATEDB,"
            " or unset DATABASE_URL to measure in an embedded one"
        ) from None
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        reason = str(error) or type(error).__name__
        raise EvaluationError(f"DATABASE_URL: PostgreSQL cannot be used: {reason}") from None
    try:
        yield at_database(url, name)
    finally:
        # Also when the run was cancelled: then every await would raise at once.
        with anyio.CancelScope(shield=True):
            await _drop(url, name)


async def _drop(url: str, name: str) -> None:
    try:
        await _execute(url, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        log.warning("the database %s is left behind: %s", name, error)


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def at_database(url: str, name: str) -> str:
    """Put another database's name into a URL such as `postgresql://user@host/old?ssl=require`."""
    server, mark, query = url.partition("?")
    scheme, _, rest = server.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}/{name}{mark}{query}"
