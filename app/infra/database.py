"""PostgreSQL connections and schema migrations."""

import logging
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from importlib.resources import files
from typing import Any, TypeAlias

import asyncpg
from msgspec import Struct

from app.infra import pooler
from app.infra.database_errors import describe
from app.infra.pooler import SEARCH_SETTINGS, PooledConnection, is_pooled

log = logging.getLogger(__name__)

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Connection: TypeAlias = pooler.Connection

# Advisory lock of migrations: an arbitrary number that nothing else in the database uses.
LOCK_KEY = 0x63687279736F
# Seconds for one migration; the pool's own timeout is for searches.
MIGRATION_TIMEOUT = 3600.0
# Seconds after which a connection that is not used is closed.
IDLE_TIME = 60.0
MIGRATION_HEADER = re.compile(r"^-- migration (\d+): (.+)$", re.MULTILINE)

# $1 version, $2 title
RECORD_MIGRATION = "INSERT INTO schema_migrations (version, title) VALUES ($1, $2)"
HAS_MIGRATIONS_TABLE = "SELECT to_regclass('schema_migrations') IS NOT NULL"
CREATE_MIGRATIONS_TABLE = """
    CREATE TABLE schema_migrations (
        version    integer PRIMARY KEY,
        title      text NOT NULL,
        applied_at timestamptz NOT NULL DEFAULT now()
    )
"""
# The first version with sparse vectors and iterative scans of a filtered index.
MIN_PGVECTOR = (0, 8)
PGVECTOR_AVAILABLE = """
SELECT count(*) > 0 FROM pg_available_extension_versions
WHERE name = 'vector' AND string_to_array(version, '.')::integer[] >= ARRAY[0, 8]
"""
PGVECTOR_VERSION = "SELECT extversion FROM pg_extension WHERE extname = 'vector'"
LACKS_WEIGHTS = """
SELECT to_regclass('passages') IS NOT NULL AND NOT EXISTS (
    SELECT FROM pg_attribute
    WHERE attrelid = to_regclass('passages') AND attname = 'weights' AND NOT attisdropped)
"""


INVALID_URL = "the URL is not valid; percent-encode special characters of the password"


class MigrationError(Exception):
    """The database cannot be migrated; the message is one line that says why."""


class Migration(Struct, frozen=True):
    """One numbered change of the schema."""

    version: int
    title: str
    sql: str


class DatabaseState(Struct, frozen=True):
    """The version of the schema, and that of pgvector; None without pgvector 0.8 or newer."""

    version: int
    pgvector: str | None


@asynccontextmanager
async def open_pool(
    url: str,
    *,
    size: int,
    timeout: float,  # noqa: ASYNC109 - to connect, not for the block
    statement_cache: int | None = None,
) -> AsyncIterator[tuple[Pool, DatabaseState]]:
    """Connect to PostgreSQL and migrate its schema; yields a pool and the database's state.

    `statement_cache` is the number of prepared statements per connection; 0 means that a pooler is
    in between. By default it is 0 if a pooler is detected, else 100. Raises OSError, TimeoutError,
    asyncpg's errors, and MigrationError.
    """
    pooled = statement_cache == 0 or await _is_behind_pooler(url, timeout)
    options: dict[str, Any] = {"init": configure_connection}
    if pooled:
        options = {"connection_class": PooledConnection, "statement_cache_size": 0}
        options["init"] = partial(PooledConnection.remember_url, url=url)
    if statement_cache is not None:
        options["statement_cache_size"] = statement_cache
    created = asyncpg.create_pool(
        url,
        min_size=1,
        max_size=size,
        timeout=timeout,
        max_inactive_connection_lifetime=IDLE_TIME,
        # Nothing changes a session after `init`; not resetting it saves a round trip per release.
        reset=_keep_session,
        **options,
    )
    with _without_url_in_errors():
        await created
    async with created as pool:
        async with pool.acquire() as connection:
            state = await migrate(connection)
        yield pool, state


@contextmanager
def _without_url_in_errors() -> Iterator[None]:
    """Replace errors of a wrong URL, which may quote a part of its password."""
    try:
        yield
    except asyncpg.InterfaceError:
        raise
    except (ValueError, OverflowError):
        raise asyncpg.InterfaceError(INVALID_URL) from None


async def _is_behind_pooler(url: str, limit: float) -> bool:
    # Without prepared statements, the connection leaves nothing in a session that others use.
    with _without_url_in_errors():
        connection = await asyncpg.connect(url, timeout=limit, statement_cache_size=0)
    try:
        return await is_pooled(connection)
    finally:
        await connection.close()


async def configure_connection(connection: asyncpg.Connection) -> None:
    """Set how a connection plans searches."""
    await connection.execute(SEARCH_SETTINGS.format(scope="SESSION"))


async def _keep_session(connection: object) -> None:
    pass


def read_migrations(schema: str) -> tuple[Migration, ...]:
    """Split a schema at its lines `-- migration N: title`; the versions must be 1, 2, 3 …."""
    marks = list(MIGRATION_HEADER.finditer(schema))
    ends = [mark.start() for mark in marks[1:]] + [len(schema)]
    migrations = tuple(
        Migration(int(mark[1]), mark[2].strip(), schema[mark.end() : end].strip())
        for mark, end in zip(marks, ends, strict=True)
    )
    if [each.version for each in migrations] != list(range(1, len(migrations) + 1)):
        raise ValueError("the migrations of a schema must be numbered 1, 2, 3 … in order")
    return migrations


async def migrate(connection: Connection, schema: str | None = None) -> DatabaseState:
    """Apply the migrations that the database lacks, each in its own transaction.

    Concurrent calls are safe: each migration runs once. The default schema is `schema.sql`. Raises
    MigrationError if a migration fails, which leaves the earlier ones applied, or if the database
    is newer than the schema.
    """
    migrations = read_migrations(_read("schema.sql") if schema is None else schema)
    while not await _apply_next(connection, migrations):
        pass
    return DatabaseState(len(migrations), await _ensure_pgvector(connection))


async def _apply_next(connection: Connection, migrations: tuple[Migration, ...]) -> bool:
    """Apply the first missing migration; True if none is missing.

    The lock is the transaction's, so a crash releases it, and it works behind a connection pooler.
    """
    async with connection.transaction():
        await _lock(connection)
        version = await _version(connection)
        if version > len(migrations):
            raise MigrationError(
                f"the database has schema version {version}, but this release supports only"
                f" {len(migrations)}: run the newer release, or restore a backup made before it"
            )
        if version == len(migrations):
            return True
        migration = migrations[version]
        try:
            await connection.execute(migration.sql, timeout=MIGRATION_TIMEOUT)
            await connection.execute(RECORD_MIGRATION, migration.version, migration.title)
        except asyncpg.PostgresError as error:
            raise MigrationError(
                f"migration {migration.version} ({migration.title}) failed and was rolled back:"
                f" {describe(error)}"
            ) from error
    return False


async def _lock(connection: Connection) -> None:
    # The role's own timeouts must not end a long migration, or the wait for another process's.
    await connection.execute("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0")
    await connection.execute(
        "SELECT pg_advisory_xact_lock($1)", LOCK_KEY, timeout=MIGRATION_TIMEOUT
    )


async def _version(connection: Connection) -> int:
    """Return the last version applied, 0 for an empty database."""
    # CREATE TABLE IF NOT EXISTS would fail for a role that may not create tables, even if the
    # database is up to date.
    if not await connection.fetchval(HAS_MIGRATIONS_TABLE):
        await connection.execute(CREATE_MIGRATIONS_TABLE)
    version: int = await connection.fetchval(
        "SELECT coalesce(max(version), 0) FROM schema_migrations"
    )
    return version


async def _ensure_pgvector(connection: Connection) -> str | None:
    """Create the extension and the columns that need it; returns its version, None without it."""
    try:
        async with connection.transaction():
            await _lock(connection)
            version: str | None = await connection.fetchval(PGVECTOR_VERSION)
            if version is None and await connection.fetchval(PGVECTOR_AVAILABLE):
                await connection.execute("CREATE EXTENSION vector")
                version = await connection.fetchval(PGVECTOR_VERSION)
            if version is None or not is_supported_pgvector(version):
                return None
            if await connection.fetchval(LACKS_WEIGHTS):
                await connection.execute(_read("vectors.sql"), timeout=MIGRATION_TIMEOUT)
    except asyncpg.PostgresError as error:
        # Only semantic search needs it, and often only an administrator may create it.
        log.warning("cannot use pgvector: %s", describe(error))
        return None
    return version


def is_supported_pgvector(version: str) -> bool:
    """Return whether this version of pgvector can be used."""
    return tuple(int(part) for part in re.findall(r"\d+", version)) >= MIN_PGVECTOR


def schema_version() -> int:
    """Return the version of the schema that this release migrates databases to."""
    return len(read_migrations(_read("schema.sql")))


def _read(name: str) -> str:
    return files("app.infra").joinpath(name).read_text(encoding="utf-8")
